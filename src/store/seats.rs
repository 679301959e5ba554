//! Seats: promised, promised anew, counted, found.

use std::collections::HashMap;

use super::{
    db::{Db, Dialect, ask},
    dialects::postgres,
    error::Error,
    rows::{MeetingRow, NewSession, Seated, Seats, SessionRow},
};
use crate::domain::{
    ids::{MeetingNumber, SessionNumber},
    limits::Limit,
    session::TokenHash,
    time::Timestamp,
};

/// The seats of a store.
#[derive(Debug, Clone, Copy)]
pub struct SeatStore<'a> {
    pub(super) db: &'a Db,
}

impl SeatStore<'_> {
    /// Promises a seat: where fewer than the meeting's are taken, writes a session whose seat is held for a while. For one in
    /// a breakout room those in all breakout rooms of the meeting are counted, for others those in the meeting itself.
    ///
    /// A session of the same person in the same room that is no longer open, or not yet, gives its seat up for this one.
    ///
    /// # Errors
    /// `maxParticipantsReached`, `serverUnavailable` for a meeting that has ended, or the store's failure.
    pub async fn admit(self, new: &NewSession<'_>) -> Result<Seated, Error> {
        match &self.db.dialect {
            Dialect::Sqlite { joins, .. } => joins.seat(new).await,
            Dialect::Postgres(health) => {
                let pool = health.pool();
                Box::pin(health.guard(postgres::statements::seats::admit_session(&pool, new))).await
            }
        }
    }

    /// Notes that the guest of a session waits to be let in, and has no seat. [`SeatStore::readmit`] promises one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wait(self, session: SessionNumber) -> Result<(), Error> {
        ask!(self.db, seats::wait_session(session))
    }

    /// Promises a seat, until `until`, to a session whose seat has lapsed or is about to. Its own is not counted.
    ///
    /// # Errors
    /// See [`SeatStore::admit`].
    pub async fn readmit(
        self,
        meeting: MeetingNumber,
        session: SessionNumber,
        now: Timestamp,
        until: Timestamp,
        seats: Limit<u32>,
    ) -> Result<(), Error> {
        ask!(self.db, seats::readmit_session(meeting, session, now, until, seats))
    }

    /// Deletes a session that was replaced before anybody came with it. Returns whether it was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_replaced(self, session: SessionNumber) -> Result<bool, Error> {
        ask!(self.db, seats::forget_replaced(session))
    }

    /// How many sessions of a meeting, those in its breakout rooms left out, have, or had after `since`, a seat.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recent(self, meeting: MeetingNumber, since: Timestamp) -> Result<u32, Error> {
        ask!(self.db, seats::recent_sessions(meeting, since))
    }

    /// Notes how many people take seats of a meeting without a session of ours.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_strangers(self, meeting: MeetingNumber, strangers: u32) -> Result<(), Error> {
        ask!(self.db, seats::set_strangers(meeting, strangers))
    }

    /// The seats of all meetings that have any in use, by the meetings' numbers; without those of breakout rooms.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn in_use(self, now: Timestamp) -> Result<HashMap<MeetingNumber, Seats>, Error> {
        ask!(self.db, seats::seats(now))
    }

    /// A session by the hash of its token, with its meeting, whichever gateway made it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(self, token: &TokenHash) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
        ask!(self.db, seats::find_session(token))
    }

    /// All sessions of meetings that run.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn sessions(self) -> Result<Vec<SessionRow>, Error> {
        ask!(self.db, seats::sessions())
    }
}
