//! The gateway, as a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::trouble::Trouble;

/// Open sockets of browsers are cut after that.
const GRACE_SECONDS: u64 = 1;
/// The gateway has flushed its store by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn make_certificates(anteroom: &Path, dir: &Path) -> Result<(), Trouble> {
    let made = Command::new(anteroom).arg("dev-ca").arg("--config").arg(dir).stdin(Stdio::null()).output().await;
    let made = made.map_err(Trouble::file(anteroom))?;
    if made.status.success() {
        return Ok(());
    }
    Err(Trouble::Failed("no certificates", String::from_utf8_lossy(&made.stderr).into_owned()))
}

/// The gateway's process.
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    pub(crate) fn start(anteroom: &Path, dir: &Path) -> Result<Self, Trouble> {
        let log = dir.join("anteroom.log");
        let file = fs::File::create(&log).map_err(Trouble::file(&log))?;
        let errors = file.try_clone().map_err(Trouble::file(&log))?;
        let child = Command::new(anteroom)
            .args(["serve", "--log", "text", "--grace", &GRACE_SECONDS.to_string(), "--config"])
            .arg(dir)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // Ctrl-C is for the demo, which then stops the gateway.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Trouble::file(anteroom))?;
        Ok(Self { child, log })
    }

    /// Resolves when it stops by itself.
    pub(crate) async fn stops(&mut self) -> Trouble {
        match self.child.wait().await {
            Ok(status) => Trouble::Stopped(status, self.log.clone()),
            Err(error) => Trouble::Failed("the gateway is lost", error.to_string()),
        }
    }

    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have gone by itself meanwhile.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
