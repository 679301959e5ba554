//! acme2certifier, as companies put it in front of their own CA: it has renewal information and profiles, is slow, and hides why a
//! check has failed. Its CA is openssl's.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anteroom::{
    acme::{Authority, Client, FailureKind, Kind, Limits, Reason, Wanted},
    domain::time::Clock,
    tls::dev_ca::DevCa,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    answers::Answers,
    front::Ca,
    orders::{names, order, wanted},
    pebble::{HOST, LIMITS, Place, dns, external, key, roots},
    support::{DEADLINE, eventually_within, program::free_address},
};

pub const ID: &str = "kid-1";
pub const KEY: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY";
/// It loads a good part of Python.
const PATIENCE: Duration = DEADLINE.saturating_mul(3);

/// A server that runs until this is dropped.
pub struct SmallCa {
    dir: TempDir,
    acme: SocketAddr,
    names: SocketAddr,
    place: Place,
    processes: Vec<Child>,
}

impl SmallCa {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines about renewal information.
    pub async fn start_with(renewal: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        DevCa::open(&dir.path().join("ca")).unwrap().issue(&dir.path().join("certs"), &HOST.parse().unwrap()).unwrap();
        fs::create_dir(dir.path().join("issued")).unwrap();
        fs::write(dir.path().join("customers.json"), serde_json::json!({ ID: KEY }).to_string()).unwrap();
        let (acme, names, place) = (free_address(), free_address(), Place::free());
        let mut ca = Self { dir, acme, names, place, processes: Vec::new() };
        ca.run(renewal).await;
        ca
    }

    /// Starts it again, where it was and with what it knows, with other lines about renewal information.
    pub async fn start_again(&mut self, renewal: &str) {
        self.stop();
        self.run(renewal).await;
    }

    async fn run(&mut self, renewal: &str) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let config = format!(
            "[DEFAULT]\n\
             dns_server_list: [\"127.0.0.1\"]\n\
             [CAhandler]\n\
             handler_module: acme2certifier.cahandlers.openssl_ca_handler\n\
             issuing_ca_cert: {}\n\
             issuing_ca_key: {}\n\
             issuing_ca_crl: {}\n\
             cert_validity_days: 60\n\
             cert_save_path: {}\n\
             [DBhandler]\n\
             handler: wsgi\n\
             dbfile: {}\n\
             [Directory]\n\
             caaidentities: [\"ca.example\"]\n\
             [EABhandler]\n\
             eab_handler_module: acme2certifier.eabhandlers.json_handler\n\
             key_file: {}\n\
             [Order]\n\
             profiles: {{\"brief\": \"https://ca.example/brief\"}}\n\
             [Renewalinfo]\n\
             retry_after_timeout: 7200\n\
             {renewal}\n",
            path("ca/ca.pem"),
            path("ca/ca-key.pem"),
            path("crl.pem"),
            path("issued"),
            path("acme.db"),
            path("customers.json"),
        );
        fs::write(path("acme_srv.cfg"), config).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut server = Command::new(root.join("var/venv-acme/bin/python"));
        server
            .arg(root.join("tests/acme/serve.py"))
            .args([self.acme, self.names, self.place.http].map(|address| address.port().to_string()));
        server.args(["certs/localhost/fullchain.pem", "certs/localhost/privkey.pem"].map(path));
        server.env("ACME_SRV_CONFIGFILE", path("acme_srv.cfg"));
        let mut processes = Vec::new();
        for (mut command, log) in [(dns(self.names, self.place.records), "dns.log"), (server, "acme.log")] {
            let log = fs::OpenOptions::new().create(true).append(true).open(path(log)).unwrap();
            let errors = log.try_clone().unwrap();
            command.stdin(Stdio::null()).stdout(log).stderr(errors);
            processes.push(command.spawn().expect("make test-deps installs what the tests need"));
        }
        self.processes = processes;
        for address in [self.acme, self.place.records] {
            let listens = async || TcpStream::connect(address).await.is_ok();
            eventually_within(PATIENCE, "acme2certifier listens", listens).await;
        }
    }

    fn stop(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn ca(&self) -> Authority {
        Authority {
            directory: self.directory(),
            contact: vec!["mailto:ops@gateway.example".into()],
            root: None,
            external_account: external(ID, KEY),
            profile: None,
        }
    }

    fn client_of(&self, ca: Authority) -> Client {
        let root = fs::read_to_string(self.root()).unwrap();
        let limits = Limits { request: PATIENCE, ..LIMITS };
        Client::with_limits(ca, roots(&root), Clock::system(), limits)
    }
}

