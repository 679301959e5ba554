//! Tenants, policies, admission and placement: values in, a verdict out. No I/O, no runtime.
//! Times come in as arguments; [`time::Clock`] is what reads them, and nothing here calls it.

pub mod admission;
pub mod backend_error;
pub mod branding;
pub mod calendar;
pub mod callback;
pub mod denial;
pub mod directory;
pub mod get_user;
pub mod health;
pub mod host;
pub mod hsts;
pub mod ids;
pub mod issuance;
pub mod limits;
pub mod mail;
pub mod meeting;
pub mod network;
pub mod pages;
pub mod placement;
pub mod rules;
pub mod secret;
pub mod server_mode;
pub mod session;
pub mod tenant;
pub mod time;
pub mod webhook;

#[cfg(test)]
pub(crate) mod fixtures;
