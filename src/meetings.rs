//! The use cases: meetings are created, found, joined, listed and ended here, for the HTTP front, the poller, the other
//! gateways and the operator.
//!
//! Only this module writes both the state in memory and the store. It knows nothing of the HTTP requests of browsers, and
//! returns values or a [`Denial`].

mod about;
pub(crate) mod adopt;
pub(crate) mod breakouts;
pub mod callbacks;
pub(crate) mod create;
mod deliveries;
pub(crate) mod documents;
pub(crate) mod end;
pub(crate) mod find;
mod finding;
#[cfg(test)]
mod fixtures;
pub(crate) mod info;
mod last_known;
pub(crate) mod listing;
pub(crate) mod lists;
pub mod operate;
mod receivers;
pub(crate) mod reconcile;
pub(crate) mod recordings;
pub mod refill;
pub(crate) mod releases;
pub(crate) mod replaced;
pub(crate) mod rows;
pub(crate) mod seats;
pub(crate) mod settle;
mod tag;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::{
    domain::{admission, denial::Denial, directory::Directory, placement::Sight, tenant::Tenant, time::Clock},
    live::{Live, keyed::Keyed},
    metrics::Metrics,
    store::{Store, writer::Notes},
    supervise::{Round, Rounds},
    upstream::{Backends, Pool},
};
use callbacks::Callbacks;
use finding::Finding;
use webhooks::Webhooks;

/// How long an answer waits for what follows from it to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the use cases share.
#[derive(Debug)]
pub struct Meetings {
    /// The current time.
    pub clock: Clock,
    /// The configuration in service. One request uses one directory from start to end.
    pub directory: ArcSwap<Directory>,
    /// The state in memory: meetings, sessions and servers.
    pub live: Live,
    /// The durable state: reservations of rooms and seats.
    pub store: Store,
    /// The queue of writes that may follow later.
    pub notes: Notes,
    /// The client of the BBB servers.
    pub backends: Backends,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// When each loop has last made progress.
    pub rounds: Rounds,
    /// What servers tell of meetings, for the tenants.
    pub(crate) callbacks: Callbacks,
    /// What servers tell of meetings, for the tenants that have asked for it.
    pub(crate) webhooks: Webhooks,
    /// Whether other gateways place meetings too.
    sight: Sight,
    /// Bounds look-ups in the store.
    finding: Finding,
    /// One create at a time for a meeting.
    creating: Keyed,
    /// One question at a time about a breakout room.
    seeking: Keyed,
    /// One admission at a time for a tenant: those who would wait for each other in the store wait here, where they hold no
    /// connection.
    counting: Keyed,
    /// One change by the operator at a time, so that memory has what was written last. Tokio's, since it is held across the
    /// write.
    operating: Mutex<()>,
}

impl Meetings {
    /// Joins the parts. `live` has been refilled from the store.
    #[must_use]
    pub fn new(
        clock: Clock,
        directory: Arc<Directory>,
        live: Live,
        (store, notes): (Store, Notes),
        pool: Pool,
        (callbacks, webhooks): (Callbacks, Webhooks),
    ) -> Self {
        let sight = if store.is_shared() { Sight::Lagging } else { Sight::Whole };
        let backends = Backends::new(pool, Arc::clone(&live.servers));
        Self {
            clock,
            directory: ArcSwap::new(directory),
            live,
            store,
            notes,
            backends,
            metrics: Arc::default(),
            rounds: Rounds::default(),
            callbacks,
            webhooks,
            sight,
            finding: Finding::default(),
            creating: Keyed::default(),
            seeking: Keyed::default(),
            counting: Keyed::default(),
            operating: Mutex::default(),
        }
    }

    /// The loops of the gateway, and the writer of its store.
    pub fn loops(&self) -> impl Iterator<Item = &Round> {
        self.rounds.all().into_iter().chain([self.store.writing()])
    }

    /// Whether a tenant may create meetings and join them.
    ///
    /// # Errors
    /// [`Denial::TenantSuspended`].
    pub(crate) fn admit_tenant(&self, tenant: &Tenant) -> Result<(), Denial> {
        admission::admit_tenant(tenant, self.live.suspended.contains(&tenant.id))
    }

    /// Waits until the store has what was noted, since the caller may ask another gateway next. A slow store delays no answer
    /// for long: the notes are written all the same.
    pub(crate) async fn flush_notes(&self) {
        if self.store.is_shared() {
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.notes.flush()).await;
        }
    }
}
