//! [`SessionIndex`]: the sessions of all meetings, by token and by number.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use dashmap::{DashMap, Entry};

use super::{lock::lock, meeting::Meeting, sessions::Session};
use crate::domain::{ids::SessionNumber, session::TokenHash, time::Timestamp};

/// Sessions that wait to be forgotten. Beyond that they stay until their meeting is over.
const REPLACED_MAX: usize = 65_536;

/// All sessions in memory.
#[derive(Debug, Default)]
pub struct SessionIndex {
    by_token: DashMap<TokenHash, Arc<Session>>,
    by_number: DashMap<SessionNumber, Arc<Session>>,
    /// Sessions whose seat another one of the same person has taken, the oldest first, with the time: at most
    /// [`REPLACED_MAX`].
    replaced: Mutex<VecDeque<(Timestamp, SessionNumber)>>,
}

impl SessionIndex {
    /// A session by the hash of its token.
    #[must_use]
    pub fn find(&self, token: &TokenHash) -> Option<Arc<Session>> {
        self.by_token.get(token).map(|found| Arc::clone(&found))
    }

    /// A session by its number in the store.
    #[must_use]
    pub fn numbered(&self, number: SessionNumber) -> Option<Arc<Session>> {
        self.by_number.get(&number).map(|found| Arc::clone(&found))
    }

    /// All sessions that somebody is present with through this gateway.
    #[must_use]
    pub fn all_open(&self) -> Vec<Arc<Session>> {
        self.by_number.iter().filter(|entry| entry.is_open()).map(|entry| Arc::clone(&entry)).collect()
    }

    /// Adds a session that a server has made. Returns whether its token is new: a token that is in use is not replaced.
    pub fn add(&self, token: TokenHash, session: Arc<Session>) -> bool {
        match self.by_token.entry(token) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                lock(&session.meeting.sessions).push(token);
                self.by_number.insert(session.id, Arc::clone(&session));
                place.insert(session);
                true
            }
        }
    }

    /// Notes that another session of the same person has taken a session's seat.
    pub fn note_replaced(&self, session: SessionNumber, now: Timestamp) {
        let mut replaced = lock(&self.replaced);
        if replaced.len() < REPLACED_MAX {
            replaced.push_back((now, session));
        }
    }

    /// Takes the next session whose seat was taken before this moment.
    pub fn next_replaced(&self, before: Timestamp) -> Option<SessionNumber> {
        lock(&self.replaced).pop_front_if(|(at, _)| *at < before).map(|(_, session)| session)
    }

    /// Forgets a session that was never opened.
    pub fn forget(&self, session: &Session) {
        self.by_number.remove(&session.id);
        if let Some(token) = self.token_of(session) {
            self.by_token.remove(&token);
            lock(&session.meeting.sessions).retain(|other| *other != token);
        }
    }

    /// The hash of a session's token; looks through those of its meeting.
    #[must_use]
    pub fn token_of(&self, session: &Session) -> Option<TokenHash> {
        // Not looked for under the lock of the list: adding a session takes that lock last.
        let of_meeting = lock(&session.meeting.sessions).clone();
        let is_its = |token: &TokenHash| self.by_token.get(token).is_some_and(|found| found.id == session.id);
        of_meeting.into_iter().find(is_its)
    }

    /// Forgets all sessions of a meeting.
    pub(super) fn forget_of(&self, meeting: &Meeting) {
        for token in std::mem::take(&mut *lock(&meeting.sessions)) {
            if let Some((_, session)) = self.by_token.remove(&token) {
                self.by_number.remove(&session.id);
            }
        }
    }

    /// Cuts the sockets of all sessions of a meeting.
    pub fn cut_of(&self, meeting: &Meeting) {
        // Whoever adds a session takes this lock last.
        let tokens = lock(&meeting.sessions).clone();
        for token in &tokens {
            if let Some(session) = self.find(token) {
                session.cut();
            }
        }
    }
}
