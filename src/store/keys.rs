//! Keys that all gateways on a store share.

use super::{
    db::{Db, ask, random},
    error::Error,
};

/// The shared keys of a store.
#[derive(Debug, Clone, Copy)]
pub struct KeyStore<'a> {
    pub(super) db: &'a Db,
}

impl KeyStore<'_> {
    /// A key of 32 bytes that all gateways on this store share; `fresh` becomes it where there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shared(self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        ask!(self.db, keys::shared_key(name, &fresh))
    }

    /// The key of TLS tickets of a stretch of time; made where there is none yet.
    ///
    /// # Errors
    /// When the store fails, or there is no randomness.
    pub async fn ticket(self, stretch: u64) -> Result<[u8; 32], Error> {
        self.shared(&ticket_name(stretch), random()?).await
    }

    /// Deletes the keys of the stretches before this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_tickets(self, before: u64) -> Result<(), Error> {
        ask!(self.db, keys::forget_keys(&ticket_name(0), &ticket_name(before)))
    }
}

/// In the order of time.
fn ticket_name(stretch: u64) -> String {
    format!("tickets-{stretch:010}")
}
