//! The HTTP front: connections, requests, and their answers.
//!
//! Calls go one way: `accept`, then `serve` and `router`, then the handlers (`api`, `carry`, `graphql`, `frontend`, ...), then
//! what they share (`refusal`, `target`, `forward`, `answer`, `headers`, `cookies`).

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod accept;
mod answer;
mod answered;
mod api;
mod asked;
mod asset;
mod callback;
mod caller;
mod carry;
mod challenge;
mod client_file;
pub mod cookies;
mod corked;
mod downstream;
mod forward;
mod frame;
mod framing;
mod frontend;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
pub mod grant;
mod graphql;
mod h2_socket;
mod headers;
mod held;
mod images;
mod joined;
mod livekit;
mod lobby;
mod named_ids;
pub mod names;
mod pages;
mod passing;
mod path;
mod permissions;
mod playback;
mod referrer;
mod refusal;
mod robots;
pub mod route;
mod router;
mod serve;
mod session_call;
pub mod session_token;
mod settings;
mod socket;
mod target;
pub mod text_frames;
mod tunnel;
mod upgrade;
mod upload_form;
mod version;
mod webhook;

pub use gateway::{Gateway, Parts};
