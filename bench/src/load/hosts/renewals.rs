//! What it costs to renew many certificates: processor time of the gateway while a budget holds most of them back, and for one
//! renewal; and handshakes at other hosts meanwhile, beside the same gateway in quiet.
//!
//! All certificates are in a SQLite store, which is filled once through the admin API and kept for the next run. `sqlite3`
//! (Debian) moves their dates, and sees how far the gateway is. The authority is pebble (Debian), which takes every host as
//! proven: its own work, and that of proofs, is not in the figures.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use rustls::pki_types::ServerName;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Ca, Caller, HOSTS_PER_TENANT, SETTLING, Scope, Started, host, names, start};
use crate::load::{
    process::{cpu_time, peak_bytes, resident_bytes},
    stage::{Process, Setup, free_ports, pinned},
    tally::Spread,
    wire::{Stream, Wire},
};

/// The store's file in the configuration's directory.
const STORE: &str = "var/anteroom.db";
/// What private keys are encrypted with, in hexadecimal: the store is kept for later runs.
const KEY: &str = "6b6579206f66207468652062656e63682c206f66206e6f20757365206265796f";
/// Calls at once that fill the store.
const FILLERS: usize = 4;
/// Handshakes a second at hosts that are not due.
const RATE: f64 = 50.0;
/// How many of those hosts there are.
const OTHERS_MAX: usize = 1000;
/// How long the quiet gateway is looked at.
const QUIET: Duration = Duration::from_secs(30);
/// Between two looks at the store.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(3600);
const DAY_MS: u128 = 86_400_000;

/// Bounds of what is asked of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// The defaults, but for orders below one registered domain: all hosts are below one.
    Default,
    /// Room for all, and 32 at the same time.
    Raised,
}

impl Budget {
    /// `[acme.budget]`.
    fn settings(self) -> &'static str {
        match self {
            Self::Default => "orders_of_domain = 1000000\n",
            Self::Raised => "orders_of_domain = 1000000\norders_of_account = 1000000\nat_once = 32\n",
        }
    }
}

/// The figures of one gateway.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Its budget.
    pub budget: Budget,
    /// How many certificates its store has.
    pub certificates: usize,
    /// From the start of the process until it is ready.
    pub start_seconds: f64,
    /// Processor time of that.
    pub start_cpu_seconds: f64,
    /// Resident memory once it has settled.
    pub start_bytes: u64,
    /// The most there was until then.
    pub peak_bytes: u64,
    /// What it did, in this order.
    pub phases: Vec<Phase>,
    /// Resident memory at the end.
    pub end_bytes: u64,
}

/// A time in which it did one thing.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Phase {
    /// Which.
    pub name: &'static str,
    /// Whether it ended after a time, and not when names had been looked at.
    pub is_timed: bool,
    /// How long.
    pub seconds: f64,
    /// Processor time of the gateway.
    pub cpu_seconds: f64,
    /// Certificates that were renewed.
    pub renewed: u64,
    /// Names that were looked at and held back.
    pub held_back: u64,
    /// Handshakes at other hosts, at a fixed rate.
    pub handshakes: u64,
    /// Half of them took no longer, in microseconds from the moment at which each was to begin.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
}

/// Measures a gateway with the default budget, then one with a budget for all.
pub(super) async fn measure(setup: &Setup, scope: &Scope, made: &Path) -> io::Result<Vec<Figures>> {
    for program in ["pebble", "sqlite3"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(io::Error::other(format!("{program} is not there: apt-get install pebble sqlite3")));
        }
    }
    let store = fill(setup, scope, made).await?;
    let mut all = Vec::new();
    for budget in [Budget::Default, Budget::Raised] {
        if !scope.stop.is_told() {
            all.push(one(setup, scope, made, &store, budget).await?);
        }
    }
    Ok(all)
}

