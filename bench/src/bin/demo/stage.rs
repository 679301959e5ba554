//! The working copy of the configuration, and the simulated servers that it names.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anteroom_bench::sim::{Config, Sim};
use serde::{Deserialize, de::DeserializeOwned};

use crate::trouble::Trouble;

/// What is kept of an earlier run: a CA that a browser trusts by now.
const KEPT: [&str; 2] = ["dev-ca", "certs"];
/// Where HTTPS goes when its own port is not to be had, before any free one.
const HTTPS_PORT_ELSE: u16 = 8443;

/// Copies a configuration. Meetings of an earlier run go with its store: their servers have forgotten them too.
pub(crate) fn copy_afresh(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(to).map_err(Trouble::file(to))?;
    for entry in fs::read_dir(to).map_err(Trouble::file(to))? {
        let path = entry.map_err(Trouble::file(to))?.path();
        if KEPT.iter().any(|kept| path.ends_with(kept)) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Trouble::file(&path))?;
    }
    copy_dir(from, to)
}

/// Copies what a directory holds, with the files themselves in place of links.
fn copy_dir(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(to).map_err(Trouble::file(to))?;
    for entry in fs::read_dir(from).map_err(Trouble::file(from))? {
        let entry = entry.map_err(Trouble::file(from))?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_dir(&path, &to)?;
        } else {
            fs::copy(&path, &to).map_err(Trouble::file(&path))?;
        }
    }
    Ok(())
}

/// What the demo needs to know of `anteroom.toml`.
#[derive(Deserialize)]
struct GatewayFile {
    listen: ListenTable,
    servers: BTreeMap<String, ServerTable>,
}

#[derive(Deserialize)]
struct ListenTable {
    https: [SocketAddr; 1],
    http: [SocketAddr; 1],
    admin: SocketAddr,
}

#[derive(Deserialize)]
struct ServerTable {
    url: String,
    public_url: String,
    secret: String,
}

#[derive(Deserialize)]
struct TenantFile {
    name: String,
    policy: String,
    hosts: Vec<String>,
    secrets: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PolicyFile {
    title: String,
}

/// A tenant with the title of its service level.
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) host: String,
    pub(crate) secret: String,
}

pub(crate) struct RunningSim {
    pub(crate) id: String,
    pub(crate) sim: Sim,
}

/// Where the gateway listens, and why not where it was meant to.
pub(crate) struct Ports {
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) detour: Option<String>,
}

pub(crate) struct Set {
    pub(crate) ports: Ports,
    pub(crate) sims: Vec<RunningSim>,
    pub(crate) tenants: Vec<Tenant>,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Trouble> {
    let text = fs::read_to_string(path).map_err(Trouble::file(path))?;
    toml::from_str(&text).map_err(|error| Trouble::File(path.to_owned(), error.into()))
}

/// Starts the servers that a configuration names, and writes down what is another address than it says.
pub(crate) async fn set_up(dir: &Path) -> Result<Set, Trouble> {
    let path = dir.join("anteroom.toml");
    let mut text = fs::read_to_string(&path).map_err(Trouble::file(&path))?;
    let GatewayFile { listen, servers } = read(&path)?;
    let [wanted] = listen.https;
    let https = free_address(wanted, HTTPS_PORT_ELSE)?;
    let http = free_address(listen.http[0], 0)?;
    let admin = free_address(listen.admin, 0)?;
    for (old, new) in [(wanted, https.address), (listen.http[0], http.address), (listen.admin, admin.address)] {
        text = text.replace(&format!("\"{old}\""), &format!("\"{new}\""));
    }
    let mut sims = Vec::new();
    for (id, server) in servers {
        let url = server.url.clone();
        let sim = start_sim(server, https.address.port() != 443).await?;
        text = text.replace(&format!("\"{url}\""), &format!("\"{}\"", sim.url()));
        sims.push(RunningSim { id, sim });
    }
    fs::write(&path, text).map_err(Trouble::file(&path))?;
    let detour = https.why.map(|why| format!("port {} {why}", wanted.port()));
    Ok(Set { ports: Ports { https: https.address, admin: admin.address, detour }, sims, tenants: read_tenants(dir)? })
}

/// An address that can be listened on.
struct Free {
    address: SocketAddr,
    /// Why it is not the one that was wanted.
    why: Option<&'static str>,
}

/// The address that is wanted, else the same on another port, else on any.
fn free_address(wanted: SocketAddr, port_else: u16) -> Result<Free, Trouble> {
    let bind = |port| TcpListener::bind((wanted.ip(), port)).and_then(|listener| listener.local_addr());
    let why = match bind(wanted.port()) {
        Ok(address) => return Ok(Free { address, why: None }),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => "is for root only",
        Err(_) => "is taken",
    };
    let address = bind(port_else).or_else(|_| bind(0));
    let address = address.map_err(|error| Trouble::Failed("no port is free", error.to_string()))?;
    Ok(Free { address, why: Some(why) })
}

async fn start_sim(server: ServerTable, client_uses_port: bool) -> Result<Sim, Trouble> {
    let wanted = server.url.strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    let listen = wanted.ok_or_else(|| Trouble::Failed("not an address of a simulated server", server.url))?;
    let config = Config {
        listen: free_address(listen, 0)?.address,
        secret: server.secret,
        server_url: server.public_url,
        client_uses_port,
        log_entries_max: 0,
        ..Config::default()
    };
    Sim::start(config).await.map_err(|error| Trouble::Failed("a simulated server does not start", error.to_string()))
}

fn read_tenants(dir: &Path) -> Result<Vec<Tenant>, Trouble> {
    let tenants_dir = dir.join("tenants");
    let mut tenants = Vec::new();
    for entry in fs::read_dir(&tenants_dir).map_err(Trouble::file(&tenants_dir))? {
        let path = entry.map_err(Trouble::file(&tenants_dir))?.path();
        let (Some(id), Some("toml")) =
            (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|end| end.to_str()))
        else {
            continue;
        };
        let TenantFile { name, policy, hosts, secrets } = read(&path)?;
        let PolicyFile { title } = read(&dir.join(format!("policies/{policy}.toml")))?;
        let (Some(host), Some(secret)) = (hosts.into_iter().next(), secrets.into_values().next()) else {
            return Err(Trouble::File(path, "a host or a secret is missing".into()));
        };
        tenants.push(Tenant { id: id.to_owned(), name, title, host, secret });
    }
    tenants.sort_by_key(|tenant| rank(&tenant.id));
    Ok(tenants)
}

/// The shipped levels in their order, then all others by name.
fn rank(id: &str) -> (usize, String) {
    let levels = ["free", "level-1", "level-2", "level-3", "multi-account", "custom"];
    (levels.iter().position(|level| *level == id).unwrap_or(levels.len()), id.to_owned())
}
