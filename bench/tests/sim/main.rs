//! The simulator over real sockets, against what the notes on BigBlueButton say.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod breakouts;
mod callbacks;
mod checksums;
mod faults;
mod helpers;
mod hooks;
mod profiles;
mod recordings;
mod server;
mod sessions;
mod sockets;
