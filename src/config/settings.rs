//! The settings of the gateway as a whole: [`Settings`], and the key of the slugs of servers.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::hmac;

use crate::{
    dns::Expected,
    domain::{
        get_user::GetUser,
        host::Host,
        hsts::Hsts,
        ids::{ServerId, Slug},
        issuance::{Issuance, SealingKey},
        network::Network,
        secret::Secret,
    },
    net::{connections, files as handles, rates},
};

/// Key that derives the slug of a BBB server from its id; shared by all gateways on one store.
#[derive(Clone)]
pub struct SlugKey(pub [u8; 32]);

impl SlugKey {
    /// The slug of a server: the first 8 characters of the lower-case base32 of the keyed hash of its id.
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

/// Settings of the gateway. All except `base_domains`, `hsts`, `rates`, `expected`, `issuers`, `get_user` and
/// `retired_servers` take effect at the start only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Domains of the operator; hosts below them do not count as own domains of a tenant.
    pub base_domains: Vec<Host>,
    /// Default of `Strict-Transport-Security`.
    pub hsts: Hsts,
    /// Listen addresses.
    pub listen: Listen,
    /// The store: `sqlite:` and a path, resolved against the configuration's directory, or the address of a PostgreSQL, in
    /// which there may be a password.
    pub store_url: Secret,
    /// The keys that private keys are encrypted with in the store, newest first; one at least where there is `acme`.
    pub encryption_keys: Vec<SealingKey>,
    /// How certificates are ordered; `None` where none are.
    pub acme: Option<Arc<Issuance>>,
    /// A PEM file with further trust roots for the BBB servers.
    pub server_ca: Option<PathBuf>,
    /// Maximum age of a cached answer about meetings.
    pub answers_max_age: Duration,
    /// DNS servers for the hosts of documents; empty for those of the system.
    pub resolver: Vec<SocketAddr>,
    /// Connection limits.
    pub connections: Connections,
    /// Rate limits of addresses and tenants. Take effect at once.
    pub rates: rates::Limits,
    /// Where the hosts of tenants should point.
    pub expected: Expected,
    /// What the certificate authority of `acme.directory` calls itself in CAA records, where that is known.
    pub issuers: Vec<String>,
    /// The call that tells the secrets of tenants, if there is one.
    pub get_user: Option<Arc<GetUser>>,
    /// Servers that are gone for good, with their recordings.
    pub retired_servers: BTreeSet<ServerId>,
}

/// Connection limits and idle timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// In total; `None` for what the file handles allow.
    pub max: Option<u32>,
    /// By address; `None` for a share of the total.
    pub per_address: Option<u32>,
    /// Idle timeout.
    pub idle_timeout: Duration,
}

impl Default for Connections {
    /// The default of nginx.
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
    /// Whether WebSockets are offered in HTTP/2.
    pub http2_websockets: bool,
    /// The sources whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
    /// Networks of trusted fronts, whose `X-Request-Id` is taken.
    pub fronts: Vec<Network>,
}
