//! Meetings: promised, moved, given back, ended, found; and whose recordings are whose.

use std::time::Duration;

use super::{
    Admitted, Db, Error, Leftover, MeetingRow, NewMeeting, RecordingRow, Refusal, Run, SessionRow, Store, postgres,
    sqlite,
};
use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{MeetingNumber, ServerId, TenantId},
    session::TokenHash,
    time::Timestamp,
};

impl Store {
    /// Promises a room: counts what the tenant has and, where `decide` agrees, writes the new row, in one transaction.
    /// Where there is nothing to decide, nothing is counted, and the transaction is one statement.
    ///
    /// Returns the number of the new row, or the meeting that has this id already.
    ///
    /// # Errors
    /// What `decide` said, or the store's failure.
    pub async fn admit_meeting(
        &self,
        new: &NewMeeting<'_>,
        decide: Option<impl FnOnce(RoomUsage) -> Result<(), Denial>>,
    ) -> Result<Admitted, Refusal> {
        ask!(self.admit_meeting(new, decide))
    }

    /// Ends the record of a run and begins that of the next one of the same room, which keeps its place: in one
    /// transaction, so that no other room gets in between. Returns the number of the new row; `None` where the old run has
    /// been ended already, and has no place to leave.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rerun_meeting(
        &self,
        old: MeetingNumber,
        new: &NewMeeting<'_>,
    ) -> Result<Option<MeetingNumber>, Error> {
        ask!(self.rerun_meeting(old, new))
    }

    /// Gives a run up whose server is away, and begins the record of the next one elsewhere. Should the server come back with
    /// the old one, it is to be ended: it is a *leftover*. `None` where another gateway has been faster.
    ///
    /// # Errors
    /// [`Denial::ServerUnavailable`] while people are present in it: it lives, whatever its server says to us. Or the store's
    /// failure.
    pub async fn restart_meeting(&self, old: &Run<'_>, new: &NewMeeting<'_>) -> Result<Option<MeetingNumber>, Refusal> {
        ask!(self.restart_meeting(old, new))
    }

    /// How long runs of a tenant's room have lasted that ended after `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn used(&self, tenant: &TenantId, ext_id: &str, since: Timestamp) -> Result<Duration, Error> {
        ask!(self.used(tenant.as_str(), ext_id, since))
    }

    /// Moves a meeting that no server has made yet to another server. Returns whether it was still this gateway's to move:
    /// what another has taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn move_meeting(&self, id: MeetingNumber, server: &ServerId) -> Result<bool, Error> {
        ask!(self.move_meeting(id, server.as_str(), &self.gateway))
    }

    /// Gives back a room that no server has made. Returns whether it was still this gateway's to give: what another has
    /// taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon_meeting(&self, id: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
        ask!(self.abandon_meeting(id, now, &self.gateway, false))
    }

    /// Ends a meeting: its room is free, its sessions are forgotten. Returns whether somebody may have come: where nobody has,
    /// nothing was recorded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_meeting(&self, id: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
        ask!(self.end_meeting(id, now))
    }

    /// Gives back a room that nobody has an answer for, as long as the promise is `of` a gateway. Returns whether it was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon_unanswered(&self, id: MeetingNumber, of: &str, now: Timestamp) -> Result<bool, Error> {
        ask!(self.abandon_meeting(id, now, of, true))
    }

    /// The running meetings that were promised before `before` and have no answer.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unanswered(&self, before: Timestamp) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.unanswered(before))
    }

    /// Takes over a promise that a gateway has left without an answer. Returns whether it was still there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over_meeting(&self, id: MeetingNumber, from: &str) -> Result<bool, Error> {
        ask!(self.take_over_meeting(id, from, &self.gateway))
    }

    /// The running meeting of a tenant with this id, whichever gateway made it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_meeting(&self, tenant: &TenantId, ext_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_meeting(tenant.as_str(), ext_id))
    }

    /// The running meeting of a tenant with this internal id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_internal(&self, tenant: &TenantId, internal_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_internal(tenant.as_str(), internal_id))
    }

    /// The running meeting of a tenant of which this is the internal id of a breakout room, once somebody has joined that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_breakout(&self, tenant: &TenantId, internal_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_breakout(tenant.as_str(), internal_id))
    }

    /// The running meetings of a tenant on a server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_meetings_on(&self, tenant: &TenantId, server: &ServerId) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.find_meetings_on(tenant.as_str(), server.as_str()))
    }

    /// A meeting by its number, running or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn meeting_of(&self, id: MeetingNumber) -> Result<Option<MeetingRow>, Error> {
        ask!(self.meeting_of(id))
    }

    /// All meetings that run.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn running(&self) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.running())
    }

    /// Whose recordings are whose.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn recordings(&self) -> Result<Vec<RecordingRow>, Error> {
        ask!(self.recordings())
    }

    /// Whether somebody has a recording of this id, or may come to have.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_recording(&self, id: &str) -> Result<bool, Error> {
        ask!(self.has_recording(id))
    }

    /// The runs that were given up while this server was away.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leftovers(&self, server: &ServerId) -> Result<Vec<Leftover>, Error> {
        ask!(self.leftovers(server.as_str()))
    }

    /// Forgets one that is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_leftover(&self, server: &ServerId, internal_id: &str) -> Result<(), Error> {
        ask!(self.forget_leftover(server.as_str(), internal_id))
    }

    /// The meetings that have ended and of which something is still carried, the one that ended first at the beginning.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn ended(&self, now: Timestamp) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.ended(now))
    }

    /// Their sessions.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn ended_sessions(&self, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
        ask!(self.ended_sessions(now))
    }

    /// A meeting of a tenant that has ended, and of which something is still carried, by its internal id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_ended(
        &self,
        tenant: &TenantId,
        internal_id: &str,
        now: Timestamp,
    ) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_ended(tenant.as_str(), Some(internal_id), None, now))
    }

    /// The one on this server of which something is carried longest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_ended_on(
        &self,
        tenant: &TenantId,
        server: &ServerId,
        now: Timestamp,
    ) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_ended(tenant.as_str(), None, Some(server.as_str()), now))
    }

    /// A session of such a meeting, by the hash of its token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_ended_session(
        &self,
        token: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
        ask!(self.find_ended_session(token, now))
    }

    /// Forgets the sessions of meetings that ended before `before`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_ended_sessions(&self, before: Timestamp) -> Result<(), Error> {
        ask!(self.forget_ended_sessions(before))
    }

    /// Forgets meetings that ended before `before`. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(&self, before: Timestamp) -> Result<u64, Error> {
        ask!(self.purge(before))
    }
}
