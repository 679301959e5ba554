//! Faults that operators, integrations and public trackers have reported, each in the form in which it was seen, with the
//! right value. One file per subject; a test's name has the words of the report.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../hostile/evil/mod.rs"]
mod evil;

mod answers;
mod bodies;
mod body_clients;
mod body_faults;
mod body_lengths;
mod calls;
mod files;
mod headers;
mod lists;
mod lobby;
mod paths;
mod safe;
mod sessions;
