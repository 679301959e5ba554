//! Whose recordings are whose, and which server has them. What a recording says of itself does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dashmap::DashMap;

use crate::domain::ids::{ServerId, TenantId};

/// One recording, or the meeting that may leave one.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its `recordID`, which is the internal id of its meeting.
    pub id: Box<str>,
    /// The tenant's `meetingID`.
    pub ext_id: Box<str>,
    /// The server that it was made on.
    pub server: ServerId,
}

/// The recordings of all tenants; each tenant has its own, and is asked for by nobody else.
#[derive(Debug, Default)]
pub struct Recordings(DashMap<TenantId, BTreeMap<Box<str>, Arc<Recording>>>);

impl Recordings {
    /// Notes whose a recording is.
    pub fn add(&self, tenant: &TenantId, recording: Recording) {
        self.0.entry(tenant.clone()).or_default().insert(recording.id.clone(), Arc::new(recording));
    }

    /// Forgets a recording that there will not be.
    pub fn remove(&self, tenant: &TenantId, id: &str) {
        if let Some(mut own) = self.0.get_mut(tenant) {
            own.remove(id);
        }
    }

    /// A recording of a tenant.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, id: &str) -> Option<Arc<Recording>> {
        self.0.get(tenant)?.get(id).map(Arc::clone)
    }

    /// The servers that have recordings of a tenant.
    #[must_use]
    pub fn servers(&self, tenant: &TenantId) -> BTreeSet<ServerId> {
        let own = self.0.get(tenant);
        own.map_or_else(BTreeSet::new, |own| own.values().map(|recording| recording.server.clone()).collect())
    }

    /// The recordings of a tenant whose ids begin with `start`, in the order of their ids; all of them for none.
    #[must_use]
    pub fn beginning_with(&self, tenant: &TenantId, start: &str) -> Vec<Arc<Recording>> {
        let Some(own) = self.0.get(tenant) else { return Vec::new() };
        let from = own.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded));
        from.take_while(|(id, _)| id.starts_with(start)).map(|(_, recording)| Arc::clone(recording)).collect()
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
            all.add(tenant, Recording { id: id.into(), ext_id: "room".into(), server });
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
