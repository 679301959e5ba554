//! Whose recordings are whose, and which server has them. What a recording says of itself does not count.
//!
//! What servers have said of recordings last is kept in memory, at most `LAST_BYTES_MAX` of it, the least asked for first out:
//! while a server does not answer, its part of a list is made of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dashmap::DashMap;
use moka::sync::Cache;

use crate::domain::ids::{ExternalId, InternalId, ServerId, TenantId};

/// One recording, or the meeting that may leave one.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its `recordID`, which is the internal id of its meeting.
    pub id: InternalId,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The server that it was made on.
    pub server: ServerId,
}

/// What is kept of what servers have said: some 20,000 recordings.
const LAST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The recordings of all tenants; each tenant has its own, and is asked for by nobody else.
#[derive(Debug)]
pub struct Recordings {
    owned: DashMap<TenantId, BTreeMap<InternalId, Arc<Recording>>>,
    /// Whole elements as servers have sent them last, by id.
    last: Cache<Box<str>, Arc<str>>,
}

impl Default for Recordings {
    fn default() -> Self {
        let last = Cache::<Box<str>, Arc<str>>::builder().max_capacity(LAST_BYTES_MAX);
        let last =
            last.weigher(|id, element| u32::try_from(id.len().saturating_add(element.len())).unwrap_or(u32::MAX));
        Self { owned: DashMap::new(), last: last.build() }
    }
}

impl Recordings {
    /// Notes whose a recording is.
    pub fn add(&self, tenant: &TenantId, recording: Recording) {
        self.owned.entry(tenant.clone()).or_default().insert(recording.id.clone(), Arc::new(recording));
    }

    /// Forgets a recording that there will not be.
    pub fn remove(&self, tenant: &TenantId, id: &str) {
        if let Some(mut own) = self.owned.get_mut(tenant) {
            own.remove(id);
        }
    }

    /// A recording of a tenant.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, id: &str) -> Option<Arc<Recording>> {
        self.owned.get(tenant)?.get(id).map(Arc::clone)
    }

    /// What a server has said of a recording last.
    #[must_use]
    pub fn last(&self, id: &str) -> Option<Arc<str>> {
        self.last.get(id)
    }

    /// Notes what a server says of a recording.
    pub fn said(&self, id: &str, element: &str) {
        self.last.insert(id.into(), element.into());
    }

    /// A recording is about to be changed: what was said of it is out of date.
    pub fn changes(&self, id: &str) {
        self.last.invalidate(id);
    }

    /// The servers that have recordings of a tenant.
    #[must_use]
    pub fn servers(&self, tenant: &TenantId) -> BTreeSet<ServerId> {
        let own = self.owned.get(tenant);
        own.map_or_else(BTreeSet::new, |own| own.values().map(|recording| recording.server.clone()).collect())
    }

    /// The servers that have recordings of any tenant.
    #[must_use]
    pub fn all_servers(&self) -> BTreeSet<ServerId> {
        let of_tenant = |own: &BTreeMap<InternalId, Arc<Recording>>| -> Vec<ServerId> {
            own.values().map(|recording| recording.server.clone()).collect()
        };
        self.owned.iter().flat_map(|own| of_tenant(&own)).collect()
    }

    /// The recordings of a tenant whose ids begin with `start`, in the order of their ids; all of them for none.
    #[must_use]
    pub fn beginning_with(&self, tenant: &TenantId, start: &str) -> Vec<Arc<Recording>> {
        let Some(own) = self.owned.get(tenant) else { return Vec::new() };
        let from = own.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded));
        from.take_while(|(id, _)| id.as_str().starts_with(start)).map(|(_, recording)| Arc::clone(recording)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_found_by_its_own_tenant_alone() {
        let (wagtail, heron) = ("wagtail".parse().expect("an id"), "heron".parse().expect("an id"));
        let all = Recordings::default();
        for (tenant, id) in [(&wagtail, "aa1"), (&wagtail, "ab1"), (&wagtail, "b"), (&heron, "aa2")] {
            let server = "bbb-01".parse().expect("an id");
            all.add(tenant, Recording { id: InternalId::new(id), ext_id: ExternalId::new("room"), server });
        }
        let ids = |tenant, start| {
            all.beginning_with(tenant, start).iter().map(|found| found.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&wagtail, "a"), ["aa1", "ab1"]);
        assert_eq!(ids(&wagtail, ""), ["aa1", "ab1", "b"]);
        assert_eq!(ids(&heron, "a"), ["aa2"]);
        assert!(all.get(&heron, "aa1").is_none() && all.get(&wagtail, "aa1").is_some());
        assert!(ids(&"dove".parse().expect("an id"), "").is_empty());
    }
}
