//! `anteroom domain check`, the program itself, in front of a real DNS server (dnsmasq).

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod check;
mod mail;
mod server;
