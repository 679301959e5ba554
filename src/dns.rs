//! [`Dns`]: what name servers say about the hosts of tenants, and what that means.
//!
//! `lookup` asks; the verdicts (`pointing`, `caa`, `mail`) are pure. Each verdict has a sentence for the
//! person who edits the zone. It orders no certificate and keeps nothing: who asks again, and when, is the life cycle's business.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod caa;
mod lookup;
mod mail;
mod pointing;
mod spf;
mod words;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::proto::rr::{RData, RecordType, rdata::CAA};
use tokio::time::timeout;

pub use caa::{Caa, CaaVerdict, Issuance};
pub use lookup::Trouble;
pub use mail::{Mail, MailPart};
pub use pointing::{Expected, Pointing, PointingVerdict};

use crate::{
    domain::{host::Host, mail::MailFrom},
    tls::certs::CertName,
};
use lookup::{Lookup, Nothing};
use mail::{Texts, Walk};
use pointing::Facts;
use spf::QUERIES_MAX;
use words::ascii;

/// Time for one check of one name, however many questions it takes.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Names above a domain at which a DMARC record is looked for, as in RFC 9989, "DNS Tree Walk".
const DMARC_STEPS_MAX: usize = 8;

/// What authorities call themselves in CAA records (`caaIdentities`), by the host of their ACME directory: for checks that
/// must not ask the authority itself.
const AUTHORITIES: [(&str, &str); 6] = [
    ("acme-v02.api.letsencrypt.org", "letsencrypt.org"),
    ("acme-staging-v02.api.letsencrypt.org", "letsencrypt.org"),
    ("acme.zerossl.com", "sectigo.com"),
    ("dv.acme-v02.api.pki.goog", "pki.goog"),
    ("acme.ssl.com", "ssl.com"),
    ("api.buypass.com", "buypass.com"),
];

/// What the authority of an ACME directory calls itself in CAA records, where that is known without asking it.
#[must_use]
pub fn known_issuer(directory: &http::Uri) -> Option<&'static str> {
    let host = directory.host()?;
    AUTHORITIES.iter().find(|(of, _)| of.eq_ignore_ascii_case(host)).map(|(_, issuer)| *issuer)
}

/// Asks name servers about hosts. Clones are cheap; nothing is remembered between checks.
#[derive(Debug, Clone)]
pub struct Dns(Lookup);

