//! The program, to be killed and started again where it was.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use crate::support::{Client, DEADLINE, eventually_within, program::is_ready};

/// A gateway, and what it takes to start it again. Killed when the test ends.
pub struct Program {
    config: PathBuf,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    /// Prepares a configuration, on ports that are free now, and starts the program.
    pub async fn start(config: &Path, store: &str) -> (Self, Client) {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (https, admin) = (free(), free());
        let file = config.join("anteroom.toml");
        let text = fs::read_to_string(&file)
            .unwrap()
            .replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{https}\"]"))
            .replace("http = [\"127.0.0.1:0\"]", "")
            .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\""))
            .replace("sqlite:var/anteroom.db", store);
        fs::write(file, text).unwrap();
        let mut program = Self { config: config.to_owned(), admin, child: None };
        program.resume().await;
        (program, Client::new(https, &config.join("dev-ca/ca.pem")))
    }

    /// Starts it, and waits until it is ready.
    pub async fn resume(&mut self) {
        self.spawn();
        self.is_ready().await;
    }

    fn spawn(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.config.join("log.jsonl")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_anteroom"));
        command
            .args(["serve", "--grace", "1", "--config"])
            .arg(&self.config)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    pub async fn is_ready(&mut self) {
        let config = self.config.clone();
        let ready = eventually_within(Duration::MAX, "it is ready", async || {
            // One that finds no store at its start ends; what watches over it starts it again.
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                self.spawn();
            }
            is_ready(self.admin).await
        });
        let log = || fs::read_to_string(config.join("log.jsonl")).unwrap_or_default();
        tokio::time::timeout(DEADLINE, ready).await.unwrap_or_else(|_| panic!("not ready: {}", log()));
    }

    /// As a loss of power, from its own point of view.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// In good order.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
        let exited = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let exited = tokio::time::timeout(DEADLINE, exited).await.expect("it stops").unwrap();
        assert!(exited.code() == Some(0), "{exited:?}");
    }
}
