//! ACME with real servers: pebble, with `pebble-challtestsrv` for its DNS, and acme2certifier.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod asked;
mod door;
mod front;
mod gateway;
mod life;
mod orders;
mod outages;
mod pebble;
mod proofs;
mod renewals;
mod small_ca;