impl Ca for SmallCa {
    fn address(&self) -> SocketAddr {
        self.acme
    }

    fn directory_path(&self) -> &'static str {
        "/directory"
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
        self.names
    }

    async fn issues_from(&self) -> String {
        fs::read_to_string(self.root()).unwrap()
    }
}

impl Drop for SmallCa {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.dir.path().join("acme.log")).unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn a_small_ca_issues_says_when_to_renew_and_is_resumed() {
    let (server, key) = (SmallCa::start().await, key());
    let (client, answers) = (server.client_of(server.ca()), Answers::start(server.place, &key).await);
    let names = names(&["a.example", "B.example."]);
    let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
    assert_eq!(issued.lifetime().as_secs().div_ceil(24 * 3600), 60, "{issued:?}");
    assert_eq!(issued.issuer, "Anteroom development CA");
    assert_eq!(issued.chain.matches("BEGIN CERTIFICATE").count(), 1, "its root is not sent");
    assert_eq!(client.issuers().await.unwrap(), ["ca.example"]);

    let renewal = client.renewal(&issued.chain).await.unwrap().expect("it has a window");
    assert!(issued.not_before < renewal.from && renewal.from <= renewal.until, "{renewal:?}");
    let latest = issued.not_after.saturating_sub(issued.lifetime() / 10);
    assert!(renewal.until <= latest, "{renewal:?}");
    assert_eq!(renewal.ask_again.as_secs(), 7200);
    let foreign = rcgen::generate_simple_self_signed(vec!["a.example".into()]).unwrap();
    assert_eq!(client.renewal(&foreign.cert.pem()).await, Ok(None), "it does not know the certificate");

    let progress = answers.saved().remove(0);
    let resumed = Wanted { resume: Some(progress), ..wanted(&names, Kind::Http01) };
    let again = order(&server.client_of(server.ca()), &key, &resumed, &answers).await.unwrap();
    assert_eq!(again.chain, issued.chain);
    let renewed = Wanted { replaces: Some(&issued.chain), ..wanted(&names, Kind::Http01) };
    let renewed = order(&client, &key, &renewed, &answers).await.unwrap();
    assert_ne!(renewed.chain, issued.chain);
    let account = client.account(&key).await.unwrap();
    for _ in 0..2 {
        client.revoke(&account, &issued.chain, Reason::Superseded).await.unwrap();
    }
}

#[tokio::test]
async fn a_small_ca_tells_what_is_wrong_with_customer_profile_and_name() {
    let (server, key) = (SmallCa::start().await, key());
    let names = names(&["a.example"]);
    for (ca, kind) in [
        (Authority { external_account: None, ..server.ca() }, FailureKind::Account),
        (Authority { external_account: external("kid-2", KEY), ..server.ca() }, FailureKind::Account),
        (Authority { contact: Vec::new(), ..server.ca() }, FailureKind::Account),
    ] {
        let failure = server.client_of(ca.clone()).account(&key).await.expect_err("not taken");
        assert_eq!(failure.kind, kind, "{ca:?}: {failure}");
    }
    let answers = Answers::start_with(server.place, |token| format!("{token}.of-another-account")).await;
    let client = server.client_of(server.ca());
    let failure = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.expect_err("a wrong answer");
    assert_eq!(failure.kind, FailureKind::Name, "{failure}");
    // It keeps the reason to itself, and the order pending.
    assert_eq!(failure.text, "the CA's check of a.example failed; it does not say why");
    assert_eq!(answers.shown(), answers.hidden());
    answers.stop().await;

    let answers = Answers::start(server.place, &key).await;
    for (profile, warnings) in [("brief", 0), ("swift", 1)] {
        let client = server.client_of(Authority { profile: Some(profile.into()), ..server.ca() });
        let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
        assert_eq!(issued.warnings.len(), warnings, "{profile}");
    }
}
