//! TLS termination: one configuration for all hosts, certificates selected by SNI from memory. Knows hosts, but no tenants
//! or policies.
//!
//! There is no default certificate: a name without one is refused before the handshake begins. Certificates that the
//! operator brought ([`brought`]) come before those that were issued ([`issued`]), and a host's own before a wildcard.
//! Their names are all in memory; chain and key are loaded at the first hello of a name.

pub mod brought;
pub mod certs;
pub mod challenges;
pub mod dev_ca;
pub mod first_hello;
mod intermediates;
pub mod issued;
mod loads;
pub mod provider;
pub mod slot;
pub mod tickets;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::domain::{
    host::Host,
    time::{Clock, Timestamp},
};
use brought::Certs;
use certs::CertName;
use challenges::Challenges;
use first_hello::FirstHello;
use issued::{Entry, Issued, Source};
use loads::Loads;
use slot::Slot;
use tickets::Tickets;

/// The TLS side of all listeners.
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    challenges: Arc<Challenges>,
    challenge_config: Arc<ServerConfig>,
    first_hello: FirstHello,
    loads: Arc<Loads>,
    source: Option<Arc<dyn Source>>,
}

/// The current certificates.
struct Current {
    brought: ArcSwap<Certs>,
    issued: Issued,
}

/// How a handshake goes on.
#[derive(Debug)]
pub enum Opening {
    /// With this configuration. The certificate of the host is in memory.
    Serve(Arc<ServerConfig>),
    /// With this one, and the connection ends with the handshake: an ACME server looks at the answer to a challenge.
    Challenge(Arc<ServerConfig>),
    /// The certificate has to be loaded, or there is none yet: see [`Tls::prepare`].
    Prepare,
    /// There is no such host.
    Unknown,
}

/// Result of [`Tls::prepare`].
#[derive(Debug)]
pub enum Prepared {
    /// The certificate is in memory now: the handshake goes on with this configuration.
    Serve(Arc<ServerConfig>),
    /// There is none, nor did one arrive in time.
    Unknown,
    /// There is one, but it cannot be loaded.
    Failed,
}

