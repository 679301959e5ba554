//! [`Presence`]: on which servers each tenant has meetings, which is what its browsers may reach.

use std::{collections::HashMap, sync::Arc};

use dashmap::DashMap;

use super::{
    fresh::{Moment, Touched},
    meeting::Meeting,
};
use crate::domain::{
    ids::{ServerId, TenantId},
    time::Timestamp,
};

/// Where the meetings of all tenants are.
#[derive(Debug, Default)]
pub struct Presence(DashMap<TenantId, HashMap<ServerId, OnServer>>);

/// The meetings of a tenant on a server.
#[derive(Debug, Default)]
struct OnServer {
    meetings: u32,
    touched: Arc<Touched>,
    /// Until when what follows the end of those that have ended is carried; `None` where none has.
    carried_until: Option<Timestamp>,
}

impl Presence {
    /// Whether a tenant has, or had a moment ago, a meeting on a server.
    #[must_use]
    pub fn reaches(&self, tenant: &TenantId, server: &ServerId, now: Timestamp) -> bool {
        self.0.get(tenant).is_some_and(|of_tenant| {
            of_tenant.get(server).is_some_and(|p| p.meetings > 0 || p.carried_until.is_some_and(|until| now < until))
        })
    }

    /// The servers on which a tenant has meetings now, with the time of the last change to them.
    #[must_use]
    pub fn servers_of(&self, tenant: &TenantId) -> Vec<(ServerId, Moment)> {
        self.0.get(tenant).map_or_else(Vec::new, |of_tenant| {
            let present = of_tenant.iter().filter(|(_, p)| p.meetings > 0);
            present.map(|(id, p)| (id.clone(), p.touched.at())).collect()
        })
    }

    /// How many meetings of a tenant run.
    #[must_use]
    pub fn meetings_of(&self, tenant: &TenantId) -> u32 {
        self.0.get(tenant).map_or(0, |of_tenant| of_tenant.values().fold(0, |all, p| all.saturating_add(p.meetings)))
    }

    /// A meeting runs from now on.
    pub(super) fn add_meeting(&self, meeting: &Meeting) {
        let mut of_tenant = self.0.entry(meeting.tenant.clone()).or_default();
        let here = of_tenant.entry(meeting.server.clone()).or_default();
        here.meetings = here.meetings.saturating_add(1);
        let _ = meeting.touched_on_server.set(Arc::clone(&here.touched));
    }

    /// A meeting runs no longer.
    pub(super) fn remove_meeting(&self, meeting: &Meeting) {
        if let Some(mut of_tenant) = self.0.get_mut(&meeting.tenant)
            && let Some(here) = of_tenant.get_mut(&meeting.server)
        {
            here.meetings = here.meetings.saturating_sub(1);
        }
    }

    /// What follows the end of a meeting is carried until then.
    pub(super) fn carry_on(&self, meeting: &Meeting, until: Timestamp) {
        let mut of_tenant = self.0.entry(meeting.tenant.clone()).or_default();
        let here = of_tenant.entry(meeting.server.clone()).or_default();
        here.carried_until = here.carried_until.max(Some(until));
    }
}
