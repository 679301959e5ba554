//! Programs of others, unmodified, that send a body and are answered before it has ended. Each is tried where it is installed.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::support::{Plan, Stage, evil::server::EvilServer, host};

const MB: u64 = 1_000_000;
const LONG: Duration = Duration::from_secs(20);
/// Python's urllib3, as requests uses it: the body is sent whole, then the answer is read.
const URLLIB3: &str = r"
import sys, urllib3
address, port, host, ca, path, file = sys.argv[1:]
pool = urllib3.HTTPSConnectionPool(address, int(port), server_hostname=host, assert_hostname=host, ca_certs=ca, retries=False)
with open(file, 'rb') as body:
    reply = pool.urlopen('POST', path, body=body, headers={'Host': host, 'Content-Type': 'application/xml'})
print(reply.status, reply.data.decode())
";
/// Python's own client, which is told of nothing while it sends.
const HTTP_CLIENT: &str = r"
import sys, ssl, socket, http.client
address, port, host, ca, path, file = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca).wrap_socket(socket.create_connection((address, int(port))), server_hostname=host)
client = http.client.HTTPConnection(host)
client.sock = tls
import os
client.request('POST', path, body=open(file, 'rb'), headers={'Content-Length': str(os.path.getsize(file))})
reply = client.getresponse()
print(reply.status, reply.read().decode())
";
/// Node over HTTP/1.1 and over HTTP/2.
const NODE_HTTPS: &str = r"
const [address, port, host, ca, path, file] = process.argv.slice(1), fs = require('fs');
const request = require('https').request({ host: address, port, servername: host, path, method: 'POST', ca: fs.readFileSync(ca),
  headers: { host, 'content-length': fs.statSync(file).size } }, reply => {
  let body = ''; reply.on('data', piece => body += piece).on('end', () => { console.log(reply.statusCode, body); process.exit(0); });
});
request.on('error', error => { console.log(error); process.exit(1); });
fs.createReadStream(file).pipe(request);
";
const NODE_HTTP2: &str = r"
const [address, port, host, ca, path, file] = process.argv.slice(1), fs = require('fs');
const client = require('http2').connect(`https://${host}:${port}`, { ca: fs.readFileSync(ca), lookup: (name, options, done) =>
  options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4) });
client.on('error', error => { console.log(error); process.exit(1); });
const request = client.request({ ':method': 'POST', ':path': path, 'content-length': fs.statSync(file).size });
let status, body = '';
request.on('response', headers => status = headers[':status']).on('data', piece => body += piece);
request.on('error', error => { console.log(error); process.exit(1); });
request.on('end', () => { console.log(status, body); process.exit(0); });
fs.createReadStream(file).pipe(request);
";

/// A program that sends a file to a path and prints the status and the body of the answer.
#[derive(Debug, Clone, Copy)]
enum Client {
    Curl(&'static [&'static str]),
    Python(&'static str),
    Node(&'static str),
}

impl Client {
    const ALL: [(&str, Self); 8] = [
        ("curl, HTTP/1.1", Self::Curl(&["--http1.1"])),
        ("curl, HTTP/1.1, without waiting for leave", Self::Curl(&["--http1.1", "-H", "Expect:"])),
        ("curl, HTTP/2", Self::Curl(&["--http2"])),
        ("curl, HTTP/2, without a length", Self::Curl(&["--http2", "-H", "Content-Length:"])),
        ("urllib3", Self::Python(URLLIB3)),
        ("Python's http.client", Self::Python(HTTP_CLIENT)),
        ("Node, HTTP/1.1", Self::Node(NODE_HTTPS)),
        ("Node, HTTP/2", Self::Node(NODE_HTTP2)),
    ];

    fn command(self, stage: &Stage, path: &str, file: &Path) -> Command {
        let (host, ca) = (host("wagtail"), stage.path("dev-ca/ca.pem"));
        let (address, port) = (stage.address.ip().to_string(), stage.address.port());
        let (program, script) = match self {
            Self::Curl(options) => {
                let mut curl = Command::new("curl");
                curl.args([
                    "-sS",
                    "-X",
                    "POST",
                    "-w",
                    "\n%{http_code}",
                    "--resolve",
                    &format!("{host}:{port}:{address}"),
                ]);
                curl.args(options)
                    .arg("--cacert")
                    .arg(ca)
                    .arg("-T")
                    .arg(file)
                    .arg(format!("https://{host}:{port}{path}"));
                return curl;
            }
            Self::Python(script) => ("python3", ["-c", script]),
            Self::Node(script) => ("node", ["-e", script]),
        };
        let mut command = Command::new(program);
        command.args(script).args([&*address, &port.to_string(), &host]).arg(ca).arg(path).arg(file);
        command
    }

    /// Whether it can be tried here.
    async fn is_there(self) -> bool {
        let mut command = match self {
            Self::Curl(_) => Command::new("curl"),
            Self::Python(_) => Command::new("python3"),
            Self::Node(_) => Command::new("node"),
        };
        match self {
            Self::Python(URLLIB3) => command.args(["-c", "import urllib3"]),
            _ => command.arg("--version"),
        };
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().await.is_ok_and(|status| status.success())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_read_an_answer_that_comes_early() {
    let early = EvilServer::answer("413 Payload Too Large", "connection: close\r\n", "too much for the frontend");
    let frontend = EvilServer::start(move |_| early.clone()).await;
    let keys = format!("frontend = \"http://{}\"", frontend.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &keys).start().await;
    let file = stage.path("body");
    let mut faults = String::new();
    for (name, client) in Client::ALL {
        if !client.is_there().await {
            eprintln!("{name} is not here");
            continue;
        }
        for length in [70_000, 3 * MB, 100 * MB] {
            // Without blocks of its own on the disk.
            File::create(&file).unwrap().set_len(length).unwrap();
            for (path, status, says) in [
                ("/bigbluebutton/api/create?name=a&checksum=00", "200", "checksumError"),
                ("/playback/presentation/2.3/x", "404", "notFound"),
                ("/import", "413", "too much for the frontend"),
            ] {
                let mut command = client.command(&stage, path, &file);
                let Ok(output) = timeout(LONG, command.kill_on_drop(true).output()).await else {
                    faults += &format!("{name}, {path}, {length} bytes: no answer\n");
                    continue;
                };
                let output = output.unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                if !(output.status.success() && said.contains(status) && said.contains(says)) {
                    let error = String::from_utf8_lossy(&output.stderr);
                    faults += &format!("{name}, {path}, {length} bytes: {said} {error}\n");
                }
            }
        }
    }
    assert_eq!(faults, "");
}
