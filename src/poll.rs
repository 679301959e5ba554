//! The poller: asks each server now and then what runs on it, and settles what has ended without our noticing. Of several
//! gateways one polls, and writes down what it has found for the others.
//!
//! Three truths stay apart: that a meeting was promised (the store), that its server lists it (a poll), that people are in it
//! (sessions). One bad poll ends nothing: a meeting is ended when its server has answered twice in a row without listing it.
//! The meetings of a server that does not answer are *detached*: nothing is known of them, and nothing is done to them.

mod report;
mod server;
mod settle;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::{
    domain::{ids::ServerId, tenant::Server},
    live::{Meeting, clock::now_ms},
    proxy::Gateway,
    store::writer::Note,
};

/// Between two rounds. A meeting that has ended by itself frees its room after two of them.
const INTERVAL: Duration = Duration::from_secs(5);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// How long an ended meeting's row is kept.
const KEEP_ENDED_MS: i64 = 7 * 24 * 3600 * 1000;
/// Rounds between two clean-ups of the store.
const PURGE_EVERY: u32 = 720;

/// Whether this gateway is the one that polls; `None` until the store has said so.
pub type Leads = Option<bool>;

/// Polls until told to stop. `round` counts the rounds that are done: the first one makes the gateway ready.
pub async fn run(
    gateway: Arc<Gateway>,
    mut leads: watch::Receiver<Leads>,
    mut stop: watch::Receiver<bool>,
    round: watch::Sender<u32>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let leads = tokio::select! {
            known = leads.wait_for(Option::is_some) => known.is_ok_and(|leads| *leads == Some(true)),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let done = *round.borrow() + 1;
        if leads {
            poll_all(&gateway).await;
            settle::settle(&gateway).await;
            gateway.settle_drained().await;
            if done.is_multiple_of(PURGE_EVERY)
                && let Err(error) = gateway.store.purge(now_ms() - KEEP_ENDED_MS).await
            {
                tracing::warn!(%error, "old meetings are not cleaned up");
            }
        } else {
            report::read(&gateway).await;
        }
        gateway.live.forget_ended(now_ms());
        gateway.forget_replaced().await;
        note_carried(&gateway);
        round.send_replace(done);
    }
}

async fn poll_all(gateway: &Gateway) {
    let mut by_server: HashMap<ServerId, Vec<Arc<Meeting>>> = HashMap::new();
    for meeting in gateway.live.meetings() {
        by_server.entry(meeting.server.clone()).or_default().push(meeting);
    }
    let wanted = |server: &&Arc<Server>| gateway.live.servers.of(&server.id).mode().is_polled();
    let servers: Vec<_> = gateway.directory.load().servers().filter(wanted).cloned().collect();
    let servers = servers.into_iter().map(|server| {
        let meetings = by_server.remove(&server.id).unwrap_or_default();
        (server, meetings)
    });
    let polls = stream::iter(servers);
    polls
        .for_each_concurrent(CONCURRENCY, |(server, meetings)| async move {
            server::poll(gateway, &server, &meetings).await;
            if gateway.store.is_shared() {
                report::write(gateway, &server).await;
            }
        })
        .await;
}

/// Leaves notes of the bytes that were carried since the last time.
pub fn note_carried(gateway: &Gateway) {
    let at = now_ms();
    for (tenant, metrics) in gateway.metrics.tenants() {
        let (up, down) = metrics.take_carried();
        if up + down > 0 {
            gateway.notes.leave(Note::Carried { tenant, at, up, down });
        }
    }
}
