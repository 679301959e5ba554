//! The gateways that share the store: who lives, who does what for all, and what they write down for each other.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

use super::{
    db::{Db, Dialect, ask},
    error::Error,
};
use crate::domain::{ids::ServerId, time::Timestamp};

/// A gateway that has not been heard of for longer has died. Several heartbeats may be late.
pub const ALIVE: Duration = Duration::from_secs(15);

/// The gateways of a store.
#[derive(Debug, Clone, Copy)]
pub struct GatewayStore<'a> {
    pub(super) db: &'a Db,
}

impl GatewayStore<'_> {
    /// Says that this gateway lives, for [`ALIVE`] from now. Returns whether the store had it among the living: if not,
    /// those who are present through it have been taken to be gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heartbeat(self, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, gateways::heartbeat(&self.db.gateway, now.saturating_add(ALIVE)))
    }

    /// Whether another gateway lives.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_alive(self, gateway: &str, now: Timestamp) -> Result<bool, Error> {
        match &self.db.dialect {
            // There is one, and it is this one.
            Dialect::Sqlite { .. } => Ok(gateway == &*self.db.gateway),
            Dialect::Postgres(..) => ask!(self.db, gateways::is_alive(gateway, now)),
        }
    }

    /// Takes or keeps what one gateway does for all, for [`ALIVE`] from now. Returns whether it is this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lead(self, name: &str, now: Timestamp) -> Result<bool, Error> {
        match &self.db.dialect {
            // There is nobody else, and a former self must not be waited for.
            Dialect::Sqlite { .. } => Ok(true),
            Dialect::Postgres(..) => {
                ask!(self.db, gateways::lead(name, &self.db.gateway, now, now.saturating_add(ALIVE)))
            }
        }
    }

    /// Gives up what this gateway does for all. Those who are still present through it have a seat for `lease`, to come
    /// back by another, or by the next one that is started on a store of its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retire(self, now: Timestamp, lease: Duration) -> Result<(), Error> {
        if !self.db.is_shared() {
            // The next start settles it, and reads here until when they were present.
            self.heartbeat(now).await?;
            return Ok(());
        }
        ask!(self.db, gateways::resign(&self.db.gateway))?;
        ask!(self.db, gateways::bury(&self.db.gateway, now, now.saturating_add(lease)))
    }

    /// Settles what gateways that have died leave: those who were present through them have a seat until `until`, to come back
    /// by another. A gateway that has written after it was settled, and is not heard of, is settled again. Returns how many
    /// have died.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bury_dead(self, now: Timestamp, until: Timestamp) -> Result<usize, Error> {
        // With SQLite every other is a former self.
        let before = if self.db.is_shared() { now } else { Timestamp::MAX };
        let dead = ask!(self.db, gateways::dead(&self.db.gateway, before))?;
        for (gateway, alive_until) in &dead {
            let last_seen = alive_until.saturating_sub(ALIVE).min(now);
            ask!(self.db, gateways::bury(gateway, last_seen, until))?;
        }
        if !self.db.is_shared() {
            ask!(self.db, gateways::hold_unattended(until))?;
        }
        Ok(dead.len())
    }

    /// Writes down what polls have found of a server, for the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn report(self, server: &ServerId, report: &str, at: Timestamp) -> Result<(), Error> {
        ask!(self.db, gateways::report(server, report, at))
    }

    /// What was last found of each server, with the time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reports(self) -> Result<Vec<(String, String, Timestamp)>, Error> {
        ask!(self.db, gateways::reports())
    }
}
