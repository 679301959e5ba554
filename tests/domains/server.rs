//! dnsmasq with records of a test's choice, and a configuration that asks it.

use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long dnsmasq may take to start.
const DEADLINE: Duration = Duration::from_secs(30);

/// The key of the root, without which dnsmasq checks no signature. Nothing is asked of the root.
const ANCHOR: &str = "20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

/// dnsmasq on a free port of loopback. Ended when the test ends.
pub struct Dnsmasq {
    child: Child,
    pub port: u16,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dnsmasq {
    /// Serves `example.` with these options (`--host-record=...`); names below it that they do not have do not exist, and
    /// all others are refused.
    pub fn start(records: &[String]) -> Self {
        let began = Instant::now();
        loop {
            let port = free_port();
            let mut server = Self { child: spawn(port, records), port };
            while server.child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return server;
                }
                assert!(began.elapsed() < DEADLINE, "dnsmasq does not start");
                thread::sleep(Duration::from_millis(20));
            }
            // Another program was faster.
            assert!(began.elapsed() < DEADLINE, "dnsmasq ends at once");
        }
    }

    /// The options of a server that checks the signatures of a zone of another server, which has none.
    pub fn checks_signatures_of(zone: &str, port: u16) -> Vec<String> {
        vec![
            "--dnssec".into(),
            format!("--trust-anchor=.,{ANCHOR}"),
            format!("--trust-anchor={zone},{ANCHOR}"),
            format!("--server=/{zone}/127.0.0.1#{port}"),
        ]
    }
}

fn spawn(port: u16, records: &[String]) -> Child {
    let program = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq"].into_iter().find(|path| Path::new(path).exists());
    Command::new(program.unwrap_or("dnsmasq"))
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example/"])
        .arg(format!("--port={port}"))
        .args(records)
        .stderr(Stdio::inherit())
        .spawn()
        .expect("dnsmasq is installed (scripts/deps test)")
}

/// A port that is free for UDP and TCP, below those that the system gives to connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(process::id() % 16_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Addresses of a name.
pub fn host(name: &str, addresses: &str) -> String {
    format!("--host-record={name},{addresses}")
}

/// A CNAME for a name that dnsmasq has itself.
pub fn alias(name: &str, target: &str) -> String {
    format!("--cname={name},{target}")
}

pub fn text(name: &str, text: &str) -> String {
    format!("--txt-record={name},{text}")
}

/// A record of any type.
pub fn record(name: &str, kind: u16, data: &[u8]) -> String {
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("--dns-rr={name},{kind},{hex}")
}

/// A CNAME, wherever it leads to.
pub fn pointer(name: &str, target: &str) -> String {
    record(name, 5, &wire(target))
}

/// The SOA record that makes a name the top of a zone.
pub fn top(name: &str) -> String {
    let data = [wire("ns.example"), wire("hostmaster.example"), [0, 0, 0, 1].repeat(5)].concat();
    record(name, 6, &data)
}

pub fn caa(name: &str, flags: u8, tag: &str, value: &str) -> String {
    let length = u8::try_from(tag.len()).unwrap();
    record(name, 257, &[&[flags, length], tag.as_bytes(), value.as_bytes()].concat())
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap();
        [length].into_iter().chain(label.bytes())
    });
    labels.chain([0]).collect()
}

/// A configuration that asks a DNS server.
pub struct Config(TempDir);

impl Config {
    /// `acme` are more keys of `[acme]`.
    pub fn new(server: &Dnsmasq, acme: &str) -> Self {
        let config = Self(tempfile::tempdir().unwrap());
        let port = server.port;
        config.write("encryption-key", &"5a".repeat(32));
        config.write(
            "anteroom.toml",
            &format!(
                "base_domains = [\"meet.example\"]\n[listen]\nhttp = [\"127.0.0.1:0\"]\n\
                 [store]\nencryption_key = \"file:encryption-key\"\n\
                 [upstream]\nresolver = [\"127.0.0.1:{port}\"]\n\
                 [acme]\ndirectory = \"https://acme-v02.api.letsencrypt.org/directory\"\n{acme}\n\
                 [servers.bbb-01]\nurl = \"https://bbb-01.meet.example\"\nsecret = \"the secret of the first server\"\n\
                 pool = \"members\"\n"
            ),
        );
        config.write(
            "policies/small.toml",
            "title = \"Small\"\npool = \"members\"\n[limits]\naccounts = 2\nrooms = 3\nparticipants = 4\n\
             duration = \"1h\"\nrecording = \"never\"\nown_domains = \"unlimited\"\nbranding = false\n",
        );
        config
    }

    /// Changes `anteroom.toml`.
    pub fn change(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.0.path().join("anteroom.toml")).unwrap();
        self.write("anteroom.toml", &change(text));
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A tenant with hosts, and more lines of its file.
    pub fn tenant(&self, id: &str, hosts: &[&str], more: &str) {
        let text = format!(
            "name = \"{id}\"\npolicy = \"small\"\nhosts = {hosts:?}\n{more}\n[secrets]\nmain = \"the secret of {id}\"\n"
        );
        self.write(&format!("tenants/{id}.toml"), &text);
    }

    /// Runs `anteroom domain check`.
    pub fn check(&self, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_anteroom");
        Command::new(program).args(["domain", "check", "--config"]).arg(self.0.path()).args(arguments).output().unwrap()
    }

    /// The result as JSON.
    pub fn found(&self, arguments: &[&str]) -> Value {
        let output = self.check(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        })
    }
}
