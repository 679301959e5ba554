//! Anteroom: a multi-tenant gateway in front of BigBlueButton.

pub mod bbb;
pub mod config;
pub mod domain;
pub mod live;
pub mod store;
pub mod tls;
pub mod upstream;
