//! Delivers the events of webhooks from the store, those of all tenants in turn.
//!
//! A webhook is claimed, and its events are sent one after the other, so that they come in their order. One that is not taken
//! holds up those behind it: a pause is the webhook's, not the event's.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{message::message, registry::reread};
use crate::{
    domain::{callback::pause, webhook::FAILS_FOR},
    meetings::{
        Meetings,
        deliveries::{self, Queue, written},
        receivers::NO_TENANT,
    },
    metrics::WebhookEvent,
    store::{Error, EventRow, Tried, WebhookRow},
    supervise::caught,
};

/// Events that are sent for one claim.
const BATCH: u32 = 20;
/// No event of a claim is begun after that: the last one, too, is to be sent before the claim is over.
const BATCH_TIME: Duration = Duration::from_secs(30);

/// Delivers until told to stop, and then finishes what it has begun.
pub async fn run(meetings: Arc<Meetings>, stop: watch::Receiver<bool>) {
    deliveries::run(Arc::new(Webhooks(meetings)), stop).await;
}

/// Delivers what is due now, and returns when that is done.
#[cfg(test)]
pub(super) async fn round(meetings: &Meetings) -> usize {
    let claim = deliveries::claim(deliveries::CONCURRENCY, meetings.clock.now());
    let due = meetings.store.webhooks().claim(claim).await.expect("claimed");
    let (_, stopping) = watch::channel(false);
    futures_util::future::join_all(due.iter().map(|webhook| deliver(meetings, webhook, &stopping))).await;
    due.len()
}

struct Webhooks(Arc<Meetings>);

impl Queue for Webhooks {
    type Due = WebhookRow;

    fn wake(&self) -> &Notify {
        &self.0.webhooks.wake
    }

    async fn tick(&self) {}

    async fn claim(&self, most: usize) -> Result<Vec<WebhookRow>, Error> {
        self.0.store.webhooks().claim(deliveries::claim(most, self.0.clock.now())).await
    }

    async fn deliver(&self, webhook: WebhookRow, stopping: watch::Receiver<bool>) {
        deliver(&self.0, &webhook, &stopping).await;
    }
}

/// What has become of the last event that was sent, in words.
enum Outcome {
    Delivered(String),
    Failed(String),
    /// Its receiver has said that it is gone.
    Gone,
}

async fn deliver(meetings: &Meetings, webhook: &WebhookRow, stopping: &watch::Receiver<bool>) {
    let Ok(events) = meetings.store.webhooks().events(&webhook.id, BATCH).await else { return };
    let (begun, mut outcome) = (Instant::now(), None);
    for event in &events {
        if begun.elapsed() >= BATCH_TIME || *stopping.borrow() {
            break;
        }
        let sent = send(meetings, webhook, event).await;
        let is_delivered = matches!(sent, Outcome::Delivered(_));
        outcome = Some(sent);
        if !is_delivered {
            break;
        }
        meetings.metrics.tenant(&webhook.tenant).count_webhook(WebhookEvent::Delivered);
        let write = || meetings.store.webhooks().delivered(event.id, meetings.clock.now());
        if !written(stopping, write).await {
            return;
        }
    }
    finish(meetings, webhook, outcome, stopping).await;
}

async fn send(meetings: &Meetings, webhook: &WebhookRow, event: &EventRow) -> Outcome {
    // A panic is no answer of its receiver.
    let tried = caught("webhook", tried(meetings, webhook, event)).await;
    match tried.unwrap_or_else(|| Err("internal error".to_owned())) {
        Ok(status) if status.is_success() => Outcome::Delivered(answered(status)),
        Ok(StatusCode::GONE) => Outcome::Gone,
        Ok(status) => Outcome::Failed(answered(status)),
        Err(why) => Outcome::Failed(why),
    }
}

fn answered(status: StatusCode) -> String {
    format!("HTTP {}", status.as_u16())
}

/// Tries once. Returns the status of the answer, or why there is none.
async fn tried(meetings: &Meetings, webhook: &WebhookRow, event: &EventRow) -> Result<StatusCode, String> {
    let directory = meetings.directory.load_full();
    let tenant = directory.tenant(webhook.tenant.as_str()).ok_or(NO_TENANT)?;
    let (request, frontend) = message(webhook, event, tenant, meetings.clock.now())?;
    let sent = meetings.callbacks.receivers.send(request, frontend).await;
    sent.map_err(|why| why.as_str().to_owned())
}

/// Gives the webhook free, or removes it.
async fn finish(meetings: &Meetings, webhook: &WebhookRow, outcome: Option<Outcome>, stopping: &watch::Receiver<bool>) {
    let now = meetings.clock.now();
    let fails_too_long = webhook.failing_since.is_some_and(|since| since.saturating_add(FAILS_FOR) <= now);
    let (result, failed) = match outcome {
        Some(Outcome::Gone) => return remove(meetings, webhook, "HTTP 410", stopping).await,
        Some(Outcome::Failed(result)) if fails_too_long => return remove(meetings, webhook, &result, stopping).await,
        Some(Outcome::Failed(result)) => (result, true),
        Some(Outcome::Delivered(result)) => (result, false),
        // Nothing was sent, and nothing is known: it is free again when the claim is over.
        None => return,
    };
    let due_at = if failed { now.saturating_add(pause(webhook.tries.saturating_add(1))) } else { now };
    if failed {
        tracing::warn!(tenant = %webhook.tenant, id = webhook.id, result, "webhook event not delivered: retrying");
        meetings.metrics.tenant(&webhook.tenant).count_webhook(WebhookEvent::Failed);
    }
    let tried = Tried { result: &result, failed, now, due_at };
    written(stopping, || meetings.store.webhooks().release(webhook, tried)).await;
}

/// Removes a webhook whose receiver is gone, with the events that wait, as bbb-webhooks does.
async fn remove(meetings: &Meetings, webhook: &WebhookRow, result: &str, stopping: &watch::Receiver<bool>) {
    let (tenant, id) = (&webhook.tenant, &webhook.id);
    tracing::error!(%tenant, id, result, "webhook removed: its receiver is gone");
    meetings.metrics.tenant(tenant).count_webhook(WebhookEvent::Removed);
    written(stopping, || async { meetings.store.webhooks().remove(tenant, id).await.map(drop) }).await;
    reread(meetings).await;
}
