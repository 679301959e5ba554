//! The stage of the tests: simulated BBB servers, a configuration in a directory of its own, certificates of a fresh CA,
//! and the real gateway in this process, all on loopback and free ports.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(dead_code, unused_imports, reason = "each test program uses a part of the stage")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

pub mod browser;
mod client;
pub mod evil;
pub mod program;
pub mod receiver;
pub mod store;
mod wait;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anteroom::{app::App, domain::host::Host, live::sessions::hash, tls::dev_ca::DevCa};
use anteroom_bench::{
    sign,
    sim::{self, Sim},
};
use data_encoding::BASE64URL_NOPAD;
use tempfile::TempDir;

pub use self::{
    client::{Client, Reply, Socket, element, exchange, greet, plain_get, tls_config},
    wait::{DEADLINE, eventually, eventually_within, succeeds_within},
};

/// A gateway with its servers.
pub struct Stage {
    pub app: Option<App>,
    pub sims: Vec<Sim>,
    pub dir: TempDir,
    pub address: SocketAddr,
}

/// What is to be on the stage.
pub struct Plan {
    store: String,
    servers: Vec<(String, sim::Config)>,
    server_keys: Vec<String>,
    files: Vec<(String, String)>,
    hosts: Vec<String>,
}

/// The secret of a tenant in these tests.
pub fn secret(tenant: &str) -> String {
    format!("{tenant}-secret")
}

/// The host of a tenant in these tests.
pub fn host(tenant: &str) -> String {
    format!("{tenant}.localhost")
}

impl Plan {
    /// One tenant per shipped level would need no more than these: all pools lead to the same two servers' kinds.
    pub fn new() -> Self {
        let store = "sqlite:var/anteroom.db".to_owned();
        Self { store, servers: Vec::new(), server_keys: Vec::new(), files: Vec::new(), hosts: Vec::new() }
    }

    /// Another store than a file.
    pub fn store(mut self, url: &str) -> Self {
        self.store = url.to_owned();
        self
    }

    /// A server in a pool.
    pub fn server(self, pool: &str) -> Self {
        self.server_with(pool, sim::Config::default())
    }

    /// A server in a pool, with settings of its own; its secret and its name are given by the stage.
    pub fn server_with(mut self, pool: &str, config: sim::Config) -> Self {
        self.servers.push((pool.to_owned(), config));
        self.server_keys.push(String::new());
        self
    }

    /// A server in a pool, with further keys.
    pub fn server_like(self, pool: &str, keys: &str) -> Self {
        self.server_with_keys(pool, sim::Config::default(), keys)
    }

    /// The same, with settings of its own.
    pub fn server_with_keys(self, pool: &str, config: sim::Config, keys: &str) -> Self {
        let mut plan = self.server_with(pool, config);
        plan.server_keys.pop();
        plan.server_keys.push(keys.to_owned());
        plan
    }

    /// A tenant of a shipped level at `<id>.localhost`, with one secret.
    pub fn tenant(self, id: &str, policy: &str) -> Self {
        self.tenant_with(id, policy, "")
    }

    /// The same with further lines; keys first, tables after them.
    pub fn tenant_with(mut self, id: &str, policy: &str, more: &str) -> Self {
        let (keys, tables) = more.split_once("---").unwrap_or((more, ""));
        self.files.push((
            format!("tenants/{id}.toml"),
            format!(
                "name = \"{id} co-op\"\npolicy = \"{policy}\"\nhosts = [\"{}\"]\n{keys}\n[secrets]\nmain = \"{}\"\n{tables}\n",
                host(id),
                secret(id)
            ),
        ));
        self.hosts.push(host(id));
        self
    }

    /// Another file.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Writes everything down and starts the servers, not the gateway.
    pub async fn prepare(self, dir: &Path) -> Vec<Sim> {
        let mut gateway = format!(
            "base_domains = [\"localhost\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\n\
             admin = \"127.0.0.1:0\"\n[store]\nurl = \"{}\"\n",
            self.store
        );
        let mut sims = Vec::new();
        for (n, ((pool, config), keys)) in self.servers.into_iter().zip(self.server_keys).enumerate() {
            let name = format!("bbb-0{}", n + 1);
            // A final slash in it is one of the things that administrators leave there.
            let slash = if config.server_url.ends_with('/') { "/" } else { "" };
            let server_url = format!("https://{name}.internal.test{slash}");
            let config = sim::Config { secret: format!("{name}-secret"), server_url, ..config };
            let sim = Sim::start(config).await.unwrap();
            gateway.push_str(&format!(
                "[servers.{name}]\nurl = \"{}\"\npublic_url = \"https://{name}.internal.test\"\nsecret = \"{name}-secret\"\npool = \"{pool}\"\n{keys}\n",
                sim.url()
            ));
            sims.push(sim);
        }
        write(dir, "anteroom.toml", &gateway);
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        for policy in fs::read_dir(shipped).unwrap() {
            let policy = policy.unwrap();
            let name = policy.file_name().into_string().unwrap();
            let text = fs::read_to_string(policy.path()).unwrap();
            // All levels share the servers of the stage, unless a test says otherwise.
            let text = if name.ends_with(".toml") { in_one_pool(&text) } else { continue };
            write(dir, &format!("policies/{name}"), &text);
        }
        for (path, text) in &self.files {
            write(dir, path, text);
        }
        let ca = DevCa::open(&dir.join("dev-ca")).unwrap();
        for host in &self.hosts {
            ca.issue(&dir.join("certs"), &host.parse::<Host>().unwrap()).unwrap();
        }
        sims
    }

