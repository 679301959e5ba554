//! The configuration: reads the operator's files into an immutable [`Directory`], and reloads changed files.
//!
//! Every file is parsed in two steps: into its raw shape (`raw`, checked against its JSON schema, so that all faults of
//! a file are reported at once), then into the types of the domain, the only place that knows which values are valid. Checks
//! across files (hosts, secrets, policies, pools, certificates) are in `join`. At the start every fault is fatal; a reload keeps
//! the last good version of each faulty file.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::hmac;

use crate::{
    domain::{
        directory::Directory,
        host::Host,
        hsts::Hsts,
        ids::{ServerId, Slug},
        secret::Secret,
        time::Clock,
    },
    net::{connections, files as handles, peer::Network, rates},
    tls::certs::Certs,
};

mod branding;
mod certs;
mod convert;
mod document;
mod duration;
mod events;
mod files;
mod gateway;
mod join;
mod keypath;
mod loader;
mod moment;
mod params;
mod policy;
mod raw;
mod scan;
mod secrets;
mod shape;
mod tenant;
mod watch;
mod wording;

pub(crate) use duration::parse as length_of_time;
pub use loader::Loader;
pub use watch::Watcher;

use files::Source;

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

/// Settings of the gateway. All except `base_domains`, `hsts` and `rates` take effect at the start only.
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
    /// The effective limits with this limit of file handles.
    #[must_use]
    pub fn limits(&self, files: u64) -> connections::Limits {
        let most = handles::connections(files);
        let all = connections::Limits::of(self.max.map_or(most, |max| max.min(most)));
        let per_address = self.per_address.unwrap_or(all.per_address).min(all.max);
        connections::Limits { per_address, ..all }
    }
}

/// Listen addresses and options.
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
    /// Networks of trusted load balancers, whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
    /// Networks of trusted fronts, whose `X-Request-Id` is taken.
    pub fronts: Vec<Network>,
}

/// A valid configuration.
#[derive(Debug)]
pub struct Loaded {
    /// Settings of the gateway.
    pub settings: Settings,
    /// Tenants and servers.
    pub directory: Directory,
    /// The certificates of the hosts.
    pub certs: Certs,
    /// Warnings: valid, but probably not intended.
    pub warnings: Vec<Fault>,
}

/// Result of a reload.
#[derive(Debug)]
pub struct Reload {
    /// The new configuration; `None` when nothing changes.
    pub loaded: Option<Loaded>,
    /// All faults of the current files, including known ones.
    pub faults: Vec<Fault>,
}

/// A fault of the configuration, with its place. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the configuration's directory.
    pub file: PathBuf,
    /// The line, from 1; `None` for a fault of the whole file, or of a missing key.
    pub line: Option<usize>,
    /// The key in dotted form (`limits.participants`, `hosts[1]`); empty for the whole file.
    pub key: String,
    /// The reason; follows a colon.
    pub reason: String,
}

impl Fault {
    /// A fault of a whole file.
    pub(crate) fn of_file(file: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, key: String::new(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Fault {}

/// Reads the settings in `anteroom.toml`, such as the listen addresses and the store. Ignores faults elsewhere, such as a secret
/// in an environment variable of the gateway.
///
/// # Errors
/// Faults of the listeners and the store, or of a file that is not TOML.
pub fn settings(dir: &Path, clock: &Clock) -> Result<Settings, Vec<Fault>> {
    let found = gateway::read(Source { dir, now: clock.now() }, &SlugKey([0; 32]));
    let Some(settings) = found.value.settings else { return Err(found.faults) };
    let matters = |fault: &Fault| fault.key.starts_with("listen") || fault.key.starts_with("store");
    let faults: Vec<_> = found.faults.into_iter().filter(matters).collect();
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// The JSON schemas of the files, for editors and for the documentation: `anteroom.toml`, `tenant`,
/// `policy`, and `language` for the texts of pages.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "anteroom.toml": shape::GATEWAY.as_value(),
        "tenant": shape::TENANT.as_value(),
        "policy": shape::POLICY.as_value(),
        "language": shape::LANGUAGE.as_value(),
    })
}
