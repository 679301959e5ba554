//! Tenants that have webhooks, and are not in the configuration of this gateway: it has not their files yet, as another gateway
//! has, or they have left.

use std::time::Duration;

use crate::{
    bbb::{
        meeting_id::split,
        webhook::{Posted, about},
    },
    domain::{directory::Directory, ids::TenantId},
    meetings::Meetings,
};

/// How long the events of such a tenant are refused, so that the server calls again and reaches a gateway that has its file. Those
/// of one that has left are no reason for a server to drop the hook of all others: with the minute until a round notes the tenant
/// it is over before the server's last try, after 295 s.
const REFUSED_FOR: Duration = Duration::from_secs(180);

/// Whether there is such a tenant. Which servers it uses is not known here.
pub(super) fn has_any(meetings: &Meetings, directory: &Directory) -> bool {
    meetings.webhooks.registered.load().keys().any(|tenant| directory.tenant(tenant.as_str()).is_none())
}

/// Tells the operator of new ones, and forgets those that are there again.
pub(super) fn note(meetings: &Meetings, directory: &Directory) {
    let registered = meetings.webhooks.registered.load();
    let is_unknown = |tenant: &TenantId| directory.tenant(tenant.as_str()).is_none();
    meetings.webhooks.unknown.retain(|tenant, _| registered.contains_key(tenant) && is_unknown(tenant));
    for tenant in registered.keys().filter(|tenant| is_unknown(tenant)) {
        if !meetings.webhooks.unknown.contains_key(tenant) {
            tracing::warn!(%tenant, "tenant with webhooks is not in the configuration");
            meetings.webhooks.unknown.insert(tenant.clone(), meetings.clock.now());
        }
    }
}

/// Whether another gateway may know the tenant of one of these events: their server is to call again.
pub(crate) fn is_elsewhere(meetings: &Meetings, directory: &Directory, posted: &Posted<'_>) -> bool {
    let webhooks = &meetings.webhooks;
    let is_recent = |id: &str| {
        let tenant = id.parse::<TenantId>().ok().filter(|tenant| webhooks.registered.load().contains_key(tenant));
        let now = meetings.clock.now();
        let since = |tenant: &TenantId| webhooks.unknown.get(tenant).map_or(now, |since| *since);
        tenant.is_some_and(|tenant| now < since(&tenant).saturating_add(REFUSED_FOR))
    };
    let mut tenants = posted.events.iter().filter_map(|event| about(event).external.and_then(split));
    tenants.any(|(tenant, _)| directory.tenant(tenant).is_none() && is_recent(tenant))
}
