//! Seats: reserved for a join, taken again when a socket opens, lost when the store says so.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{sync::Arc, time::Duration};

use super::{Meetings, find, rows::Present};
use crate::{
    domain::{
        denial::Denial,
        ids::{SessionNumber, TenantId},
        limits::Limit,
        session::{Held, LEASE, UserKey},
        tenant::Server,
        time::Timestamp,
    },
    live::{
        Meeting,
        joins::Who,
        sessions::{Session, hash},
    },
    net::peer::Peer,
    store::{self, NewSession, Note, Seated},
};

/// A seat that could not be asked for because the store failed is asked for again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A seat with less time left than this is reserved again: the note that somebody is present takes a moment.
const MARGIN: Duration = Duration::from_secs(5);

/// Where somebody is let in.
pub(crate) struct Place<'a> {
    pub(crate) meeting: &'a Arc<Meeting>,
    /// The breakout room of the meeting, by the server's internal id.
    pub(crate) breakout: Option<&'a str>,
    /// Who it is, if the caller said so.
    pub(crate) user: Option<UserKey>,
    /// What they are called.
    pub(crate) name: &'a str,
    /// Whether the guest policy may have somebody wait: a seat is reserved when the server has said that it does not.
    pub(crate) may_wait: bool,
}

/// Whether people may come to a server.
///
/// # Errors
/// [`Denial::ServerUnavailable`] for one that is offline or disabled.
pub(crate) fn takes_people(meetings: &Meetings, server: &Server) -> Result<(), Denial> {
    let state = meetings.live.servers.of(&server.id);
    if state.health.is_offline() || !state.mode().takes_people() { Err(Denial::ServerUnavailable) } else { Ok(()) }
}

/// Reserves a seat for a join from an address.
///
/// # Errors
/// [`Denial::RateLimited`] for one that joins too often, [`Denial::MaxParticipantsReached`], [`Denial::StoreUnavailable`].
pub(crate) async fn reserve<'a>(
    meetings: &'a Meetings,
    server: &Server,
    place: &Place<'a>,
    peer: Peer,
    now: Timestamp,
) -> Result<Reserved<'a>, Denial> {
    let Place { meeting, may_wait, .. } = *place;
    let who = place.user.as_ref().map_or(Who::Named(peer, place.name), Who::User);
    if !meetings.live.joins.may(meeting.id, who) {
        return Err(Denial::RateLimited);
    }
    let until = now.saturating_add(LEASE);
    // One who may have to wait has no seat meanwhile, and is not refused one either.
    let (seats, held) = if may_wait { (Limit::Unlimited, Held::No) } else { (meeting.seats(), Held::Until(until)) };
    let (user, breakout) = (place.user.as_ref(), place.breakout);
    let new = NewSession { meeting: meeting.id, user, now, held, seats, breakout };
    let Seated { id, instead_of } = meetings.store.seats().admit(&new).await?;
    // Whether a session of BBB 2.7 is in use is not known: the one whose seat is taken over keeps its sockets.
    if let Some(replaced) = instead_of.filter(|_| !server.is_meteor) {
        meetings.live.sessions.note_replaced(replaced, now);
        meetings.live.sessions.numbered(replaced).iter().for_each(|old| old.give_up());
    }
    Ok(Reserved { id, meeting, until, may_wait, meetings, is_kept: false })
}

/// A reserved seat, which is released unless the join succeeds: also when its caller has gone away meanwhile.
pub(crate) struct Reserved<'a> {
    id: SessionNumber,
    meeting: &'a Arc<Meeting>,
    until: Timestamp,
    may_wait: bool,
    meetings: &'a Meetings,
    is_kept: bool,
}

impl Reserved<'_> {
    /// Keeps the seat for a session that the server has made; from now on it is known. `waits` says that its guest is not let
    /// in yet.
    ///
    /// # Errors
    /// [`Denial::ServerUnavailable`] where the room was restarted meanwhile, or the token is one of another session;
    /// [`Denial::MaxParticipantsReached`] for one who could have had to wait and does not.
    pub(crate) async fn keep(mut self, server: &Server, session_token: &str, waits: bool) -> Result<(), Denial> {
        let Self { id, meeting, until, meetings, .. } = self;
        // The room may have been restarted meanwhile, and the session be one of the new run.
        if !meetings.live.meetings.runs(meeting) {
            return Err(Denial::ServerUnavailable);
        }
        let waits = self.may_wait && waits;
        if self.may_wait {
            self.judged(waits).await?;
        }
        let token = hash(session_token);
        let session = meetings.live.new_session(id, meeting, Held::Until(until));
        let session = if waits { session.waiting() } else { session };
        if !meetings.live.sessions.add(token, Arc::new(session)) {
            tracing::warn!(server = %server.id, "server issued the same session token twice");
            return Err(Denial::ServerUnavailable);
        }
        self.is_kept = true;
        meetings.notes.leave(Note::Bound { session: id, token });
        meetings.flush_notes().await;
        meeting.touch();
        Ok(())
    }

    /// The server has said whether somebody waits: one who does is noted so, one who does not takes a seat.
    async fn judged(&self, waits: bool) -> Result<(), Denial> {
        let store = &self.meetings.store;
        if waits {
            return store.seats().wait(self.id).await.map_err(Denial::from);
        }
        let (meeting, seats) = (self.meeting.id, self.meeting.seats());
        let seated = store.seats().readmit(meeting, self.id, self.meetings.clock.now(), self.until, seats).await;
        seated.map_err(Denial::from)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.meetings.notes.leave(Note::Dropped { session: self.id });
        }
    }
}