impl Tls {
    /// TLS 1.2 and 1.3, `h2` where `http2` says so, and resumption by tickets that no server keeps a copy of: those that are
    /// `shared` with other gateways, else tickets of its own, whose keys rotate (rustls: every six hours).
    ///
    /// # Errors
    /// When the system gives no randomness for the ticket keys.
    ///
    /// # Panics
    /// Never: the provider's defaults are consistent.
    pub fn new(certs: Certs, http2: bool, shared: Option<Arc<Tickets>>) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current { brought: ArcSwap::from_pointee(certs), issued: Issued::default() });
        let mut config = server_config(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.ticketer = match shared {
            Some(tickets) => tickets,
            None => rustls::crypto::aws_lc_rs::Ticketer::new()?,
        };
        // One ticket per handshake is what browsers and clients use.
        config.send_tls13_tickets = 1;
        config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        config.alpn_protocols.push(b"http/1.1".to_vec());
        let challenges = Arc::<Challenges>::default();
        let mut challenge_config = server_config(Arc::clone(&challenges) as Arc<dyn ResolvesServerCert>);
        challenge_config.send_tls13_tickets = 0;
        challenge_config.alpn_protocols = vec![challenges::PROTOCOL.to_vec()];
        let first_hello = FirstHello::new(Arc::clone(&current.issued.arrived));
        Ok(Self {
            current,
            config: Arc::new(config),
            challenges,
            challenge_config: Arc::new(challenge_config),
            first_hello,
            loads: Arc::default(),
            source: None,
        })
    }

    /// The same with a source of issued certificates.
    #[must_use]
    pub fn with_source(self, source: Arc<dyn Source>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Replaces all certificates of the operator, for new handshakes.
    pub fn swap(&self, certs: Certs) {
        self.current.brought.store(Arc::new(certs));
        self.current.issued.arrived.notify_waiters();
    }

    /// The current certificates of the operator.
    #[must_use]
    pub fn certs(&self) -> Arc<Certs> {
        self.current.brought.load_full()
    }

    /// The issued certificates.
    #[must_use]
    pub fn issued(&self) -> &Issued {
        &self.current.issued
    }

    /// Adds an issued certificate, or replaces that of the same name. If that one has been loaded, it is served until this one is
    /// loaded, which begins at once.
    pub fn put(&self, entry: Entry) {
        let replaced = self.issued().put(entry);
        if let Some(slot) = replaced.filter(|slot| slot.is_old()) {
            self.loads.refresh(&slot, self.source.as_ref());
        }
    }

    /// The answers to `acme-tls/1`.
    #[must_use]
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// The hosts that wait for their first certificate.
    #[must_use]
    pub fn first_hello(&self) -> &FirstHello {
        &self.first_hello
    }

    /// Each name that has a certificate, with the last second the one is good that is served for it.
    #[must_use]
    pub fn expiries(&self) -> Vec<(CertName, Timestamp)> {
        let brought = self.certs();
        let mut all: Vec<_> = brought.expiries().map(|(name, at)| (name.clone(), at)).collect();
        all.extend(self.issued().expiries().filter(|(name, _)| !brought.has(name)));
        all
    }

    /// Chains and keys that were loaded, and those that failed to.
    #[must_use]
    pub fn loads(&self) -> (u64, u64) {
        (self.loads.done.load(Relaxed), self.loads.failed.load(Relaxed))
    }

    /// Waits until the certificate of a host is loaded from files that have been changed since they were last checked.
    ///
    /// May be dropped at any time: no change is lost.
    pub async fn files_changed(&self) {
        self.loads.changed.notified().await;
    }

    /// Somebody has come for a host, in whatever way. Where it has no good certificate and is to get one, the worker that orders
    /// hears of it.
    pub fn came(&self, host: &Host) {
        if self.current.first_of(host).is_none_or(|slot| !slot.is_good(Clock::system().now())) {
            self.first_hello.came(host);
        }
    }

    /// How the handshake of a hello goes on. `host` is its SNI.
    #[must_use]
    pub fn open(&self, hello: &ClientHello<'_>, host: Option<&Host>) -> Opening {
        let is_challenge = hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(challenges::PROTOCOL) && offered.next().is_none());
        if is_challenge {
            return match self.challenges.admit(host) {
                true => Opening::Challenge(Arc::clone(&self.challenge_config)),
                false => Opening::Unknown,
            };
        }
        let Some(host) = host else { return Opening::Unknown };
        match self.current.first_of(host) {
            Some(slot) if slot.is_ready() => {
                if slot.is_old() {
                    self.loads.refresh(&slot, self.source.as_ref());
                }
                Opening::Serve(Arc::clone(&self.config))
            }
            Some(_) => Opening::Prepare,
            None if self.first_hello.awaits(host) => Opening::Prepare,
            None => {
                self.first_hello.came(host);
                Opening::Unknown
            }
        }
    }

    /// Loads the certificate of a host: the first that can be loaded of those that it has. Waits for it where it has none
    /// yet, if that is wanted.
    ///
    /// Bounded in time: a load takes 5 s at most, and the wait is that of [`FirstHello::set`].
    pub async fn prepare(&self, host: &Host) -> Prepared {
        let mut loaded = self.load(host).await;
        if loaded.is_none() && self.first_hello.wait(host, || self.current.first_of(host).is_some()).await {
            loaded = self.load(host).await;
        }
        match loaded {
            Some(true) => Prepared::Serve(Arc::clone(&self.config)),
            Some(false) => Prepared::Failed,
            None => Prepared::Unknown,
        }
    }

    /// Whether the certificate of a host could be loaded; `None` without one.
    async fn load(&self, host: &Host) -> Option<bool> {
        let slots = self.current.all_of(host);
        for slot in &slots {
            if slot.is_ready() || self.loads.load(slot, self.source.as_ref()).await {
                return Some(true);
            }
        }
        (!slots.is_empty()).then_some(false)
    }
}

/// What both configurations have in common.
fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for its own versions")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

impl Current {
    /// The certificate that comes first for a host: one outside its dates comes after all that are good.
    fn first_of(&self, host: &Host) -> Option<Arc<Slot>> {
        self.pick(host.as_str(), |slot| Some(Arc::clone(slot)))
    }

    /// All certificates for a host, the first one first.
    fn all_of(&self, host: &Host) -> Vec<Arc<Slot>> {
        let mut all: Vec<_> = self.brought.load().find(host.as_str()).cloned().collect();
        all.extend(self.issued.find(host.as_str()));
        let now = Clock::system().now();
        all.sort_by_key(|slot| !slot.is_good(now));
        all
    }

    /// Chain and key of the first certificate for a host that is loaded.
    fn ready(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.pick(host, |slot| slot.ready())
    }

    /// The first thing that is found in the certificates for a host, in their order.
    fn pick<T>(&self, host: &str, find: impl Fn(&Arc<Slot>) -> Option<T>) -> Option<T> {
        let (brought, now) = (self.brought.load(), Clock::system().now());
        let of = |good: bool| {
            let found = brought.find(host).filter(|slot| slot.is_good(now) == good).find_map(&find);
            let issued = || self.issued.find(host).filter(|slot| slot.is_good(now) == good);
            found.or_else(|| issued().find_map(|slot| find(&slot)))
        };
        of(true).or_else(|| of(false))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        // As `Host` reads it.
        let name = name.strip_suffix('.').unwrap_or(name);
        match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            false => self.ready(name),
            true => self.ready(&name.to_ascii_lowercase()),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("current", &self.current).finish_non_exhaustive()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (brought, issued) = (self.brought.load().len(), self.issued.len());
        f.debug_struct("Current").field("brought", &brought).field("issued", &issued).finish()
    }
}

#[cfg(test)]
mod tests;
