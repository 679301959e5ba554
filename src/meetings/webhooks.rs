//! Webhooks: `hooks/*` for each tenant, fed by one hook of the gateway's at each server.
//!
//! A tenant registers addresses (`registry`). While it has some, the servers that it may use have a hook of the gateway's
//! (`servers`), and call that with the events of all their meetings. Each event is written down for the webhooks of the tenant
//! whose meeting it is about (`receive`, `owner`), and then delivered from the store (`deliver`): by any gateway, in order.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod at_server;
mod calls;
mod code;
pub mod deliver;
pub mod forget;
mod hosts;
mod message;
mod owner;
pub(crate) mod read;
pub(crate) mod receive;
pub(crate) mod registry;
pub mod servers;
mod state;
pub(crate) mod unknown;

#[cfg(test)]
mod tests;

pub use read::read;
pub use state::Webhooks;
