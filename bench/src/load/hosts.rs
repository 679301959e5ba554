//! What hosts with certificates of their own cost: start, memory, reload and handshakes of a gateway with many of them,
//! beside the same gateway where one wildcard covers them all; and what it costs to renew them.
//!
//! Certificates are as public CAs make them: ECDSA P-256, a leaf and its issuer. They are made once, and kept in a directory
//! for the next run.

pub mod renewals;

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::{
    process::{cpu_time, peak_bytes, resident_bytes},
    stage::{POLICY, Process, Setup, config_file, free_ports, pinned, simulator, wait_ready},
    stop::Stop,
    target::{Target, roots_of},
};

const BASE: &str = "hosts.localhost";
const HOSTS_PER_TENANT: usize = 100;
/// Freed memory goes back to the system within some ten seconds.
const SETTLING: Duration = Duration::from_secs(15);
const RELOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Scope {
    /// How many hosts.
    pub count: usize,
    /// How many of them are asked for.
    pub asked: usize,
    /// How long handshakes are made at one host, and at those that are asked for in turn.
    pub seconds: Duration,
    /// Handshakes at the same time.
    pub at_once: usize,
    /// How many are due for renewal; with none, renewals are left out.
    pub due: usize,
    /// How long a gateway is watched whose renewals are held back.
    pub held: Duration,
    /// Where the certificates are kept.
    pub dir: PathBuf,
    /// Ends it early.
    pub stop: Stop,
}

/// The figures of one gateway.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Figures {
    /// How many certificates it has.
    pub certificates: usize,
    /// From the start of the process until it is ready.
    pub start_seconds: f64,
    /// Processor time of that.
    pub start_cpu_seconds: f64,
    /// Resident memory once it has settled.
    pub start_bytes: u64,
    /// The most there was until then.
    pub peak_bytes: u64,
    /// Resident memory after some hosts were asked for.
    pub asked_bytes: u64,
    /// How many hosts were asked for.
    pub asked: usize,
    /// From the change of a certificate until it is in service.
    pub reload_seconds: f64,
    /// Processor time of that.
    pub reload_cpu_seconds: f64,
    /// Full handshakes at one host.
    pub of_one: Handshakes,
    /// Full handshakes at all hosts that were asked for, in turn.
    pub in_turn: Handshakes,
}

/// Full handshakes of TLS 1.3, each on a connection of its own.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Handshakes {
    /// How many a second.
    pub per_second: f64,
    /// Processor time of the gateway for each, in microseconds.
    pub cpu_us: f64,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// With one wildcard, and with a certificate for each host.
    pub hosts: Vec<Figures>,
    /// Renewals, under each budget.
    pub renewals: Vec<renewals::Figures>,
}

/// Measures a gateway with one wildcard, then one with a certificate for each host, then renewals.
///
/// # Errors
/// When a program does not start, or a handshake fails.
pub async fn measure(setup: &Setup, scope: &Scope) -> io::Result<Found> {
    let dir = scope.dir.join(scope.count.to_string());
    prepare(&dir, scope.count)?;
    let mut found = Found::default();
    for with in [With::Wildcard, With::Each] {
        if !scope.stop.is_told() {
            found.hosts.push(one(setup, scope, &dir, with).await?);
        }
    }
    if 0 < scope.due && !scope.stop.is_told() {
        found.renewals = renewals::measure(setup, scope, &dir).await?;
    }
    Ok(found)
}

/// The figures as tables.
#[must_use]
pub fn text(found: &Found, count: usize) -> String {
    let mut text = of_hosts(&found.hosts, count);
    text.push_str(&renewals::text(&found.renewals));
    if let ([wildcard, _], [stored, ..]) = (&*found.hosts, &*found.renewals) {
        let grown = stored.start_bytes.saturating_sub(wildcard.start_bytes);
        let each = kb(grown, stored.certificates);
        text.push_str(&format!("memory for a host whose certificate is in the store: {each} KB\n"));
    }
    text
}

fn of_hosts(all: &[Figures], count: usize) -> String {
    let mut text = format!("{count} hosts\n");
    let mut row = |name: &str, value: &dyn Fn(&Figures) -> String| {
        let values: Vec<_> = all.iter().map(|figures| format!("{:>12}", value(figures))).collect();
        text.push_str(&format!("{name:<36}{}\n", values.concat()));
    };
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    row("certificates", &|f| f.certificates.to_string());
    row("start, s", &|f| format!("{:.2}", f.start_seconds));
    row("start, s of CPU", &|f| format!("{:.2}", f.start_cpu_seconds));
    row("memory after it, MB", &|f| mb(f.start_bytes));
    row("most memory until then, MB", &|f| mb(f.peak_bytes));
    row("hosts asked for", &|f| f.asked.to_string());
    row("memory for each of them, KB", &|f| kb(f.asked_bytes.saturating_sub(f.start_bytes), f.asked));
    row("reload of one certificate, s", &|f| format!("{:.2}", f.reload_seconds));
    row("reload, s of CPU", &|f| format!("{:.2}", f.reload_cpu_seconds));
    row("handshakes a second at one host", &|f| format!("{:.0}", f.of_one.per_second));
    row("us of CPU each", &|f| format!("{:.0}", f.of_one.cpu_us));
    row("handshakes a second at hosts in turn", &|f| format!("{:.0}", f.in_turn.per_second));
    row("us of CPU each", &|f| format!("{:.0}", f.in_turn.cpu_us));
    if let [wildcard, each] = all {
        let grown = each.start_bytes.saturating_sub(wildcard.start_bytes);
        text.push_str(&format!("memory for a host without a handshake: {} KB\n", kb(grown, each.certificates)));
    }
    text
}

