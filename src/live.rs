//! What is true now: the meetings that run, the sessions in them, the state of the servers. Memory only; a restart
//! refills it from the store.
//!
//! Each part has its own file and its own locks. [`Live`] has them all, and the steps that change more than one of them.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod breakouts;
#[allow(clippy::arithmetic_side_effects, reason = "sizes of what is held in memory, which has a bound")]
pub mod files;
pub mod fresh;
pub mod joins;
pub mod keyed;
mod load;
mod lock;
pub mod meeting;
pub mod meeting_index;
#[allow(clippy::arithmetic_side_effects, reason = "moments of this process")]
pub mod pace;
pub mod presence;
pub mod recordings;
pub mod servers;
pub mod session_index;
pub mod sessions;

use std::{collections::HashMap, sync::Arc};

use dashmap::DashSet;

use crate::domain::{
    ids::{InternalId, ServerId, SessionNumber, TenantId},
    session::Held,
    time::{Clock, Timestamp},
};
use breakouts::Breakouts;
use files::Files;
use joins::Joins;
pub use meeting::{Facts, Meeting};
use meeting_index::{Added, MeetingIndex};
use presence::Presence;
use recordings::{Recording, Recordings};
use servers::{ServerList, Servers};
use session_index::SessionIndex;
use sessions::Session;

/// All that is true now.
#[derive(Debug)]
pub struct Live {
    clock: Clock,
    /// The meetings, by their ids.
    pub meetings: MeetingIndex,
    /// The sessions, by token and by number.
    pub sessions: SessionIndex,
    /// On which servers each tenant has meetings.
    pub presence: Presence,
    /// The servers, their health and their load.
    pub servers: Arc<Servers>,
    /// Tenants that the operator has suspended, beside those whose file says so.
    pub suspended: DashSet<TenantId>,
    /// Whose recordings are whose.
    pub recordings: Recordings,
    /// Files of the servers' clients.
    pub files: Files,
    /// Whose breakout rooms are whose.
    pub breakouts: Breakouts,
    /// How often who joins.
    pub joins: Joins,
}

