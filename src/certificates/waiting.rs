//! What DNS says about a name before an order, and how a name waits for it.

use super::{Certificates, authorities::Known, schedule, turn::shortened};
use crate::{
    acme::{Failure, Kind},
    dns,
    domain::issuance::Issuance,
    store::{DomainRow, DomainState, Error},
    tls::certs::CertName,
};

/// A name that waits for DNS.
pub(super) struct Waits {
    pub(super) reason: String,
    found: String,
    expected: String,
}

impl Certificates {
    /// Whether CAA records forbid that an authority issues: what DNS should say then.
    pub(super) async fn forbids(
        &self,
        known: &Known,
        name: &CertName,
        kind: Kind,
        issuance: &Issuance,
    ) -> Result<Option<Waits>, Failure> {
        if !issuance.precheck {
            return Ok(None);
        }
        let issuers = known.client.issuers().await?;
        let account = self.account(known).await?;
        let wanted = dns::Issuance { issuers: &issuers, account: Some(account.id()), method: Some(kind.as_str()) };
        let caa = self.dns.caa(name, &wanted).await;
        let waits = || Waits {
            reason: caa.advice(),
            found: caa.found(),
            expected: format!("a CAA record that allows {}, or none", known.host()),
        };
        Ok((!caa.is_allowed()).then(waits))
    }

    /// What DNS should say and does not; `None` where all is well, or nothing is looked at.
    pub(super) async fn look_at_dns(&self, name: &CertName, issuance: &Issuance) -> Option<Waits> {
        let CertName::Exact(host) = name else { return None };
        if !issuance.precheck {
            return None;
        }
        let expected = dns::Expected { addresses: issuance.addresses.clone(), target: issuance.target.clone() };
        let pointing = self.dns.pointing(host, &expected).await;
        let waits = || Waits { reason: pointing.advice(), found: pointing.found(), expected: words(&expected) };
        (!pointing.is_right()).then(waits)
    }

    pub(super) async fn wait_for_dns(&self, mut row: DomainRow, waits: Waits) -> Result<(), Error> {
        let now = self.clock.now();
        if row.state != DomainState::WaitingForDns {
            (row.state, row.since, row.failures) = (DomainState::WaitingForDns, now, 0);
        }
        row.failures = row.failures.saturating_add(1);
        row.reason = Some(shortened(&waits.reason));
        (row.found, row.expected) = (Some(shortened(&waits.found)), Some(shortened(&waits.expected)));
        row.next_at = schedule::after_waiting(&row.name, row.failures, now);
        self.store().certificates().set_domain(&row).await
    }
}

/// What DNS should say, as records.
fn words(expected: &dns::Expected) -> String {
    let target = expected.target.iter().map(|target| format!("CNAME {target}."));
    let addresses = expected.addresses.iter().map(|ip| match ip {
        std::net::IpAddr::V4(ip) => format!("A {ip}"),
        std::net::IpAddr::V6(ip) => format!("AAAA {ip}"),
    });
    let all: Vec<String> = target.chain(addresses).collect();
    if all.is_empty() { "an address".into() } else { all.join(", ") }
}
