//! What needs no gateway that runs: the documents, the dependencies, the configuration, the service levels, and random
//! input for what parses bytes from outside.

#![allow(unreachable_pub, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod arbitrary;
mod config;
mod dependencies;
mod documents;
mod levels;
