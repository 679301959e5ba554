//! A gateway as the store sees it: what it remembers of sessions, and the notes that it has left and not written yet. The
//! same steps as in `live::sessions` and `replicas`, by a clock that is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{GRACE_MS, ms};
use crate::domain::ids::{MeetingNumber, SessionNumber};
use crate::store::{Note, Store, columns::PRESENT};

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) store: Store,
    /// Meetings that it is about to ask a server for.
    pub(super) pending: BTreeSet<MeetingNumber>,
    pub(super) sessions: BTreeMap<SessionNumber, Known>,
    pub(super) notes: Vec<Note>,
}

/// A session as a gateway remembers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) meeting: MeetingNumber,
    pub(super) until: i64,
    pub(super) sockets: u32,
}

impl Gateway {
    pub(super) fn new(store: Store) -> Self {
        Self { store, pending: BTreeSet::new(), sessions: BTreeMap::new(), notes: Vec::new() }
    }

    pub(super) fn name(&self) -> String {
        self.store.gateway().to_owned()
    }

    pub(super) fn open(&mut self, session: SessionNumber, now: i64) {
        let known = self.sessions.get_mut(&session).expect("it is known");
        known.sockets += 1;
        if known.sockets == 1 {
            known.until = PRESENT;
            self.notes.push(Note::Opened { session, at: ms(now) });
        }
    }

    pub(super) fn close(&mut self, session: SessionNumber, now: i64) {
        let known = self.sessions.get_mut(&session).expect("it is known");
        known.sockets -= 1;
        if known.sockets == 0 {
            known.until = now + GRACE_MS;
            self.notes.push(Note::Closed { session, at: ms(now), until: ms(known.until), absent: Duration::ZERO });
        }
    }

    /// There is no seat for a session: all its sockets are cut.
    pub(super) fn cut(&mut self, session: SessionNumber, now: i64) {
        while self.is_open(session) {
            self.close(session, now);
        }
        self.sessions.get_mut(&session).expect("it is known").until = 0;
    }

    pub(super) fn is_open(&self, session: SessionNumber) -> bool {
        self.sessions.get(&session).is_some_and(|known| known.sockets > 0)
    }

    pub(super) fn open_sessions(&self) -> Vec<SessionNumber> {
        self.sessions.keys().copied().filter(|session| self.is_open(*session)).collect()
    }

    /// Says again who is present.
    pub(super) fn reassert(&mut self, now: i64) {
        for session in self.open_sessions() {
            self.notes.push(Note::Opened { session, at: ms(now) });
        }
    }
}
