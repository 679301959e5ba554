//! Webhooks: `hooks/*` for each tenant, fed by one hook of the gateway's at each server.
//!
//! A tenant registers addresses (`registry`). While it has some, the servers that it may use have a hook of the gateway's
//! (`servers`), and call that with the events of all their meetings. Each event is written down for the webhooks of the tenant
//! whose meeting it is about (`receive`, `owner`), and then delivered from the store (`deliver`): by any gateway, in order.

mod at_server;
mod calls;
mod code;
pub mod deliver;
pub mod forget;
mod hosts;
mod message;
mod owner;
pub(crate) mod receive;
pub(crate) mod registry;
pub mod servers;
pub(crate) mod unknown;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use dashmap::{DashMap, DashSet};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use crate::{
    domain::ids::{ExternalId, ServerId, TenantId},
    meetings::Meetings,
    shares::Shares,
    store::Error,
};
use at_server::AtServer;
use code::Codes;
use unknown::Unknown;

/// What all webhooks share.
#[derive(Debug)]
pub struct Webhooks {
    codes: Codes,
    /// As the store had them last: what events ask, so that those of tenants without webhooks cost no access to the store.
    registered: ArcSwap<Registered>,
    /// One reading at a time, so that the last one stays, with the time at which that began. Tokio's, since it is held while the
    /// store answers.
    reading: Mutex<Option<Instant>>,
    /// Calls of servers that use the store, by server: seats need its connections, too.
    receipts: Arc<Shares<ServerId, ()>>,
    /// There may be something to be delivered.
    wake: Notify,
    /// There may be other webhooks than before.
    changed: Notify,
    /// What is known of the gateway's hook at each server.
    at_servers: DashMap<ServerId, AtServer>,
    /// Servers that have called though no tenant's webhooks need their events.
    leftover: DashSet<ServerId>,
    unknown: Unknown,
}

/// The webhooks of each tenant that has some, the oldest first.
type Registered = HashMap<TenantId, Vec<Webhook>>;

/// A webhook, as far as events ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Webhook {
    id: String,
    meeting: Option<ExternalId>,
    events: Option<String>,
}

impl Webhooks {
    /// Webhooks whose addresses for servers are made with this key, the same on every gateway of an installation.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            codes: Codes::new(key),
            registered: ArcSwap::default(),
            reading: Mutex::default(),
            receipts: Shares::new(receive::RECEIPTS),
            wake: Notify::new(),
            changed: Notify::new(),
            at_servers: DashMap::new(),
            leftover: DashSet::new(),
            unknown: Unknown::new(),
        }
    }

    /// Whether a code is that of the gateway's address for the server with this slug. Takes constant time.
    pub(crate) fn is_code(&self, slug: &str, code: &str) -> bool {
        self.codes.is_of(slug, code)
    }

    /// The gateway's address for the server with this slug, on a host.
    pub(crate) fn address(&self, host: &str, slug: &str) -> String {
        self.codes.address(host, slug)
    }
}

/// Takes over the webhooks that there are now.
///
/// # Errors
/// When the store fails.
pub async fn read(meetings: &Meetings) -> Result<(), Error> {
    read_since(meetings, Instant::now()).await
}

/// The same, unless they were read since a time.
async fn read_since(meetings: &Meetings, since: Instant) -> Result<(), Error> {
    let webhooks = &meetings.webhooks;
    let mut last = webhooks.reading.lock().await;
    if last.is_some_and(|last| last > since) {
        return Ok(());
    }
    let begun = Instant::now();
    let mut registered = Registered::new();
    for row in meetings.store.webhooks().registered().await? {
        let (id, meeting, events) = (row.id, row.meeting, row.events);
        registered.entry(row.tenant).or_default().push(Webhook { id, meeting, events });
    }
    if **webhooks.registered.load() != registered {
        webhooks.registered.store(Arc::new(registered));
        webhooks.changed.notify_one();
    }
    *last = Some(begun);
    Ok(())
}
