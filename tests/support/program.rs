//! The program itself, as an operator runs it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use anteroom_bench::{sign, sim::Sim};
use tempfile::TempDir;

use super::{Client, DEADLINE, Plan, Reply, eventually, host, plain_get, secret, succeeds_within};

/// The program, on ports that were free a moment ago. Killed when the test ends.
pub struct Program {
    child: Child,
    pub https: SocketAddr,
    pub admin: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago, with a port below those that the system gives to connections.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Each test program has a stretch of its own, as far as there are enough.
    let first = 12_000 + u16::try_from(process::id().wrapping_mul(613) % 16_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Relaxed) % 4_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Runs a command on a configuration.
pub fn anteroom(arguments: &[&str], config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anteroom")).args(arguments).arg("--config").arg(config).output().unwrap()
}

impl Program {
    /// Gives the configuration fixed ports, so that a second start is found where the first was.
    pub fn fix_ports(config: &Path) -> (SocketAddr, SocketAddr) {
        let (https, admin) = (free_address(), free_address());
        let file = config.join("anteroom.toml");
        let text = fs::read_to_string(&file)
            .unwrap()
            .replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{https}\"]"))
            .replace("http = [\"127.0.0.1:0\"]", "")
            .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\""));
        fs::write(file, text).unwrap();
        (https, admin)
    }

    pub async fn start(config: &Path, ports: (SocketAddr, SocketAddr)) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_anteroom")), config, ports).await
    }

    /// The same with so many file handles at most.
    pub async fn start_with_files(config: &Path, ports: (SocketAddr, SocketAddr), files: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_anteroom")]);
        Self::run(command, config, ports).await
    }

    async fn run(mut command: Command, config: &Path, (https, admin): (SocketAddr, SocketAddr)) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(config.join("log.jsonl")).unwrap();
        let child = command
            .args(["serve", "--grace", "2", "--config"])
            .arg(config)
            .stdout(log)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let program = Self { child, https, admin };
        eventually("the program is ready", async || is_ready(admin).await).await;
        program
    }

    /// A client's view of it; the certificates are those of a configuration.
    pub fn client(&self, config: &Path) -> Client {
        Client::new(self.https, &config.join("dev-ca/ca.pem"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
    }

    pub async fn exited(&mut self) -> Option<i32> {
        let ended = async || self.child.try_wait().unwrap().ok_or("");
        succeeds_within(DEADLINE, "the program ends", ended).await.code()
    }
}

/// The program on the configuration of a plan.
pub struct Served {
    pub program: Program,
    pub client: Client,
    pub sims: Vec<Sim>,
    pub dir: TempDir,
    ports: (SocketAddr, SocketAddr),
}

impl Served {
    pub async fn start(plan: Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sims = plan.prepare(dir.path()).await;
        let ports = Program::fix_ports(dir.path());
        let program = Program::start(dir.path(), ports).await;
        let client = program.client(dir.path());
        Self { program, client, sims, dir, ports }
    }

    /// Kills the program.
    pub async fn kill(&mut self) {
        self.program.signal("KILL");
        self.program.exited().await;
    }

    /// Starts it again, where it was.
    pub async fn start_again(&mut self) {
        self.program = Program::start(self.dir.path(), self.ports).await;
    }

    /// The lines of its log with this in them.
    pub fn logged(&self, what: &str) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log.jsonl")).unwrap_or_default();
        log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }

    /// Calls the API as a tenant's integration does.
    pub async fn api(&self, tenant: &str, call: &str, params: &[(&str, &str)]) -> Reply {
        api(&self.client, tenant, call, params).await
    }
}

/// Whether a gateway is ready, by its listener for the operator.
pub async fn is_ready(admin: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(admin).await.is_ok()
        && plain_get(admin, "localhost", "/health/ready").await.status == 200
}

/// Calls the API as a tenant's integration does.
pub async fn api(client: &Client, tenant: &str, call: &str, params: &[(&str, &str)]) -> Reply {
    client.get(&host(tenant), &sign::path(call, params, &secret(tenant))).await
}
