//! Programs of others, unmodified: client libraries of BBB, and HTTP clients. Needs what `make test-deps` installs.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod libraries;
mod library;
