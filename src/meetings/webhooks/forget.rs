//! Forgets what has had its time: events that were delivered, and webhooks of meetings that are long over.

use super::registry::reread;
use crate::{
    domain::webhook::{KNOWN_FOR, UNUSED_FOR},
    meetings::Meetings,
    metrics::WebhookEvent,
    store::Error,
};

/// Events that are deleted by one statement: all at once could take longer than the store is waited for.
const EVENTS: u32 = 5_000;
/// Such statements in one round, so that it ends.
const STATEMENTS: u32 = 20;
/// Webhooks that are removed in one round, with their events.
const WEBHOOKS: u32 = 100;

/// Forgets so many at the most: the rest has its turn with the next call.
///
/// # Errors
/// When the store fails.
pub async fn round(meetings: &Meetings) -> Result<(), Error> {
    let now = meetings.clock.now();
    for _ in 0..STATEMENTS {
        let deleted = meetings.store.webhooks().forget_delivered(now.saturating_sub(KNOWN_FOR), EVENTS).await?;
        if deleted < u64::from(EVENTS) {
            break;
        }
    }
    let removed = meetings.store.webhooks().forget_unused(now.saturating_sub(UNUSED_FOR), WEBHOOKS).await?;
    for (tenant, id) in &removed {
        tracing::warn!(%tenant, id, "webhook removed: its meeting is long over");
        meetings.metrics.tenant(tenant).webhooks.count(WebhookEvent::Removed);
    }
    if !removed.is_empty() {
        reread(meetings).await;
    }
    Ok(())
}
