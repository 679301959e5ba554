//! Webhooks of tenants, and the events that wait to be delivered to them.
//!
//! A gateway holds a webhook while it delivers its events, one after the other, so that no other gateway does and their order
//! stays.

use super::{
    db::{Db, ask},
    error::Error,
    rows::{AddedEvent, AddedWebhook, Claim, EventRow, NewEvent, NewWebhook, RegisteredWebhook, Tried, WebhookRow},
};
use crate::domain::{ids::TenantId, time::Timestamp, webhook::Waiting};

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

    /// Removes a webhook of a tenant with the events that wait, and tells the other gateways. Returns whether it was there; if
    /// not, they hear nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(self, tenant: &TenantId, id: &str) -> Result<bool, Error> {
        ask!(self.db, webhooks::remove(tenant.as_str(), id))
    }

    /// Removes a claimed webhook likewise, unless it was lost to another gateway or the operator wants it tried again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_claimed(self, webhook: &WebhookRow) -> Result<bool, Error> {
        ask!(self.db, webhooks::remove_claimed(webhook))
    }

    /// What events ask of the webhooks of all tenants, the oldest first.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn registered(self) -> Result<Vec<RegisteredWebhook>, Error> {
        ask!(self.db, webhooks::registered())
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

    /// Keeps an event for those of its webhooks that are there, have it not yet, and have room: `most` of a tenant may wait,
    /// shared as [`has_room`](crate::domain::webhook::has_room) says.
    ///
    /// # Errors
    /// When the store fails: it is kept for none.
    pub async fn add_event(self, now: Timestamp, most: Waiting, event: &NewEvent) -> Result<AddedEvent, Error> {
        ask!(self.db, webhooks::add_event(now, most, event))
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

    /// Writes down that an event is delivered. Returns whether its webhook is there still.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delivered(self, event: i64, now: Timestamp) -> Result<bool, Error> {
        ask!(self.db, webhooks::delivered(event, now))
    }

    /// Gives a claimed webhook free. If the operator has asked for a try meanwhile, only the result is written.
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

    /// Forgets events that were delivered before a time, `most` of them. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_delivered(self, before: Timestamp, most: u32) -> Result<u64, Error> {
        ask!(self.db, webhooks::forget_delivered(before, most))
    }

    /// Removes webhooks of meetings that have no row any more, if they were last made, asked for or claimed before a time: `most`
    /// of them. Tells the other gateways, and returns which ones.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn forget_unused(self, before: Timestamp, most: u32) -> Result<Vec<(TenantId, String)>, Error> {
        ask!(self.db, webhooks::forget_unused(before, most))
    }
}
