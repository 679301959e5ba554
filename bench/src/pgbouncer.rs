//! A PgBouncer of one's own, from Debian's package, in front of a [`Postgres`](crate::postgres::Postgres): on loopback and a free
//! port. It ends with whoever started it.

use std::{
    fs,
    io::{self, Error},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::postgres::{is_root, user};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One that runs.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts one in front of a server. `mode` is its `pool_mode`: `session`, `transaction` or `statement`; `more` are further
    /// lines of its settings.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(postgres: SocketAddr, mode: &str, more: &str) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("anteroom-pgbouncer-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user=anteroom\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 60\n{more}\n",
            postgres.ip(),
            postgres.port()
        );
        fs::write(&file, text)?;
        let program = if fs::exists("/usr/sbin/pgbouncer")? { "/usr/sbin/pgbouncer" } else { "pgbouncer" };
        let mut command = Command::new(program);
        // It refuses to run as root.
        if is_root()? {
            let (uid, gid) = user("postgres")?;
            [dir.path(), &file].iter().try_for_each(|path| chown(path, Some(uid), Some(gid)))?;
            command.uid(uid).gid(gid);
        }
        command.arg("-q").arg(&file).current_dir(dir.path()).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut started = Self { child, port, _dir: dir };
        started.answers()?;
        Ok(started)
    }

    /// The address of a database, behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://anteroom@127.0.0.1:{}/{database}", self.port)
    }

    fn answers(&mut self) -> io::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if started.elapsed() > PATIENCE || self.child.try_wait()?.is_some() {
                return Err(Error::other("PgBouncer does not start"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
