//! A real browser, driven by the scripts of `tests/browser`.
//!
//! Needs chromium, certutil, node, and the packages of `tests/browser`: `make test-deps`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::Stage;

/// Some ten seconds each; a slow machine may need more.
const TIMEOUT: Duration = Duration::from_secs(240);
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What a browser needs to know of a stage, whose home is `home`, and more.
pub fn plan(stage: &Stage, home: &Path, more: &Value) -> Value {
    let mut plan = json!({
        "chromium": program(),
        "home": home,
        "ca": stage.path("dev-ca/ca.pem"),
        "port": stage.address.port(),
        "screenshots": screenshots(),
    });
    plan.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    plan
}

/// Runs a script, which gets its plan in JSON on standard input.
pub async fn run(script: &str, plan: &Value) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(dir.join("node_modules").exists(), "the packages of tests/browser are missing: run `make test-deps`");
    let mut node = Command::new("node")
        .arg(script)
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is missing: run `make test-deps`");
    node.stdin.take().unwrap().write_all(plan.to_string().as_bytes()).await.unwrap();
    let done = timeout(TIMEOUT, node.wait_with_output()).await.expect("the browser takes too long").unwrap();
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success(), "the browser found a fault; its pages are in {}\n{said}", screenshots().display());
}

/// `CHROMIUM`, or the first browser of `PATH`.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| BROWSERS.map(|name| dir.join(name)))
        .find(|program| program.is_file())
        .expect("no chromium in PATH: run `make test-deps`, or set CHROMIUM")
}

/// `target/browser`, wherever the target directory is.
pub fn screenshots() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("browser")
}
