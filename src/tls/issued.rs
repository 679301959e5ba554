//! [`Issued`]: the certificates that the store has. Their names and dates are in memory, chain and key come from the
//! [`Source`] when a name is first asked for.

use std::sync::Arc;

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::{certs::CertName, slot::Slot};
use crate::domain::{host::Host, time::Timestamp};

/// Chain (PEM) and private key (PKCS#8 in DER, or PEM).
pub type Pair = (Vec<u8>, Vec<u8>);

/// Where the chain and the key of an issued certificate are.
pub trait Source: Send + Sync {
    /// Chain and key of a name; `None` when there is no such certificate any more.
    ///
    /// # Errors
    /// Why it cannot be read, in words for the log, without any secret.
    fn load(&self, name: &CertName) -> BoxFuture<'static, Result<Option<Pair>, String>>;
}

/// An issued certificate, as far as it must be known before anybody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub name: CertName,
    /// The last second it is good.
    pub not_after: Timestamp,
    /// Changes with each new certificate of the name.
    pub version: i64,
}

/// The issued certificates by name.
#[derive(Debug, Default)]
pub struct Issued {
    exact: DashMap<Host, Arc<Slot>>,
    /// Wildcards by their parent name.
    below: DashMap<Host, Arc<Slot>>,
    /// Tells those that wait for their first certificate.
    pub(super) arrived: Arc<Notify>,
}

impl Issued {
    /// Adds one, or replaces that of the same name. If that one has been loaded, it is served until this one is. Returns the new
    /// one, unless it is the same.
    pub(super) fn put(&self, entry: Entry) -> Option<Arc<Slot>> {
        let Entry { name, not_after, version } = entry;
        let (family, host) = self.place(&name);
        let host = host.clone();
        let old = family.get(&host).map(|slot| Arc::clone(&slot));
        let slot = Slot::of_store(name, not_after, version, old.as_deref());
        if old.is_some_and(|old| *old == slot && old.not_after == slot.not_after) {
            return None;
        }
        let slot = Arc::new(slot);
        family.insert(host, Arc::clone(&slot));
        self.arrived.notify_waiters();
        Some(slot)
    }

    /// Removes one.
    pub fn remove(&self, name: &CertName) {
        let (family, host) = self.place(name);
        family.remove(host);
    }

    /// Whether there is one for a host (lower case), its own or a wildcard.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.find(host).any(|_| true)
    }

    /// Number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each name, and the last second its certificate is good.
    pub fn expiries(&self) -> impl Iterator<Item = (CertName, Timestamp)> {
        self.exact.iter().chain(self.below.iter()).map(|slot| (slot.name.clone(), slot.not_after))
    }

    /// The certificates for a host (lower case): its own, then the wildcard of the name above it.
    pub(super) fn find(&self, host: &str) -> impl Iterator<Item = Arc<Slot>> {
        let of = |family: &DashMap<Host, Arc<Slot>>, host: &str| family.get(host).map(|slot| Arc::clone(&slot));
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let below = move || parent.and_then(|parent| of(&self.below, parent));
        of(&self.exact, host).into_iter().chain(std::iter::once_with(below).flatten())
    }

    fn place<'a>(&self, name: &'a CertName) -> (&DashMap<Host, Arc<Slot>>, &'a Host) {
        match name {
            CertName::Exact(host) => (&self.exact, host),
            CertName::Below(parent) => (&self.below, parent),
        }
    }
}