/// The seat of a session whose socket opens: its own, or, when that has lapsed, a new one if there is one. A session with too
/// many sockets opens no more.
///
/// # Errors
/// [`Denial::MaxParticipantsReached`], [`Denial::StoreUnavailable`], [`Denial::RateLimited`].
pub(crate) async fn open(meetings: &Meetings, session: &Arc<Session>) -> Result<Present, Denial> {
    if !session.has_seat(meetings.clock.now().saturating_add(MARGIN)) {
        take(meetings, session).await?;
    }
    session.open(&meetings.notes).ok_or(Denial::RateLimited)
}

/// A socket opens that holds no seat: for a session that has one, or that waits in the lobby. Of BBB 2.7, whose sockets tell
/// nothing about a seat, it is enough that the session was not cut.
///
/// # Errors
/// [`Denial::MaxParticipantsReached`], [`Denial::RateLimited`]; as those of [`find::has_seat`].
pub(crate) async fn open_other(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    server: &Server,
    session: &Arc<Session>,
) -> Result<Present, Denial> {
    let is_enough = session.is_waiting() || server.is_meteor || find::has_seat(meetings, account, session).await?;
    if is_enough { session.open_other() } else { Err(Denial::MaxParticipantsReached) }
}

/// Takes a seat for a session that has none: a guest who is let in, or one whose seat has lapsed.
///
/// # Errors
/// [`Denial::MaxParticipantsReached`], [`Denial::StoreUnavailable`].
pub(crate) async fn take(meetings: &Meetings, session: &Session) -> Result<(), Denial> {
    let until = readmit(meetings, session).await?;
    session.hold(Held::Until(until));
    Ok(())
}

/// A session that is open while the store says that it has no seat gets one if there is one; else its sockets are cut, and the
/// client that tries again learns why.
pub(crate) async fn reseat(meetings: &Meetings, id: SessionNumber) {
    let Some(session) = meetings.live.sessions.numbered(id).filter(|session| session.is_open()) else { return };
    match readmit(meetings, &session).await {
        Ok(_) => session.reassert(&meetings.notes),
        Err(error) if error.denied().is_some() => session.cut(),
        Err(_) => {
            tokio::time::sleep(RETRY_AFTER).await;
            session.reassert(&meetings.notes);
        }
    }
}

/// Writes a new seat of a session down, and returns until when it is held.
async fn readmit(meetings: &Meetings, session: &Session) -> Result<Timestamp, store::Error> {
    let (meeting, now) = (&session.meeting, meetings.clock.now());
    let until = now.saturating_add(LEASE);
    meetings.store.seats().readmit(meeting.id, session.id, now, until, meeting.seats()).await?;
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            fixtures,
            ids::{ExternalId, MeetingNumber},
            meeting::Life,
            session::GRACE,
        },
        live::Facts,
        meetings::fixtures::{LOOPBACK, opened},
    };

    #[tokio::test]
    async fn sound_opens_while_there_is_a_seat() {
        let (meetings, clock, _, _dir) = opened(LOOPBACK).await;
        let tenant: TenantId = "wagtail".parse().expect("an id");
        let server = fixtures::server("bbb-01", "members");
        let meeting = meetings.live.add_meeting(Meeting::new(Facts {
            id: MeetingNumber::new(1),
            tenant: tenant.clone(),
            account: "main".into(),
            ext_id: ExternalId::new("room"),
            server: server.id.clone(),
            participants: None,
            expected: None,
            created_at: clock.now(),
            ends_at: None,
            afterglow: None,
            records: false,
            life: Life::Reserved,
        }));
        let reserved = Held::Until(clock.now().saturating_add(LEASE));
        let new = |n| meetings.live.new_session(SessionNumber::new(n), &meeting, reserved);
        let (session, guest) = (Arc::new(new(1)), Arc::new(new(2).waiting()));
        let opens = async |session: &Arc<Session>, server: &Server| {
            open_other(&meetings, (&tenant, Peer::V4(1)), server, session).await.map(drop)
        };
        let refused = Err(Denial::MaxParticipantsReached);
        assert_eq!(opens(&session, &server).await, Ok(()), "its seat is reserved");
        clock.advance(LEASE);
        assert_eq!(opens(&session, &server).await, refused, "it has lapsed");
        assert_eq!(opens(&guest, &server).await, Ok(()), "who waits needs none");
        let meteor = Server { is_meteor: true, ..fixtures::server("bbb-02", "old") };
        assert_eq!(opens(&session, &meteor).await, Ok(()), "2.7 has no GraphQL");
        let present = session.open(&meetings.notes).expect("the first");
        clock.advance(LEASE);
        assert_eq!(opens(&session, &server).await, Ok(()), "somebody is there");
        drop(present);
        assert_eq!(opens(&session, &server).await, Ok(()), "or may come back");
        clock.advance(GRACE);
        assert_eq!(opens(&session, &server).await, refused, "all have left");
        session.cut();
        assert_eq!(opens(&session, &meteor).await, refused);
    }
}
