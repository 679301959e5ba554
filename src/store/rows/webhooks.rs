//! Values of webhooks.

use crate::domain::{
    ids::{ExternalId, TenantId},
    limits::Limit,
    time::Timestamp,
};

/// A webhook that a tenant asks for.
#[derive(Debug, Clone, Copy)]
pub struct NewWebhook<'a> {
    /// The id that it gets, if there is none at its address.
    pub id: &'a str,
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Where its events go.
    pub url: &'a str,
    /// The tenant's `meetingID`; all meetings without it.
    pub meeting: Option<&'a str>,
    /// Names of events in lower case, with commas; all events without it.
    pub events: Option<&'a str>,
    /// The label of the secret that signed the call.
    pub secret: &'a str,
    /// Now.
    pub now: Timestamp,
    /// How many the tenant may have.
    pub most: Limit<u32>,
}

/// What has become of a webhook that a tenant asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddedWebhook {
    /// It is there.
    New,
    /// The tenant has one at this address, with this id.
    Known(String),
    /// The tenant has as many as it may have.
    Full,
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its `hookID`.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its events go.
    pub url: String,
    /// The tenant's `meetingID`; all meetings without it.
    pub meeting: Option<ExternalId>,
    /// Names of events in lower case, with commas; all events without it.
    pub events: Option<String>,
    /// The label of the secret that signed the `hooks/create`.
    pub secret: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its next event may be sent.
    pub due_at: Timestamp,
    /// Failed tries in a row.
    pub tries: u32,
    /// Since when all tries have failed.
    pub failing_since: Option<Timestamp>,
    /// Until when the gateway that has claimed it holds it.
    pub held_until: Timestamp,
    /// What the last try came to.
    pub result: Option<String>,
}

/// A webhook, as far as events ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredWebhook {
    /// Its `hookID`.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's `meetingID`; all meetings without it.
    pub meeting: Option<ExternalId>,
    /// Names of events in lower case, with commas; all events without it.
    pub events: Option<String>,
}

/// An event for webhooks of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// The ids of its webhooks that get it.
    pub webhooks: Vec<String>,
    /// A digest by which the same is known again.
    pub content: Vec<u8>,
    /// What the tenant gets.
    pub body: String,
}

/// For how many webhooks an event was kept. Webhooks that have it already, and those that are gone, count to neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedEvent {
    /// It waits for them now.
    pub kept: u64,
    /// There was no room.
    pub dropped: u64,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number: later ones have higher numbers.
    pub id: i64,
    /// What the tenant gets.
    pub body: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// What a claimed webhook is given free with.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// What the last try came to, in words; `None` where there was none.
    pub result: Option<&'a str>,
    /// Failed tries in a row.
    pub tries: u32,
    /// Since when all tries have failed.
    pub failing_since: Option<Timestamp>,
    /// When the next event may be sent.
    pub due_at: Timestamp,
}
