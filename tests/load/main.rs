//! Short load runs. They need the machine to themselves, and so have a program of their own and run one at a time.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod person;
mod siege;
mod storm;

/// Held by the run that has the machine.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
