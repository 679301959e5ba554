//! One gateway among several: says that it lives, settles what dead ones leave, hears what the others tell, and has its
//! sessions keep to what the store says of their seats.
//!
//! With SQLite there are no others; what a former process left is settled all the same.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    certificates::Certificates,
    domain::{
        ids::{MeetingNumber, SessionNumber},
        session::LEASE,
    },
    meetings::{Meetings, adopt, operate, seats, webhooks},
    poll::Leads,
    store::{ALIVE, Change, Error},
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
/// Says that this gateway lives until told to stop, and tries to be the one that polls. `leads` says whether it is.
pub async fn live_on(meetings: Arc<Meetings>, leads: watch::Sender<Leads>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Since when the store has answered without a break.
    let mut steady: Option<Instant> = None;
    loop {
        meetings.rounds.heartbeat.beat();
        ticks.tick().await;
        match heartbeat(&meetings, steady).await {
            Ok(is_leader) => {
                steady.get_or_insert_with(Instant::now);
                leads.send_if_modified(|now| now.replace(is_leader) != Some(is_leader));
            }
            // The gateway that polled goes on polling: the others cannot learn that they should.
            Err(_) => steady = None,
        }
    }
}

async fn heartbeat(meetings: &Meetings, steady: Option<Instant>) -> Result<bool, Error> {
    let now = meetings.clock.now();
    if !meetings.store.gateways().heartbeat(now).await? {
        tracing::warn!("other gateways considered this gateway dead: renewing the seats of its sessions");
        meetings.live.sessions.all_open().iter().for_each(|session| session.reassert(&meetings.notes));
    }
    let is_leader = meetings.store.gateways().lead(POLLER, now).await?;
    // While the store was away no gateway could renew its heartbeat: they have time to do so.
    if is_leader && steady.is_some_and(|since| since.elapsed() >= ALIVE) {
        let dead = meetings.store.gateways().bury_dead(now, now.saturating_add(LEASE)).await?;
        if dead > 0 {
            tracing::warn!(gateways = dead, "gateways are dead: their participants have a minute to reconnect");
        }
    }
    Ok(is_leader)
}

/// Follows what other gateways tell.
pub async fn follow(meetings: Arc<Meetings>, certificates: Arc<Certificates>, mut changes: mpsc::Receiver<Change>) {
    let mut reread_at = Instant::now() + REREAD_EVERY;
    let mut next = None;
    loop {
        meetings.rounds.follow.beat();
        let change = match next.take() {
            Some(change) => change,
            None => match tokio::time::timeout_at(reread_at, changes.recv()).await {
                Ok(Some(change)) => change,
                Ok(None) => return,
                Err(_) => Change::Everything,
            },
        };
        if matches!(change, Change::Webhooks | Change::Certificates | Change::Challenges) {
            next = after_same(&change, &mut changes);
        }
        if change == Change::Everything {
            reread_at = Instant::now() + REREAD_EVERY;
        }
        // The changes come but once: a panic over one of them is made good when all is read again.
        let Some(done) = caught("follow", take_over(&meetings, &certificates, &change)).await else { continue };
        if let Err(error) = done {
            tracing::warn!(%error, ?change, "failed to apply a change of another gateway: retrying");
        }
    }
}

/// Leaves out the changes that are there already and the same: one reading has them all. Returns the first other one.
fn after_same(change: &Change, changes: &mut mpsc::Receiver<Change>) -> Option<Change> {
    while let Ok(next) = changes.try_recv() {
        if next != *change {
            return Some(next);
        }
    }
    None
}

async fn take_over(meetings: &Meetings, certificates: &Certificates, change: &Change) -> Result<(), Error> {
    match change {
        Change::Meetings(ids) => each(meetings, ids).await,
        Change::Operations => operate::read_operations(meetings).await,
        Change::Webhooks => webhooks::read(meetings).await,
        Change::Certificates => certificates.follow().await,
        Change::Challenges => certificates.follow_challenges().await,
        Change::Everything => {
            adopt::everything(meetings).await?;
            webhooks::read(meetings).await?;
            certificates.follow().await?;
            certificates.follow_challenges().await
        }
    }
}

async fn each(meetings: &Meetings, ids: &[MeetingNumber]) -> Result<(), Error> {
    for id in ids {
        adopt::follow(meetings, *id).await?;
    }
    Ok(())
}

/// Keeps the keys of tickets up to date.
pub async fn rotate_ticket_keys(meetings: Arc<Meetings>, tickets: Arc<Tickets>) {
    loop {
        tokio::time::sleep(TICKET_KEYS_EVERY).await;
        if let Err(error) = read_ticket_keys(&meetings, &tickets).await {
            tracing::warn!(%error, "failed to rotate TLS session ticket keys: keeping the current ones");
        }
    }
}

/// Takes over the keys of the stretch of now, of the one before and of the one after, which another gateway may have begun by
/// its clock. Older ones are deleted.
///
/// # Errors
/// When the store fails, or there is no randomness.
pub async fn read_ticket_keys(meetings: &Meetings, tickets: &Tickets) -> Result<(), Error> {
    let now = stretch_of(meetings.clock.now());
    let mut keys = Vec::new();
    for number in [now, now.saturating_sub(1), now.saturating_add(1)] {
        keys.push((number, meetings.store.keys().ticket(number).await?));
    }
    tickets.set(&keys);
    meetings.store.keys().forget_tickets(now.saturating_sub(1)).await
}

/// Sessions that are open while the store says that they have no seat: they get one if there is one, else their sockets are
/// cut, and the client that tries again learns why.
pub async fn reseat(meetings: Arc<Meetings>, mut without_seat: mpsc::UnboundedReceiver<SessionNumber>) {
    while let Some(id) = without_seat.recv().await {
        caught("reseat", seats::reseat(&meetings, id)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_the_same_are_one_and_no_other_is_lost() {
        let (told, mut changes) = mpsc::channel(8);
        let others = Change::Meetings(vec![MeetingNumber::new(1)]);
        for change in [Change::Webhooks, Change::Webhooks, others.clone(), Change::Webhooks] {
            told.try_send(change).expect("room");
        }
        assert_eq!(after_same(&Change::Webhooks, &mut changes), Some(others));
        assert_eq!(after_same(&Change::Operations, &mut changes), Some(Change::Webhooks));
        assert_eq!(after_same(&Change::Webhooks, &mut changes), None);
    }
}
