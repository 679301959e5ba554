//! Meetings: promised, moved, given back, ended, found while they run.

use std::time::Duration;

use super::{
    db::{Db, ask},
    error::Error,
    rows::{Admitted, MeetingRow, NewMeeting, Run},
};
use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{MeetingNumber, ServerId, TenantId},
    time::Timestamp,
};

/// The meetings of a store.
#[derive(Debug, Clone, Copy)]
pub struct MeetingStore<'a> {
    pub(super) db: &'a Db,
}

impl MeetingStore<'_> {
    /// Promises a room: counts what the tenant has and, where `decide` agrees, writes the new row, in one transaction.
    /// Where there is nothing to decide, nothing is counted, and the transaction is one statement.
    ///
    /// Returns the number of the new row, or the meeting that has this id already.
    ///
    /// # Errors
    /// What `decide` said, or the store's failure.
    pub async fn admit(
        self,
        new: &NewMeeting<'_>,
        decide: Option<impl FnOnce(RoomUsage) -> Result<(), Denial>>,
    ) -> Result<Admitted, Error> {
        ask!(self.db, meetings::admit_meeting(new, decide))
    }

    /// Ends the record of a run and begins that of the next one of the same room, which keeps its place: in one
    /// transaction, so that no other room gets in between. Returns the number of the new row; `None` where the old run has
    /// been ended already, and has no place to leave.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rerun(self, old: MeetingNumber, new: &NewMeeting<'_>) -> Result<Option<MeetingNumber>, Error> {
        ask!(self.db, meetings::rerun_meeting(old, new))
    }

    /// Gives a run up whose server is away, and begins the record of the next one elsewhere. Should the server come back with
    /// the old one, it is to be ended: it is a *leftover*. `None` where another gateway has been faster.
    ///
    /// # Errors
    /// [`Denial::ServerUnavailable`] while people are present in it: it lives, whatever its server says to us. Or the store's
    /// failure.
    pub async fn restart(self, old: &Run<'_>, new: &NewMeeting<'_>) -> Result<Option<MeetingNumber>, Error> {
        ask!(self.db, meetings::restart_meeting(old, new))
    }

    /// How long runs of a tenant's room have lasted that ended after `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn used(self, tenant: &TenantId, ext_id: &str, since: Timestamp) -> Result<Duration, Error> {
        ask!(self.db, meetings::used(tenant.as_str(), ext_id, since))
    }

    /// Moves a meeting that no server has made yet to another server. Returns whether it was still this gateway's to move:
    /// what another has taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn move_to(self, id: MeetingNumber, server: &ServerId) -> Result<bool, Error> {
        ask!(self.db, meetings::move_meeting(id, server.as_str(), &self.db.gateway))
    }

    /// Gives back a room that no server has made. Returns whether it was still this gateway's to give: what another has
    /// taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon(self, id: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, meetings::abandon_meeting(id, now, &self.db.gateway, false))
    }

    /// Ends a meeting: its room is free, its sessions are forgotten. Returns whether somebody may have come: where nobody has,
    /// nothing was recorded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end(self, id: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, meetings::end_meeting(id, now))
    }

    /// Gives back a room that nobody has an answer for, as long as the promise is `of` a gateway. Returns whether it was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon_unanswered(self, id: MeetingNumber, of: &str, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, meetings::abandon_meeting(id, now, of, true))
    }

    /// The running meetings that were promised before `before` and have no answer.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unanswered(self, before: Timestamp) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.db, meetings::unanswered(before))
    }

    /// Takes over a promise that a gateway has left without an answer. Returns whether it was still there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over(self, id: MeetingNumber, from: &str) -> Result<bool, Error> {
        ask!(self.db, meetings::take_over_meeting(id, from, &self.db.gateway))
    }

    /// The running meeting of a tenant with this id, whichever gateway made it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(self, tenant: &TenantId, ext_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, meetings::find_meeting(tenant.as_str(), ext_id))
    }

    /// The running meeting of a tenant with this internal id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_internal(self, tenant: &TenantId, internal_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, meetings::find_internal(tenant.as_str(), internal_id))
    }

    /// The running meeting of a tenant of which this is the internal id of a breakout room, once somebody has joined that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_breakout(self, tenant: &TenantId, internal_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, meetings::find_breakout(tenant.as_str(), internal_id))
    }

    /// The running meetings of a tenant on a server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_on(self, tenant: &TenantId, server: &ServerId) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.db, meetings::find_meetings_on(tenant.as_str(), server.as_str()))
    }

    /// A meeting by its number, running or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(self, id: MeetingNumber) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, meetings::meeting_of(id))
    }

    /// All meetings that run.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn running(self) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.db, meetings::running())
    }
}
