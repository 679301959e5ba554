//! What the operator has changed while the gateway ran: the modes of servers, and tenants that are suspended.

use sqlx::Row;

use super::{Error, Store, parsed};
use crate::domain::{
    ids::{ServerId, TenantId},
    server_mode::ServerMode,
};

impl Store {
    /// The modes of the servers whose mode was ever changed.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn server_modes(&self) -> Result<Vec<(ServerId, ServerMode)>, Error> {
        let rows = sqlx::query("SELECT server, mode FROM servers").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((parsed(row, "server")?, parsed(row, "mode")?))).collect()
    }

    /// Writes the mode of a server down.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_server_mode(&self, server: &ServerId, mode: ServerMode, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO servers (server, mode, changed_at) VALUES ($1, $2, $3)
             ON CONFLICT (server) DO UPDATE SET mode = excluded.mode, changed_at = excluded.changed_at",
        )
        .bind(server.as_str())
        .bind(mode.as_str())
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The tenants that the operator has suspended.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn suspended_tenants(&self) -> Result<Vec<TenantId>, Error> {
        let rows = sqlx::query("SELECT tenant, suspended FROM tenants").fetch_all(&self.pool).await?;
        let mut suspended = Vec::new();
        for row in &rows {
            if row.try_get("suspended")? {
                suspended.push(parsed(row, "tenant")?);
            }
        }
        Ok(suspended)
    }

    /// Writes down whether the operator has suspended a tenant.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_suspended(&self, tenant: &TenantId, suspended: bool, now: i64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO tenants (tenant, suspended, changed_at) VALUES ($1, $2, $3)
             ON CONFLICT (tenant) DO UPDATE SET suspended = excluded.suspended, changed_at = excluded.changed_at",
        )
        .bind(tenant.as_str())
        .bind(suspended)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
