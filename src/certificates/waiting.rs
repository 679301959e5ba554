//! What DNS says about a name before an order, and how a name waits for it.

use super::{Certificates, authorities::Known, schedule, turn::shortened};
use crate::{
    acme::{Failure, Kind},
    dns::{self, CaaVerdict, PointingVerdict, Trouble},
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
    /// The first way to prove a name that CAA records allow at an authority (RFC 8659, RFC 8657), else what DNS should say. A renewal
    /// goes on where that cannot be found out: the authority asks its own name servers.
    pub(super) async fn allowed(
        &self,
        known: &Known,
        name: &CertName,
        kinds: &[Kind],
        issuance: &Issuance,
        is_renewal: bool,
    ) -> Result<Result<Kind, Waits>, Failure> {
        let first = kinds.first().copied().unwrap_or(Kind::Http01);
        if !issuance.precheck {
            return Ok(Ok(first));
        }
        let issuers = known.client.issuers().await?;
        let account = self.account(known).await?;
        let look = async |kind: Kind| {
            let wanted = dns::Issuance { issuers: &issuers, account: Some(account.id()), method: Some(kind.as_str()) };
            self.dns.caa(name, &wanted).await
        };
        let caa = look(first).await;
        match caa.verdict() {
            CaaVerdict::Allowed => return Ok(Ok(first)),
            CaaVerdict::Failed(trouble) if is_renewal && is_vague(*trouble) => return Ok(Ok(first)),
            CaaVerdict::OtherMethod(_) => {
                for kind in kinds.iter().copied().filter(|kind| *kind != first) {
                    if look(kind).await.is_allowed() {
                        return Ok(Ok(kind));
                    }
                }
            }
            _ => {}
        }
        Ok(Err(Waits {
            reason: caa.advice(),
            found: caa.found(),
            expected: format!("a CAA record that allows {}, or none", known.host()),
        }))
    }

    /// What DNS should say and does not; `None` where all is well, or nothing is looked at. A renewal goes on where that cannot
    /// be found out: the authority asks its own name servers.
    pub(super) async fn look_at_dns(&self, name: &CertName, issuance: &Issuance, is_renewal: bool) -> Option<Waits> {
        let CertName::Exact(host) = name else { return None };
        if !issuance.precheck {
            return None;
        }
        let expected = dns::Expected { addresses: issuance.addresses.clone(), target: issuance.target.clone() };
        let pointing = self.dns.pointing(host, &expected).await;
        match pointing.verdict {
            PointingVerdict::Failed(trouble, _) if is_renewal && is_vague(trouble) => return None,
            _ if pointing.is_right() => return None,
            _ => {}
        }
        Some(Waits { reason: pointing.advice(), found: pointing.found(), expected: words(&expected) })
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

/// Whether others may see more: no name server answers, or the one that was asked could not find out.
fn is_vague(trouble: Trouble) -> bool {
    match trouble {
        Trouble::NoServer | Trouble::Timeout | Trouble::ServerFailure => true,
        Trouble::Dnssec | Trouble::Refused | Trouble::Loop | Trouble::Unreadable => false,
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
