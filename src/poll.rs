//! The poller: asks each server now and then what runs on it, and settles what has ended without our noticing. Of several
//! gateways one polls, and writes down what it has found for the others.
//!
//! Three truths stay apart: that a meeting was reserved (the store), that its server lists it (a poll), that people are in it
//! (sessions). One bad poll ends nothing: a meeting is ended when its server has answered twice in a row without listing it.
//! The meetings of a server that does not answer are *detached*: nothing is known of them, and nothing is done to them.
//!
//! A panic over one server or one meeting ends nothing else: see `each`.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod report;
mod server;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::{
    domain::{ids::ServerId, meeting::AFTERGLOW_MAX, tenant::Server},
    live::Meeting,
    meetings::{Meetings, operate, replaced, settle, webhooks},
    store::{Error, Traffic},
    supervise::caught,
};

/// Between two rounds. A meeting that has ended by itself frees its room after two of them.
const INTERVAL: Duration = Duration::from_secs(5);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// How long an ended meeting's row is kept.
const KEEP_ENDED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Rounds between two clean-ups of the store.
const PURGE_EVERY: u32 = 720;
/// The same for events of webhooks, which are many.
const PURGE_WEBHOOKS_EVERY: u32 = 12;

/// Whether this gateway is the one that polls; `None` until the store has said so.
pub type Leads = Option<bool>;

/// Polls until told to stop. `round` counts the rounds that are done: the first one makes the gateway ready.
pub async fn run(
    meetings: Arc<Meetings>,
    mut leads: watch::Receiver<Leads>,
    mut stop: watch::Receiver<bool>,
    round: watch::Sender<u32>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        meetings.rounds.poll.beat();
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let leads = tokio::select! {
            known = leads.wait_for(Option::is_some) => known.is_ok_and(|leads| *leads == Some(true)),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let done = round.borrow().saturating_add(1);
        if leads {
            poll_all(&meetings).await;
            settle::settle(&meetings).await;
            operate::settle_drained(&meetings).await;
            if done.is_multiple_of(PURGE_EVERY)
                && let Err(error) = purge(&meetings).await
            {
                tracing::warn!(%error, "failed to delete old meetings from the store");
            }
            if done.is_multiple_of(PURGE_WEBHOOKS_EVERY)
                && let Err(error) = webhooks::forget::round(&meetings).await
            {
                tracing::warn!(%error, "failed to delete old events of webhooks from the store");
            }
        } else {
            report::read(&meetings).await;
        }
        meetings.live.forget_ended(meetings.clock.now());
        replaced::forget_replaced(&meetings).await;
        note_carried(&meetings);
        round.send_replace(done);
    }
}

/// Cleans the store up: of meetings that ended long ago, and of the sessions of those of which nothing is carried any more.
async fn purge(meetings: &Meetings) -> Result<(), Error> {
    let now = meetings.clock.now();
    meetings.store.ended().forget_sessions(now.saturating_sub(AFTERGLOW_MAX)).await?;
    meetings.store.ended().purge(now.saturating_sub(KEEP_ENDED)).await?;
    Ok(())
}

async fn poll_all(meetings: &Meetings) {
    let mut by_server: HashMap<ServerId, Vec<Arc<Meeting>>> = HashMap::new();
    for meeting in meetings.live.meetings.all() {
        by_server.entry(meeting.server.clone()).or_default().push(meeting);
    }
    let wanted = |server: &&Arc<Server>| meetings.live.servers.of(&server.id).mode().is_polled();
    let servers: Vec<_> = meetings.directory.load().servers().filter(wanted).cloned().collect();
    let servers = servers.into_iter().map(|server| {
        let running = by_server.remove(&server.id).unwrap_or_default();
        (server, running)
    });
    each("poll_server", servers, |(server, running)| async move {
        meetings.rounds.poll.beat();
        let span = tracing::error_span!("poll", server = %server.id);
        // What makes a poll panic is taken for no answer: it is not to look well for ever.
        if caught("poll_server", server::poll(meetings, &server, &running).instrument(span)).await.is_none() {
            meetings.live.servers.of(&server.id).health.polled(false);
        }
        if meetings.store.is_shared() {
            report::write(meetings, &server).await;
        }
        meetings.rounds.poll.beat();
    })
    .await;
}

/// Does the same for each of them, some at a time. A panic over one of them is counted, and ends nothing for the others.
async fn each<T, F>(task: &'static str, all: impl IntoIterator<Item = T>, work: impl Fn(T) -> F)
where
    F: Future<Output = ()>,
{
    let one = |item| caught(task, work(item)).map(drop);
    stream::iter(all).for_each_concurrent(CONCURRENCY, one).await;
}

/// Leaves notes of the bytes that were carried since the last time.
pub fn note_carried(meetings: &Meetings) {
    let at = meetings.clock.now();
    for (tenant, metrics) in meetings.metrics.tenants() {
        let (up, down) = metrics.take_carried();
        if up > 0 || down > 0 {
            meetings.notes.count(Traffic { tenant, at, up, down });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_panic_over_one_server_ends_nothing_for_the_others() {
        crate::supervise::count_panics();
        let done = Mutex::new(Vec::new());
        each("test_poisoned_round", 0..40, |n| {
            let done = &done;
            async move {
                tokio::task::yield_now().await;
                assert_ne!(n, 7, "one is poisoned");
                done.lock().expect("whole").push(n);
            }
        })
        .await;
        let mut done = done.into_inner().expect("whole");
        done.sort_unstable();
        assert_eq!(done, (0..40).filter(|n| *n != 7).collect::<Vec<_>>());
        assert!(crate::supervise::panics().contains(&("test_poisoned_round", 1)));
    }
}