impl Live {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            meetings: MeetingIndex::default(),
            sessions: SessionIndex::default(),
            presence: Presence::default(),
            servers: Arc::default(),
            suspended: DashSet::default(),
            recordings: Recordings::default(),
            files: Files::default(),
            breakouts: Breakouts::default(),
            joins: Joins::default(),
        }
    }

    /// Adds a meeting that has been promised. Its server carries it from now on. One that is there already stays.
    pub fn add_meeting(&self, meeting: Meeting) -> Arc<Meeting> {
        let Added { meeting, replaced } = match self.meetings.insert(meeting) {
            Ok(added) => added,
            Err(known) => return known,
        };
        // Its end was not told yet.
        if let Some(old) = replaced {
            let until = meeting.created_at.saturating_add(old.afterglow);
            self.removed(old, until);
        }
        let server = self.servers.of(&meeting.server);
        server.load.add_meeting();
        meeting.share.begin(&server.load, self.clock.now());
        self.presence.add_meeting(&meeting);
        if let Some(internal_id) = meeting.internal_id()
            && meeting.may_be_called(internal_id.as_str())
        {
            self.meetings.set_internal(internal_id, &meeting);
            self.note_recording(&meeting, internal_id);
        }
        meeting
    }

    fn note_recording(&self, meeting: &Meeting, internal_id: &InternalId) {
        if meeting.records {
            let (ext_id, server) = (meeting.ext_id.clone(), meeting.server.clone());
            self.recordings.add(&meeting.tenant, Recording { id: internal_id.clone(), ext_id, server });
        }
    }

    /// Notes the internal id that the server has given to a meeting.
    pub fn name_meeting(&self, meeting: &Arc<Meeting>, internal_id: &str) {
        // What was asked before it had a name does not count: it may have been too early for an answer.
        meeting.touch();
        let internal_id = InternalId::new(internal_id);
        if !meeting.set_internal_id(internal_id.clone()) {
            return;
        }
        if !meeting.may_be_called(internal_id.as_str()) {
            tracing::warn!(server = %meeting.server, "server reports an unexpected internal meeting id");
            return;
        }
        self.note_recording(meeting, &internal_id);
        self.meetings.claim_internal(&internal_id, meeting);
    }

    /// Takes a meeting out that has ended. What is carried for it lasts longer: see
    /// [`Live::forget_ended`].
    /// Returns whether it was still there.
    pub fn remove_meeting(&self, meeting: &Meeting, now: Timestamp) -> bool {
        let Some(removed) = self.meetings.remove(meeting) else { return false };
        let until = now.saturating_add(removed.afterglow);
        self.removed(removed, until);
        true
    }

    /// Takes a meeting out that has not come about, or has been moved: nothing is carried for it any more.
    pub fn withdraw_meeting(&self, meeting: &Meeting) {
        if let Some(removed) = self.meetings.remove(meeting) {
            self.removed(removed, Timestamp::MIN);
        }
    }

    /// `until` is the time until which what follows is carried.
    fn removed(&self, meeting: Arc<Meeting>, until: Timestamp) {
        let server = self.servers.of(&meeting.server);
        server.load.remove_meeting();
        meeting.share.end(&server.load);
        meeting.touch();
        self.presence.remove_meeting(&meeting);
        self.carry_on(meeting, until);
    }

    /// What follows the end of a meeting is carried until then.
    fn carry_on(&self, meeting: Arc<Meeting>, until: Timestamp) {
        self.presence.carry_on(&meeting, until);
        self.meetings.carry_on(meeting, until);
    }

    /// Adds a meeting that ended at `ended_at` and that was not known here. Returns it, or one of its name that is there.
    pub fn add_ended(&self, meeting: Meeting, ended_at: Timestamp) -> Arc<Meeting> {
        let meeting = Arc::new(meeting);
        if let Some(internal_id) = meeting.internal_id()
            && meeting.may_be_called(internal_id.as_str())
        {
            let known = self.meetings.claim_internal(internal_id, &meeting);
            if !Arc::ptr_eq(&known, &meeting) {
                return known;
            }
        }
        self.carry_on(Arc::clone(&meeting), ended_at.saturating_add(meeting.afterglow));
        meeting
    }

    /// A meeting has left no recording, as the store knows.
    pub fn forget_recording(&self, meeting: &Meeting) {
        if let Some(internal_id) = meeting.internal_id() {
            self.recordings.remove(&meeting.tenant, internal_id.as_str());
        }
    }

    /// Forgets the meetings of which nothing is carried any more, with their sessions.
    pub fn forget_ended(&self, now: Timestamp) {
        while let Some(meeting) = self.meetings.next_forgotten(now) {
            self.breakouts.forget(&meeting);
            self.sessions.forget_of(&meeting);
            self.meetings.forget_internal(&meeting);
        }
    }

    /// A session of a meeting whose seat is held for so long. It is not known by its token yet: see
    /// [`SessionIndex::add`].
    #[must_use]
    pub fn new_session(&self, id: SessionNumber, meeting: &Arc<Meeting>, held: Held) -> Session {
        Session::new(id, Arc::clone(meeting), held, self.servers.of(&meeting.server), self.clock.clone())
    }

    /// Recounts the meetings of a server, by its list and by how old they are now.
    pub fn weigh(&self, server: &ServerId, list: &ServerList, now: Timestamp) {
        let state = self.servers.of(server);
        let mut in_breakouts: HashMap<&str, u32> = HashMap::new();
        for room in list.breakouts.values() {
            let people = in_breakouts.entry(&room.parent).or_default();
            *people = people.saturating_add(room.people);
        }
        for (id, listed) in &list.meetings {
            let meeting = self.meetings.on_server(id).filter(|meeting| meeting.server == *server);
            if let Some(meeting) = meeting {
                // Who is in a breakout room is in the meeting too, and costs the server both.
                let people = listed.people.saturating_add(*in_breakouts.get(&*listed.internal_id).unwrap_or(&0));
                meeting.share.recount(&state.load, people, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
