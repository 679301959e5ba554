//! A server calls with events: each is written down for the webhooks of its tenant, and answered only then.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    hosts::is_needed,
    owner::{Owner, owner},
    read::read_since,
    servers,
    state::{Registered, Webhook},
};
use crate::{
    bbb::webhook::{Allowed, Posted, Reader, about, is_wanted, name},
    domain::{
        denial::Denial,
        directory::Directory,
        ids::TenantId,
        tenant::Server,
        webhook::{EVENT_BYTES_MAX, WAITING_MAX},
    },
    meetings::Meetings,
    metrics::WebhookEvent,
    store::{AddedEvent, NewEvent},
};

/// How long a call waits for the store, in all: servers wait for 5 s, and call again.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two tries.
const STORE_INTERVAL: Duration = Duration::from_millis(500);

/// Takes in what a server has posted. Of tenants without webhooks for it nothing is written.
///
/// # Errors
/// [`Denial::StoreUnavailable`] where the store does not answer in time, or too many ask it: the server has to call again.
pub(crate) async fn receive(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    posted: &Posted<'_>,
) -> Result<(), Denial> {
    let came = Instant::now();
    let new = all_new(meetings, (directory, server), posted);
    let is_unknown = new.is_empty() && !is_needed(meetings, directory, server);
    if new.is_empty() && !is_unknown {
        return Ok(());
    }
    let stored = async {
        let turn = meetings.webhooks.receipts.take(&server.id, &(), 1, STORE_TIMEOUT).await;
        let _turn = turn.ok_or(Denial::StoreUnavailable)?;
        if !is_unknown {
            keep(meetings, new).await;
            return Ok(());
        }
        // Another gateway may have made the hook a moment ago. If not, it is to be removed.
        read_since(meetings, came).await?;
        servers::note_call(meetings, directory, server);
        keep(meetings, all_new(meetings, (directory, server), posted)).await;
        Ok(())
    };
    timeout(STORE_TIMEOUT, stored).await.unwrap_or(Err(Denial::StoreUnavailable))
}

/// All that a server has posted and a webhook gets.
fn all_new(meetings: &Meetings, (directory, server): (&Directory, &Server), posted: &Posted<'_>) -> Vec<NewEvent> {
    let registered = meetings.webhooks.registered.load();
    let new = |event| new_event(meetings, (directory, server), posted, &registered, event);
    posted.events.iter().filter_map(new).collect()
}

/// Writes events down, each by itself: those that are written when the time is over are known when the server calls again.
async fn keep(meetings: &Meetings, new: Vec<NewEvent>) {
    let mut dropped = HashMap::<TenantId, u64>::new();
    for event in new {
        let added =
            if event.body.len() > EVENT_BYTES_MAX { too_large(&event) } else { written(meetings, &event).await };
        let metrics = meetings.metrics.tenant(&event.tenant);
        metrics.webhooks.add(WebhookEvent::Received, added.kept);
        metrics.webhooks.add(WebhookEvent::Dropped, added.dropped);
        if added.dropped > 0 {
            let of_tenant = dropped.entry(event.tenant).or_default();
            *of_tenant = of_tenant.saturating_add(added.dropped);
        }
    }
    for (tenant, events) in &dropped {
        tracing::warn!(%tenant, events, "webhook events dropped: too many of their tenant wait, or they are too large");
    }
    meetings.webhooks.wake.notify_one();
}

fn too_large(event: &NewEvent) -> AddedEvent {
    AddedEvent { kept: 0, dropped: u64::try_from(event.webhooks.len()).unwrap_or(u64::MAX) }
}

/// Tries until the store has it: who waits for it says how long.
async fn written(meetings: &Meetings, event: &NewEvent) -> AddedEvent {
    loop {
        if let Ok(added) = meetings.store.webhooks().add_event(meetings.clock.now(), WAITING_MAX, event).await {
            return added;
        }
        sleep(STORE_INTERVAL).await;
    }
}

/// What is written for an event, if a webhook gets it.
fn new_event(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    posted: &Posted<'_>,
    registered: &Registered,
    event: &Value,
) -> Option<NewEvent> {
    let name = name(event)?;
    let of = owner(meetings, (directory, server), about(event), registered.keys())?;
    let wanted = |webhook: &&Webhook| is_for(webhook, &of, name);
    let webhooks = registered.get(&of.tenant)?.iter().filter(wanted);
    let webhooks: Vec<_> = webhooks.map(|webhook| webhook.id.clone()).collect();
    if webhooks.is_empty() {
        return None;
    }
    let body = body(meetings, (directory, server), posted, &of, event)?;
    let content = digest(&SHA256, event.to_string().as_bytes()).as_ref().to_vec();
    Some(NewEvent { tenant: of.tenant, webhooks, content, body })
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
