//! A client library as the tests call it: one script (or program) per library makes one call and prints the library's answer
//! as JSON.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

use crate::support::{Joined, Stage, host, secret};

pub const TENANT: &str = "wagtail";
/// What XML, forms and URLs have their own signs for.
pub const NAME: &str = "Müller & Söhne: 1 + 1 = 2 <ganz sicher> 100 % 🎓";
pub const MEETING: &str = "räume/halle 1+2 & mehr 🏫";
pub const USER: &str = "Änne O'Hara + Bo & Co 😀";
/// The program that calls the crate `bigbluebutton`.
pub const CRATE: &str = "var/client-rust/debug/anteroom-client-rust";
/// One call takes a tenth of a second.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A script, and the manners of its library.
#[derive(Clone, Copy)]
pub struct Library {
    pub script: &'static str,
    /// How it wants the address.
    pub base: &'static str,
    /// Whether it hands out texts as they stand in XML, with their escapes.
    pub escaped: bool,
    /// What it signs with, and how many digits that has.
    pub algorithm: (&'static str, usize),
    /// Whether it makes the meeting by a form.
    pub post: bool,
}

/// SHA-1 and its digits.
pub const SHA1: (&str, usize) = ("sha1", 40);

impl Library {
    pub const fn new(script: &'static str, base: &'static str) -> Self {
        Self { script, base, escaped: false, algorithm: SHA1, post: false }
    }
}

/// Follows a join link as a browser does, as far as the redirect.
pub async fn follow(stage: &Stage, link: &str) -> Joined {
    let own = format!("https://{}", authority(stage));
    let path = link.strip_prefix(&own).unwrap_or_else(|| panic!("{link} is not below {own}"));
    let reply = stage.client().get_with(&host(TENANT), path, &[("host", &authority(stage))]).await;
    assert_eq!(reply.status, 302, "{reply:?}");
    let rest = reply.header("location").strip_prefix(&own).unwrap_or_else(|| panic!("{reply:?}"));
    let (prefix, _) = rest.split_once("/html5client/?sessionToken=").unwrap_or_else(|| panic!("{reply:?}"));
    assert!(prefix.starts_with("/s/"), "{reply:?}");
    Joined { prefix: prefix.to_owned(), token: reply.location_param("sessionToken"), cookies: reply.cookies() }
}

pub fn authority(stage: &Stage) -> String {
    format!("{}:{}", host(TENANT), stage.address.port())
}

impl Library {
    /// What a script has to know.
    pub fn plan(&self, stage: &Stage) -> Value {
        json!({
            "url": format!("https://{}{}", authority(stage), self.base),
            "secret": secret(TENANT),
            "name": NAME,
            "meeting": MEETING,
            "user": USER,
            "algorithm": self.algorithm.0,
            "post": self.post,
        })
    }

    /// Makes one call.
    pub async fn call(&self, stage: &Stage, step: &str, plan: &Value) -> Value {
        let ca = stage.path("dev-ca/ca.pem");
        let mut program = self.program();
        program
            .args([step, &plan.to_string()])
            .env("NODE_EXTRA_CA_CERTS", &ca)
            .env("SSL_CERT_FILE", &ca)
            .env("REQUESTS_CA_BUNDLE", &ca)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            program.env_remove(name).env_remove(name.to_uppercase());
        }
        // Names below `localhost` are this machine, as RFC 6761 has it and not every system's resolver: node learns it by
        // a script, the others find the gateway by a proxy.
        if !self.is_node() {
            program.env("https_proxy", proxy(stage).await);
        }
        let done = timeout(CALL_TIMEOUT, program.output()).await.expect("the call takes too long");
        let done =
            done.unwrap_or_else(|error| panic!("{:?}: {error}: run `make test-deps`", program.as_std().get_program()));
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{step} by {}: {out}{err}", self.script))
    }

    /// The text of the first value with this name.
    pub fn of(&self, answer: &Value, name: &str) -> String {
        let text = of(answer, name);
        if self.escaped { unescape(&text) } else { text }
    }

    fn is_node(&self) -> bool {
        self.script.ends_with(".cjs")
    }

    fn program(&self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("tests/clients");
        let mut program = if self.script == CRATE {
            Command::new(installed(root.join(CRATE)))
        } else if self.is_node() {
            installed(dir.join("node_modules"));
            let mut node = Command::new("node");
            node.args(["--no-deprecation", "--require", "./localhost.cjs", self.script]);
            node
        } else {
            let mut python = Command::new(installed(root.join("var/venv/bin/python")));
            python.arg(self.script);
            python
        };
        program.current_dir(dir);
        program
    }
}

/// Starts a proxy for one call, which leads to the gateway whatever host it is asked for.
async fn proxy(stage: &Stage) -> String {
    let (listener, gateway) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), stage.address);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // A client that goes away has its own test to fail.
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            assert!(head.starts_with(b"CONNECT "), "{}", String::from_utf8_lossy(&head));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(gateway).await?).await?;
        }
        std::io::Result::Ok(())
    });
    format!("http://{address}")
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `make test-deps`", path.display());
    path
}

/// The text of the first value with this name, at whatever depth: each library has its own shape for what was XML.
pub fn of(answer: &Value, name: &str) -> String {
    first(answer, name).map_or_else(String::new, text)
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&")
}

fn first<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    match answer {
        Value::Object(fields) => fields.get(name).or_else(|| fields.values().find_map(|field| first(field, name))),
        Value::Array(items) => items.iter().find_map(|item| first(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.first().map_or_else(String::new, text),
        other => other.to_string(),
    }
}
