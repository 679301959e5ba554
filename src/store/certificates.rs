//! Certificates that were ordered or imported, the names that need one, and what is under way for them. What is secret comes here
//! encrypted.

use super::{
    db::{Db, ask},
    error::Error,
    rows::{
        CertificateRow, ChallengeRow, DomainFilter, DomainRow, DomainState, Due, KnownCertificate, NewOrder, Spent,
        SpentSince,
    },
};
use crate::domain::time::Timestamp;

/// The certificates of a store.
#[derive(Debug, Clone, Copy)]
pub struct CertificateStore<'a> {
    pub(super) db: &'a Db,
}

/// Certificates.
impl CertificateStore<'_> {
    /// Keeps a certificate in place of the one that its name has, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(self, row: &CertificateRow, now: Timestamp) -> Result<(), Error> {
        ask!(self.db, certificates::put(row, now))
    }

    /// Removes the certificate of a name, unless it was replaced meanwhile, and tells the other gateways. Returns whether it was
    /// there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(self, name: &str, version: i64, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, certificates::remove(name, version, now))
    }

    /// Has the certificate of a name end now, unless it was replaced meanwhile, and tells the other gateways. Its version grows by
    /// one. Returns whether it was there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expire(self, name: &str, version: i64, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, certificates::expire(name, version, now))
    }

    /// The certificate of a name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn certificate(self, name: &str) -> Result<Option<CertificateRow>, Error> {
        ask!(self.db, certificates::certificate(name))
    }

    /// Encrypts a key again, unless the certificate was replaced meanwhile. Other gateways are not notified: the key is the same.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reseal(self, name: &str, version: i64, key: &[u8]) -> Result<(), Error> {
        ask!(self.db, certificates::reseal(name, version, key))
    }

    /// What was changed since a time, removals included; in the order of time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn changed_since(self, at: Timestamp) -> Result<Vec<KnownCertificate>, Error> {
        ask!(self.db, certificates::changed_since(at))
    }

    /// Forgets certificates of names that have been in no configuration since before a time, those names, and removed
    /// certificates of before that. Returns how many names it was, and tells the other gateways if any.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_gone(self, before: Timestamp, now: Timestamp) -> Result<u64, Error> {
        ask!(self.db, certificates::forget_gone(before, now))
    }
}

/// Names.
impl CertificateStore<'_> {
    /// Adds names, or has those that are there belong to a tenant again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_domains(self, rows: &[DomainRow]) -> Result<(), Error> {
        ask!(self.db, certificates::add_domains(rows))
    }

    /// Notes that names are in no configuration any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_domains(self, names: &[String], now: Timestamp) -> Result<(), Error> {
        ask!(self.db, certificates::drop_domains(names, now))
    }

    /// All names that are in a configuration, with their tenants.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn domain_names(self) -> Result<Vec<(String, String)>, Error> {
        ask!(self.db, certificates::domain_names())
    }

    /// A name.
    ///
    /// # Errors
    /// When the store fails or the row is impossible.
    pub async fn domain(self, name: &str) -> Result<Option<DomainRow>, Error> {
        ask!(self.db, certificates::domain(name))
    }

    /// A page of names.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn domains(self, filter: DomainFilter<'_>) -> Result<Vec<DomainRow>, Error> {
        ask!(self.db, certificates::domains(filter))
    }

    /// Names whose time has come, of those that have a certificate, or of those that have none; first those whose certificate
    /// expires first, then those that were never looked at, then those that have waited longest.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn due_domains(self, now: Timestamp, due: Due) -> Result<Vec<DomainRow>, Error> {
        ask!(self.db, certificates::due_domains(now, due))
    }

    /// When the next name is due.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_due(self) -> Result<Option<Timestamp>, Error> {
        ask!(self.db, certificates::next_due())
    }

    /// Writes all of a name but whether it is configured.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_domain(self, row: &DomainRow) -> Result<(), Error> {
        ask!(self.db, certificates::set_domain(row))
    }

    /// Has a name looked at at a time, as if no order had failed. Returns whether it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retry_domain(self, name: &str, at: Timestamp) -> Result<bool, Error> {
        ask!(self.db, certificates::retry_domain(name, at))
    }

    /// Has a name looked at at a time that was to be looked at later, if DNS is all that it waits for: a pause after a failed order
    /// stays one. Returns whether that is so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hurry_domain(self, name: &str, at: Timestamp) -> Result<bool, Error> {
        ask!(self.db, certificates::hurry_domain(name, at))
    }

    /// Has the orders of gateways other than this one looked at now: it has taken over from them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over_orders(self, now: Timestamp) -> Result<u64, Error> {
        ask!(self.db, certificates::take_over_orders(&self.db.gateway, now))
    }

    /// How many names are in each state.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn count_states(self) -> Result<Vec<(DomainState, u64)>, Error> {
        ask!(self.db, certificates::count_states())
    }

    /// Names whose certificate should have been renewed and expires before a time, and has less to live than the time since then:
    /// the first ones, and how many there are in all.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn overdue(self, now: Timestamp, before: Timestamp, most: u32) -> Result<(Vec<DomainRow>, u64), Error> {
        ask!(self.db, certificates::overdue(now, before, most))
    }
}

/// Orders, challenges and the key of the account.
impl CertificateStore<'_> {
    /// Notes an order, unless `decide` refuses it for what of its authority has been used up, both under one lock for that
    /// authority on all gateways. Returns its number, or the refusal.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_order<E>(
        self,
        order: NewOrder<'_>,
        since: SpentSince,
        decide: impl FnOnce(Spent) -> Result<(), E>,
    ) -> Result<Result<i64, E>, Error> {
        ask!(self.db, certificates::note_order(order, since, decide))
    }

    /// Notes that an order has failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_failed(self, order: i64, now: Timestamp) -> Result<(), Error> {
        ask!(self.db, certificates::note_failed(order, now))
    }

    /// Notes that the newest order of a name at an authority has led to a certificate, though it had failed at first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_issued(self, authority: &str, name: &str) -> Result<(), Error> {
        ask!(self.db, certificates::note_issued(authority, name))
    }

    /// Forgets an order that its authority has not taken.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_order(self, order: i64) -> Result<(), Error> {
        ask!(self.db, certificates::forget_order(order))
    }

    /// Forgets orders and challenges of before a time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_orders(self, before: Timestamp) -> Result<(), Error> {
        ask!(self.db, certificates::forget_orders(before))
    }

    /// The challenge of a host, also one whose time is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn challenge(self, host: &str) -> Result<Option<ChallengeRow>, Error> {
        ask!(self.db, certificates::challenge(host))
    }

    /// Opens a challenge, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_challenge(self, row: &ChallengeRow) -> Result<(), Error> {
        ask!(self.db, certificates::open_challenge(row))
    }

    /// Closes the challenge of a host, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn close_challenge(self, host: &str) -> Result<(), Error> {
        ask!(self.db, certificates::close_challenge(host))
    }

    /// The open challenges, the newest ones.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn challenges(self, now: Timestamp, most: u32) -> Result<Vec<ChallengeRow>, Error> {
        ask!(self.db, certificates::challenges(now, most))
    }

    /// A sealed key of a name; `fresh` becomes it where there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sealed_key(self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Error> {
        ask!(self.db, certificates::sealed_key(name, fresh))
    }

    /// Replaces a sealed key by the same one, encrypted again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reseal_key(self, name: &str, old: &[u8], new: &[u8]) -> Result<(), Error> {
        ask!(self.db, certificates::reseal_key(name, old, new))
    }
}
