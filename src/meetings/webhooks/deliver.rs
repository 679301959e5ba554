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
    domain::{callback::pause, time::Timestamp, webhook::FAILS_FOR},
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
    round_at(meetings, false).await
}

/// The same, at a stop or not.
#[cfg(test)]
pub(super) async fn round_at(meetings: &Meetings, is_stop: bool) -> usize {
    let claim = deliveries::claim(deliveries::CONCURRENCY, meetings.clock.now());
    let due = meetings.store.webhooks().claim(claim).await.expect("claimed");
    let (_, stopping) = watch::channel(is_stop);
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

/// What has become of an event that was sent, in words.
enum Outcome {
    Delivered(String),
    Failed(String),
    /// Its receiver has said that it is gone.
    Gone,
}

/// What a claim has come to.
#[derive(Default)]
struct Sent {
    /// Whether the receiver has taken an event.
    has_taken: bool,
    last: Option<Outcome>,
}

async fn deliver(meetings: &Meetings, webhook: &WebhookRow, stopping: &watch::Receiver<bool>) {
    let Ok(events) = meetings.store.webhooks().events(&webhook.id, BATCH).await else { return };
    let (begun, mut sent) = (Instant::now(), Sent::default());
    for event in &events {
        if begun.elapsed() >= BATCH_TIME || *stopping.borrow() {
            break;
        }
        let outcome = send(meetings, webhook, event).await;
        let is_delivered = matches!(outcome, Outcome::Delivered(_));
        sent.last = Some(outcome);
        if !is_delivered {
            break;
        }
        sent.has_taken = true;
        meetings.metrics.tenant(&webhook.tenant).webhooks.count(WebhookEvent::Delivered);
        let write = || meetings.store.webhooks().delivered(event.id, meetings.clock.now());
        // Its tenant may have removed it meanwhile: the rest is for it no more.
        if written(stopping, write).await != Some(true) {
            return;
        }
    }
    finish(meetings, webhook, sent, stopping).await;
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
async fn finish(meetings: &Meetings, webhook: &WebhookRow, sent: Sent, stopping: &watch::Receiver<bool>) {
    let now = meetings.clock.now();
    let (result, is_gone) = match &sent.last {
        None => return release(meetings, webhook, unsent(webhook), stopping).await,
        Some(Outcome::Delivered(result)) => {
            let tried = Tried { result: Some(result), tries: 0, failing_since: None, due_at: now };
            return release(meetings, webhook, tried, stopping).await;
        }
        Some(Outcome::Failed(result)) => (result.as_str(), false),
        Some(Outcome::Gone) => ("HTTP 410", true),
    };
    let tried = failed(webhook, sent.has_taken, result, now);
    let fails_too_long = tried.failing_since.is_some_and(|since| since.saturating_add(FAILS_FOR) <= now);
    if (is_gone || fails_too_long) && remove(meetings, webhook, result, stopping).await {
        return;
    }
    tracing::warn!(tenant = %webhook.tenant, id = webhook.id, result, "webhook event not delivered: retrying");
    meetings.metrics.tenant(&webhook.tenant).webhooks.count(WebhookEvent::Failed);
    release(meetings, webhook, tried, stopping).await;
}

async fn release(meetings: &Meetings, webhook: &WebhookRow, tried: Tried<'_>, stopping: &watch::Receiver<bool>) {
    written(stopping, || meetings.store.webhooks().release(webhook, tried)).await;
}

/// Where nothing was sent all stays as it was.
fn unsent(webhook: &WebhookRow) -> Tried<'_> {
    let WebhookRow { result, tries, failing_since, due_at, .. } = webhook;
    Tried { result: result.as_deref(), tries: *tries, failing_since: *failing_since, due_at: *due_at }
}

/// After a failure. What the receiver has taken before it in the same claim ends those of former claims.
fn failed<'a>(webhook: &WebhookRow, has_taken: bool, result: &'a str, now: Timestamp) -> Tried<'a> {
    let (before, since) = if has_taken { (0, None) } else { (webhook.tries, webhook.failing_since) };
    let tries = before.saturating_add(1);
    let due_at = now.saturating_add(pause(tries));
    Tried { result: Some(result), tries, failing_since: Some(since.unwrap_or(now)), due_at }
}

/// Removes a webhook whose receiver is gone, with the events that wait, as bbb-webhooks does. Returns whether it is done with: not
/// if the operator has asked for another try meanwhile.
async fn remove(meetings: &Meetings, webhook: &WebhookRow, result: &str, stopping: &watch::Receiver<bool>) -> bool {
    let removed = written(stopping, || meetings.store.webhooks().remove_claimed(webhook)).await;
    if removed == Some(true) {
        let (tenant, id) = (&webhook.tenant, &webhook.id);
        tracing::error!(%tenant, id, result, "webhook removed: its receiver is gone");
        meetings.metrics.tenant(tenant).webhooks.count(WebhookEvent::Removed);
        reread(meetings).await;
    }
    removed != Some(false)
}
