//! Tenants, policies, admission and placement: values in, a verdict out. No I/O, no clock, no runtime.

pub mod admission;
pub mod backend_error;
pub mod branding;
pub mod calendar;
pub mod denial;
pub mod directory;
pub mod health;
pub mod host;
pub mod hsts;
pub mod ids;
pub mod limits;
pub mod pages;
pub mod placement;
pub mod rules;
pub mod secret;
pub mod server_mode;
pub mod tenant;

#[cfg(test)]
pub(crate) mod fixtures;
