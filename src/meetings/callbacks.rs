//! Callbacks: what BBB servers tell of a meeting, taken in and given out.
//!
//! A `create` names addresses of the tenant's. Its server gets addresses of the gateway's instead (`take`), and calls them
//! with its own ids and its own signature. What it says is written down before it is answered (`receive`), and then
//! delivered, with the tenant's ids and signature, from the store (`deliver`): by any gateway, for a day.

mod code;
pub mod deliver;
mod message;
pub(crate) mod receive;
pub(crate) mod retry;
pub(crate) mod take;
#[cfg(test)]
mod tests;

use tokio::sync::Notify;

use crate::{domain::ids::TenantId, upstream::Receivers};
pub(crate) use code::Code;
use code::Codes;

/// What all callbacks share.
#[derive(Debug)]
pub struct Callbacks {
    codes: Codes,
    pub(super) receivers: Receivers,
    /// There may be something to be delivered.
    wake: Notify,
}

impl Callbacks {
    /// Callbacks whose codes are made with this key, the same on every gateway of an installation.
    #[must_use]
    pub fn new(key: [u8; 32], receivers: Receivers) -> Self {
        Self { codes: Codes::new(key), receivers, wake: Notify::new() }
    }

    /// The code of an address of the gateway's; `None` for one that it has not made for this tenant and this kind.
    pub(crate) fn code(&self, tenant: &TenantId, kind: &str, text: &str) -> Option<Code> {
        self.codes.read(tenant, kind, text)
    }
}
