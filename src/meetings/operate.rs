//! What the operator changes while the gateway runs: the modes of servers, and which tenants are suspended. Written down
//! first, then in force; an answer that it is done holds after a crash too.

use super::Meetings;
use crate::{
    domain::{
        ids::{ServerId, TenantId},
        server_mode::ServerMode,
    },
    store::Error,
};

/// Sets the mode of a server; `operator` is who wants it. The mode that it has already changes nothing.
///
/// # Errors
/// When the store fails: all stays as it was.
pub async fn set_mode(meetings: &Meetings, server: &ServerId, mode: ServerMode, operator: &str) -> Result<(), Error> {
    let _turn = meetings.operating.lock().await;
    let state = meetings.live.servers.of(server);
    let before = state.mode();
    // Another gateway may have changed it since this one heard of it.
    if before == mode && !meetings.store.is_shared() {
        return Ok(());
    }
    meetings.store.operations().set_server_mode(server, mode, meetings.clock.now()).await?;
    state.set_mode(mode);
    tracing::info!(target: "audit", %server, %before, %mode, operator, "server mode changed");
    Ok(())
}

/// Suspends a tenant or resumes it; `operator` is who wants that.
///
/// # Errors
/// When the store fails: all stays as it was.
pub async fn suspend(meetings: &Meetings, tenant: &TenantId, suspended: bool, operator: &str) -> Result<(), Error> {
    let _turn = meetings.operating.lock().await;
    if meetings.live.suspended.contains(tenant) == suspended && !meetings.store.is_shared() {
        return Ok(());
    }
    meetings.store.operations().set_suspended(tenant, suspended, meetings.clock.now()).await?;
    if suspended {
        meetings.live.suspended.insert(tenant.clone());
        tracing::info!(target: "audit", %tenant, operator, "tenant suspended");
    } else {
        meetings.live.suspended.remove(tenant);
        tracing::info!(target: "audit", %tenant, operator, "tenant resumed");
    }
    Ok(())
}

/// Takes over what the operator has changed before this start, or at another gateway.
///
/// # Errors
/// When the store fails.
pub async fn read_operations(meetings: &Meetings) -> Result<(), Error> {
    let _turn = meetings.operating.lock().await;
    for (server, mode) in meetings.store.operations().server_modes().await? {
        meetings.live.servers.of(&server).set_mode(mode);
    }
    let suspended = meetings.store.operations().suspended_tenants().await?;
    meetings.live.suspended.retain(|tenant| suspended.contains(tenant));
    for tenant in suspended {
        meetings.live.suspended.insert(tenant);
    }
    Ok(())
}

/// Disables the servers whose last meeting has ended while they were draining. Where the store fails, the next round
/// of the poller tries again.
pub async fn settle_drained(meetings: &Meetings) {
    let _turn = meetings.operating.lock().await;
    for server in meetings.directory.load_full().servers() {
        let state = meetings.live.servers.of(&server.id);
        if state.mode() != ServerMode::Draining || !state.load.is_empty() {
            continue;
        }
        match meetings.store.operations().disable_drained(&server.id, meetings.clock.now()).await {
            Ok(false) => {}
            Ok(true) => {
                state.set_mode(ServerMode::Disabled);
                tracing::info!(target: "audit", server = %server.id, "server drained and disabled");
            }
            Err(error) => tracing::warn!(server = %server.id, %error, "failed to disable a drained server: retrying"),
        }
    }
}
