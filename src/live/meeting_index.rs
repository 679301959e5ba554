//! [`MeetingIndex`]: the meetings that run, by their ids, and those that have ended, for as long as what follows is carried.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use dashmap::{DashMap, Entry};

use super::{lock::lock, meeting::Meeting};
use crate::{
    bbb::meeting_id,
    domain::{
        ids::{InternalId, MeetingNumber, ServerId, ServerMeetingId, TenantId},
        time::Timestamp,
    },
};

/// All meetings in memory.
#[derive(Debug, Default)]
pub struct MeetingIndex {
    /// By the id under which the server knows it, which is unique over all tenants.
    running: DashMap<ServerMeetingId, Arc<Meeting>>,
    internal: DashMap<InternalId, Arc<Meeting>>,
    /// Meetings that have ended, by the time until which what follows is carried, and by number.
    ended: Mutex<BTreeMap<(Timestamp, MeetingNumber), Arc<Meeting>>>,
    /// Until when it is known that a room had a meeting, by the id under which its server knows it.
    over: DashMap<ServerMeetingId, Timestamp>,
}

/// A meeting that has been added to the index.
pub(super) struct Added {
    pub(super) meeting: Arc<Meeting>,
    /// The earlier run that it has taken the place of.
    pub(super) replaced: Option<Arc<Meeting>>,
}

impl MeetingIndex {
    /// A running meeting of a tenant, by the tenant's own id.
    #[must_use]
    pub fn find(&self, tenant: &TenantId, ext_id: &str) -> Option<Arc<Meeting>> {
        self.on_server(&meeting_id::to_server(tenant, ext_id))
    }

    /// A running meeting, by the id under which the server knows it.
    #[must_use]
    pub fn on_server(&self, server_meeting_id: &str) -> Option<Arc<Meeting>> {
        self.running.get(server_meeting_id).map(|found| Arc::clone(&found))
    }

    /// A meeting by its internal id; one that has ended a moment ago included.
    #[must_use]
    pub fn of_internal(&self, internal_id: &str) -> Option<Arc<Meeting>> {
        self.internal.get(internal_id).map(|found| Arc::clone(&found))
    }

    /// Whether a run of a meeting is the one of now.
    #[must_use]
    pub fn runs(&self, meeting: &Meeting) -> bool {
        self.running.get(&meeting.server_meeting_id).is_some_and(|now| now.id == meeting.id)
    }

    /// All running meetings, as of now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Meeting>> {
        self.running.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// How many meetings run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// The meetings of a tenant that run on a server.
    #[must_use]
    pub fn of_tenant_on(&self, tenant: &TenantId, server: &ServerId) -> Vec<Arc<Meeting>> {
        let own = self.running.iter().filter(|entry| entry.tenant == *tenant && entry.server == *server);
        own.map(|entry| Arc::clone(&entry)).collect()
    }

    /// Whether a room had a meeting a short while ago, and has none now.
    #[must_use]
    pub fn has_ended(&self, tenant: &TenantId, ext_id: &str) -> bool {
        let on_server = meeting_id::to_server(tenant, ext_id);
        self.over.contains_key(&*on_server) && !self.running.contains_key(&*on_server)
    }

    /// Adds a meeting that runs. The error is the one that is there already: the same run, or a later one, since what was
    /// read a moment ago may be of the one before.
    pub(super) fn insert(&self, meeting: Meeting) -> Result<Added, Arc<Meeting>> {
        match self.running.entry(meeting.server_meeting_id.clone()) {
            Entry::Occupied(have) if have.get().id >= meeting.id => Err(Arc::clone(have.get())),
            Entry::Occupied(mut have) => {
                let meeting = Arc::new(meeting);
                let replaced = Some(have.insert(Arc::clone(&meeting)));
                Ok(Added { meeting, replaced })
            }
            Entry::Vacant(place) => {
                let meeting = Arc::new(meeting);
                place.insert(Arc::clone(&meeting));
                Ok(Added { meeting, replaced: None })
            }
        }
    }

    /// Takes a meeting out of those that run; `None` where it is not the run of now.
    pub(super) fn remove(&self, meeting: &Meeting) -> Option<Arc<Meeting>> {
        let removed = self.running.remove_if(&meeting.server_meeting_id, |_, have| have.id == meeting.id);
        removed.map(|(_, removed)| removed)
    }

    /// A meeting is found by its internal id from now on, in place of another.
    pub(super) fn set_internal(&self, internal_id: &InternalId, meeting: &Arc<Meeting>) {
        self.internal.insert(internal_id.clone(), Arc::clone(meeting));
    }

    /// A meeting is found by its internal id from now on, unless another is. Returns which one is.
    pub(super) fn claim_internal(&self, internal_id: &InternalId, meeting: &Arc<Meeting>) -> Arc<Meeting> {
        Arc::clone(&self.internal.entry(internal_id.clone()).or_insert_with(|| Arc::clone(meeting)))
    }

    /// A meeting is no longer found by its internal id.
    pub(super) fn forget_internal(&self, meeting: &Meeting) {
        if let Some(internal_id) = meeting.internal_id() {
            self.internal.remove_if(internal_id, |_, have| have.id == meeting.id);
        }
    }

    /// What follows the end of a meeting is carried until then.
    pub(super) fn carry_on(&self, meeting: Arc<Meeting>, until: Timestamp) {
        let over = self.over.entry(meeting.server_meeting_id.clone());
        over.and_modify(|known| *known = until.max(*known)).or_insert(until);
        lock(&self.ended).insert((until, meeting.id), meeting);
    }

    /// Takes the next meeting of which nothing is carried any more.
    pub(super) fn next_forgotten(&self, now: Timestamp) -> Option<Arc<Meeting>> {
        let mut ended = lock(&self.ended);
        let meeting = ended.first_entry().filter(|first| first.key().0 <= now)?.remove();
        drop(ended);
        self.over.remove_if(&meeting.server_meeting_id, |_, until| *until <= now);
        Some(meeting)
    }
}
