//! Sessions and their seats.
//!
//! A join reserves a seat with a lease. The seat is *present* while a socket of the session is open, is *leaving* for a
//! grace after the last one has closed, and free after that. Its state is written down by notes to the store.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Meeting, lock, servers::ServerState};
use crate::store::{
    PRESENT, TokenHash,
    writer::{Note, Notes},
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

/// One join: a session token of a server.
#[derive(Debug)]
pub struct Session {
    /// Its number in the store.
    pub id: i64,
    /// The meeting it is in.
    pub meeting: Arc<Meeting>,
    seat: Mutex<Seat>,
    /// The load of the server, which the seat is part of while somebody is present.
    server: Arc<ServerState>,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    sockets: u32,
    until: i64,
}

impl Session {
    /// A session whose seat is held until `until`.
    #[must_use]
    pub fn new(id: i64, meeting: Arc<Meeting>, until: i64, server: Arc<ServerState>) -> Self {
        Self { id, meeting, seat: Mutex::new(Seat { sockets: 0, until }), server }
    }

    /// Whether the seat counts.
    #[must_use]
    pub fn has_seat(&self, now: i64) -> bool {
        lock(&self.seat).until > now
    }

    /// Whether a socket of it is open.
    #[must_use]
    pub fn is_present(&self) -> bool {
        lock(&self.seat).sockets > 0
    }

    /// A socket of this session opens. The seat is present until the returned guard, and all others, are dropped.
    ///
    /// The caller has made sure that the session has a seat.
    #[must_use]
    pub fn open(self: &Arc<Self>, notes: &Notes) -> Present {
        let mut seat = lock(&self.seat);
        seat.sockets += 1;
        if seat.sockets == 1 {
            seat.until = PRESENT;
            self.server.add_seat();
            self.meeting.touch();
            notes.leave(Note::Seat { session: self.id, until: PRESENT });
        }
        Present { session: Arc::clone(self), notes: notes.clone() }
    }
}

/// A socket that is open: holds the seat.
#[derive(Debug)]
pub struct Present {
    session: Arc<Session>,
    notes: Notes,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut seat = lock(&self.session.seat);
        seat.sockets -= 1;
        if seat.sockets == 0 {
            seat.until = super::clock::now_ms() + GRACE_MS;
            self.session.server.remove_seat();
            self.session.meeting.touch();
            self.notes.leave(Note::Seat { session: self.session.id, until: seat.until });
        }
    }
}
