//! The gateway started in this process, in front of simulated BBB servers and with SQLite: one module for each capability.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod api;
mod branding;
mod breakouts;
mod breakouts_by_api;
mod callbacks;
mod client_files;
mod conformance;
mod failed_creates;
mod failure;
mod forms;
mod greenlight;
mod h2_sockets;
mod hostile;
mod hosts;
mod images;
mod isolation;
mod limits;
mod livekit;
mod meeting;
mod meteor;
mod names;
mod operate;
mod parameters;
mod placement;
mod recordings;
mod releases;
mod reports;
mod sockets;
mod traffic;
mod tricks;
mod usage;
mod webhooks;
