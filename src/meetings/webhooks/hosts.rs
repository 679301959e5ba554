//! On which hosts a server may call the gateway with events. They are those of all tenants with meetings there, with their
//! session tokens: the name of the host must be the operator's, and lead nowhere else by the will of a tenant.

use super::{owner::may_use, unknown};
use crate::{
    domain::{directory::Directory, host::Host, tenant::Server},
    meetings::Meetings,
};

/// Whether a server needs a hook of the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A tenant with webhooks may use it.
    Hook,
    /// Another gateway may know a tenant that does.
    Unknown,
    None,
}

pub(super) fn need(meetings: &Meetings, directory: &Directory, server: &Server) -> Need {
    let now = meetings.clock.now();
    let registered = meetings.webhooks.registered.load();
    let mut tenants = registered.keys().filter_map(|tenant| directory.tenant_at(tenant.as_str(), now));
    match tenants.any(|tenant| may_use(meetings, directory, tenant, server, now)) {
        true => Need::Hook,
        false if unknown::has_any(meetings, directory) => Need::Unknown,
        false => Need::None,
    }
}

/// Whether a tenant with webhooks may use a server, as far as this gateway can know.
pub(super) fn is_needed(meetings: &Meetings, directory: &Directory, server: &Server) -> bool {
    need(meetings, directory, server) != Need::None
}

/// The hosts, those of tenants that may use the server first.
pub(super) fn hosts<'a>(meetings: &Meetings, directory: &'a Directory, server: &Server) -> Vec<&'a Host> {
    let now = meetings.clock.now();
    let (users, others): (Vec<_>, Vec<_>) =
        directory.tenants().partition(|tenant| may_use(meetings, directory, tenant, server, now));
    let hosts = users.into_iter().chain(others).flat_map(|tenant| &tenant.hosts);
    hosts.filter(|host| directory.is_of_operator(host)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{calendar::Calendar, fixtures, tenant::Tenant},
        meetings::fixtures::{LOOPBACK, opened},
    };

    #[tokio::test]
    async fn a_server_calls_on_hosts_of_the_operator_alone() {
        let (meetings, _, _, _dir) = opened(LOOPBACK).await;
        let tenant = |id: &str, pool: &str, hosts: &[&str]| Tenant {
            pools: [pool.parse().expect("an id")].into(),
            hosts: hosts.iter().map(|host| host.parse().expect("a host")).collect(),
            ..fixtures::tenant(id)
        };
        let tenants = [
            tenant("dove", "others", &["dove.meet.example"]),
            tenant("heron", "members", &["heron.example", "heron.meet.example"]),
            tenant("wagtail", "members", &["meet.wagtail.example"]),
        ];
        let tenants: Vec<_> =
            tenants.into_iter().map(|tenant| Arc::new(Calendar::new(Arc::new(tenant), Vec::new()))).collect();
        let server = fixtures::server("bbb-01", "members");
        let names = |domains: &[&str]| {
            let domains = domains.iter().map(|domain| domain.parse().expect("a host")).collect();
            let servers = vec![Arc::new(fixtures::server("bbb-01", "members"))];
            let directory = Directory::new(tenants.clone(), servers).with_base_domains(domains);
            hosts(&meetings, &directory, &server).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&["meet.example"]), ["heron.meet.example", "dove.meet.example"]);
        assert_eq!(names(&["other.example"]), Vec::<String>::new());
        assert_eq!(names(&[]), Vec::<String>::new(), "all are the tenants' own");
    }
}
