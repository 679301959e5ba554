//! What the operator has changed while the gateways ran: the modes of servers, and tenants that are suspended.

use super::{
    db::{Db, ask},
    error::Error,
};
use crate::domain::{
    ids::{ServerId, TenantId},
    server_mode::ServerMode,
    time::Timestamp,
};

/// The operator's changes in a store.
#[derive(Debug, Clone, Copy)]
pub struct OperationStore<'a> {
    pub(super) db: &'a Db,
}

impl OperationStore<'_> {
    /// The modes of the servers whose mode was ever changed.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn server_modes(self) -> Result<Vec<(ServerId, ServerMode)>, Error> {
        ask!(self.db, operations::server_modes())
    }

    /// Writes the mode of a server down, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_server_mode(self, server: &ServerId, mode: ServerMode, now: Timestamp) -> Result<(), Error> {
        ask!(self.db, operations::set_server_mode(server.as_str(), mode.as_str(), now))
    }

    /// Disables a server that is draining and has no meeting, whichever gateway promised it, and tells the other gateways.
    /// Returns whether it was so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn disable_drained(self, server: &ServerId, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, operations::disable_drained(server.as_str(), now))
    }

    /// The tenants that the operator has suspended.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn suspended_tenants(self) -> Result<Vec<TenantId>, Error> {
        ask!(self.db, operations::suspended_tenants())
    }

    /// Writes down whether the operator has suspended a tenant, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_suspended(self, tenant: &TenantId, suspended: bool, now: Timestamp) -> Result<(), Error> {
        ask!(self.db, operations::set_suspended(tenant.as_str(), suspended, now))
    }
}
