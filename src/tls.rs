//! TLS termination: one configuration for all hosts, certificates selected by SNI from memory. Knows hosts, but no tenants
//! or policies.
//!
//! There is no default certificate: a name without one is refused before the handshake begins.

pub mod certs;
pub mod dev_ca;
pub mod provider;
pub mod tickets;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::domain::host::Host;
use certs::Certs;
use tickets::Tickets;

/// The TLS side of all listeners.
#[derive(Debug)]
pub struct Tls {
    certs: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The current certificates.
struct Current(ArcSwap<Certs>);

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
        let certs = Arc::new(Current(ArcSwap::from_pointee(certs)));
        let mut config = ServerConfig::builder_with_provider(provider::provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for its own versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certs) as Arc<dyn ResolvesServerCert>);
        config.ticketer = match shared {
            Some(tickets) => tickets,
            None => rustls::crypto::aws_lc_rs::Ticketer::new()?,
        };
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // One ticket per handshake is what browsers and clients use.
        config.send_tls13_tickets = 1;
        config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Self { certs, config: Arc::new(config) })
    }

    /// Replaces all certificates, for new handshakes.
    pub fn swap(&self, certs: Certs) {
        self.certs.0.store(Arc::new(certs));
    }

    /// The current certificates.
    #[must_use]
    pub fn certs(&self) -> Arc<Certs> {
        self.certs.0.load_full()
    }

    /// Whether a host has a certificate.
    #[must_use]
    pub fn knows(&self, host: &Host) -> bool {
        self.certs.0.load().find(host.as_str()).is_some()
    }

    /// The rustls configuration for a handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certs = self.0.load();
        let name = hello.server_name()?;
        match certs.find(name) {
            Some(found) => Some(Arc::clone(found)),
            None => certs.find(&name.to_ascii_lowercase()).map(Arc::clone),
        }
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("certs", &self.0.load().len()).finish()
    }
}
