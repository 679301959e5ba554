//! Takes meetings and sessions over from the store into memory: those that other gateways have made.

use std::{collections::HashSet, sync::Arc};

use super::{Meetings, operate, rows};
use crate::{
    domain::ids::MeetingNumber,
    live::Meeting,
    store::{Error, MeetingRow, MeetingState},
};

/// Takes over a meeting as the store has it; `None` for one that has ended, or that another gateway has no answer for
/// yet.
pub(crate) fn meeting(meetings: &Meetings, row: MeetingRow) -> Option<Arc<Meeting>> {
    let MeetingState::Running { internal_id } = &row.state else { return None };
    let internal_id = internal_id.clone();
    let meeting = meetings.live.add_meeting(rows::meeting(row));
    // It may have been known without its name.
    meetings.live.name_meeting(&meeting, internal_id.as_str());
    Some(meeting)
}

/// Takes over a meeting that has ended, and of which something is still carried; `None` for one that has not ended.
pub(super) fn ended(meetings: &Meetings, row: MeetingRow) -> Option<Arc<Meeting>> {
    let MeetingState::Ended { at, .. } = row.state else { return None };
    Some(meetings.live.add_ended(rows::meeting(row), at))
}

/// Takes over what has become of a meeting, as the store has it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn follow(meetings: &Meetings, id: MeetingNumber) -> Result<(), Error> {
    let Some(row) = meetings.store.meetings().get(id).await? else { return Ok(()) };
    let MeetingState::Ended { at: ended_at, .. } = row.state else {
        if let Some(meeting) = meeting(meetings, row) {
            meeting.touch();
        }
        return Ok(());
    };
    let known = meetings.live.meetings.find(&row.tenant, row.ext_id.as_str()).filter(|meeting| meeting.id == id);
    let Some(meeting) = known else { return Ok(()) };
    meetings.live.remove_meeting(&meeting, ended_at);
    forget_unrecorded(meetings, &meeting).await
}

/// Forgets the recording of a meeting that has ended without participants.
///
/// # Errors
/// When the store fails.
pub(crate) async fn forget_unrecorded(meetings: &Meetings, meeting: &Meeting) -> Result<(), Error> {
    if let Some(internal_id) = meeting.internal_id().filter(|_| meeting.records)
        && !meetings.store.recordings().has(internal_id.as_str()).await?
    {
        meetings.live.forget_recording(meeting);
    }
    Ok(())
}

/// Compares all that runs with what is known here.
pub(crate) async fn everything(meetings: &Meetings) -> Result<(), Error> {
    operate::read_operations(meetings).await?;
    // First what is known: what is made meanwhile is in the store as well.
    let known: Vec<MeetingNumber> =
        meetings.live.meetings.all().iter().filter(|meeting| meeting.internal_id().is_some()).map(|m| m.id).collect();
    let running = meetings.store.meetings().running().await?;
    let ids: HashSet<MeetingNumber> = running.iter().map(|row| row.id).collect();
    for row in running {
        if let Some(owner) = row.reserved_by()
            && !meetings.store.gateways().is_alive(owner, meetings.clock.now()).await?
        {
            // The gateway that asked a server for it has died: a poll finds out what has become of it.
            meetings.live.add_meeting(rows::meeting(row));
        } else {
            let _ = meeting(meetings, row);
        }
    }
    for id in known.iter().filter(|id| !ids.contains(id)) {
        follow(meetings, *id).await?;
    }
    Ok(())
}
