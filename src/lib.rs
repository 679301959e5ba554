//! Anteroom: a multi-tenant gateway in front of BigBlueButton.

pub mod config;
pub mod domain;
pub mod tls;
