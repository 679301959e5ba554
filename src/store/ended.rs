//! What is left of meetings that have ended: carried for a while, then forgotten.

use super::{
    db::{Db, ask},
    error::Error,
    rows::{Leftover, MeetingRow, SessionRow},
};
use crate::domain::{
    ids::{ServerId, TenantId},
    session::TokenHash,
    time::Timestamp,
};

/// The meetings of a store that have ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedStore<'a> {
    pub(super) db: &'a Db,
}

impl EndedStore<'_> {
    /// The meetings that have ended and of which something is still carried, the one that ended first at the beginning.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn all(self, now: Timestamp) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.db, ended::ended(now))
    }

    /// Their sessions.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn sessions(self, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
        ask!(self.db, ended::ended_sessions(now))
    }

    /// A meeting of a tenant that has ended, and of which something is still carried, by its internal id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(self, tenant: &TenantId, internal_id: &str, now: Timestamp) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, ended::find_ended(tenant.as_str(), Some(internal_id), None, now))
    }

    /// The one on this server of which something is carried longest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_on(
        self,
        tenant: &TenantId,
        server: &ServerId,
        now: Timestamp,
    ) -> Result<Option<MeetingRow>, Error> {
        ask!(self.db, ended::find_ended(tenant.as_str(), None, Some(server.as_str()), now))
    }

    /// A session of such a meeting, by the hash of its token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_session(
        self,
        token: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
        ask!(self.db, ended::find_ended_session(token, now))
    }

    /// Forgets the sessions of meetings that ended before `before`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_sessions(self, before: Timestamp) -> Result<(), Error> {
        ask!(self.db, ended::forget_ended_sessions(before))
    }

    /// Forgets meetings that ended before `before`. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(self, before: Timestamp) -> Result<u64, Error> {
        ask!(self.db, ended::purge(before))
    }

    /// The runs that were given up while this server was away.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leftovers(self, server: &ServerId) -> Result<Vec<Leftover>, Error> {
        ask!(self.db, ended::leftovers(server.as_str()))
    }

    /// Forgets one that is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_leftover(self, server: &ServerId, internal_id: &str) -> Result<(), Error> {
        ask!(self.db, ended::forget_leftover(server.as_str(), internal_id))
    }
}
