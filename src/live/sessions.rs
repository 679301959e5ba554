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

use super::{lock::lock, meeting::Meeting, servers::ServerState};
use crate::domain::{
    denial::Denial,
    ids::{SessionNumber, TenantId},
    session::{GRACE, Held, TokenHash, UserKey},
    time::{Clock, Timestamp},
};

/// GraphQL sockets of one session at a time, those that wait for their turn included. BBB takes three
/// (docs/reference/bbb-protocol.md, "GraphQL sockets"); a line that was lost has sockets left until it is noticed.
pub const SOCKETS_MAX: u32 = 8;
/// Its other sockets: audio, video, screen, notes, LiveKit's rooms.
pub const OTHER_SOCKETS_MAX: u16 = 24;

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

/// Where it is written down who comes and goes.
pub trait Book: Clone {
    /// The first socket of a session has opened.
    fn opened(&self, session: SessionNumber, at: Timestamp);
    /// The last socket of a session has closed; its seat is held until `until`.
    fn closed(&self, session: SessionNumber, at: Timestamp, until: Timestamp);
}

/// One join: a session token of a server.
#[derive(Debug)]
pub struct Session {
    /// Its number in the store.
    pub id: SessionNumber,
    /// The meeting it is in.
    pub meeting: Arc<Meeting>,
    seat: Mutex<Seat>,
    /// Its sockets are to be cut.
    cut: Notify,
    /// The load of the server, which the seat is part of while somebody is present.
    server: Arc<ServerState>,
    clock: Clock,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    held: Held,
    standing: Standing,
    /// Sockets of GraphQL, which hold the seat.
    sockets: u32,
    /// The others, which do not.
    others: u16,
    /// Somebody has been there.
    came: bool,
}

/// How a session stands to its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has one for as long as that is held.
    Usual,
    /// A guest who waits to be let in, without a seat.
    Waits,
    /// The store has none for it: what is open is cut, and nothing opens until it has one again.
    Lost,
}

impl Session {
    /// A session whose seat is held for so long.
    #[must_use]
    pub(super) fn new(
        id: SessionNumber,
        meeting: Arc<Meeting>,
        held: Held,
        server: Arc<ServerState>,
        clock: Clock,
    ) -> Self {
        let seat = Seat { held, standing: Standing::Usual, sockets: 0, others: 0, came: false };
        Self { id, meeting, seat: Mutex::new(seat), cut: Notify::new(), server, clock }
    }

    /// The same of a guest who waits to be let in: without a seat, until one is held.
    #[must_use]
    pub fn waiting(self) -> Self {
        let mut seat = *lock(&self.seat);
        (seat.held, seat.standing) = (Held::No, Standing::Waits);
        Self { seat: Mutex::new(seat), ..self }
    }

    /// Whether it is a guest who waits to be let in.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        lock(&self.seat).standing == Standing::Waits
    }

    /// Whether the seat counts.
    #[must_use]
    pub fn has_seat(&self, now: Timestamp) -> bool {
        let seat = lock(&self.seat);
        seat.standing != Standing::Lost && seat.held.counts(now)
    }

    /// Somebody is present through this gateway.
    #[must_use]
    pub fn is_open(&self) -> bool {
        lock(&self.seat).sockets > 0
    }

    /// Somebody has been present through this gateway.
    #[must_use]
    pub fn was_opened(&self) -> bool {
        lock(&self.seat).came
    }

    /// The seat is promised for so long, as far as it is not held for longer.
    pub fn hold(&self, held: Held) {
        let mut seat = lock(&self.seat);
        seat.held = seat.held.max(held);
        seat.standing = Standing::Usual;
    }

    /// Another session of the same person has the seat. What is open stays until the store has said what becomes of it; without
    /// a GraphQL socket the other ones are cut.
    pub fn give_up(&self) {
        let mut seat = lock(&self.seat);
        if seat.sockets > 0 {
            return;
        }
        seat.held = Held::No;
        if seat.standing == Standing::Usual {
            seat.standing = Standing::Lost;
            self.cut.notify_waiters();
        }
    }

    /// There is no seat for it any more: its sockets at this gateway are cut, those of GraphQL and the others, and another one
    /// needs a seat first. A seat that lapses cuts nothing: what is open then stays, and nothing more opens.
    pub fn cut(&self) {
        lock(&self.seat).standing = Standing::Lost;
        self.cut.notify_waiters();
    }

    /// Waits until the sockets are to be cut; a socket whose server was slow to answer may have missed the moment.
    pub async fn is_cut(&self) {
        let cut = self.cut.notified();
        if lock(&self.seat).standing != Standing::Lost {
            cut.await;
        }
    }

    /// A socket of this session opens. The seat is present until the returned guard, and all others, are dropped.
    ///
    /// The caller has made sure that the session has a seat. `None` where it has [`SOCKETS_MAX`] already.
    #[must_use]
    pub fn open<B: Book>(self: &Arc<Self>, book: &B) -> Option<Present<B>> {
        let mut seat = lock(&self.seat);
        if SOCKETS_MAX <= seat.sockets {
            return None;
        }
        seat.sockets = seat.sockets.saturating_add(1);
        if seat.sockets == 1 {
            seat.held = Held::WhilePresent;
            seat.came = true;
            self.server.load.add_seat();
            let at = self.clock.now();
            self.meeting.share.enter(&self.server.load, at);
            self.meeting.touch();
            book.opened(self.id, at);
        }
        Some(Present { session: Arc::clone(self), book: Some(book.clone()) })
    }

    /// A socket opens that is none of GraphQL. The caller has made sure that the session has a seat, or may be without.
    ///
    /// # Errors
    /// [`Denial::MaxParticipantsReached`] where the session was cut, [`Denial::RateLimited`] where the session has
    /// [`OTHER_SOCKETS_MAX`] of them already.
    pub fn open_other<B: Book>(self: &Arc<Self>) -> Result<Present<B>, Denial> {
        let mut seat = lock(&self.seat);
        if seat.standing == Standing::Lost {
            return Err(Denial::MaxParticipantsReached);
        }
        if OTHER_SOCKETS_MAX <= seat.others {
            return Err(Denial::RateLimited);
        }
        seat.others = seat.others.saturating_add(1);
        Ok(Present { session: Arc::clone(self), book: None })
    }

    /// Says again that somebody is present, to a store that has forgotten.
    pub fn reassert(&self, book: &impl Book) {
        if lock(&self.seat).sockets > 0 {
            book.opened(self.id, self.clock.now());
        }
    }
}