    /// Starts everything.
    pub async fn start(self) -> Stage {
        self.start_changed(async |text, _| text).await
    }

    /// Starts everything, with a change of `anteroom.toml`, which may need to know the servers.
    pub async fn start_changed(self, change: impl AsyncFnOnce(String, &[Sim]) -> String) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let sims = self.prepare(dir.path()).await;
        let file = dir.path().join("anteroom.toml");
        let text = change(fs::read_to_string(&file).unwrap(), &sims).await;
        fs::write(file, text).unwrap();
        let app = app(dir.path()).await;
        Stage { address: app.https[0], app: Some(app), sims, dir }
    }
}

/// The gateway of a configuration, when it has asked all servers once.
async fn app(config: &Path) -> App {
    // Boxed: each test would have room for it.
    let mut app = Box::pin(App::start(config)).await.unwrap_or_else(|error| panic!("{error}"));
    app.ready().await;
    app
}

fn in_one_pool(policy: &str) -> String {
    policy
        .lines()
        .map(|line| if line.trim_start().starts_with("pool") { "pool = \"members\"" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The sum of the values of a metric, of those lines that have all of these labels (or pieces of them); 0 without any.
pub fn metric(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let is_meant = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with([' ', '{']) && labels.iter().all(|label| rest.contains(label))
    };
    let values = metrics.lines().filter(is_meant).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.sum::<f64>() as u64
}

/// Writes a file below a directory.
pub fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Somebody who has joined.
#[derive(Debug, Clone)]
pub struct Joined {
    /// `/s/<slug>`.
    pub prefix: String,
    pub token: String,
    pub cookies: String,
}

impl Joined {
    /// Who was sent into a meeting by this answer of a tenant's host.
    pub fn by(tenant: &str, reply: &Reply) -> Self {
        let start = format!("https://{}/s/", host(tenant));
        let rest = reply.header("location").strip_prefix(&start).unwrap_or_else(|| panic!("{reply:?}"));
        let slug = rest.split('/').next().unwrap();
        Self { prefix: format!("/s/{slug}"), token: reply.location_param("sessionToken"), cookies: reply.cookies() }
    }

    /// Where its settings say that LiveKit is.
    pub fn livekit(&self) -> String {
        let name = BASE64URL_NOPAD.encode(&hash(&self.token));
        format!("{}/of/{name}/livekit", self.prefix)
    }
}

impl Stage {
    /// A client's view of the gateway.
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.dir.path().join("dev-ca/ca.pem"))
    }

    /// Starts the gateway again, after it was stopped.
    pub async fn start_again(&mut self) {
        let app = app(self.dir.path()).await;
        self.address = app.https[0];
        self.app = Some(app);
    }

    /// Calls the API as a tenant's integration does.
    pub async fn api(&self, tenant: &str, call: &str, params: &[(&str, &str)]) -> Reply {
        self.client().get(&host(tenant), &sign::path(call, params, &secret(tenant))).await
    }

    pub async fn create(&self, tenant: &str, meeting: &str) -> Reply {
        self.api(tenant, "create", &[("name", meeting), ("meetingID", meeting)]).await
    }

    pub async fn join(&self, tenant: &str, meeting: &str, name: &str) -> Reply {
        self.api(tenant, "join", &[("meetingID", meeting), ("fullName", name), ("role", "VIEWER")]).await
    }

    /// Joins, which has to succeed.
    pub async fn joined(&self, tenant: &str, meeting: &str, name: &str) -> Joined {
        Joined::by(tenant, &self.join(tenant, meeting, name).await)
    }

    /// Opens the GraphQL socket of somebody who has joined, up to `connection_ack`.
    pub async fn graphql(&self, tenant: &str, joined: &Joined) -> Result<Socket, String> {
        self.client().graphql(&host(tenant), joined).await
    }

    /// The simulator's view of a tenant's meeting, wherever it runs.
    pub fn on_server(&self, tenant: &str, meeting: &str) -> Option<sim::MeetingView> {
        let id = format!("t.{tenant}.{meeting}");
        self.sims.iter().find_map(|sim| sim.meeting(&id))
    }

    pub async fn metrics(&self) -> String {
        let address = self.app.as_ref().unwrap().admin.unwrap();
        plain_get(address, "localhost", "/metrics").await.body
    }

    /// A value of the metrics: see [`metric`].
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        metric(&self.metrics().await, name, labels)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}
