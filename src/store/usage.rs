//! What tenants have used, by day.

use super::{
    db::{Db, ask, catch_up},
    error::Error,
    note::Traffic,
    rows::UsageRow,
};
use crate::domain::time::Timestamp;

/// The usage in a store.
#[derive(Debug, Clone, Copy)]
pub struct UsageStore<'a> {
    pub(super) db: &'a Db,
}

impl UsageStore<'_> {
    /// What was used on the days from `from` to before `to` (`YYYY-MM-DD`), by tenant and day. Those who are present are
    /// counted until `now`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn by_day(self, from: &str, to: &str, now: Timestamp) -> Result<Vec<UsageRow>, Error> {
        ask!(self.db, usage::usage(from, to, now))
    }

    /// Writes what was carried, apart from seats and names: what goes wrong with statistics stops none of those.
    pub(super) async fn write_traffic(self, traffic: &[Traffic]) -> Result<(), Error> {
        catch_up!(self.db, usage::write_traffic(traffic))
    }
}