fn kb(bytes: u64, of: usize) -> String {
    format!("{:.2}", bytes as f64 / 1e3 / of.max(1) as f64)
}

/// Which certificates a gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Wildcard,
    Each,
}

impl With {
    fn folder(self) -> &'static str {
        match self {
            Self::Wildcard => "wildcard",
            Self::Each => "certs",
        }
    }
}

fn host(n: usize) -> String {
    format!("host-{n}.{BASE}")
}

/// Makes tenants and certificates, unless an earlier run has.
fn prepare(dir: &Path, count: usize) -> io::Result<()> {
    let done = dir.join("done");
    if done.exists() {
        return Ok(());
    }
    ["tenants", "policies", "certs", "wildcard"].into_iter().try_for_each(|name| fs::create_dir_all(dir.join(name)))?;
    fs::write(dir.join("policies/custom.toml"), POLICY)?;
    for (nth, hosts) in (0..count).collect::<Vec<_>>().chunks(HOSTS_PER_TENANT).enumerate() {
        let hosts: Vec<_> = hosts.iter().map(|n| format!("{:?}", host(*n))).collect();
        let tenant = format!(
            "name = \"Tenant {nth}\"\npolicy = \"custom\"\nhosts = [{}]\n\n[secrets]\nmain = \"secret-of-tenant-{nth}\"\n",
            hosts.join(", ")
        );
        fs::write(dir.join(format!("tenants/tenant-{nth}.toml")), tenant)?;
    }
    let ca = Ca::make(dir)?;
    ca.issue(&dir.join("wildcard"), &format!("*.{BASE}"))?;
    for n in 0..count {
        ca.issue(&dir.join("certs"), &host(n))?;
        if n % 10_000 == 9_999 {
            eprintln!("{} certificates made", n + 1);
        }
    }
    fs::write(done, "")?;
    // A file that is so new is read again by the next look.
    std::thread::sleep(Duration::from_secs(3));
    Ok(())
}

/// A root, and the CA under it that issues.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    chain: String,
}

impl Ca {
    fn make(dir: &Path) -> io::Result<Self> {
        let (root_key, key) = (key()?, key()?);
        let root = params("A root of the bench", 1);
        fs::write(dir.join("ca.pem"), root.self_signed(&root_key).map_err(io::Error::other)?.pem())?;
        let root = Issuer::new(root, root_key);
        let intermediate = params("An issuer of the bench", 0);
        let chain = intermediate.signed_by(&key, &root).map_err(io::Error::other)?.pem();
        // For renewals in later runs.
        fs::write(dir.join("issuer.pem"), &chain)?;
        fs::write(dir.join("issuer-key.pem"), key.serialize_pem())?;
        Ok(Self { issuer: Issuer::new(intermediate, key), chain })
    }

    fn open(dir: &Path) -> io::Result<Self> {
        let chain = fs::read_to_string(dir.join("issuer.pem"))?;
        let key = KeyPair::from_pem(&fs::read_to_string(dir.join("issuer-key.pem"))?).map_err(io::Error::other)?;
        Ok(Self { issuer: Issuer::new(params("An issuer of the bench", 0), key), chain })
    }

    fn issue(&self, certs: &Path, name: &str) -> io::Result<()> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.use_authority_key_identifier_extension = true;
        let key = key()?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?.pem();
        let dir = certs.join(name.replace('*', "_"));
        fs::create_dir_all(&dir)?;
        let file = dir.join("privkey.pem");
        fs::write(&file, key.serialize_pem())?;
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(dir.join("fullchain.pem"), leaf + &self.chain)
    }
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

fn params(name: &str, below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A gateway, with what its start took.
struct Started {
    gateway: Process,
    https: SocketAddr,
    admin: SocketAddr,
    seconds: f64,
    cpu_seconds: f64,
    // Behind the gateway, so that they go after it.
    config: TempDir,
    _simulator: Process,
}

/// Starts a gateway in a directory for its configuration, with a folder of certificates where there is one.
async fn start(
    setup: &Setup,
    made: &Path,
    certs: Option<&str>,
    config: TempDir,
    change: impl FnOnce(String) -> String,
) -> io::Result<Started> {
    let ports = free_ports()?;
    let [https, _, admin] = ports;
    let (simulator, address) = simulator(setup)?;
    let text = config_file(ports, std::iter::once(address), "sqlite:var/anteroom.db");
    fs::write(config.path().join("anteroom.toml"), change(text))?;
    for (name, to) in
        [("tenants", "tenants"), ("policies", "policies")].into_iter().chain(certs.map(|to| ("certs", to)))
    {
        symlink(fs::canonicalize(made.join(to))?, config.path().join(name))?;
    }
    let log = config.path().join("gateway.err");
    let mut command = pinned(setup.cores.as_ref().map(|cores| &*cores.gateway), &setup.gateway);
    command.args(["serve", "--config"]).arg(config.path()).stdout(Stdio::null()).stderr(File::create(&log)?);
    let began = Instant::now();
    let mut gateway = Process::start(command, &setup.gateway)?;
    wait_ready(&mut gateway, admin, &log).await?;
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), cpu_time(gateway.id())?.as_secs_f64());
    Ok(Started { gateway, https, admin, seconds, cpu_seconds, config, _simulator: simulator })
}

