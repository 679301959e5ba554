//! Ends: of what no server will ever be heard of again, of what outlives its duration, and of runs that were given up.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{sync::Arc, time::Duration};

use super::{
    Meetings,
    end::{end_record, tell_to_end},
    rows,
};
use crate::{
    domain::{directory::Directory, limits::Limit, meeting::Life, tenant::Server, time::Timestamp},
    live::{Meeting, servers::ServerList},
    supervise::caught,
};

/// How long a meeting may outlive its duration on a server that answers: that ends it by itself, by a clock of its own.
const OVER: Duration = Duration::from_secs(60);
/// How long it may on a server that is not heard of.
const OUTLIVED: Duration = Duration::from_secs(10 * 60);
/// A gateway that lives has an answer for its reservation by then, or none will come.
pub(super) const UNANSWERED: Duration = Duration::from_secs(120);
/// A server that was asked by a gateway that has died has long made the meeting by then, or never will.
pub(super) const ORPHAN: Duration = Duration::from_secs(15);

/// Ends what has to be ended.
pub(crate) async fn settle(meetings: &Meetings) {
    caught("poll_unanswered", adopt_unanswered(meetings)).await;
    let (directory, now) = (meetings.directory.load_full(), meetings.clock.now());
    for meeting in meetings.live.meetings.all() {
        meetings.rounds.poll.beat();
        caught("poll_settle", settle_one(meetings, &directory, &meeting, now)).await;
    }
}

async fn settle_one(meetings: &Meetings, directory: &Directory, meeting: &Arc<Meeting>, now: Timestamp) {
    let Some(server) = directory.server(meeting.server.as_str()) else {
        return end(meetings, meeting, "server removed from the configuration").await;
    };
    let Some(ends_at) = ends_at(meetings, meeting) else { return };
    if meetings.live.servers.of(&server.id).is_up() {
        if ends_at.saturating_add(OVER) < now && tell_to_end(meetings, server, meeting.server_meeting_id.as_str()).await
        {
            end(meetings, meeting, "duration is over").await;
        }
    } else if ends_at.saturating_add(OUTLIVED) < now {
        end(meetings, meeting, "duration is over and the server does not answer").await;
    }
}

/// When the time of a meeting is over: as it was reserved, else as its level has it now.
fn ends_at(meetings: &Meetings, meeting: &Meeting) -> Option<Timestamp> {
    if let Some(promised) = meeting.ends_at {
        return promised.at();
    }
    let directory = meetings.directory.load();
    match meeting.limits(directory.tenant(meeting.tenant.as_str())?).duration {
        Limit::AtMost(most) => Some(meeting.created_at.saturating_add(most)),
        Limit::Unlimited => None,
    }
}

/// Ends the record of a meeting.
pub(super) async fn end(meetings: &Meetings, meeting: &Arc<Meeting>, reason: &'static str) {
    tracing::info!(tenant = %meeting.tenant, server = %meeting.server, reason, "meeting ended");
    if let Err(error) = end_record(meetings, meeting).await {
        tracing::warn!(%error, "failed to record the end of a meeting: retrying");
    }
}

/// Ends the record of a meeting without an answer, unless another gateway has taken it over and waits for one.
pub(super) async fn end_unanswered(meetings: &Meetings, meeting: &Arc<Meeting>) {
    let owner = match meeting.life() {
        Life::Reserved => meetings.store.gateway().into(),
        Life::Orphaned { of } => of,
        // It has been answered a moment ago.
        Life::Running { .. } => return,
    };
    match meetings.store.meetings().abandon_unanswered(meeting.id, &owner, meetings.clock.now()).await {
        Ok(true) => {
            tracing::info!(tenant = %meeting.tenant, server = %meeting.server, "reservation released: no server has the meeting");
            meetings.live.remove_meeting(meeting, meetings.clock.now());
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "failed to record the end of a meeting: retrying"),
    }
}

/// Takes over the reservations that have had no answer for a while, whichever gateway made them: a poll ends those that no
/// server lists.
async fn adopt_unanswered(meetings: &Meetings) {
    let now = meetings.clock.now();
    let Ok(rows) = meetings.store.meetings().unanswered(now.saturating_sub(ORPHAN)).await else { return };
    for row in rows {
        let owner = row.reserved_by().unwrap_or_default().to_owned();
        let is_at_it = row.created_at > now.saturating_sub(UNANSWERED)
            && meetings.store.gateways().is_alive(&owner, now).await.unwrap_or(true);
        if is_at_it
            || owner == meetings.store.gateway()
                && meetings.live.meetings.find(&row.tenant, row.ext_id.as_str()).is_some()
        {
            continue;
        }
        if let Some(known) = meetings.live.meetings.find(&row.tenant, row.ext_id.as_str())
            && known.id == row.id
            && !known.was_reserved_by(&owner)
        {
            // Somebody else has taken it over since.
            meetings.live.remove_meeting(&known, now);
        }
        meetings.live.add_meeting(rows::meeting(row));
    }
}

/// Ends the runs that were given up while a server was away and that it has come back with. Whatever fails is done in the next
/// round.
pub(super) async fn end_leftovers(meetings: &Meetings, server: &Server, listed: &ServerList) {
    for leftover in meetings.store.ended().leftovers(&server.id).await.unwrap_or_default() {
        let is_there = listed
            .meetings
            .get(leftover.server_meeting_id.as_str())
            .is_some_and(|found| !found.ended && found.internal_id == leftover.internal_id.as_str());
        if is_there {
            tracing::info!(server = %server.id, "old run of a restarted meeting ended");
        }
        if !is_there || tell_to_end(meetings, server, leftover.server_meeting_id.as_str()).await {
            let _ = meetings.store.ended().forget_leftover(&server.id, leftover.internal_id.as_str()).await;
        }
    }
}
