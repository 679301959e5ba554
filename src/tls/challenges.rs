//! [`Challenges`]: what `acme-tls/1` is answered with (RFC 8737).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::domain::host::Host;

/// The protocol of the challenge. A hello that offers it offers nothing else.
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificates of open challenges by host.
#[derive(Default)]
pub struct Challenges {
    open: ArcSwap<HashMap<Host, Arc<CertifiedKey>>>,
    /// Handshakes with `acme-tls/1` for a host with an open challenge.
    pub answered: AtomicU64,
    /// Handshakes with `acme-tls/1` for any other.
    pub refused: AtomicU64,
}

impl Challenges {
    /// Replaces the open challenges.
    pub fn set(&self, open: impl IntoIterator<Item = (Host, Arc<CertifiedKey>)>) {
        self.open.store(Arc::new(open.into_iter().collect()));
    }

    /// Whether a host has an open challenge. Counts who asks.
    pub(super) fn admit(&self, host: Option<&Host>) -> bool {
        let is_open = host.is_some_and(|host| self.open.load().contains_key(host));
        let count = if is_open { &self.answered } else { &self.refused };
        count.fetch_add(1, Relaxed);
        is_open
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host: Host = hello.server_name()?.parse().ok()?;
        self.open.load().get(&host).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("open", &self.open.load().len()).finish_non_exhaustive()
    }
}
