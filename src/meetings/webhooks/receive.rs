//! A server calls with events: each is written down for the webhooks of its tenant, and answered only then.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Registered, Webhook,
    hosts::is_needed,
    owner::{Owner, owner},
    read_since, servers,
};
use crate::{
    bbb::webhook::{Allowed, Posted, Reader, about, is_wanted, name},
    domain::{directory::Directory, ids::TenantId, tenant::Server, webhook::WAITING_MAX},
    meetings::Meetings,
    metrics::WebhookEvent,
    store::{Error, NewEvent},
};

/// How long a call waits for a store that does not answer: servers wait for 5 s, and call again.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two tries.
const STORE_INTERVAL: Duration = Duration::from_millis(500);

/// Takes in what a server has posted. Of tenants without webhooks for it nothing is written.
///
/// # Errors
/// When the store fails: the server has to call again.
pub(crate) async fn receive(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    posted: &Posted<'_>,
) -> Result<(), Error> {
    let came = Instant::now();
    let mut new = all_rows(meetings, (directory, server), posted);
    if new.is_empty() && !is_needed(meetings, directory, server) {
        // Another gateway may have made the hook a moment ago. If not, it is to be removed.
        read_since(meetings, came).await?;
        new = all_rows(meetings, (directory, server), posted);
        servers::note_call(meetings, directory, server);
    }
    if new.is_empty() {
        return Ok(());
    }
    let dropped = written(meetings, &new).await?;
    for event in &new {
        meetings.metrics.tenant(&event.tenant).count_webhook(WebhookEvent::Received);
    }
    for tenant in &dropped {
        tracing::warn!(%tenant, "webhook event dropped: too many of its tenant wait for their receivers");
        meetings.metrics.tenant(tenant).count_webhook(WebhookEvent::Dropped);
    }
    meetings.webhooks.wake.notify_one();
    Ok(())
}

/// What is written for all that a server has posted.
fn all_rows(meetings: &Meetings, (directory, server): (&Directory, &Server), posted: &Posted<'_>) -> Vec<NewEvent> {
    let registered = meetings.webhooks.registered.load();
    let rows = |event| rows(meetings, (directory, server), posted, &registered, event);
    posted.events.iter().flat_map(rows).collect()
}

/// Writes events down. Returns the tenants of those for which there is no room.
async fn written(meetings: &Meetings, new: &[NewEvent]) -> Result<Vec<TenantId>, Error> {
    let begun = Instant::now();
    loop {
        match meetings.store.webhooks().add_events(meetings.clock.now(), WAITING_MAX, new).await {
            Err(_) if begun.elapsed() < STORE_TIMEOUT => tokio::time::sleep(STORE_INTERVAL).await,
            written => return written,
        }
    }
}

/// What is written for an event: a row for each webhook that it is for.
fn rows(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    posted: &Posted<'_>,
    registered: &Registered,
    event: &Value,
) -> Vec<NewEvent> {
    let (Some(name), Some(of)) = (name(event), owner(meetings, (directory, server), about(event), registered.keys()))
    else {
        return Vec::new();
    };
    let wanted = |webhook: &&Webhook| is_for(webhook, &of, name);
    let webhooks: Vec<_> = registered.get(&of.tenant).into_iter().flatten().filter(wanted).collect();
    if webhooks.is_empty() {
        return Vec::new();
    }
    let Some(body) = body(meetings, (directory, server), posted, &of, event) else { return Vec::new() };
    let content = digest(&SHA256, event.to_string().as_bytes());
    let row = |webhook: &Webhook| NewEvent {
        webhook: webhook.id.clone(),
        tenant: of.tenant.clone(),
        content: content.as_ref().to_vec(),
        body: body.clone(),
    };
    webhooks.into_iter().map(row).collect()
}

fn is_for(webhook: &Webhook, of: &Owner, name: &str) -> bool {
    let is_meeting = webhook.meeting.as_ref().is_none_or(|meeting| meeting.as_str() == of.ext_id);
    is_meeting && is_wanted(webhook.events.as_deref(), name)
}

/// What a tenant gets of an event.
fn body(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    posted: &Posted<'_>,
    of: &Owner,
    event: &Value,
) -> Option<String> {
    let tenant = directory.tenant_at(of.tenant.as_str(), meetings.clock.now())?;
    if !tenant.limits.webhooks.has_room(0) {
        return None;
    }
    let data = tenant.limits.webhook_data;
    let reader = Reader {
        tenant: &tenant.id,
        meeting_id: &of.ext_id,
        internal_id: &of.internal_id,
        names: &posted.names(&server.names),
        authority: tenant.hosts.first()?.as_str(),
        allowed: Allowed { addresses: data.addresses, content: data.content },
    };
    Some(reader.event(event)?.to_string())
}
