//! The gateways that share the store: who lives, who does what for all, what they share and write down for each other.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

use super::{ALIVE, Db, Error, Store, postgres, sqlite};
use crate::domain::{ids::ServerId, time::Timestamp};

impl Store {
    /// A key of 32 bytes that all gateways on this store share; `fresh` becomes it where there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shared_key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        ask!(self.shared_key(name, &fresh))
    }

    /// The key of TLS tickets of a stretch of time; made where there is none yet.
    ///
    /// # Errors
    /// When the store fails, or there is no randomness.
    pub async fn ticket_key(&self, stretch: u64) -> Result<[u8; 32], Error> {
        let mut fresh = [0; 32];
        aws_lc_rs::rand::fill(&mut fresh)
            .map_err(|_| sqlx::Error::Protocol("the random number generator of the system failed".into()))?;
        self.shared_key(&ticket_key_name(stretch), fresh).await
    }

    /// Deletes the keys of the stretches before this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_ticket_keys(&self, before: u64) -> Result<(), Error> {
        ask!(self.forget_keys(&ticket_key_name(0), &ticket_key_name(before)))
    }

    /// Says that this gateway lives, for [`ALIVE`] from now. Returns whether the store had it among the living: if not,
    /// those who are present through it have been taken to be gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heartbeat(&self, now: Timestamp) -> Result<bool, Error> {
        ask!(self.heartbeat(&self.gateway, now.saturating_add(ALIVE)))
    }

    /// Whether another gateway lives.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_alive(&self, gateway: &str, now: Timestamp) -> Result<bool, Error> {
        match &self.db {
            // There is one, and it is this one.
            Db::Sqlite { .. } => Ok(gateway == &*self.gateway),
            Db::Postgres(..) => ask!(self.is_alive(gateway, now)),
        }
    }

    /// Takes or keeps what one gateway does for all, for [`ALIVE`] from now. Returns whether it is this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lead(&self, name: &str, now: Timestamp) -> Result<bool, Error> {
        match &self.db {
            // There is nobody else, and a former self must not be waited for.
            Db::Sqlite { .. } => Ok(true),
            Db::Postgres(..) => ask!(self.lead(name, &self.gateway, now, now.saturating_add(ALIVE))),
        }
    }

    /// Gives up what this gateway does for all. Those who are still present through it have a seat for `lease`, to come
    /// back by another, or by the next one that is started on a store of its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retire(&self, now: Timestamp, lease: Duration) -> Result<(), Error> {
        if !self.is_shared() {
            // The next start settles it, and reads here until when they were present.
            self.heartbeat(now).await?;
            return Ok(());
        }
        ask!(self.resign(&self.gateway))?;
        ask!(self.bury(&self.gateway, now, now.saturating_add(lease)))
    }

    /// Settles what gateways that have died leave: those who were present through them have a seat until `until`, to come back
    /// by another. A gateway that has written after it was settled, and is not heard of, is settled again. Returns how many
    /// have died.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bury_dead(&self, now: Timestamp, until: Timestamp) -> Result<usize, Error> {
        // With SQLite every other is a former self.
        let before = if self.is_shared() { now } else { Timestamp::MAX };
        let dead = ask!(self.dead(&self.gateway, before))?;
        for (gateway, alive_until) in &dead {
            let last_seen = alive_until.saturating_sub(ALIVE).min(now);
            ask!(self.bury(gateway, last_seen, until))?;
        }
        if !self.is_shared() {
            ask!(self.hold_unattended(until))?;
        }
        Ok(dead.len())
    }

    /// Writes down what polls have found of a server, for the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn report(&self, server: &ServerId, report: &str, at: Timestamp) -> Result<(), Error> {
        ask!(self.report(server, report, at))
    }

    /// What was last found of each server, with the time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reports(&self) -> Result<Vec<(String, String, Timestamp)>, Error> {
        ask!(self.reports())
    }
}

/// In the order of time.
fn ticket_key_name(stretch: u64) -> String {
    format!("tickets-{stretch:010}")
}
