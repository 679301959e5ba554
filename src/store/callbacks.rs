//! Callbacks: where they go on to, and those that are to be delivered.
//!
//! A delivery is a row. A gateway that delivers it holds it for a while, so that no other does; what has become of it is
//! written before that time is over, or another try follows.

use super::{
    db::{Db, ask},
    error::Error,
    rows::{CallbackAddress, CallbackRow, Claim, Kept, MeetingRow, NewCallback},
};
use crate::domain::{
    callback::State,
    ids::{MeetingNumber, TenantId},
    time::Timestamp,
};

/// The callbacks of a store.
#[derive(Debug, Clone, Copy)]
pub struct CallbackStore<'a> {
    pub(super) db: &'a Db,
}

impl CallbackStore<'_> {
    /// Keeps the addresses of a meeting's callbacks under a code.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_addresses(
        self,
        meeting: MeetingNumber,
        code: &[u8],
        addresses: &[CallbackAddress],
    ) -> Result<(), Error> {
        ask!(self.db, callbacks::add_addresses(meeting, code, addresses))
    }

    /// The meeting of a code, and the addresses that it stands for.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn addresses(self, code: &[u8]) -> Result<Option<(MeetingRow, Vec<CallbackAddress>)>, Error> {
        ask!(self.db, callbacks::addresses(code))
    }

    /// Keeps what a server has said of a meeting, once for each address with what goes there. The same said again while it
    /// waits is one, and a meeting ends once: not at all where its room has had another run since.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add(
        self,
        meeting: &MeetingRow,
        new: &NewCallback<'_>,
        to: &[(&CallbackAddress, &str)],
    ) -> Result<Kept, Error> {
        ask!(self.db, callbacks::add(meeting, new, to))
    }

    /// Adds the end of the meetings that ended from `since` to `before`, whose server has not said so, unless the room has
    /// had another run since. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_missing_ends(
        self,
        new: &NewCallback<'_>,
        since: Timestamp,
        before: Timestamp,
    ) -> Result<u64, Error> {
        ask!(self.db, callbacks::add_missing_ends(new, since, before))
    }

    /// Takes callbacks that are due, those of all tenants in turn.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn claim(self, claim: Claim) -> Result<Vec<CallbackRow>, Error> {
        ask!(self.db, callbacks::claim(claim))
    }

    /// Writes down that a callback is delivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delivered(self, callback: &CallbackRow, result: &str) -> Result<(), Error> {
        ask!(self.db, callbacks::delivered(callback, result))
    }

    /// Writes down that a try has failed, and when the next one is; `None` where there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn failed(self, callback: &CallbackRow, result: &str, due_at: Option<Timestamp>) -> Result<(), Error> {
        ask!(self.db, callbacks::failed(callback, result, due_at))
    }

    /// The callbacks of a tenant, or of all, in a state, those that came last first: `LISTED_MAX` at the most, without their
    /// bodies.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn list(self, tenant: Option<&TenantId>, state: State) -> Result<Vec<CallbackRow>, Error> {
        ask!(self.db, callbacks::list(tenant.map(TenantId::as_str), state))
    }

    /// Has a callback that is not delivered tried now, and on until `try_until`. `None` where there is no such one.
    /// Its body is not read.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn retry(self, id: i64, now: Timestamp, try_until: Timestamp) -> Result<Option<CallbackRow>, Error> {
        ask!(self.db, callbacks::retry(id, now, try_until))
    }
}
