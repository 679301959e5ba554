//! Delivers callbacks from the store, those of all tenants in turn, and adds the ends of meetings that their servers cannot tell.
//!
//! Every gateway delivers. A callback is claimed before it is sent, and what has become of it is written afterwards: a gateway
//! that dies in between leaves it to the others, which then send it a second time at worst.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::StatusCode;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::message::message;
use crate::{
    domain::{
        callback::{Form, TRIED_FOR, pause},
        time::Timestamp,
    },
    meetings::Meetings,
    metrics::CallbackEvent,
    store::{CallbackRow, Claim, NewCallback},
    supervise::caught,
};

/// Deliveries of a gateway at a time.
const CONCURRENCY: usize = 32;
/// Of these, those of one tenant: receivers that hang are to stop no other tenant's.
const OF_TENANT: u32 = 2;
/// Between two looks for what is due; what has just come is delivered at once.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a callback is held: longer than its delivery takes.
const HELD: Duration = Duration::from_secs(60);
/// How long a gateway tries to write down what has become of it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);
/// The same at a stop: what waits for it is closed soon.
const WRITTEN_AT_STOP_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// A server tells of an end at once, and four times more in the nine minutes that follow
/// (docs/reference/bbb-protocol.md, "Callbacks"). After that the gateway does.
const SILENT_AFTER: Duration = Duration::from_secs(600);
/// The ends of meetings that ended longer ago are not added.
const ENDS_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Delivers until told to stop, and then finishes what it has begun.
pub async fn run(meetings: Arc<Meetings>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Tasks of their own: they go on while this one waits for the store.
    let mut open = JoinSet::new();
    let stopping = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stop.wait_for(|stop| *stop).map(drop) => break,
            _ = ticks.tick() => add_missing_ends(&meetings).await,
            () = meetings.callbacks.wake.notified() => {}
            Some(_) = open.join_next() => {}
        }
        for callback in claim(&meetings, CONCURRENCY.saturating_sub(open.len())).await {
            let (meetings, stopping) = (Arc::clone(&meetings), stopping.clone());
            open.spawn(async move { deliver(&meetings, callback, &stopping).await });
        }
    }
    while open.join_next().await.is_some() {}
}

/// Delivers what is due now, and returns when that is done.
#[cfg(test)]
pub(crate) async fn round(meetings: &Meetings) -> usize {
    add_missing_ends(meetings).await;
    let due = claim(meetings, CONCURRENCY).await;
    let n = due.len();
    let (_, stopping) = watch::channel(false);
    futures_util::future::join_all(due.into_iter().map(|callback| deliver(meetings, callback, &stopping))).await;
    n
}

async fn claim(meetings: &Meetings, most: usize) -> Vec<CallbackRow> {
    if most == 0 {
        return Vec::new();
    }
    let now = meetings.clock.now();
    let claim = Claim { most, of_tenant: OF_TENANT, now, until: now.saturating_add(HELD) };
    meetings.store.callbacks().claim(claim).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "failed to read callbacks from the store: retrying");
        Vec::new()
    })
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
    meetings.metrics.tenant(tenant).count_callback(event);
}

/// Writes down what has become of a callback. A store that is away gives it to no other gateway either.
async fn write(meetings: &Meetings, callback: &CallbackRow, outcome: &Outcome, stopping: &watch::Receiver<bool>) {
    let begun = Instant::now();
    loop {
        let written = match outcome {
            Outcome::Delivered(result) => meetings.store.callbacks().delivered(callback, result).await,
            Outcome::Failed(result, next) => meetings.store.callbacks().failed(callback, result, *next).await,
        };
        if written.is_ok() {
            return;
        }
        let limit = if *stopping.borrow() { WRITTEN_AT_STOP_WITHIN } else { WRITTEN_WITHIN };
        if begun.elapsed() >= limit {
            tracing::error!("failed to write the result of a callback: it may be delivered again");
            return;
        }
        tokio::time::sleep(WRITE_INTERVAL).await;
    }
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
    let tenant = directory.tenant(callback.tenant.as_str()).ok_or("its tenant is not configured any more")?;
    let (request, frontend) = message(callback, tenant, meetings.clock.now())?;
    let sent = meetings.callbacks.receivers.send(request, frontend).await;
    sent.map_err(|why| why.as_str().to_owned())
}
