//! [`GetUser`]: one Greenlight that serves all tenants asks for the address and the secret of each by a name. Who may ask, and
//! whose secret a name stands for.

use std::{net::IpAddr, sync::Arc};

use super::{
    directory::Directory,
    host::Host,
    network::Network,
    secret::Secret,
    tenant::{ApiSecret, Tenant},
    time::Timestamp,
};

/// How the call is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetUser {
    /// The host that answers it: one of a tenant's.
    pub host: Host,
    /// Signs the call.
    pub secret: Secret,
    /// The addresses that may ask.
    pub sources: Vec<Network>,
    /// The account whose secret is in the answer.
    pub account: Box<str>,
    /// Names are what the hosts of tenants have before these.
    pub domains: Vec<Host>,
}

/// What there is to tell of a tenant.
#[derive(Debug)]
pub struct Found<'a> {
    /// The tenant.
    pub tenant: &'a Arc<Tenant>,
    /// Its host of the name.
    pub host: Host,
    /// Its secret.
    pub secret: &'a ApiSecret,
}

impl GetUser {
    /// Whether an address may ask.
    #[must_use]
    pub fn may_ask(&self, source: IpAddr) -> bool {
        self.sources.iter().any(|network| network.contains(source))
    }

    /// Whom a name stands for: the tenant that has its host below a domain, and a good secret of the account. `None` where there
    /// is none, and where the name stands for two.
    #[must_use]
    pub fn find<'a>(&self, directory: &'a Directory, name: &str, now: Timestamp) -> Option<Found<'a>> {
        let hosts = self.domains.iter().filter_map(|domain| format!("{name}.{}", domain.as_str()).parse::<Host>().ok());
        let mut found = hosts.filter_map(|host| Some((directory.tenant_of_host(host.as_str(), now)?, host)));
        let (tenant, host) = found.next()?;
        if found.any(|(other, _)| other.id != tenant.id) {
            return None;
        }
        let credential = tenant.credentials.iter().find(|credential| *credential.name == *self.account)?;
        let secret = credential.secrets.iter().find(|secret| secret.is_good(now))?;
        Some(Found { tenant, host, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        calendar::Calendar,
        fixtures::{credential, tenant},
    };

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn customer(id: &str, hosts: &[&str], account: &str, secrets: &[&str]) -> Arc<Calendar> {
        let hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect();
        let credentials = vec![credential("other", &["of-another-account"]), credential(account, secrets)];
        let mut customer = Tenant { id: id.parse().expect("an id"), hosts, credentials, ..tenant(id) };
        if let Some(old) = customer.credentials[1].secrets.get_mut(1) {
            old.not_after = Some(Timestamp::EPOCH);
        }
        Arc::new(Calendar::new(Arc::new(customer), Vec::new()))
    }

    #[test]
    fn a_name_stands_for_one_tenant_or_for_none() {
        let greenlight = "greenlight";
        let directory = Directory::new(
            vec![
                customer("wagtail", &["wagtail.meet.example", "meet.wagtail.example"], greenlight, &["new", "old"]),
                customer("heron", &["heron.meet.example", "meet.heron.example"], "moodle", &["theirs"]),
                customer("plover", &["twice.meet.example", "eu.plover.meet.example"], greenlight, &["plovers"]),
                customer("robin", &["twice.rooms.example", "robin.rooms.example"], greenlight, &["robins"]),
            ],
            Vec::new(),
        );
        let domains = ["meet.example", "rooms.example"].map(|domain| domain.parse().expect("a host"));
        let calls = GetUser {
            host: "wagtail.meet.example".parse().expect("a host"),
            secret: Secret::new("of-the-call"),
            sources: vec!["10.0.0.0/8".parse().expect("a network")],
            account: greenlight.into(),
            domains: domains.into(),
        };
        for (name, expected) in [
            ("wagtail", Some(("wagtail.meet.example", "new"))),
            ("Wagtail", Some(("wagtail.meet.example", "new"))),
            ("robin", Some(("robin.rooms.example", "robins"))),
            ("eu.plover", Some(("eu.plover.meet.example", "plovers"))),
            ("meet", None),
            ("heron", None),
            ("twice", None),
            ("unknown", None),
            ("", None),
            ("wagtail.meet.example/x?", None),
        ] {
            let found = calls.find(&directory, name, NOW);
            let found = found.as_ref().map(|found| (found.host.as_str(), found.secret.secret.reveal()));
            assert_eq!(found, expected, "{name}");
        }
        for (source, may) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("192.0.2.1", false)] {
            assert_eq!(calls.may_ask(source.parse().expect("an address")), may, "{source}");
        }
    }
}
