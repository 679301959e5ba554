//! Webhooks of tenants, and the events that wait to be delivered to them.
//!
//! A gateway holds a webhook while it delivers its events, one after the other, so that no other gateway does and their order
//! stays.

use super::{
    db::{Db, ask},
    error::Error,
    rows::{AddedWebhook, Claim, EventRow, NewEvent, NewWebhook, Tried, WebhookRow},
};
use crate::domain::{ids::TenantId, time::Timestamp};

/// The webhooks of a store.
#[derive(Debug, Clone, Copy)]
pub struct WebhookStore<'a> {
    pub(super) db: &'a Db,
}

impl WebhookStore<'_> {
    /// Adds a webhook, unless its tenant has one at this address or may have no more, and tells the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add(self, new: &NewWebhook<'_>) -> Result<AddedWebhook, Error> {
        ask!(self.db, webhooks::add(new))
    }

    /// Removes a webhook of a tenant with the events that wait, and tells the other gateways. Returns whether it was there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(self, tenant: &TenantId, id: &str) -> Result<bool, Error> {
        ask!(self.db, webhooks::remove(tenant.as_str(), id))
    }

    /// The webhooks of all tenants, the oldest first.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn all(self) -> Result<Vec<WebhookRow>, Error> {
        ask!(self.db, webhooks::all())
    }

    /// The webhooks of a tenant, the oldest first.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn of(self, tenant: &TenantId) -> Result<Vec<WebhookRow>, Error> {
        ask!(self.db, webhooks::of(tenant.as_str()))
    }

    /// How many events wait, by webhook; only those for which some do.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn waiting(self) -> Result<Vec<(String, u64)>, Error> {
        ask!(self.db, webhooks::waiting())
    }

    /// Keeps events for webhooks that are there; those that are kept already are the same. Returns the tenants of events that
    /// were not kept, one for each: `most` of a tenant may wait.
    ///
    /// # Errors
    /// When the store fails: none is kept.
    pub async fn add_events(self, now: Timestamp, most: u32, events: &[NewEvent]) -> Result<Vec<TenantId>, Error> {
        ask!(self.db, webhooks::add_events(now, most, events))
    }

    /// Takes webhooks that have events and are due, those of all tenants in turn.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn claim(self, claim: Claim) -> Result<Vec<WebhookRow>, Error> {
        ask!(self.db, webhooks::claim(claim))
    }

    /// The first events of a webhook that wait.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(self, webhook: &str, most: u32) -> Result<Vec<EventRow>, Error> {
        ask!(self.db, webhooks::events(webhook, most))
    }

    /// Writes down that an event is delivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delivered(self, event: i64, now: Timestamp) -> Result<(), Error> {
        ask!(self.db, webhooks::delivered(event, now))
    }

    /// Gives a claimed webhook free, with what the last try came to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release(self, webhook: &WebhookRow, tried: Tried<'_>) -> Result<(), Error> {
        ask!(self.db, webhooks::release(webhook, tried))
    }

    /// Has the events of a webhook tried now, and on as if no try had failed. `None` where there is no such one.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn retry(self, id: &str, now: Timestamp) -> Result<Option<WebhookRow>, Error> {
        ask!(self.db, webhooks::retry(id, now))
    }

    /// Forgets events that were delivered before a time, and the webhooks of meetings that are older than another time and
    /// whose meeting has no row any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(self, delivered: Timestamp, created: Timestamp) -> Result<(), Error> {
        ask!(self.db, webhooks::purge(delivered, created))
    }
}
