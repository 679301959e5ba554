//! Fills the state in memory from the store at the start.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::HashMap;

use super::rows;
use crate::{
    domain::{ids::SessionNumber, session::LEASE, time::Clock},
    live::{Live, recordings::Recording},
    store::{Error, MeetingState, Store},
};

/// The meetings and sessions that were reserved before this start, and the highest number of a session, if there is one.
///
/// # Errors
/// When the store fails.
pub async fn refill(store: &Store, clock: Clock) -> Result<(Live, Option<SessionNumber>), Error> {
    let now = clock.now();
    store.gateways().heartbeat(now).await?;
    if !store.is_shared() {
        // All others are former selves. Who was present may be on the way back.
        store.gateways().bury_dead(now, now.saturating_add(LEASE)).await?;
    }
    let live = Live::new(clock);
    let mut meetings = HashMap::new();
    for row in store.meetings().running().await? {
        // Another gateway is about to make it, and notifies the others then.
        let pending = match row.reserved_by() {
            Some(owner) => store.gateways().is_alive(owner, now).await?,
            None => false,
        };
        if !pending {
            meetings.insert(row.id, live.add_meeting(rows::meeting(row)));
        }
    }
    let mut last_session = None;
    for row in store.seats().sessions().await? {
        last_session = last_session.max(Some(row.id));
        if let Some(meeting) = meetings.get(&row.meeting) {
            rows::add_session(&live, &row, meeting);
        }
    }
    let mut ended = HashMap::new();
    for row in store.ended().all(now).await? {
        let MeetingState::Ended { at, .. } = row.state else { continue };
        ended.insert(row.id, live.add_ended(rows::meeting(row), at));
    }
    for row in store.ended().sessions(now).await? {
        if let Some(meeting) = ended.get(&row.meeting) {
            rows::add_session(&live, &row, meeting);
        }
    }
    for row in store.recordings().all().await? {
        let recording = Recording { id: row.id, ext_id: row.ext_id, server: row.server };
        live.recordings.add(&row.tenant, recording);
    }
    Ok((live, last_session))
}
