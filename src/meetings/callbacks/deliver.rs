//! Delivers callbacks from the store, those of all tenants in turn, and adds the ends of meetings that their servers cannot tell.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::{Notify, watch};

use super::message::message;
use crate::{
    domain::{
        callback::{Form, TRIED_FOR, pause},
        time::Timestamp,
    },
    meetings::{
        Meetings,
        deliveries::{self, Queue, written},
        receivers::NO_TENANT,
    },
    metrics::CallbackEvent,
    store::{CallbackRow, Error, NewCallback},
    supervise::caught,
};

/// A server tells of an end at once, and four times more in the nine minutes that follow
/// (docs/reference/bbb-protocol.md, "Callbacks"). After that the gateway does.
const SILENT_AFTER: Duration = Duration::from_secs(600);
/// The ends of meetings that ended longer ago are not added.
const ENDS_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Delivers until told to stop, and then finishes what it has begun.
pub async fn run(meetings: Arc<Meetings>, stop: watch::Receiver<bool>) {
    deliveries::run(Arc::new(Callbacks(meetings)), stop).await;
}

struct Callbacks(Arc<Meetings>);

impl Queue for Callbacks {
    type Due = CallbackRow;

    fn wake(&self) -> &Notify {
        &self.0.callbacks.wake
    }

    async fn tick(&self) {
        add_missing_ends(&self.0).await;
    }

    async fn claim(&self, most: usize) -> Result<Vec<CallbackRow>, Error> {
        claim(&self.0, most).await
    }

    async fn deliver(&self, callback: CallbackRow, stopping: watch::Receiver<bool>) {
        deliver(&self.0, callback, &stopping).await;
    }
}

/// Delivers what is due now, and returns when that is done.
#[cfg(test)]
pub(crate) async fn round(meetings: &Meetings) -> usize {
    add_missing_ends(meetings).await;
    let due = claim(meetings, deliveries::CONCURRENCY).await.expect("claimed");
    let n = due.len();
    let (_, stopping) = watch::channel(false);
    futures_util::future::join_all(due.into_iter().map(|callback| deliver(meetings, callback, &stopping))).await;
    n
}

async fn claim(meetings: &Meetings, most: usize) -> Result<Vec<CallbackRow>, Error> {
    meetings.store.callbacks().claim(deliveries::claim(most, meetings.clock.now())).await
}

async fn add_missing_ends(meetings: &Meetings) {
    let now = meetings.clock.now();
    let new =
        NewCallback { form: Form::Ended, algorithm: "", content: &[], now, try_until: now.saturating_add(TRIED_FOR) };
    let (since, before) = (now.saturating_sub(ENDS_WITHIN), now.saturating_sub(SILENT_AFTER));
    match meetings.store.callbacks().add_missing_ends(&new, since, before).await {
        Ok(0) => {}
        Ok(callbacks) => tracing::info!(callbacks, "servers did not tell the end of meetings: the gateway does"),
        Err(error) => tracing::debug!(%error, "failed to add the ends of meetings: retrying"),
    }
}

/// What has become of a try, in words.
enum Outcome {
    Delivered(String),
    /// With the time of the next try, if there is one.
    Failed(String, Option<Timestamp>),
}

async fn deliver(meetings: &Meetings, callback: CallbackRow, stopping: &watch::Receiver<bool>) {
    // A panic is no answer of its receiver.
    let tried = caught("callback", tried(meetings, &callback)).await;
    let outcome = match tried.unwrap_or_else(|| Err("internal error".to_owned())) {
        Ok(status) if status.is_success() => Outcome::Delivered(answered(status)),
        Ok(StatusCode::GONE) => Outcome::Failed(answered(StatusCode::GONE), None),
        Ok(status) => Outcome::Failed(answered(status), next_try(&callback, meetings.clock.now())),
        Err(why) => Outcome::Failed(why, next_try(&callback, meetings.clock.now())),
    };
    write(meetings, &callback, &outcome, stopping).await;
    tell(meetings, &callback, &outcome);
}

fn tell(meetings: &Meetings, callback: &CallbackRow, outcome: &Outcome) {
    let (tenant, parameter, id) = (&callback.tenant, &*callback.parameter, callback.id);
    let event = match outcome {
        Outcome::Delivered(_) => {
            tracing::info!(%tenant, parameter, id, "callback delivered");
            CallbackEvent::Delivered
        }
        Outcome::Failed(result, Some(_)) => {
            tracing::warn!(%tenant, parameter, id, result, "callback not delivered: retrying");
            CallbackEvent::Failed
        }
        Outcome::Failed(result, None) => {
            tracing::error!(%tenant, parameter, id, result, "callback given up");
            CallbackEvent::GivenUp
        }
    };
    meetings.metrics.tenant(tenant).callbacks.count(event);
}

/// Writes down what has become of a callback.
async fn write(meetings: &Meetings, callback: &CallbackRow, outcome: &Outcome, stopping: &watch::Receiver<bool>) {
    let write = || async {
        match outcome {
            Outcome::Delivered(result) => meetings.store.callbacks().delivered(callback, result).await,
            Outcome::Failed(result, next) => meetings.store.callbacks().failed(callback, result, *next).await,
        }
    };
    written(stopping, write).await;
}

fn answered(status: StatusCode) -> String {
    format!("HTTP {}", status.as_u16())
}

/// When a callback is tried again; `None` where its time is over by then.
fn next_try(callback: &CallbackRow, now: Timestamp) -> Option<Timestamp> {
    let next = now.saturating_add(pause(callback.tries.saturating_add(1)));
    (next <= callback.try_until).then_some(next)
}

/// Tries once. Returns the status of the answer, or why there is none.
async fn tried(meetings: &Meetings, callback: &CallbackRow) -> Result<StatusCode, String> {
    let directory = meetings.directory.load_full();
    let tenant = directory.tenant(callback.tenant.as_str()).ok_or(NO_TENANT)?;
    let (request, frontend) = message(callback, tenant, meetings.clock.now())?;
    let sent = meetings.callbacks.receivers.send(request, frontend).await;
    sent.map_err(|why| why.as_str().to_owned())
}
