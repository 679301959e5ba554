//! What is measured, started for the purpose: simulated BBB servers and a gateway, each a process of its own on
//! loopback, with a configuration in a temporary directory. Whatever ends the stage ends them all.

pub mod peers;

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::postgres::{Durable, Postgres};

use super::{
    tally::Watched,
    target::{Target, roots_of},
    wire::{Stream, Wire},
};

/// The level of the tenant: nothing of it is limited.
pub(super) const POLICY: &str = include_str!("../../../policies/custom.toml");
const HOST: &str = "load.localhost";
const TENANT_SECRET: &str = "load-secret";
const SERVER_SECRET: &str = "server-secret";
/// A gateway that is not ready by then has a fault.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What is started, and where it runs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// A pingora-proxy of `bench/pingora/`, if there is one to compare with.
    pub pingora: Option<PathBuf>,
    /// The simulator's.
    pub simulator: PathBuf,
    /// How many simulated servers.
    pub servers: usize,
    /// People that each simulated meeting has at once.
    pub attendees: u32,
    /// Tenants in the configuration; the first one is loaded.
    pub tenants: usize,
    /// How many gateways; several have PostgreSQL.
    pub gateways: usize,
    /// Where the gateway keeps what it has promised.
    pub store: Store,
    /// Which processors each has; `None` leaves it to the system.
    pub cores: Option<Cores>,
}

/// A gateway's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In its own process.
    Sqlite,
    /// In one beside it, on the processor of the others.
    Postgresql,
}

/// Which processor each of them has, as `taskset` takes it.
#[derive(Debug, Clone)]
pub struct Cores {
    /// The gateway's.
    pub gateway: String,
    /// The generator's and the simulated servers'.
    pub others: String,
}

/// Simulated servers, and the gateways if there are any.
pub struct Stage {
    servers: Vec<(Process, SocketAddr)>,
    gateways: Vec<(Process, Target)>,
    peers: Vec<Process>,
    tenants: usize,
    // Behind the gateways, which lose it last.
    _database: Option<Postgres>,
    // Behind the processes, so that it goes after them.
    _dir: TempDir,
}

impl Stage {
    /// Starts simulated servers alone.
    ///
    /// # Errors
    /// When they do not start.
    pub fn direct(setup: &Setup) -> io::Result<Self> {
        let servers = (0..setup.servers).map(|_| simulator(setup)).collect::<io::Result<_>>()?;
        Ok(Self {
            servers,
            gateways: Vec::new(),
            peers: Vec::new(),
            tenants: 0,
            _database: None,
            _dir: tempfile::tempdir()?,
        })
    }

    /// Starts simulated servers and the gateways in front of them.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn through(setup: &Setup) -> io::Result<Self> {
        let mut stage = Self::direct(setup)?;
        stage.tenants = setup.tenants.max(1);
        let shared = 1 < setup.gateways || setup.store == Store::Postgresql;
        let database = if shared { Some(Postgres::start(Durable::Yes)?) } else { None };
        let store = match &database {
            Some(database) => database.database()?,
            None => "sqlite:var/anteroom.db".into(),
        };
        stage._database = database;
        for nth in 0..setup.gateways.max(1) {
            let gateway = stage.gateway(setup, nth, &store).await?;
            stage.gateways.push(gateway);
        }
        Ok(stage)
    }

    /// Starts one gateway. All have the files of the first, but for their own addresses.
    async fn gateway(&self, setup: &Setup, nth: usize, store: &str) -> io::Result<(Process, Target)> {
        let first = self._dir.path();
        let ports = free_ports()?;
        let [https, _, admin] = ports;
        let file = config_file(ports, self.servers.iter().map(|(_, address)| *address), store);
        let dir = if nth == 0 { first.to_owned() } else { first.join(format!("gateway-{nth}")) };
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("anteroom.toml"), file)?;
        if nth == 0 {
            write_tenants(&dir, setup.tenants)?;
            let made = Command::new(&setup.gateway).args(["dev-ca", "--config"]).arg(&dir).output();
            let made = made.map_err(|error| named(&setup.gateway, &error))?;
            if !made.status.success() {
                return Err(named(&setup.gateway, &String::from_utf8_lossy(&made.stderr)));
            }
        } else {
            ["tenants", "policies", "certs"]
                .into_iter()
                .try_for_each(|name| symlink(first.join(name), dir.join(name)))?;
        }
        let log = dir.join("gateway.err");
        let mut command = pinned(setup.cores.as_ref().map(|cores| &*cores.gateway), &setup.gateway);
        // The access log is written, and goes nowhere.
        command.args(["serve", "--config"]).arg(&dir).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut process = Process::start(command, &setup.gateway)?;
        wait_ready(&mut process, admin, &log).await?;
        let target = Target {
            host: HOST.into(),
            address: https,
            roots: Some(roots_of(&first.join("dev-ca/ca.pem"))?),
            secret: TENANT_SECRET.into(),
        };
        Ok((process, target))
    }

    /// What is to be called: the first gateway, or the first server where there is none.
    #[must_use]
    pub fn target(&self) -> Target {
        match self.gateways.first() {
            Some((_, target)) => target.clone(),
            None => Target {
                host: "bbb-01.internal.test".into(),
                address: self.servers[0].1,
                roots: None,
                secret: SERVER_SECRET.into(),
            },
        }
    }

    /// All gateways, each as the same tenant.
    #[must_use]
    pub fn replicas(&self) -> Vec<Target> {
        self.gateways.iter().map(|(_, target)| target.clone()).collect()
    }

    /// All tenants at the first gateway, but no more than so many.
    #[must_use]
    pub fn domains(&self, most: usize) -> Vec<Target> {
        let first = self.target();
        let others = (1..self.tenants).map(|n| {
            let (host, secret) = other_tenant(n);
            Target { host, secret, ..first.clone() }
        });
        std::iter::once(first.clone()).chain(others).take(most).collect()
    }

    /// The processes.
    #[must_use]
    pub fn watched(&self) -> Watched {
        Watched {
            gateways: self.gateways.iter().map(|(process, _)| process.id()).collect(),
            origins: self.servers.iter().map(|(process, _)| process.id()).collect(),
        }
    }
}