/// Starts a gateway and measures it.
async fn one(setup: &Setup, scope: &Scope, made: &Path, with: With) -> io::Result<Figures> {
    let started = start(setup, made, Some(with.folder()), tempfile::tempdir()?, |text| text).await?;
    let pid = started.gateway.id();
    let mut figures = Figures {
        certificates: if with == With::Each { scope.count } else { 1 },
        start_seconds: started.seconds,
        start_cpu_seconds: started.cpu_seconds,
        asked: scope.asked.min(scope.count),
        ..Figures::default()
    };
    tokio::time::sleep(SETTLING).await;
    figures.start_bytes = resident_bytes(pid)?;
    figures.peak_bytes = peak_bytes(pid)?;

    let caller = Caller::new(&started, made, scope.at_once)?;
    // Far from each other, as those are that people ask for.
    let step = (scope.count / figures.asked.max(1)).max(1);
    let asked = names((0..figures.asked).map(|n| n * step))?;
    caller.each_once(&asked).await?;
    tokio::time::sleep(SETTLING).await;
    figures.asked_bytes = resident_bytes(pid)?;
    figures.of_one = caller.for_a_time(&asked[..1], scope.seconds).await?;
    figures.in_turn = caller.for_a_time(&asked, scope.seconds).await?;

    let name = if with == With::Each { host(0) } else { format!("*.{BASE}") };
    let before = caller.handshake(asked[0].clone()).await?;
    let (cpu, began) = (cpu_time(pid)?, Instant::now());
    Ca::open(made)?.issue(&made.join(with.folder()), &name)?;
    while caller.handshake(asked[0].clone()).await? == before {
        if RELOAD_TIMEOUT < began.elapsed() {
            return Err(io::Error::other("the gateway does not take a new certificate"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figures.reload_seconds = began.elapsed().as_secs_f64();
    // What it does after the change is in service belongs to it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    figures.reload_cpu_seconds = (cpu_time(pid)? - cpu).as_secs_f64();
    Ok(figures)
}

/// Makes handshakes.
struct Caller {
    connector: TlsConnector,
    address: SocketAddr,
    pid: u32,
    at_once: usize,
}

/// Hosts by their numbers, as a client asks for them.
fn names(numbers: impl Iterator<Item = usize>) -> io::Result<Vec<ServerName<'static>>> {
    numbers.map(|n| ServerName::try_from(host(n)).map_err(io::Error::other)).collect()
}

impl Caller {
    fn new(started: &Started, made: &Path, at_once: usize) -> io::Result<Self> {
        let roots = roots_of(&made.join("ca.pem"))?;
        let target = Target { host: host(0), address: started.https, roots: Some(roots), secret: String::new() };
        let connector = target.connector(false, b"http/1.1").ok_or_else(|| io::Error::other("no TLS"))?;
        Ok(Self { connector, address: started.https, pid: started.gateway.id(), at_once })
    }

    /// One full handshake; returns the certificate that was shown.
    async fn handshake(&self, name: ServerName<'static>) -> io::Result<Option<CertificateDer<'static>>> {
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = self.connector.connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        stream.shutdown().await?;
        Ok(shown)
    }

    async fn each_once(&self, names: &[ServerName<'static>]) -> io::Result<()> {
        let next = Cell::new(0_usize);
        let worker = async || {
            while let Some(name) = names.get(next.replace(next.get() + 1)) {
                self.handshake(name.clone()).await?;
            }
            io::Result::Ok(())
        };
        futures_util::future::try_join_all((0..self.at_once).map(|_| worker())).await.map(drop)
    }

    async fn for_a_time(&self, names: &[ServerName<'static>], time: Duration) -> io::Result<Handshakes> {
        let made = Cell::new(0_usize);
        let (began, cpu) = (Instant::now(), cpu_time(self.pid)?);
        let worker = async || {
            while began.elapsed() < time {
                let nth = made.replace(made.get() + 1);
                self.handshake(names[nth % names.len()].clone()).await?;
            }
            io::Result::Ok(())
        };
        futures_util::future::try_join_all((0..self.at_once).map(|_| worker())).await?;
        let (elapsed, used) = (began.elapsed(), cpu_time(self.pid)? - cpu);
        let made = made.get().max(1) as f64;
        Ok(Handshakes { per_second: made / elapsed.as_secs_f64(), cpu_us: used.as_secs_f64() * 1e6 / made })
    }
}
