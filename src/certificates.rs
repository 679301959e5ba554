//! The life cycle of certificates: which names need one, when it is ordered and renewed, where it is kept, and what the operator
//! sees of it.
//!
//! ```text
//! worker    on the gateway that leads: takes names whose time has come, a few at once
//! turn      one name: what its certificate says, DNS, an order, the next time
//! waiting   DNS before an order, and the wait for it
//! proof     what an order asks of its owner: budget, TXT records, answers on port 443, progress
//! refusal   why there was no certificate, and when the next try is
//! view, import      what the operator sees and does
//! certificates.rs   what all gateways do: follow the store, answer challenges
//! authorities, vault, answer, hook, names, schedule, budget, seal      parts, which know nothing of each other
//! ```
//!
//! The protocol is `acme`'s, questions to name servers are `dns`'s, handshakes are `tls`'s.

mod answer;
mod authorities;
mod budget;
mod hook;
mod import;
mod names;
mod proof;
mod refusal;
mod schedule;
mod seal;
mod turn;
mod vault;
mod view;
mod waiting;
mod worker;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU32},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use tokio::sync::Notify;

pub use answer::{Answers, PATH};
pub use import::{ImportError, Imported};
pub use vault::Vault;
pub use view::{Domain, Filter, State};
pub use worker::run;

pub use crate::acme::Reason;

use crate::{
    acme::{RECORD_PREFIX, tls_alpn_certificate},
    dns::Dns,
    domain::{
        directory::Directory,
        host::Host,
        issuance::Issuance,
        time::{Clock, Timestamp},
    },
    metrics::CertificateMetrics,
    store::{self, Store},
    tls::{Tls, brought::Certs, certs::CertName, issued::Entry},
};
use authorities::Known;
use names::Names;

/// Clocks of gateways differ, and transactions end later than they begin: this far behind the last change that was seen, changes
/// are read again.
const OVERLAP: Duration = Duration::from_secs(600);
/// Challenges that are kept in memory: many times as many as are open at once.
const CHALLENGES_MAX: u32 = 1024;

/// What the life cycle is made of.
pub struct Parts {
    /// The current time.
    pub clock: Clock,
    /// The store, with the keys to what is encrypted in it.
    pub vault: Vault,
    /// Handshakes.
    pub tls: Arc<Tls>,
    /// How certificates are ordered; `None` where none are.
    pub issuance: Option<Arc<Issuance>>,
    /// Trust roots for authorities.
    pub roots: RootCertStore,
    /// Name servers; those of the system where there are none.
    pub resolver: Vec<SocketAddr>,
    /// The counters.
    pub metrics: Arc<CertificateMetrics>,
}

/// The life cycle of the certificates of a gateway.
pub struct Certificates {
    clock: Clock,
    vault: Vault,
    tls: Arc<Tls>,
    issuance: Option<Arc<Issuance>>,
    authorities: Vec<Known>,
    dns: Dns,
    answers: Arc<Answers>,
    metrics: Arc<CertificateMetrics>,
    /// All hosts of the configuration, with their tenants: what the operator may ask for.
    hosts: ArcSwap<view::Hosts>,
    /// Wakes the worker.
    wake: Notify,
    /// How many names wait for another try, as the leading gateway has last counted them.
    waiting: AtomicU32,
    /// The time of the last change in the store that was seen.
    seen: Mutex<Timestamp>,
    /// Held from reading or writing certificates in the store until the same is in service: of two changes the later one counts.
    following: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("names", &self.answers.names().len()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads what the store has. No authority is asked.
    ///
    /// # Errors
    /// In words: the store fails, a key is encrypted with one that is not configured, or a trust root cannot be read.
    pub async fn open(parts: Parts) -> Result<Arc<Self>, String> {
        let Parts { clock, vault, tls, issuance, roots, resolver, metrics } = parts;
        let key = match &issuance {
            Some(_) => Some(vault.account().await?),
            None => None,
        };
        let authorities = match &issuance {
            Some(issuance) => authorities::known(issuance, &roots, &clock)?,
            None => Vec::new(),
        };
        let answers = Arc::new(Answers::new(key, Arc::clone(&tls)));
        if let Some(issuance) = &issuance {
            let ours = Arc::downgrade(&answers);
            let is_ours = move |host: &Host| ours.upgrade().is_some_and(|ours| ours.names().has_host(host));
            tls.first_hello().set(issuance.on_demand_wait, is_ours);
        }
        let opened = Self {
            clock,
            vault,
            tls: Arc::clone(&tls),
            issuance,
            authorities,
            dns: Dns::new(&resolver),
            answers,
            metrics,
            hosts: ArcSwap::default(),
            wake: Notify::new(),
            waiting: AtomicU32::new(0),
            seen: Mutex::new(Timestamp::EPOCH),
            following: tokio::sync::Mutex::default(),
        };
        opened.follow().await.map_err(|error| error.to_string())?;
        opened.follow_challenges().await.map_err(|error| error.to_string())?;
        Ok(Arc::new(opened))
    }

    /// What answers challenges on port 80.
    #[must_use]
    pub fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// Whether certificates are ordered.
    #[must_use]
    pub fn is_ordering(&self) -> bool {
        self.issuance.is_some()
    }

    /// Takes over a configuration: its hosts, and the certificates that the operator has brought.
    pub fn configure(&self, directory: &Directory, brought: &Certs) {
        let names = Arc::new(Names::of(directory, brought, self.issuance.as_deref(), self.clock.now()));
        if *self.answers.names() != *names {
            self.answers.set(names);
        }
        self.hosts.store(Arc::new(view::Hosts::of(directory)));
        self.wake.notify_one();
    }

    /// Takes over what has been changed in the store, by this gateway or another.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn follow(&self) -> Result<(), store::Error> {
        let _following = self.following.lock().await;
        let since = self.seen.lock().unwrap_or_else(PoisonError::into_inner).saturating_sub(OVERLAP);
        let mut last = since;
        for known in self.store().certificates().changed_since(since).await? {
            // The clock of another gateway may be ahead.
            last = last.max(known.changed_at.min(self.clock.now()));
            let Ok(name) = known.name.parse::<CertName>() else {
                tracing::error!(name = known.name, "impossible row in certificates: not a name");
                continue;
            };
            if known.is_removed {
                self.tls.issued().remove(&name);
            } else {
                self.tls.put(Entry { name, not_after: known.not_after, version: known.version });
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(last);
        Ok(())
    }

    /// Takes over the open challenges of port 443.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn follow_challenges(&self) -> Result<(), store::Error> {
        let _following = self.following.lock().await;
        let open = self.store().certificates().challenges(self.clock.now(), CHALLENGES_MAX).await?;
        let shown = open.iter().filter(|row| !row.host.starts_with(RECORD_PREFIX)).filter_map(|row| {
            let host: Host = row.host.parse().ok()?;
            let certificate = tls_alpn_certificate(&host, &row.key_authorization);
            let certificate = certificate
                .inspect_err(|failure| tracing::error!(%host, why = failure.text, "no answer to a challenge"));
            Some((host, certificate.ok()?))
        });
        self.tls.challenges().set(shown);
        Ok(())
    }

    fn store(&self) -> &Store {
        &self.vault.store
    }
}

#[cfg(test)]
mod tests;
