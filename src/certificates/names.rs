//! [`Names`]: which names need a certificate, by the configuration.

use std::collections::BTreeMap;

use crate::{
    domain::{
        directory::Directory,
        host::Host,
        ids::TenantId,
        issuance::{Issuance, KeyKind},
        time::Timestamp,
    },
    tls::{brought::Certs, certs::CertName},
};

/// What a name needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// Whose host it is; `None` for a wildcard, which is of all tenants below it.
    pub(super) tenant: Option<TenantId>,
    /// The kind of key.
    pub(super) key: KeyKind,
}

/// The names that need a certificate of an authority: all hosts of tenants that no certificate of the operator covers that is within
/// its dates. With a DNS hook, a wildcard stands for the hosts right below a base domain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names(BTreeMap<CertName, Need>);

impl Names {
    /// Those of a configuration; none where nothing is ordered.
    pub(super) fn of(directory: &Directory, certs: &Certs, issuance: Option<&Issuance>, now: Timestamp) -> Self {
        let Some(issuance) = issuance else { return Self::default() };
        let mut names = BTreeMap::new();
        let is_brought = |host: &Host| certs.find(host.as_str()).any(|slot| slot.is_good(now));
        for tenant in directory.tenants() {
            for host in tenant.hosts.iter().filter(|host| !is_brought(host)) {
                let (name, need) = match issuance.wildcard_above(host, directory.base_domains()) {
                    Some(base) => (CertName::Below(base.clone()), Need { tenant: None, key: issuance.key }),
                    // Without a challenge, nothing but a wildcard can be had.
                    None if issuance.challenges.is_empty() => continue,
                    None => {
                        let key = tenant.certificate_key.unwrap_or(issuance.key);
                        (CertName::Exact(host.clone()), Need { tenant: Some(tenant.id.clone()), key })
                    }
                };
                names.insert(name, need);
            }
        }
        Self(names)
    }

    /// What a name needs; `None` for one that needs nothing.
    pub(super) fn need(&self, name: &CertName) -> Option<&Need> {
        self.0.get(name)
    }

    /// Whether this very host needs a certificate.
    pub(super) fn has_host(&self, host: &Host) -> bool {
        self.0.contains_key(&CertName::Exact(host.clone()))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&CertName, &Need)> {
        self.0.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name by which a host gets its certificate, if it needs one.
    pub(super) fn name_for(&self, host: &Host) -> Option<CertName> {
        let exact = CertName::Exact(host.clone());
        if self.0.contains_key(&exact) {
            return Some(exact);
        }
        let parent: Host = host.as_str().split_once('.')?.1.parse().ok()?;
        Some(CertName::Below(parent)).filter(|name| self.0.contains_key(name))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(CertName, Need); N]> for Names {
    fn from(names: [(CertName, Need); N]) -> Self {
        Self(names.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        domain::{
            calendar::Calendar,
            fixtures::tenant,
            issuance::{Authority, Budget, Challenge},
            tenant::Tenant,
        },
        tls::{certs::Cert, slot::Slot},
    };

    fn issuance(dns_hook: bool, challenges: &[Challenge]) -> Issuance {
        let authority = Authority {
            directory: "https://ca.example/dir".into(),
            contact: Vec::new(),
            root: None,
            external_account: None,
            profile: None,
        };
        Issuance {
            authority,
            fallback: None,
            key: KeyKind::Ecdsa,
            challenges: challenges.to_vec(),
            dns_hook: dns_hook.then(|| vec!["/bin/true".into()]),
            addresses: Vec::new(),
            target: None,
            precheck: true,
            on_demand_wait: std::time::Duration::ZERO,
            budget: Budget::default(),
        }
    }

    fn directory() -> Directory {
        let hosts = ["heron.meet.example", "a.heron.meet.example", "heron.example"];
        let heron = Tenant { hosts: hosts.map(|host| host.parse().expect("a host")).into(), ..tenant("heron") };
        let wagtail = Tenant { certificate_key: Some(KeyKind::Rsa), ..tenant("wagtail") };
        let calendars = [heron, wagtail].map(|tenant| Arc::new(Calendar::new(Arc::new(tenant), Vec::new())));
        Directory::new(calendars.into(), Vec::new()).with_base_domains(vec!["meet.example".parse().expect("a host")])
    }

    fn listed(names: &Names) -> Vec<String> {
        let key = |need: &Need| if need.key == KeyKind::Rsa { " rsa" } else { "" };
        let of = |need: &Need| need.tenant.as_ref().map_or("-".to_owned(), ToString::to_string);
        names.all().map(|(name, need)| format!("{name} {}{}", of(need), key(need))).collect()
    }

    #[test]
    fn each_host_needs_its_own_and_with_a_hook_a_wildcard_stands_for_those_below_a_base_domain() {
        let (directory, none, both) = (directory(), Certs::default(), [Challenge::Http01, Challenge::TlsAlpn01]);
        assert_eq!(listed(&Names::of(&directory, &none, None, Timestamp::EPOCH)), [""; 0], "nothing is ordered");
        let each = Names::of(&directory, &none, Some(&issuance(false, &both)), Timestamp::EPOCH);
        assert_eq!(
            listed(&each),
            [
                "a.heron.meet.example heron",
                "heron.example heron",
                "heron.meet.example heron",
                "wagtail.meet.example wagtail rsa"
            ]
        );
        let wild = Names::of(&directory, &none, Some(&issuance(true, &both)), Timestamp::EPOCH);
        assert_eq!(listed(&wild), ["a.heron.meet.example heron", "heron.example heron", "*.meet.example -"]);
        let name_for = |host: &str| wild.name_for(&host.parse().expect("a host")).map(|name| name.to_string());
        assert_eq!(name_for("heron.meet.example").as_deref(), Some("*.meet.example"));
        assert_eq!(name_for("heron.example").as_deref(), Some("heron.example"));
        assert_eq!(name_for("other.example"), None);
        assert!(!wild.has_host(&"heron.meet.example".parse().expect("a host")), "HTTP-01 is not for it");
        let only_dns = Names::of(&directory, &none, Some(&issuance(true, &[])), Timestamp::EPOCH);
        assert_eq!(listed(&only_dns), ["*.meet.example -"], "there is no way to the others");
    }

    #[test]
    fn a_host_needs_one_while_that_of_the_operator_is_outside_its_dates() {
        let names = ["wagtail.meet.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a legal name");
        let name: CertName = "wagtail.meet.example".parse().expect("a name");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let cert = Cert::parse(&name, chain.as_bytes(), key.as_bytes()).expect("sound");
        let certs: Certs =
            [Arc::new(Slot::of_files(name.clone(), Path::new("certs").into(), &cert, true))].into_iter().collect();
        let issuance = issuance(false, &[Challenge::Http01]);
        let second = std::time::Duration::from_secs(1);
        for (now, is_needed) in [
            (cert.not_before.saturating_sub(second), true),
            (cert.not_before, false),
            (cert.not_after, false),
            (cert.not_after.saturating_add(second), true),
        ] {
            let names = Names::of(&directory(), &certs, Some(&issuance), now);
            assert_eq!(names.need(&name).is_some(), is_needed, "{now}");
        }
    }
}