/// A socket that is open. One of GraphQL holds the seat.
#[derive(Debug)]
pub struct Present<B: Book> {
    session: Arc<Session>,
    /// Where it is written down that it has closed; `None` for a socket that is none of GraphQL.
    book: Option<B>,
}

impl<B: Book> Present<B> {
    /// Whose it is.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whose seat it holds; `None` where it holds none.
    #[must_use]
    pub fn seated(&self) -> Option<&Arc<Session>> {
        self.book.as_ref().map(|_| &self.session)
    }
}

impl<B: Book> Drop for Present<B> {
    fn drop(&mut self) {
        let mut seat = lock(&self.session.seat);
        let Some(book) = &self.book else {
            seat.others = seat.others.saturating_sub(1);
            return;
        };
        seat.sockets = seat.sockets.saturating_sub(1);
        if seat.sockets == 0 {
            let at = self.session.clock.now();
            let until = at.saturating_add(GRACE);
            // Who was cut has nothing to come back to, and has to ask.
            seat.held = if seat.standing == Standing::Lost { Held::No } else { Held::Until(until) };
            self.session.server.load.remove_seat();
            self.session.meeting.share.leave(&self.session.server.load, at);
            self.session.meeting.touch();
            book.closed(self.session.id, at, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::{
        domain::{
            ids::{ExternalId, MeetingNumber},
            meeting::Life,
            session::LEASE,
        },
        live::Facts,
    };

    /// Keeps nothing.
    #[derive(Clone)]
    struct NoBook;

    impl Book for NoBook {
        fn opened(&self, _: SessionNumber, _: Timestamp) {}

        fn closed(&self, _: SessionNumber, _: Timestamp, _: Timestamp) {}
    }

    fn now() -> Timestamp {
        Clock::system().now()
    }

    fn lease() -> Held {
        Held::Until(now().saturating_add(LEASE))
    }

    fn session() -> Arc<Session> {
        let meeting = Arc::new(Meeting::new(Facts {
            id: MeetingNumber::new(1),
            tenant: "wagtail".parse().expect("an id"),
            account: "main".into(),
            ext_id: ExternalId::new("room"),
            server: "bbb-01".parse().expect("an id"),
            participants: Some(1),
            expected: None,
            created_at: Timestamp::EPOCH,
            ends_at: None,
            afterglow: None,
            records: false,
            life: Life::Reserved,
        }));
        Arc::new(Session::new(SessionNumber::new(1), meeting, lease(), Arc::default(), Clock::system()))
    }

    #[tokio::test]
    async fn a_session_has_so_many_sockets_and_no_more() {
        let session = session();
        let mut open: Vec<_> = (0..SOCKETS_MAX).map(|_| session.open(&NoBook).expect("room")).collect();
        assert!(session.open(&NoBook).is_none());
        let others: Vec<_> = (0..OTHER_SOCKETS_MAX).map(|_| session.open_other::<NoBook>().expect("room")).collect();
        assert_eq!(session.open_other::<NoBook>().err(), Some(Denial::RateLimited));
        drop(open.pop());
        open.push(session.open(&NoBook).expect("one has closed"));
        drop(open);
        assert!(!session.is_open() && session.was_opened(), "the others hold no seat");
        drop(others);
        assert!(session.open_other::<NoBook>().is_ok());
        let open_seat = lock(&session.seat);
        assert_eq!((open_seat.sockets, open_seat.others), (0, 0));
        assert!(size_of::<Seat>() <= 24, "a session stays small");
    }

    #[tokio::test]
    async fn who_has_gone_keeps_no_sound_when_another_session_takes_the_seat() {
        let session = session();
        let seat = session.open(&NoBook).expect("the first");
        let _sound = session.open_other::<NoBook>().expect("room");
        session.give_up();
        assert!(session.has_seat(now()), "somebody is there");
        assert!(timeout(Duration::from_millis(50), session.is_cut()).await.is_err());
        drop(seat);
        session.give_up();
        timeout(Duration::from_secs(1), session.is_cut()).await.expect("all have left");
        assert!(!session.has_seat(now()));
    }

    #[tokio::test]
    async fn a_cut_reaches_a_socket_that_is_still_being_opened_and_leaves_no_seat() {
        let session = session();
        let opening = session.open(&NoBook).expect("the first");
        let _other = session.open_other::<NoBook>().expect("room");
        session.cut();
        timeout(Duration::from_secs(1), session.is_cut()).await.expect("before it is carried");
        assert!(!session.has_seat(now()), "another socket has to ask");
        drop(opening);
        assert!(!session.has_seat(now()), "nor is there one to come back to");
        assert_eq!(session.open_other::<NoBook>().err(), Some(Denial::MaxParticipantsReached));
        session.hold(lease());
        let _opened = session.open(&NoBook).expect("the only one");
        assert!(timeout(Duration::from_millis(50), session.is_cut()).await.is_err(), "it has been promised again");
        assert!(session.open_other::<NoBook>().is_ok());
    }
}