/// The figures as tables.
#[must_use]
pub fn text(all: &[Figures]) -> String {
    let mut text = String::new();
    for figures in all {
        text.push_str(&format!(
            "\n{} certificates in the store, budget {:?}: start {:.2} s ({:.2} s of CPU), {:.1} MB after it, {:.1} MB at most \
             until then, {:.1} MB at the end\n{:<40}{:>9}{:>9}{:>9}{:>9}{:>12}{:>9}{:>9}\n",
            figures.certificates,
            figures.budget,
            figures.start_seconds,
            figures.start_cpu_seconds,
            figures.start_bytes as f64 / 1e6,
            figures.peak_bytes as f64 / 1e6,
            figures.end_bytes as f64 / 1e6,
            "",
            "s",
            "% core",
            "renewed",
            "held",
            "handshakes",
            "p50 us",
            "p99 us",
        ));
        for phase in &figures.phases {
            text.push_str(&format!(
                "{:<40}{:>9.1}{:>9.2}{:>9}{:>9}{:>12}{:>9.0}{:>9.0}\n",
                phase.name,
                phase.seconds,
                phase.core_share() * 100.0,
                phase.renewed,
                phase.held_back,
                phase.handshakes,
                phase.p50_us,
                phase.p99_us,
            ));
        }
        // Each with the one that is the same but for handshakes.
        for pair in figures.phases.chunks_exact(2) {
            let [without, with] = [pair[0], pair[1]];
            let names = (with.renewed + with.held_back) as f64;
            let own = if with.is_timed { without.core_share() * with.seconds } else { without.each() * names };
            let each = (with.cpu_seconds - own) * 1e6 / with.handshakes.max(1) as f64;
            // Names that are renewed cost more than those that are held back.
            if without.is_timed || without.held_back == 0 {
                text.push_str(&format!("us of CPU for a handshake, {}: {each:.0}\n", with.name));
            }
            if !without.is_timed {
                text.push_str(&format!("ms of CPU for a name, {}: {:.2}\n", without.name, without.each() * 1e3));
            }
        }
    }
    text
}

impl Phase {
    /// Of one core.
    fn core_share(&self) -> f64 {
        self.cpu_seconds / self.seconds
    }

    /// Processor time for each name that was looked at, in seconds.
    fn each(&self) -> f64 {
        self.cpu_seconds / (self.renewed + self.held_back).max(1) as f64
    }
}