/// A process that ends when this is dropped, and whether it is asked to first.
pub(super) struct Process {
    child: Child,
    is_asked: bool,
}

impl Process {
    pub(super) fn start(mut command: Command, program: &Path) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .spawn()
            .map(|child| Self { child, is_asked: false })
            .map_err(|error| named(program, &error))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself. Nothing of what it holds is to be kept, so it is not asked first; but nginx has a worker,
        // which ends with it only when it is asked.
        if let Some(pid) =
            rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)).filter(|_| self.is_asked)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn simulator(setup: &Setup) -> io::Result<(Process, SocketAddr)> {
    let mut command = pinned(setup.cores.as_ref().map(|cores| &*cores.others), &setup.simulator);
    command.args(["--listen", "127.0.0.1:0", "--secret", SERVER_SECRET]);
    command.args(["--upload-bytes-max", "1000000000"]);
    command.args(["--attendees", &setup.attendees.to_string()]).stdout(Stdio::piped());
    let mut process = Process::start(command, &setup.simulator)?;
    let mut line = String::new();
    if let Some(output) = process.child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let address = line.trim().rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
    let address = address.ok_or_else(|| named(&setup.simulator, &format!("did not say where it listens: {line:?}")))?;
    Ok((process, address))
}

pub(super) fn config_file(ports: [SocketAddr; 3], servers: impl Iterator<Item = SocketAddr>, store: &str) -> String {
    let [https, http, admin] = ports;
    let mut file = format!(
        "base_domains = [\"localhost\"]\n\n[listen]\n\
         https = [\"{https}\"]\nhttp = [\"{http}\"]\nadmin = \"{admin}\"\nhttp2_websockets = true\n\n\
         [store]\nurl = \"{store}\"\n\n\
         [connections]\nper_address = 1000000\n\n\
         [rates]\nconnections = \"unlimited\"\ntenant_requests = \"unlimited\"\ntenant_joins = \"unlimited\"\n"
    );
    for (n, address) in servers.enumerate() {
        file.push_str(&format!(
            "\n[servers.bbb-{n}]\nurl = \"http://{address}\"\npublic_url = \"https://bbb-01.internal.test\"\n\
             secret = \"{SERVER_SECRET}\"\npool = \"custom\"\n"
        ));
    }
    file
}

fn write_tenants(dir: &Path, tenants: usize) -> io::Result<()> {
    ["tenants", "policies", "certs"].into_iter().try_for_each(|name| fs::create_dir_all(dir.join(name)))?;
    fs::write(dir.join("policies/custom.toml"), POLICY)?;
    let tenant = |host: &str, secret: &str| {
        format!("name = \"A load test\"\npolicy = \"custom\"\nhosts = [\"{host}\"]\n\n[secrets]\nmain = \"{secret}\"\n")
    };
    fs::write(dir.join("tenants/load.toml"), tenant(HOST, TENANT_SECRET))?;
    for n in 1..tenants {
        let (host, secret) = other_tenant(n);
        fs::write(dir.join(format!("tenants/other-{n}.toml")), tenant(&host, &secret))?;
    }
    Ok(())
}

/// Host and secret of a tenant behind the first.
fn other_tenant(n: usize) -> (String, String) {
    (format!("other-{n}.localhost"), format!("secret-of-another-tenant-{n}"))
}

/// Ports that were free a moment ago. All are held until the last is found, so that they differ.
pub(super) fn free_ports() -> io::Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [bind()?, bind()?, bind()?];
    Ok([held[0].local_addr()?, held[1].local_addr()?, held[2].local_addr()?])
}

pub(super) async fn wait_ready(process: &mut Process, admin: SocketAddr, log: &Path) -> io::Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = process.child.try_wait()? {
            let said = fs::read_to_string(log).unwrap_or_default();
            return Err(io::Error::other(format!("the gateway has ended with {status}: {said}")));
        }
        if is_ready(admin).await.unwrap_or(false) {
            return Ok(());
        }
        if START_TIMEOUT < started.elapsed() {
            return Err(io::Error::other("the gateway does not become ready"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut wire = Wire::new(Stream::Plain(tokio::net::TcpStream::connect(admin).await?));
    let request = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n";
    Ok(wire.exchange(request).await?.status == 200)
}

/// A program on these processors, as the same process: `taskset` becomes what it starts.
pub(super) fn pinned(cores: Option<&str>, program: &Path) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

/// Keeps this process on these processors. Threads that are started later stay there too.
///
/// # Errors
/// When `taskset` refuses.
pub fn pin_self(cores: &str) -> io::Result<()> {
    let pid = std::process::id().to_string();
    let set = Command::new("taskset").args(["-a", "-c", "-p", cores, &pid]).output()?;
    if set.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&set.stderr).into_owned())) }
}

/// Whether `taskset` is there.
#[must_use]
pub fn can_pin() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join("taskset").is_file())
}

/// A program of this workspace, beside the one that runs.
///
/// # Errors
/// When it is not there.
pub fn beside(name: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let program = env::current_exe()?.with_file_name(name.as_ref());
    if program.is_file() {
        return Ok(program);
    }
    Err(named(&program, &"is not there; build it, or name another"))
}

fn named(program: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", program.display()))
}
