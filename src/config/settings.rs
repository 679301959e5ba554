//! What belongs to the gateway as a whole: [`Settings`], and the key of the servers' slugs.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use aws_lc_rs::hmac;

use crate::{
    domain::{
        host::Host,
        hsts::Hsts,
        ids::{ServerId, Slug},
        secret::Secret,
    },
    net::{connections, files as handles, peer::Network, rates},
};

/// The key that turns the id of a BBB server into its slug; the same on every gateway of an installation.
#[derive(Clone)]
pub struct SlugKey(pub [u8; 32]);

impl SlugKey {
    /// The name of a server in a browser's path: the first 8 characters of the lower-case base32 of its keyed hash.
    #[must_use]
    pub fn slug(&self, server: &ServerId) -> Slug {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, server.as_str().as_bytes());
        let mut text = data_encoding::BASE32_NOPAD.encode(&tag.as_ref()[..5]);
        text.make_ascii_lowercase();
        text.parse().expect("5 bytes are 8 characters of a-z and 2-7")
    }
}

impl fmt::Debug for SlugKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What belongs to the gateway as a whole. All of it but `base_domains`, `hsts` and `rates` takes effect at the start only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The operator's own domains; below them, tenants have hosts without an allowance for own domains.
    pub base_domains: Vec<Host>,
    /// What browsers are told about TLS, where a tenant says nothing of it.
    pub hsts: Hsts,
    /// Where the gateway listens.
    pub listen: Listen,
    /// The store: `sqlite:` and a path, resolved against the configuration's directory, or the address of a PostgreSQL, in
    /// which there may be a password.
    pub store_url: Secret,
    /// A PEM file with further trust roots for the BBB servers.
    pub server_ca: Option<PathBuf>,
    /// How old an answer about meetings may be.
    pub answers_max_age: Duration,
    /// The name servers that are asked where documents are; none for those of the system.
    pub resolver: Vec<SocketAddr>,
    /// How many connections there may be.
    pub connections: Connections,
    /// What an address, and a tenant, may do in a second. Takes effect at once.
    pub rates: rates::Limits,
}

/// How many connections there may be, and how long one may do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// In total; `None` for as many as there are file handles for.
    pub max: Option<u32>,
    /// From one address; `None` for a share of all.
    pub per_address: Option<u32>,
    /// How long one may be open with nothing to do.
    pub idle_timeout: Duration,
}

impl Default for Connections {
    /// As long as nginx keeps one by default.
    fn default() -> Self {
        Self { max: None, per_address: None, idle_timeout: Duration::from_secs(75) }
    }
}

impl Connections {
    /// What holds where the process may have so many files.
    #[must_use]
    pub fn limits(&self, files: u64) -> connections::Limits {
        let most = handles::connections(files);
        let all = connections::Limits::of(self.max.map_or(most, |max| max.min(most)));
        let per_address = self.per_address.unwrap_or(all.per_address).min(all.max);
        connections::Limits { per_address, ..all }
    }
}

/// The addresses of the listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listen {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Health, metrics and the admin API.
    pub admin: Option<SocketAddr>,
    /// Whether HTTP/2 is offered over TLS.
    pub http2: bool,
    /// The sources whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
}