impl Dns {
    /// Asks these name servers, or, where there are none, those of the system (`/etc/resolv.conf`).
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        Self(Lookup::new(servers))
    }

    /// Where a host points, and whether that is right.
    pub async fn pointing(&self, host: &Host, expected: &Expected) -> Pointing {
        let name = host.as_str();
        let looks = async {
            tokio::join!(
                self.0.aliases(name),
                self.0.addresses(name, RecordType::A),
                self.0.addresses(name, RecordType::AAAA),
                self.0.is_apex(name),
                self.target(expected),
            )
        };
        let late = || Err(Nothing::Failed(Trouble::Timeout));
        let (aliases, v4, v6, is_apex, target) = timeout(CHECK_TIMEOUT, looks)
            .await
            .unwrap_or_else(|_| (Err(Trouble::Timeout), late(), late(), false, Vec::new()));
        pointing::judge(Facts { host: host.clone(), aliases, v4, v6, is_apex, target }, expected)
    }

    /// Whether CAA records let a certificate authority issue for a name: those of the name itself, else of the first name
    /// above it that has any (RFC 8659, 3).
    pub async fn caa(&self, name: &CertName, issuance: &Issuance<'_>) -> Caa {
        let (host, is_wildcard) = match name {
            CertName::Exact(host) => (host, false),
            CertName::Below(host) => (host, true),
        };
        let climb = self.climb(name, host.as_str());
        match timeout(CHECK_TIMEOUT, climb).await {
            Ok(Ok((at, records))) => caa::judge(host.as_str(), is_wildcard, at, &records, issuance),
            Ok(Err(failed)) => failed,
            Err(_) => Caa::failed(name.to_string(), host.as_str(), Trouble::Timeout),
        }
    }

    /// The first name from the host up that has CAA records, and these.
    async fn climb<'h>(&self, name: &CertName, host: &'h str) -> Result<(&'h str, Vec<CAA>), Caa> {
        let mut at = host;
        loop {
            let records = match self.0.ask(at, RecordType::CAA).await {
                Ok(data) => data,
                Err(Nothing::NoName | Nothing::NoData) => Vec::new(),
                Err(Nothing::Failed(trouble)) => return Err(Caa::failed(name.to_string(), at, trouble)),
            };
            let records: Vec<_> = records
                .into_iter()
                .filter_map(|data| match data {
                    RData::CAA(record) => Some(record),
                    _ => None,
                })
                .collect();
            match at.split_once('.') {
                Some((_, parent)) if records.is_empty() => at = parent,
                _ => return Ok((at, records)),
            }
        }
    }

    /// The addresses of the expected target.
    async fn target(&self, expected: &Expected) -> Vec<IpAddr> {
        let Some(target) = &expected.target else { return Vec::new() };
        let (v4, v6) = tokio::join!(
            self.0.addresses(target.as_str(), RecordType::A),
            self.0.addresses(target.as_str(), RecordType::AAAA)
        );
        v4.unwrap_or_default().into_iter().chain(v6.unwrap_or_default()).collect()
    }

    /// Whether mail of a tenant will be believed.
    pub async fn mail(&self, from: &MailFrom) -> Mail {
        let domain = from.domain.as_str();
        let looks = async {
            let spf = async {
                let texts = self.0.texts(domain).await;
                let walk = self.walk(domain, &texts).await;
                mail::spf(domain, from.spf_include.as_ref().map(Host::as_str), &texts, &walk)
            };
            let keys = async {
                let mut parts = Vec::with_capacity(from.dkim_selectors.len());
                for selector in &from.dkim_selectors {
                    let texts = self.0.texts(&format!("{selector}._domainkey.{domain}")).await;
                    parts.push(mail::dkim(domain, selector.as_str(), texts));
                }
                parts
            };
            let policy = async {
                let (at, texts) = self.policy(domain).await;
                mail::dmarc(domain, &at, &texts)
            };
            let (mx, spf, keys, policy) = tokio::join!(self.exchanges(domain), spf, keys, policy);
            let mut parts = vec![mail::mx(domain, mx), spf];
            parts.extend(keys);
            parts.push(policy);
            parts
        };
        let parts = timeout(CHECK_TIMEOUT, looks)
            .await
            .unwrap_or_else(|_| vec![mail::mx(domain, Err(Nothing::Failed(Trouble::Timeout)))]);
        Mail { parts }
    }

    /// The preferences and names of mail servers.
    async fn exchanges(&self, domain: &str) -> Result<Vec<(u16, String)>, Nothing> {
        let data = self.0.ask(domain, RecordType::MX).await?;
        let servers = data.into_iter().filter_map(|data| match data {
            RData::MX(mx) => Some((mx.preference, ascii(&mx.exchange))),
            _ => None,
        });
        Ok(servers.collect())
    }

    /// Follows the names of an SPF record. Stops once there are too many questions.
    async fn walk(&self, domain: &str, texts: &Texts) -> Walk {
        let mut walk = Walk::default();
        let mut open: Vec<String> = vec![domain.to_owned()];
        let mut own = Some(texts.clone());
        while let Some(name) = open.pop() {
            let texts = match own.take() {
                Some(texts) => texts,
                None => self.0.texts(&name).await,
            };
            let is_own = name == domain;
            let records: Vec<&String> = texts.iter().flatten().filter(|text| spf::is_spf(text)).collect();
            let read = match (&texts, &*records) {
                (Err(Nothing::Failed(_)), _) => Err("cannot be looked up"),
                (_, [record]) => spf::read(record).map_err(|_| "has a term that nothing knows"),
                (_, []) => Err("has no SPF record"),
                (_, _) => Err("has several SPF records"),
            };
            match read {
                Ok(spf) => {
                    let before = walk.included.len();
                    walk.queries = walk.queries.saturating_add(spf.queries);
                    let names = spf.includes.into_iter().chain(spf.redirect);
                    walk.included.extend(names);
                    // Names with macros depend on the message.
                    let whole = walk.included[before..].iter().filter(|name| !name.contains('%'));
                    open.extend(whole.cloned());
                }
                // The caller has a verdict of its own for faults of the domain itself.
                Err(_) if is_own => return walk,
                Err(why) => walk.broken = walk.broken.or_else(|| Some((name, why.to_owned()))),
            }
            if walk.queries > QUERIES_MAX {
                return walk;
            }
        }
        walk
    }

    /// The first name from the domain up with a DMARC record, and its texts; those of the domain where there is none. The top
    /// of the tree has none for others.
    async fn policy(&self, domain: &str) -> (String, Texts) {
        let own = format!("_dmarc.{domain}");
        let first = self.0.texts(&own).await;
        let is_found = |texts: &Texts| matches!(texts, Ok(texts) if texts.iter().any(|text| mail::is_dmarc(text)));
        let is_failed = |texts: &Texts| matches!(texts, Err(Nothing::Failed(_)));
        if is_found(&first) || is_failed(&first) {
            return (own, first);
        }
        let mut above = domain;
        for _ in 0..DMARC_STEPS_MAX {
            match above.split_once('.') {
                Some((_, parent)) if parent.contains('.') => above = parent,
                _ => break,
            }
            let at = format!("_dmarc.{above}");
            let texts = self.0.texts(&at).await;
            if is_found(&texts) || is_failed(&texts) {
                return (at, texts);
            }
        }
        (own, first)
    }
}
