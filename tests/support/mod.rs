//! The stage of the tests: simulated BBB servers, a configuration in a directory of its own, certificates of a fresh CA,
//! and the real gateway in this process, all on loopback and free ports.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(dead_code, reason = "each test program uses a part of the stage")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

pub mod browser;
pub mod evil;
pub mod program;
pub mod store;

use std::{
    fmt::Display,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anteroom::{app::App, domain::host::Host, tls::dev_ca::DevCa};
use anteroom_bench::{
    sign,
    sim::{self, Sim},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, client::IntoClientRequest},
};

/// How long anything may take that is waited for.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

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
        let dir = tempfile::tempdir().unwrap();
        let sims = self.prepare(dir.path()).await;
        let mut app = App::start(dir.path()).await.unwrap_or_else(|error| panic!("{error}"));
        app.ready().await;
        Stage { address: app.https[0], app: Some(app), sims, dir }
    }
}

fn in_one_pool(policy: &str) -> String {
    policy
        .lines()
        .map(|line| if line.trim_start().starts_with("pool") { "pool = \"members\"" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Writes a file below a directory.
pub fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// The text of the first element of this name.
    pub fn xml(&self, name: &str) -> &str {
        element(&self.body, name)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// All cookies that were set, as a browser sends them back.
    pub fn cookies(&self) -> String {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// A value of the query of `Location`.
    pub fn location_param(&self, name: &str) -> String {
        let (_, query) = self.header("location").split_once('?').unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }
}

/// The text of the first element of this name, empty where there is none.
pub fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let Some((_, rest)) = xml.split_once(&format!("<{name}>")) else { return "" };
    rest.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

/// Somebody who has joined.
#[derive(Debug, Clone)]
pub struct Joined {
    /// `/s/<slug>`.
    pub prefix: String,
    pub token: String,
    pub cookies: String,
}

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Stage {
    /// A client's view of the gateway.
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.dir.path().join("dev-ca/ca.pem"))
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
        let reply = self.join(tenant, meeting, name).await;
        let location = reply.header("location");
        let start = format!("https://{}/s/", host(tenant));
        let rest = location.strip_prefix(&start).unwrap_or_else(|| panic!("{name}: {reply:?}"));
        let slug = rest.split('/').next().unwrap();
        Joined { prefix: format!("/s/{slug}"), token: reply.location_param("sessionToken"), cookies: reply.cookies() }
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

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

/// A request without TLS.
pub async fn plain_get(address: SocketAddr, host: &str, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::get(path).header("host", host).body(Full::default()).unwrap();
    exchange(stream, request).await
}

/// Sends one request on a connection of its own.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Reply
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// An HTTP client that trusts the stage's CA and finds every host at the gateway.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// The same client, with what it remembers, at another gateway.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A TLS connection for a host.
    pub async fn connect(&self, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.tls.connect(ServerName::try_from(sni.to_owned()).unwrap(), stream).await
    }

    pub async fn get(&self, host: &str, path: &str) -> Reply {
        self.send(host, Request::get(path)).await
    }

    pub async fn get_with(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(host, request).await
    }

    pub async fn send(&self, host: &str, request: http::request::Builder) -> Reply {
        self.send_body(host, request, Bytes::new()).await
    }

    pub async fn post(&self, host: &str, path: &str, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let request = Request::builder().method(Method::POST).uri(path).header("content-type", content_type);
        self.send_body(host, request, body.into()).await
    }

    pub async fn send_body(&self, host: &str, request: http::request::Builder, body: Bytes) -> Reply {
        let mut request = request.body(Full::new(body)).unwrap();
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        exchange(self.connect(host).await.unwrap(), request).await
    }

    /// Opens a WebSocket.
    pub async fn socket(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> tungstenite::Result<Socket> {
        let mut request = format!("wss://{host}{path}").into_client_request()?;
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = self.connect(host).await.unwrap();
        Ok(tokio_tungstenite::client_async(request, stream).await?.0)
    }

    /// Opens the GraphQL socket of somebody who has joined, up to `connection_ack`.
    pub async fn graphql(&self, host: &str, joined: &Joined) -> Result<Socket, String> {
        let origin = format!("https://{host}");
        let headers =
            [("cookie", &*joined.cookies), ("origin", &*origin), ("sec-websocket-protocol", "graphql-transport-ws")];
        let path = format!("{}/graphql", joined.prefix);
        let mut socket = self.socket(host, &path, &headers).await.map_err(|error| error.to_string())?;
        greet(&mut socket, &joined.token).await?;
        Ok(socket)
    }
}

/// Says hello on a GraphQL socket, up to `connection_ack`.
pub async fn greet<S>(socket: &mut WebSocketStream<S>, token: &str) -> Result<(), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::{SinkExt, StreamExt};
    let init = format!(
        r#"{{"type":"connection_init","payload":{{"headers":{{"X-Session-Token":"{token}","X-ClientSessionUUID":"u","X-ClientType":"HTML5","X-ClientIsMobile":"false"}}}}}}"#
    );
    socket.send(tungstenite::Message::text(init)).await.map_err(|error| error.to_string())?;
    match tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
        Some(Ok(tungstenite::Message::Text(text))) if text.contains("connection_ack") => Ok(()),
        Some(Ok(other)) => Err(format!("{other:?}")),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("closed".into()),
    }
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, holds).await;
}

/// The same, with a deadline of its own.
pub async fn eventually_within(most: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    succeeds_within(most, what, async || if holds().await { Ok(()) } else { Err("") }).await;
}

/// Waits for a value; what is wrong until then is told where it does not come in time.
pub async fn succeeds_within<T, E: Display>(
    most: Duration,
    what: &str,
    mut tries: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match tries().await {
            Ok(value) => return value,
            Err(wrong) => assert!(started.elapsed() < most, "{what}: not within {most:?} {wrong}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
