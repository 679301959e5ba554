//! A PostgreSQL of one's own, from Debian's packages: in a directory that is thrown away, on loopback and a free port. It ends
//! with whoever started it, however that ends.

use std::{
    fs,
    io::{self, Error, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long it may take to answer, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether what is committed survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// As in service.
    Yes,
    /// For tests, which lose no power.
    No,
}

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    owner: Option<(u32, u32)>,
    port: u16,
    durable: Durable,
    child: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start(durable: Durable) -> io::Result<Self> {
        let bin = find_bin()?;
        let dir = tempfile::Builder::new().prefix("anteroom-postgres-").tempdir()?;
        // It refuses to run as root.
        let owner = if is_root()? { Some(user("postgres")?) } else { None };
        if let Some((uid, gid)) = owner {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut postgres = Self { bin, dir, owner, port, durable, child: None, databases: AtomicU32::new(0) };
        let data = postgres.data();
        let made = postgres
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=anteroom", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()?;
        checked(&made)?;
        postgres.resume()?;
        Ok(postgres)
    }

    /// Makes an empty database and returns its address.
    ///
    /// # Errors
    /// When the server does not make it.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Relaxed));
        let port = self.port.to_string();
        let made = self.command("createdb").args(["-h", "127.0.0.1", "-p", &port, "-U", "anteroom", &name]).output()?;
        checked(&made)?;
        Ok(format!("postgres://anteroom@127.0.0.1:{port}/{name}"))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The process of the server, from whose children the connections are served.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> io::Result<u32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid"))?;
        file.lines().next().and_then(|line| line.trim().parse().ok()).ok_or_else(|| Error::other("it does not run"))
    }

    /// Stops it: connections are cut, what is committed stays.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> io::Result<()> {
        // The shell that holds it waits for its end.
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"keep\n")?;
        }
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > PATIENCE {
                return Err(Error::other("PostgreSQL does not stop"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> io::Result<()> {
        let sync = if self.durable == Durable::Yes { "on" } else { "off" };
        // When this process ends, so does the pipe, and with it the server and all that it has.
        let script = "dir=$0; \"$@\" </dev/null & pid=$!; read -r word; kill -INT $pid; wait $pid
            [ \"$word\" = keep ] || rm -rf \"$dir\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(self.dir.path());
        command.arg(self.bin.join("postgres")).arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        command.args(["-c", "unix_socket_directories=", "-c", &format!("fsync={sync}")]);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        let log = fs::File::create(self.dir.path().join("log"))?;
        command.current_dir(self.dir.path()).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C at a terminal is for whoever started it, who stops it in good order.
        command.process_group(0);
        self.child = Some(command.spawn()?);
        let started = Instant::now();
        while !self.is_ready()? {
            if started.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                return Err(Error::other(format!("PostgreSQL does not start: {log}")));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> io::Result<bool> {
        if TcpStream::connect(self.address()).is_err() {
            return Ok(false);
        }
        let port = self.port.to_string();
        Ok(self.command("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status()?.success())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.dir.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Whether it is installed.
#[must_use]
pub fn is_installed() -> bool {
    find_bin().is_ok()
}

/// The programs of the newest version that is installed; Debian puts them out of the way.
fn find_bin() -> io::Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").exists().then_some((version, bin))
    });
    if let Some((_, bin)) = newest.max() {
        return Ok(bin);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|dir| dir.join("initdb").exists());
    found.ok_or_else(|| Error::new(io::ErrorKind::NotFound, "PostgreSQL is not installed: apt-get install postgresql"))
}

pub(crate) fn is_root() -> io::Result<bool> {
    Ok(id(&["-u"])? == 0)
}

pub(crate) fn user(name: &str) -> io::Result<(u32, u32)> {
    Ok((id(&["-u", name])?, id(&["-g", name])?))
}

fn id(arguments: &[&str]) -> io::Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    checked(&output)?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(Error::other)
}

fn checked(output: &Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
