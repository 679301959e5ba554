//! What webhooks share in memory.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use dashmap::{DashMap, DashSet};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use super::{at_server::AtServer, code::Codes};
use crate::{
    domain::{
        ids::{ExternalId, ServerId, TenantId},
        time::Timestamp,
    },
    shares::{Limits, Shares},
};

/// Calls of servers that use the store at a time, and those of one server: a quarter of its connections.
const RECEIPTS: Limits = Limits { total: 4, outer: 2, inner: 4, both: 2, waiting: 256 };

/// What all webhooks share.
#[derive(Debug)]
pub struct Webhooks {
    pub(super) codes: Codes,
    /// As the store had them last: what events ask, so that those of tenants without webhooks cost no access to the store.
    pub(super) registered: ArcSwap<Registered>,
    /// One reading at a time, so that the last one stays, with the time at which that began. Tokio's, since it is held while the
    /// store answers.
    pub(super) reading: Mutex<Option<Instant>>,
    /// Calls of servers that use the store, by server: seats need its connections, too.
    pub(super) receipts: Arc<Shares<ServerId, ()>>,
    /// There may be something to be delivered.
    pub(super) wake: Notify,
    /// There may be other webhooks than before.
    pub(super) changed: Notify,
    /// What is known of the gateway's hook at each server.
    pub(super) at_servers: DashMap<ServerId, AtServer>,
    /// Servers that have called though no tenant's webhooks need their events.
    pub(super) leftover: DashSet<ServerId>,
    /// Since when tenants with webhooks are known that are not in the configuration of this gateway.
    pub(super) unknown: DashMap<TenantId, Timestamp>,
}

/// The webhooks of each tenant that has some, the oldest first.
pub(super) type Registered = HashMap<TenantId, Vec<Webhook>>;

/// A webhook, as far as events ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) meeting: Option<ExternalId>,
    pub(super) events: Option<String>,
}

impl Webhooks {
    /// Webhooks whose addresses for servers are made with this key, the same on every gateway of an installation.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            codes: Codes::new(key),
            registered: ArcSwap::default(),
            reading: Mutex::default(),
            receipts: Shares::new(RECEIPTS),
            wake: Notify::new(),
            changed: Notify::new(),
            at_servers: DashMap::new(),
            leftover: DashSet::new(),
            unknown: DashMap::new(),
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
