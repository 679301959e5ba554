//! Reads the webhooks that there are from the store, which events then ask in memory.

use std::sync::Arc;

use tokio::time::Instant;

use super::state::{Registered, Webhook};
use crate::{meetings::Meetings, store::Error};

/// Takes over the webhooks that there are now.
///
/// # Errors
/// When the store fails.
pub async fn read(meetings: &Meetings) -> Result<(), Error> {
    read_since(meetings, Instant::now()).await
}

/// The same, unless they were read since a time.
pub(super) async fn read_since(meetings: &Meetings, since: Instant) -> Result<(), Error> {
    let webhooks = &meetings.webhooks;
    let mut last = webhooks.reading.lock().await;
    if last.is_some_and(|last| last > since) {
        return Ok(());
    }
    let begun = Instant::now();
    let mut registered = Registered::new();
    for row in meetings.store.webhooks().registered().await? {
        let (id, meeting, events) = (row.id, row.meeting, row.events);
        registered.entry(row.tenant).or_default().push(Webhook { id, meeting, events });
    }
    if **webhooks.registered.load() != registered {
        webhooks.registered.store(Arc::new(registered));
        webhooks.changed.notify_one();
    }
    *last = Some(begun);
    Ok(())
}
