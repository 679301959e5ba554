//! The tools of the trials.

#![allow(dead_code, reason = "each trial uses a part of them")]

pub mod client;
pub mod server;
