//! Compares what is in memory with what a server lists.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{sync::Arc, time::Duration};

use super::{
    Meetings,
    settle::{ORPHAN, UNANSWERED, end, end_leftovers, end_unanswered},
};
use crate::{
    bbb::xml::Listed,
    domain::{ids::InternalId, meeting::Life, tenant::Server, time::Timestamp},
    live::{Meeting, servers::ServerList},
    store::Note,
};

/// A meeting younger than this may not be listed yet.
const YOUNG: Duration = Duration::from_secs(5);
/// Polls in a row without it that end a meeting.
const MISSES: u32 = 2;
/// BBB counts a user who has left for up to a minute (docs/reference/bbb-protocol.md, "Life of a meeting"), and a
/// seat is held for a while after the last socket.
const LEFT: Duration = Duration::from_secs(75);

/// Takes over what a server lists. `running` are its meetings as they are known here, `begun` is when it was asked.
pub(crate) async fn reconcile(
    meetings: &Meetings,
    server: &Server,
    running: &[Arc<Meeting>],
    listed: &ServerList,
    begun: Timestamp,
) {
    end_leftovers(meetings, server, listed).await;
    meetings.live.weigh(&server.id, listed, meetings.clock.now());
    meetings.live.breakouts.take_list(&meetings.live.meetings, &server.id, listed, running);
    compare(meetings, running, listed, begun).await;
}

/// Compares the meetings that are known here with those that the server lists.
async fn compare(meetings: &Meetings, running: &[Arc<Meeting>], listed: &ServerList, begun: Timestamp) {
    for meeting in running {
        meetings.rounds.poll.beat();
        let found = listed.meetings.get(meeting.server_meeting_id.as_str()).filter(|found| !found.ended);
        // Another run of the room is not this one.
        let found = found.filter(|found| meeting.internal_id().is_none_or(|known| known.as_str() == found.internal_id));
        if let Some(found) = found {
            if meeting.internal_id().is_none() {
                learn(meetings, meeting, found);
            }
            count_strangers(meetings, meeting, found.people).await;
        }
        let life = meeting.life();
        let wait = match life {
            Life::Running { .. } => YOUNG,
            Life::Orphaned { .. } => ORPHAN,
            Life::Reserved => UNANSWERED,
        };
        if meeting.created_at.saturating_add(wait) < begun && meeting.listed(found.is_some()) >= MISSES {
            match life {
                Life::Running { .. } => end(meetings, meeting, "no longer listed by its server").await,
                Life::Orphaned { .. } | Life::Reserved => end_unanswered(meetings, meeting).await,
            }
        }
    }
}

/// A meeting whose `create` was answered, but not noted any more: the gateway stopped in between.
fn learn(meetings: &Meetings, meeting: &Arc<Meeting>, found: &Listed) {
    meetings.live.name_meeting(meeting, &found.internal_id);
    if !meeting.may_be_called(&found.internal_id) {
        return;
    }
    let internal_id = InternalId::new(&found.internal_id);
    meetings.notes.leave(Note::Created { meeting: meeting.id, internal_id });
}

/// People whom the server counts and who have come by no join of ours take seats too. BBB's count lags: what two polls in a
/// row have found is believed.
async fn count_strangers(meetings: &Meetings, meeting: &Meeting, people: u32) {
    let mut strangers = 0;
    if people > 0 {
        let Ok(ours) = meetings.store.seats().recent(meeting.id, meetings.clock.now().saturating_sub(LEFT)).await
        else {
            return;
        };
        strangers = people.saturating_sub(ours);
    }
    let Some(strangers) = meeting.strangers_found(strangers) else { return };
    if strangers > 0 {
        let (tenant, server) = (&meeting.tenant, &meeting.server);
        tracing::warn!(%tenant, %server, strangers, "meeting has participants who did not join through a gateway");
    }
    if let Err(error) = meetings.store.seats().set_strangers(meeting.id, strangers).await {
        tracing::warn!(%error, "failed to correct the seats of a meeting: retrying");
        meeting.strangers_untold();
    }
}
