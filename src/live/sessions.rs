//! Sessions and their seats.
//!
//! A join reserves a seat with a lease. The seat is *present* while a socket of the session is open, is *leaving* for a
//! grace after the last one has closed, and free after that. A join of the same person takes over a seat that is not
//! present. Its state is written down by notes to the store, which has the last word: other gateways may have sockets of
//! the same session.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use tokio::sync::Notify;

use super::{Meeting, clock::now_ms, lock, servers::ServerState};
use crate::{
    domain::ids::TenantId,
    store::{
        PRESENT, TokenHash, UserKey,
        writer::{Note, Notes},
    },
};

/// How long a seat is held for somebody who has joined and not arrived: the page has to load.
pub const LEASE_MS: i64 = 60_000;
/// How long a seat is held for somebody whose last socket has closed: a reload, a lost network. BBB's client tries
/// again after 10 s.
pub const GRACE_MS: i64 = 15_000;

/// The hash under which a session token is known.
///
/// # Panics
/// Never: SHA-256 has 32 bytes.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Makes keys of people out of the `userID`s that callers give them: nobody can tell from one whose it is.
pub struct UserKeys(hmac::Key);

impl UserKeys {
    /// Keys by this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The key of a tenant's `userID`.
    ///
    /// # Panics
    /// Never: SHA-256 has 32 bytes.
    #[must_use]
    pub fn of(&self, tenant: &TenantId, user_id: &str) -> UserKey {
        let mut context = hmac::Context::with_key(&self.0);
        // An id of a tenant has no line breaks.
        [tenant.as_str(), "\n", user_id].iter().for_each(|part| context.update(part.as_bytes()));
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for UserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One join: a session token of a server.
#[derive(Debug)]
pub struct Session {
    /// Its number in the store.
    pub id: i64,
    /// The meeting it is in.
    pub meeting: Arc<Meeting>,
    seat: Mutex<Seat>,
    /// Its sockets are to be cut.
    cut: Notify,
    /// The load of the server, which the seat is part of while somebody is present.
    server: Arc<ServerState>,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    sockets: u32,
    until: i64,
    /// The store has none for it: what is open is cut, and what is about to open as well.
    lost: bool,
}

impl Session {
    /// A session whose seat is held until `until`.
    #[must_use]
    pub fn new(id: i64, meeting: Arc<Meeting>, until: i64, server: Arc<ServerState>) -> Self {
        Self { id, meeting, seat: Mutex::new(Seat { sockets: 0, until, lost: false }), cut: Notify::new(), server }
    }

    /// Whether the seat counts.
    #[must_use]
    pub fn has_seat(&self, now: i64) -> bool {
        let seat = lock(&self.seat);
        seat.until > now && !seat.lost
    }

    /// Somebody is present through this gateway.
    #[must_use]
    pub fn is_open(&self) -> bool {
        lock(&self.seat).sockets > 0
    }

    /// The seat is promised until `until`, as far as it is not held for longer.
    pub fn hold(&self, until: i64) {
        let mut seat = lock(&self.seat);
        seat.until = seat.until.max(until);
        seat.lost = false;
    }

    /// Another session of the same person has the seat. What is open stays until the store has said what becomes of it.
    pub fn give_up(&self) {
        let mut seat = lock(&self.seat);
        if seat.sockets == 0 {
            seat.until = 0;
        }
    }

    /// There is no seat for it any more: its sockets are cut, and whoever opens another one needs a seat first.
    pub fn cut(&self) {
        lock(&self.seat).lost = true;
        self.cut.notify_waiters();
    }

    /// Waits until the sockets are to be cut; a socket whose server was slow to answer may have missed the moment.
    pub async fn is_cut(&self) {
        let cut = self.cut.notified();
        if !lock(&self.seat).lost {
            cut.await;
        }
    }

    /// A socket of this session opens. The seat is present until the returned guard, and all others, are dropped.
    ///
    /// The caller has made sure that the session has a seat.
    #[must_use]
    pub fn open(self: &Arc<Self>, notes: &Notes) -> Present {
        let mut seat = lock(&self.seat);
        seat.sockets = seat.sockets.saturating_add(1);
        if seat.sockets == 1 {
            seat.until = PRESENT;
            self.server.add_seat();
            self.meeting.share.enter(&self.server, now_ms());
            self.meeting.touch();
            notes.leave(Note::Opened { session: self.id, at: now_ms() });
        }
        Present { session: Arc::clone(self), notes: notes.clone() }
    }

    /// Says again that somebody is present, to a store that has forgotten.
    pub fn reassert(&self, notes: &Notes) {
        if lock(&self.seat).sockets > 0 {
            notes.leave(Note::Opened { session: self.id, at: now_ms() });
        }
    }
}

/// A socket that is open: holds the seat.
#[derive(Debug)]
pub struct Present {
    session: Arc<Session>,
    notes: Notes,
}

impl Present {
    /// Whose seat it is.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut seat = lock(&self.session.seat);
        seat.sockets = seat.sockets.saturating_sub(1);
        if seat.sockets == 0 {
            let at = now_ms();
            let until = at.saturating_add(GRACE_MS);
            // Who was cut has nothing to come back to, and has to ask.
            seat.until = if std::mem::take(&mut seat.lost) { 0 } else { until };
            self.session.server.remove_seat();
            self.session.meeting.share.leave(&self.session.server, at);
            self.session.meeting.touch();
            self.notes.leave(Note::Closed { session: self.session.id, at, until, absent: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::mpsc::unbounded_channel, time::timeout};

    use super::*;
    use crate::store::{MeetingRow, Store};

    #[tokio::test]
    async fn a_cut_reaches_a_socket_that_is_still_being_opened_and_leaves_no_seat() {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        let (notes, _writer) = Notes::start(Store::open(&url).await.expect("a store"), unbounded_channel().0);
        let meeting = Arc::new(Meeting::from_row(MeetingRow {
            id: 1,
            tenant: "wagtail".parse().expect("an id"),
            account: "main".into(),
            ext_id: "room".into(),
            server: "bbb-01".parse().expect("an id"),
            participants: Some(1),
            expected: None,
            internal_id: None,
            create_time: None,
            created_at: 0,
            ended_at: None,
            ends_at: None,
            records: false,
            owner: None,
        }));
        let session = Arc::new(Session::new(1, meeting, now_ms() + LEASE_MS, Arc::default()));
        let opening = session.open(&notes);
        session.cut();
        timeout(Duration::from_secs(1), session.is_cut()).await.expect("before it is carried");
        assert!(!session.has_seat(now_ms()), "another socket has to ask");
        drop(opening);
        assert!(!session.has_seat(now_ms()), "nor is there one to come back to");
        session.hold(now_ms() + LEASE_MS);
        let _opened = session.open(&notes);
        assert!(timeout(Duration::from_millis(50), session.is_cut()).await.is_err(), "it has been promised anew");
    }
}
