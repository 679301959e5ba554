//! Between the store and the state in memory, which do not know each other: rows become meetings and sessions, and who
//! comes and goes becomes notes.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{ids::SessionNumber, meeting::Life, time::Timestamp},
    live::{
        Facts, Live, Meeting,
        sessions::{self, Book},
    },
    store::{MeetingRow, MeetingState, Note, Run, SessionRow, writer::Notes},
};

/// A socket that is open; the store hears of it.
pub(crate) type Present = sessions::Present<Notes>;

impl Book for Notes {
    fn opened(&self, session: SessionNumber, at: Timestamp) {
        self.leave(Note::Opened { session, at });
    }

    fn closed(&self, session: SessionNumber, at: Timestamp, until: Timestamp) {
        self.leave(Note::Closed { session, at, until, absent: Duration::ZERO });
    }
}

/// A meeting as the store keeps it, which knows neither the limits it was promised under nor a hint at its size.
pub(super) fn meeting(row: MeetingRow) -> Meeting {
    // A gateway that asks a server itself does not read its own row.
    let life = match row.state {
        MeetingState::Running { internal_id } | MeetingState::Ended { internal_id: Some(internal_id), .. } => {
            Life::Running { internal_id }
        }
        MeetingState::Reserved { owner: Some(owner) } => Life::Orphaned { of: owner.into() },
        MeetingState::Reserved { owner: None } | MeetingState::Ended { internal_id: None, .. } => Life::Reserved,
    };
    Meeting::new(Facts {
        id: row.id,
        tenant: row.tenant,
        account: row.account.into(),
        ext_id: row.ext_id,
        server: row.server,
        participants: row.participants,
        expected: row.expected,
        created_at: row.created_at,
        ends_at: row.ends_at,
        records: row.records,
        afterglow: row.afterglow,
        life,
    })
}

/// What it takes to find a run again, should its server come back with it.
pub(super) fn run(meeting: &Meeting) -> Run<'_> {
    Run {
        id: meeting.id,
        server: &meeting.server,
        server_meeting_id: &meeting.server_meeting_id,
        internal_id: meeting.internal_id(),
    }
}

/// Adds a session as the store keeps it, with the breakout room that it is in.
pub(super) fn add_session(live: &Live, row: &SessionRow, meeting: &Arc<Meeting>) {
    if let Some(room) = &row.breakout {
        live.breakouts.add(&live.meetings, meeting, room);
    }
    let session = live.new_session(row.id, meeting, row.held);
    live.sessions.add(row.token, Arc::new(if row.waits { session.waiting() } else { session }));
}
