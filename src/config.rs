//! The configuration: files of an operator in, an immutable [`Directory`] out.
//!
//! Every file is parsed in two steps: into its raw shape (`raw`, checked against its own JSON schema so that all faults
//! of a file come at once), then into the domain's types, which is the only place that knows what is valid. What
//! several files must agree on (hosts, secrets, policies, pools, certificates) is decided when they are joined
//! (`join`). At the start every fault counts; while running, the last good version of whatever is faulty stays in
//! service.

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

/// A configuration that may go into service.
#[derive(Debug)]
pub struct Loaded {
    /// What belongs to the gateway as a whole.
    pub settings: Settings,
    /// Tenants and servers.
    pub directory: Directory,
    /// The certificates of the hosts.
    pub certs: Certs,
    /// What works, but hardly as it was meant.
    pub warnings: Vec<Fault>,
}

/// What a reload found.
#[derive(Debug)]
pub struct Reload {
    /// The configuration to swap in; `None` when what is in service stays as it is.
    pub loaded: Option<Loaded>,
    /// Everything that is wrong with the files as they are now, whether or not it was so before.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong with one place of the configuration. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the configuration's directory.
    pub file: PathBuf,
    /// The line, from 1; `None` where the fault is one of the whole file, or of something that is not in it.
    pub line: Option<usize>,
    /// The key in dotted form (`limits.participants`, `hosts[1]`); empty for the whole file.
    pub key: String,
    /// What is wrong, in words that follow a colon.
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

/// What `anteroom.toml` says of the gateway as a whole: where a running one listens, and where its store is. What is wrong
/// elsewhere, be it a secret that only the gateway's own environment has, does not matter here.
///
/// # Errors
/// The faults of the listeners and the store, or all of a file that is none.
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
