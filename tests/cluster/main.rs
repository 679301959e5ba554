//! Several gateways, restarts, and outages of the store and of servers: with PostgreSQL and with the program itself.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod callbacks;
mod dead;
mod model;
mod outage;
mod postgres;
mod replicas;
mod request_ids;
mod restart;
mod strangers;
mod webhooks;
