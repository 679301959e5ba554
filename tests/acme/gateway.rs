//! A gateway whose authority is one of the tests'.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::client::TlsStream;

use crate::{
    front::Ca,
    pebble::Pebble,
    support::{
        Client, Plan, Stage, eventually_within, exchange,
        program::{anteroom, free_address},
    },
};

/// An order with its pauses, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A gateway, and its authority.
pub struct Life<C = Pebble> {
    pub stage: Stage,
    pub ca: C,
}

/// A tenant with these hosts and no certificate.
pub fn tenant(hosts: &[&str], more: &str) -> String {
    format!(
        "name = \"A tenant\"\npolicy = \"multi-account\"\nhosts = {hosts:?}\n{more}\n[secrets]\nmain = \"secret of {}\"\n",
        hosts[0]
    )
}

/// The file of a gateway that orders of a CA, on addresses where that looks for answers.
pub fn configured(text: &str, ca: &impl Ca, admin: SocketAddr, acme: &str) -> String {
    let place = ca.place();
    let text = text
        .replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{}\"]", place.tls))
        .replace("http = [\"127.0.0.1:0\"]", &format!("http = [\"{}\"]", place.http))
        .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\""))
        .replace("base_domains = [\"localhost\"]", "base_domains = [\"localhost\", \"meet.example\"]")
        .replace("[store]\n", "[store]\nencryption_key = \"file:secrets/encryption-key\"\n");
    // Clients that ask without a pause are quick.
    format!("{text}\n[rates]\nconnections = \"unlimited\"\n[upstream]\nresolver = [\"{}\"]\n{acme}\n", ca.dns())
}

/// `[acme]` for a directory.
pub fn acme(ca: &impl Ca, directory: &str, more: &str) -> String {
    format!(
        "[acme]\ndirectory = \"{directory}\"\ncontact = [\"mailto:ops@gateway.example\"]\nroot = \"{}\"\n\
         addresses = [\"127.0.0.1\"]\n{more}\n",
        ca.root().display()
    )
}

pub fn prepared(hosts: &[&str]) -> Plan {
    Plan::new()
        .server("members")
        .tenant("heron", "level-1")
        .file("tenants/wagtail.toml", &tenant(hosts, ""))
        .file("secrets/encryption-key", &"5e".repeat(32))
}

impl<C: Ca> Life<C> {
    pub async fn start(ca: C, hosts: &[&str], acme: &str) -> Self {
        Self::start_as(prepared(hosts), ca, acme).await
    }

    /// With more files.
    pub async fn start_as(plan: Plan, ca: C, acme: &str) -> Self {
        let admin = free_address();
        let stage = plan.start_changed(async |text, _| configured(&text, &ca, admin, acme)).await;
        Self { stage, ca }
    }

    /// With the CA's own directory.
    pub async fn plain(ca: C, hosts: &[&str], more: &str) -> Self {
        let acme = acme(&ca, &ca.directory(), more);
        Self::start(ca, hosts, &acme).await
    }

    pub fn dir(&self) -> &Path {
        self.stage.dir.path()
    }

    pub async fn command(&self, arguments: &[&str]) -> Result<Value, String> {
        command(self.dir(), arguments).await
    }

    pub async fn show(&self, host: &str) -> Value {
        self.command(&["domain", "show", "--format", "json", host]).await.unwrap()
    }

    pub async fn reaches(&self, host: &str, state: &str) -> Value {
        reaches(self.dir(), host, state).await
    }

    /// Whether a client that trusts the CA is served on a host.
    pub async fn serves(&self, host: &str) -> bool {
        serves(&self.ca, self.dir(), self.stage.address, host).await
    }

    /// A client that trusts the CA.
    pub async fn client(&self) -> Client {
        client(&self.ca, self.dir(), self.stage.address).await
    }

    /// Stops the gateway, changes things, and starts it again.
    pub async fn again(self, change: impl FnOnce(&mut C, String) -> String) -> Self {
        let Self { mut stage, mut ca } = self;
        stage.app.take().unwrap().stop(Duration::ZERO).await;
        let file = stage.path("anteroom.toml");
        let text = change(&mut ca, fs::read_to_string(&file).unwrap());
        fs::write(&file, text).unwrap();
        stage.start_again().await;
        Self { stage, ca }
    }
}

pub async fn command(config: &Path, arguments: &[&str]) -> Result<Value, String> {
    let (config, arguments) = (config.to_owned(), arguments.iter().map(|&part| part.to_owned()).collect::<Vec<_>>());
    let run = move || anteroom(&arguments.iter().map(|part| &**part).collect::<Vec<_>>(), &config);
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

pub async fn reaches(config: &Path, host: &str, state: &str) -> Value {
    let mut last = Value::Null;
    let begun = std::time::Instant::now();
    while last["state"] != state {
        assert!(begun.elapsed() < PATIENCE, "{host} is not {state}: {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let arguments = ["domain", "show", "--format", "json", host];
        last = command(config, &arguments).await.unwrap_or_else(Value::String);
    }
    last
}

/// A client that trusts a CA.
pub async fn client(ca: &impl Ca, dir: &Path, address: SocketAddr) -> Client {
    let root = dir.join("issuing-root.pem");
    if !root.exists() {
        fs::write(&root, ca.issues_from().await).unwrap();
    }
    Client::new(address, &root)
}

pub async fn serves(ca: &impl Ca, dir: &Path, address: SocketAddr, host: &str) -> bool {
    let client = client(ca, dir, address).await;
    if client.connect(host).await.is_err() {
        return false;
    }
    client.get(host, "/bigbluebutton/api").await.status == 200
}

/// The certificate that a host is served with, in DER.
pub async fn leaf(client: &Client, host: &str) -> Vec<u8> {
    leaf_of(&client.forgetful().connect(host).await.unwrap())
}

pub fn leaf_of(made: &TlsStream<TcpStream>) -> Vec<u8> {
    made.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// A client that asks for a host on one connection after the other.
pub struct Asking {
    task: JoinHandle<u32>,
    goes_on: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

impl Asking {
    pub fn start(client: Client, host: &'static str) -> Self {
        let (goes_on, asked) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicU32>::default());
        let (on, count) = (Arc::clone(&goes_on), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut failed = 0;
            while on.load(Relaxed) {
                let request = http::Request::get("/bigbluebutton/api").header("host", host);
                let reply = match client.connect(host).await {
                    Ok(stream) => exchange(stream, request.body(Default::default()).unwrap()).await.status.as_u16(),
                    Err(error) => {
                        println!("{host}: {error}");
                        0
                    }
                };
                failed += u32::from(reply != 200);
                count.fetch_add(1, Relaxed);
            }
            failed
        });
        Self { task, goes_on, asked }
    }

    /// Waits until it has asked a few more times.
    pub async fn more(&self) {
        let least = self.asked.load(Relaxed) + 3;
        eventually_within(PATIENCE, "the client is answered", async || self.asked.load(Relaxed) >= least).await;
    }

    /// How many of its requests have failed.
    pub async fn failed(self) -> u32 {
        self.goes_on.store(false, Relaxed);
        self.task.await.unwrap()
    }
}
