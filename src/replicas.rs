//! One gateway among several: says that it lives, settles what dead ones leave, hears what the others tell, and has its
//! sessions keep to what the store says of their seats.
//!
//! With SQLite there are no others; what a former process left is settled all the same.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    live::{
        Meeting,
        clock::now_ms,
        sessions::{LEASE_MS, Session},
    },
    poll::Leads,
    proxy::Gateway,
    store::{ALIVE_MS, Change, Error, Refusal, Store},
    supervise::caught,
    tls::tickets::{Tickets, stretch_of},
};

/// Between two heartbeats: two may be late before the others take this gateway to be dead.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What was told and not heard is found after this long.
const REREAD_EVERY: Duration = Duration::from_secs(30);
/// The lease of the gateway that polls.
const POLLER: &str = "poller";
/// Often enough that a key is there before it is needed.
const TICKET_KEYS_EVERY: Duration = Duration::from_secs(600);
/// A seat that could not be asked for because the store failed is asked for again after this long.
const SEAT_AGAIN: Duration = Duration::from_secs(1);

/// Says that this gateway lives until told to stop, and tries to be the one that polls. `leads` says whether it is.
pub async fn live_on(gateway: Arc<Gateway>, leads: watch::Sender<Leads>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Since when the store has answered without a break.
    let mut steady: Option<Instant> = None;
    loop {
        gateway.rounds.heartbeat.beat();
        ticks.tick().await;
        match heartbeat(&gateway, steady).await {
            Ok(is_leader) => {
                steady.get_or_insert_with(Instant::now);
                leads.send_if_modified(|now| now.replace(is_leader) != Some(is_leader));
            }
            // Who polled goes on polling: nobody can be told to begin.
            Err(_) => steady = None,
        }
    }
}

async fn heartbeat(gateway: &Gateway, steady: Option<Instant>) -> Result<bool, Error> {
    let now = now_ms();
    if !gateway.store.heartbeat(now).await? {
        tracing::warn!("other gateways considered this gateway dead: renewing the seats of its sessions");
        gateway.live.open_sessions().iter().for_each(|session| session.reassert(&gateway.notes));
    }
    let is_leader = gateway.store.lead(POLLER, now).await?;
    // When the store was away nobody could say that they live: they have time to do so.
    let alive = Duration::from_millis(ALIVE_MS.unsigned_abs());
    if is_leader && steady.is_some_and(|since| since.elapsed() >= alive) {
        let dead = gateway.store.bury_dead(now, now.saturating_add(LEASE_MS)).await?;
        if dead > 0 {
            tracing::warn!(gateways = dead, "gateways are dead: their participants have a minute to reconnect");
        }
    }
    Ok(is_leader)
}

/// Follows what other gateways tell.
pub async fn follow(gateway: Arc<Gateway>, mut changes: mpsc::Receiver<Change>) {
    let mut reread_at = Instant::now() + REREAD_EVERY;
    loop {
        gateway.rounds.follow.beat();
        let change = match tokio::time::timeout_at(reread_at, changes.recv()).await {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(_) => Change::Everything,
        };
        if change == Change::Everything {
            reread_at = Instant::now() + REREAD_EVERY;
        }
        // The changes come but once: a panic over one of them is made good when all is read again.
        let Some(done) = caught("follow", take_over(&gateway, &change)).await else { continue };
        if let Err(error) = done {
            tracing::warn!(%error, ?change, "failed to apply a change of another gateway: retrying");
        }
    }
}

async fn take_over(gateway: &Gateway, change: &Change) -> Result<(), Error> {
    match change {
        Change::Meetings(ids) => each(gateway, ids).await,
        Change::Operations => gateway.read_operations().await,
        Change::Everything => everything(gateway).await,
    }
}

async fn each(gateway: &Gateway, ids: &[i64]) -> Result<(), Error> {
    for id in ids {
        gateway.follow(*id).await?;
    }
    Ok(())
}

/// Compares all that runs with what is known here.
async fn everything(gateway: &Gateway) -> Result<(), Error> {
    gateway.read_operations().await?;
    // First what is known: what is made meanwhile is in the store as well.
    let known: Vec<i64> =
        gateway.live.meetings().iter().filter(|meeting| meeting.internal_id().is_some()).map(|m| m.id).collect();
    let running = gateway.store.running().await?;
    let ids: HashSet<i64> = running.iter().map(|row| row.id).collect();
    for row in running {
        let owner = row.owner.as_deref().unwrap_or_default();
        if row.internal_id.is_none() && !gateway.store.is_alive(owner, now_ms()).await? {
            // Whoever asked a server for it has died: a poll finds out what has become of it.
            gateway.live.add_meeting(Meeting::from_row(row));
        } else {
            let _ = gateway.adopt(row);
        }
    }
    for id in known.iter().filter(|id| !ids.contains(id)) {
        gateway.follow(*id).await?;
    }
    Ok(())
}

/// Keeps the keys of tickets up to date.
pub async fn rotate_ticket_keys(store: Store, tickets: Arc<Tickets>) {
    loop {
        tokio::time::sleep(TICKET_KEYS_EVERY).await;
        if let Err(error) = read_ticket_keys(&store, &tickets).await {
            tracing::warn!(%error, "failed to rotate TLS session ticket keys: keeping the current ones");
        }
    }
}

/// Takes over the keys of the stretch of now, of the one before and of the one after, which another gateway may have begun by
/// its clock. Older ones are deleted.
///
/// # Errors
/// When the store fails, or there is no randomness.
pub async fn read_ticket_keys(store: &Store, tickets: &Tickets) -> Result<(), Error> {
    let now = stretch_of(now_ms());
    let mut keys = Vec::new();
    for number in [now, now.saturating_sub(1), now.saturating_add(1)] {
        keys.push((number, store.ticket_key(number).await?));
    }
    tickets.set(&keys);
    store.forget_ticket_keys(now.saturating_sub(1)).await
}

/// Sessions that are open while the store says that they have no seat: they get one if there is one, else their sockets are
/// cut, and the client that tries again is told why.
pub async fn reseat(gateway: Arc<Gateway>, mut without_seat: mpsc::UnboundedReceiver<i64>) {
    while let Some(id) = without_seat.recv().await {
        caught("reseat", reseat_one(&gateway, id)).await;
    }
}

async fn reseat_one(gateway: &Gateway, id: i64) {
    let Some(session) = gateway.live.session_of_id(id).filter(|session| session.is_open()) else { return };
    match seat_anew(gateway, &session).await {
        Ok(()) => session.reassert(&gateway.notes),
        Err(Refusal::Denied(_)) => session.cut(),
        Err(Refusal::Failed(_)) => {
            tokio::time::sleep(SEAT_AGAIN).await;
            session.reassert(&gateway.notes);
        }
    }
}

async fn seat_anew(gateway: &Gateway, session: &Session) -> Result<(), Refusal> {
    let (meeting, now) = (&session.meeting, now_ms());
    gateway.store.readmit_session(meeting.id, session.id, now, now.saturating_add(LEASE_MS), meeting.seats()).await
}
