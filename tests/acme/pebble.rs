//! A pebble of one's own on loopback, with DNS in which every name leads to 127.0.0.1.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anteroom::{
    acme::{AccountKey, Authority, Client, ExternalAccount, Issued, Limits},
    domain::{secret::Secret, time::Clock},
    tls::dev_ca::DevCa,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    front::Ca,
    support::{self, Reply, eventually, program::free_address},
};

/// The name that it has, as its certificate says.
pub const HOST: &str = "localhost";

/// How it is to be.
#[derive(Default)]
pub struct Plan {
    env: BTreeMap<&'static str, &'static str>,
    external_accounts: Vec<(&'static str, &'static str)>,
    validity: Option<u32>,
}

/// A server that runs until this is dropped.
pub struct Pebble {
    dir: TempDir,
    plan: Plan,
    acme: SocketAddr,
    management: SocketAddr,
    pub place: Place,
    /// Its name server.
    pub dns: SocketAddr,
    processes: Vec<Child>,
}

/// Where a CA looks for answers to its challenges.
#[derive(Clone, Copy)]
pub struct Place {
    pub http: SocketAddr,
    pub tls: SocketAddr,
    /// Where the records of its DNS are set.
    pub records: SocketAddr,
}

impl Place {
    pub fn free() -> Self {
        Self { http: free_address(), tls: free_address(), records: free_address() }
    }
}

impl Plan {
    /// A setting of its environment.
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.insert(name, value);
        self
    }

    /// Customers, by id and key: only their accounts are taken.
    pub fn external_accounts(mut self, accounts: &[(&'static str, &'static str)]) -> Self {
        self.external_accounts = accounts.to_vec();
        self
    }

    /// How long certificates are good, in seconds.
    pub fn validity(mut self, seconds: u32) -> Self {
        self.validity = Some(seconds);
        self
    }

    pub async fn start(self) -> Pebble {
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::open(&dir.path().join("ca")).unwrap();
        ca.issue(&dir.path().join("certs"), &HOST.parse().unwrap()).unwrap();
        let [acme, management, dns] = std::array::from_fn(|_| free_address());
        let place = Place::free();
        let mut pebble = Pebble { dir, plan: self, acme, management, place, dns, processes: Vec::new() };
        pebble.start().await;
        pebble
    }
}

impl Pebble {
    pub async fn plain() -> Self {
        Plan::default().start().await
    }

    /// Starts it, where it was. It remembers nothing of what was before.
    pub async fn start(&mut self) {
        let certificate = self.dir.path().join("certs").join(HOST);
        let accounts: BTreeMap<_, _> = self.plan.external_accounts.iter().copied().collect();
        let config = json!({ "pebble": {
            "listenAddress": self.acme.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": certificate.join("fullchain.pem"),
            "privateKey": certificate.join("privkey.pem"),
            "httpPort": self.place.http.port(),
            "tlsPort": self.place.tls.port(),
            "externalAccountBindingRequired": !accounts.is_empty(),
            "externalAccountMACKeys": accounts,
            "certificateValidityPeriod": self.plan.validity.unwrap_or(90 * 24 * 3600),
        }});
        let file = self.dir.path().join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let dns = dns(self.dns, self.place.records);
        let mut pebble = Command::new("pebble");
        // Nothing is left to chance but what a test asks for.
        pebble.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")]);
        pebble.envs(&self.plan.env);
        pebble.arg("-strict").arg("-config").arg(file).args(["-dnsserver", &self.dns.to_string()]);
        for (mut command, log) in [(dns, "dns.log"), (pebble, "pebble.log")] {
            let log = fs::File::create(self.dir.path().join(log)).unwrap();
            let errors = log.try_clone().unwrap();
            command.stdin(Stdio::null()).stdout(log).stderr(errors);
            self.processes.push(command.spawn().expect("pebble and pebble-challtestsrv are installed"));
        }
        for address in [self.acme, self.management, self.place.records] {
            eventually("pebble listens", async || TcpStream::connect(address).await.is_ok()).await;
        }
    }

    /// Kills it.
    pub fn stop(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn roots(&self) -> RootCertStore {
        roots(&fs::read_to_string(self.root()).unwrap())
    }

    pub fn client(&self) -> Client {
        self.client_of(ca(self.directory()))
    }

    pub fn client_of(&self, ca: Authority) -> Client {
        Client::with_limits(ca, self.roots(), Clock::system(), LIMITS)
    }

    /// What its listener for tests says.
    pub async fn managed(&self, path: &str) -> Reply {
        support::Client::new(self.management, &self.root()).get(HOST, path).await
    }

    /// Whether a client that trusts this CA takes a certificate for a name.
    pub async fn verify(&self, issued: &Issued, name: &str) {
        let root = self.managed("/roots/0").await.body;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider().into();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(&root).into(), provider).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).unwrap();
    }
}

impl Ca for Pebble {
    fn address(&self) -> SocketAddr {
        self.acme
    }

    fn directory_path(&self) -> &'static str {
        "/dir"
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("ca/ca.pem")
    }

    fn certificate(&self) -> [PathBuf; 2] {
        ["fullchain.pem", "privkey.pem"].map(|name| self.dir.path().join("certs").join(HOST).join(name))
    }

    fn place(&self) -> Place {
        self.place
    }

    fn dns(&self) -> SocketAddr {
        self.dns
    }

    async fn issues_from(&self) -> String {
        self.managed("/roots/0").await.body
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A DNS server that leads every name to 127.0.0.1, and where its other records are set.
pub fn dns(at: SocketAddr, records: SocketAddr) -> Command {
    let mut dns = Command::new("pebble-challtestsrv");
    dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
    dns.args(["-dns01", &at.to_string(), "-management", &records.to_string()]);
    dns
}

/// Short pauses, and time enough on a machine that does other things.
pub const LIMITS: Limits = Limits {
    request: std::time::Duration::from_secs(20),
    order: std::time::Duration::from_secs(60),
    pause: std::time::Duration::from_millis(20),
};

pub fn directory_at(address: SocketAddr) -> String {
    format!("https://{HOST}:{}/dir", address.port())
}

pub fn ca(directory: String) -> Authority {
    Authority {
        directory,
        contact: vec!["mailto:ops@gateway.example".into()],
        root: None,
        external_account: None,
        profile: None,
    }
}

pub fn external(id: &str, key: &str) -> Option<ExternalAccount> {
    Some(ExternalAccount { id: id.into(), key: Secret::new(key) })
}

pub fn key() -> AccountKey {
    AccountKey::generate().unwrap()
}

pub fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    roots
}