/// Fills a store with all certificates, unless an earlier run has; returns its file.
async fn fill(setup: &Setup, scope: &Scope, made: &Path) -> io::Result<PathBuf> {
    let file = made.join("store.db");
    if file.exists() {
        return Ok(file);
    }
    let config = tempfile::tempdir()?;
    write_key(config.path())?;
    let started = start(setup, made, Some("wildcard"), config, with_key).await?;
    let token = Command::new(&setup.gateway)
        .args(["token", "--scope", "operate", "--valid", "12h", "--config"])
        .arg(started.config.path())
        .output()?;
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let next = Cell::new(0_usize);
    let filler = async || {
        let mut wire = Wire::new(Stream::Plain(TcpStream::connect(started.admin).await?));
        loop {
            let n = next.replace(next.get() + 1);
            if scope.count <= n || scope.stop.is_told() {
                return io::Result::Ok(());
            }
            let dir = made.join("certs").join(host(n));
            let (chain, key) =
                (fs::read_to_string(dir.join("fullchain.pem"))?, fs::read_to_string(dir.join("privkey.pem"))?);
            let body = json!({ "chain": chain, "key": key }).to_string();
            let head = format!(
                "POST /api/domains/import HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let reply = wire.exchange((head + &body).as_bytes()).await?;
            if reply.status != 200 {
                return Err(io::Error::other(format!("import: {}", String::from_utf8_lossy(reply.body))));
            }
            if n % 10_000 == 9_999 {
                eprintln!("{} certificates imported", n + 1);
            }
        }
    };
    futures_util::future::try_join_all((0..FILLERS).map(|_| filler())).await?;
    let Started { gateway, config, .. } = started;
    drop(gateway);
    if scope.stop.is_told() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let filled = config.path().join(STORE);
    sql(&filled, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    // Whole, or not there.
    fs::copy(&filled, made.join("store.part"))?;
    fs::rename(made.join("store.part"), &file)?;
    Ok(file)
}

fn write_key(dir: &Path) -> io::Result<()> {
    let file = dir.join("encryption-key");
    fs::write(&file, KEY)?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

fn with_key(text: String) -> String {
    text.replace("[store]\n", "[store]\nencryption_key = \"file:encryption-key\"\n")
}

/// The number of a host, in SQL.
const NUMBER: &str = "CAST(substr(name, 6, instr(name, '.') - 6) AS INTEGER)";

/// Statements that have certificates end in 20 days where they are to be due, else in 89 of 90, with names that are looked at
/// in a day.
fn dated(due: usize, directory: &str) -> String {
    let now = now_ms();
    let (day, since, until) = (now + DAY_MS, now - 70 * DAY_MS, now + 20 * DAY_MS);
    let (fresh_since, fresh_until, renewed) = (now - DAY_MS, now + 89 * DAY_MS, now + 60 * DAY_MS);
    format!(
        "UPDATE certificates SET authority = '{directory}', changed_at = {now},
             not_before = CASE WHEN {NUMBER} < {due} THEN {since} ELSE {fresh_since} END,
             not_after = CASE WHEN {NUMBER} < {due} THEN {until} ELSE {fresh_until} END;
         INSERT INTO domains (name, tenant, state, since, next_at, good_until, renew_at, authority)
             SELECT name, 'tenant-' || ({NUMBER} / {HOSTS_PER_TENANT}), 'active', {now},
                 CASE WHEN {NUMBER} < {due} THEN {day} ELSE {renewed} END, not_after,
                 CASE WHEN {NUMBER} < {due} THEN {now} ELSE {renewed} END, '{directory}'
             FROM certificates;"
    )
}

/// Starts a gateway on a copy of the store, and measures it.
async fn one(setup: &Setup, scope: &Scope, made: &Path, store: &Path, budget: Budget) -> io::Result<Figures> {
    let due = scope.due.min(scope.count / 2);
    let authority = Authority::start(setup, made).await?;
    let config = tempfile::tempdir()?;
    write_key(config.path())?;
    let file = config.path().join(STORE);
    fs::create_dir_all(config.path().join("var"))?;
    fs::copy(store, &file)?;
    sql(&file, &dated(due, &authority.directory))?;
    let acme = format!(
        "\n[acme]\ndirectory = \"{}\"\ncontact = [\"mailto:ops@gateway.example\"]\nroot = \"{}\"\nprecheck = false\n\n\
         [acme.budget]\n{}",
        authority.directory,
        fs::canonicalize(made.join("ca.pem"))?.display(),
        budget.settings()
    );
    let started = start(setup, made, None, config, |text| with_key(text) + &acme).await?;
    let pid = started.gateway.id();
    tokio::time::sleep(SETTLING).await;
    let mut figures = Figures {
        budget,
        certificates: scope.count,
        start_seconds: started.seconds,
        start_cpu_seconds: started.cpu_seconds,
        start_bytes: resident_bytes(pid)?,
        peak_bytes: peak_bytes(pid)?,
        phases: Vec::new(),
        end_bytes: 0,
    };
    let others = names((due..scope.count).rev().take(OTHERS_MAX))?;
    let caller = Caller::new(&started, made, scope.at_once)?;
    caller.each_once(&others).await?;
    tokio::time::sleep(SETTLING).await;
    let half = due / 2;
    let mut watched = Watched { caller, others, file, admin: started.admin, due_at: Cell::new(0), phases: Vec::new() };
    watched.phase("quiet", Until::Passed(QUIET), false).await?;
    watched.phase("quiet, with handshakes", Until::Passed(QUIET), true).await?;
    watched.make_due(0..half)?;
    watched.phase("half of the names become due", Until::LookedAt, false).await?;
    watched.make_due(half..due)?;
    watched.phase("the other half, with handshakes", Until::LookedAt, true).await?;
    if budget == Budget::Default {
        watched.phase("names are held back", Until::Passed(scope.held), false).await?;
        watched.phase("held back, with handshakes", Until::Passed(QUIET), true).await?;
    }
    figures.phases = watched.phases;
    figures.end_bytes = resident_bytes(pid)?;
    Ok(figures)
}

/// A gateway under measurement.
struct Watched {
    caller: Caller,
    /// Hosts that are not due.
    others: Vec<ServerName<'static>>,
    /// Its store.
    file: PathBuf,
    admin: SocketAddr,
    /// When names have become due, in milliseconds since the epoch.
    due_at: Cell<u128>,
    phases: Vec<Phase>,
}

/// When a phase ends.
#[derive(Debug, Clone, Copy)]
enum Until {
    Passed(Duration),
    /// All names that have become due were looked at, and no order is under way.
    LookedAt,
}

impl Watched {
    fn make_due(&self, hosts: std::ops::Range<usize>) -> io::Result<()> {
        self.due_at.set(now_ms());
        let (now, from, to) = (self.due_at.get(), hosts.start, hosts.end);
        sql(&self.file, &format!("UPDATE domains SET next_at = {now} WHERE {NUMBER} >= {from} AND {NUMBER} < {to}"))
            .map(drop)
    }

    /// Watches until the end of a phase, and notes it.
    async fn phase(&mut self, name: &'static str, until: Until, with_handshakes: bool) -> io::Result<()> {
        eprintln!("{name}");
        let before = self.orders().await?;
        let (began, cpu) = (Instant::now(), cpu_time(self.caller.pid)?);
        let (is_over, spread) = (Cell::new(false), RefCell::new(Spread::default()));
        let workers = if with_handshakes { self.caller.at_once } else { 0 };
        let gap = Duration::from_secs_f64(1.0 / RATE);
        let worker = async |nth: usize| {
            let (mut at, mut n) = (began + gap * u32::try_from(nth).unwrap_or(0), nth);
            loop {
                tokio::time::sleep_until(at.into()).await;
                if is_over.get() {
                    return io::Result::Ok(());
                }
                self.caller.handshake(self.others[n % self.others.len()].clone()).await?;
                spread.borrow_mut().count(at.elapsed());
                at += gap * u32::try_from(workers).unwrap_or(1);
                n += workers;
            }
        };
        let end = async {
            let ended = self.end(until).await;
            is_over.set(true);
            ended
        };
        let (_, seconds_and_cpu) = tokio::try_join!(futures_util::future::try_join_all((0..workers).map(worker)), end)?;
        let (seconds, cpu_after) = seconds_and_cpu;
        let after = self.orders().await?;
        let spread = spread.into_inner();
        let times = spread.percentiles();
        self.phases.push(Phase {
            name,
            is_timed: matches!(until, Until::Passed(_)),
            seconds,
            cpu_seconds: (cpu_after - cpu).as_secs_f64(),
            renewed: after.issued - before.issued,
            held_back: after.held_back - before.held_back,
            handshakes: spread.len(),
            p50_us: times.p50,
            p99_us: times.p99,
        });
        Ok(())
    }

    /// Waits for the end of a phase. Returns how long it took, and the gateway's processor time until then.
    async fn end(&self, until: Until) -> io::Result<(f64, Duration)> {
        let began = Instant::now();
        match until {
            Until::Passed(time) => tokio::time::sleep(time).await,
            Until::LookedAt => loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let left = format!(
                    "SELECT COUNT(*) FROM domains WHERE next_at <= {} OR state = 'ordering'",
                    self.due_at.get()
                );
                let file = self.file.clone();
                let left = tokio::task::spawn_blocking(move || sql(&file, &left)).await.map_err(io::Error::other)??;
                if left.trim() == "0" {
                    break;
                }
                if TIMEOUT < began.elapsed() {
                    return Err(io::Error::other(format!("{} names are left", left.trim())));
                }
            },
        }
        Ok((began.elapsed().as_secs_f64(), cpu_time(self.caller.pid)?))
    }

    /// How many orders there were, as the gateway counts.
    async fn orders(&self) -> io::Result<Orders> {
        let mut wire = Wire::new(Stream::Plain(TcpStream::connect(self.admin).await?));
        let reply = wire.exchange(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let text = String::from_utf8_lossy(reply.body);
        let of = |outcome: &str| {
            let mut lines = text.lines().filter(|line| line.starts_with("anteroom_certificate_orders_total"));
            let line = lines.find(|line| line.contains(outcome))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        Ok(Orders { issued: of("issued").unwrap_or(0), held_back: of("held_back").unwrap_or(0) })
    }
}

/// What has become of names that were due.
struct Orders {
    issued: u64,
    held_back: u64,
}

/// A pebble.
struct Authority {
    directory: String,
    _process: Process,
    // Behind the process.
    _dir: TempDir,
}

impl Authority {
    async fn start(setup: &Setup, made: &Path) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        Ca::open(made)?.issue(dir.path(), "localhost")?;
        let [address, management, _] = free_ports()?;
        let certificate = dir.path().join("localhost");
        let config = json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate.join("fullchain.pem"),
            "privateKey": certificate.join("privkey.pem"),
            "httpPort": 1,
            "tlsPort": 1,
            "certificateValidityPeriod": 90 * 24 * 3600,
        }});
        let file = dir.path().join("pebble.json");
        fs::write(&file, config.to_string())?;
        let log = File::create(dir.path().join("pebble.log"))?;
        let mut command = pinned(setup.cores.as_ref().map(|cores| &*cores.others), Path::new("pebble"));
        command.envs([
            ("PEBBLE_VA_ALWAYS_VALID", "1"),
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "0"),
        ]);
        command.arg("-config").arg(file).stdout(log.try_clone()?).stderr(log);
        let process = Process::start(command, Path::new("pebble"))?;
        let began = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if Duration::from_secs(30) < began.elapsed() {
                return Err(io::Error::other("pebble does not listen"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { directory: format!("https://localhost:{}/dir", address.port()), _process: process, _dir: dir })
    }
}

/// Runs statements on a store that a gateway may have open.
fn sql(file: &Path, statements: &str) -> io::Result<String> {
    let done = Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(file).arg(statements).output()?;
    if !done.status.success() {
        return Err(io::Error::other(format!("sqlite3: {}", String::from_utf8_lossy(&done.stderr))));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn now_ms() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()
}
