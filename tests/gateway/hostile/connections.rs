//! Connections, handshakes and rates: a stranger's share is bounded, and the way to servers and store stays free.
//!
//! Strangers come from 127.0.0.2, balancers from 127.0.0.3; all others from 127.0.0.1.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anteroom_bench::sign;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustls::{DEFAULT_VERSIONS, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{
    DEADLINE, Plan, Reply, Stage, eventually, eventually_within,
    evil::{
        client::{Raw, http2},
        server::EvilServer,
    },
    exchange, host, metric, plain_get,
    program::{self, Program},
    secret, tls_config,
};

const STRANGER: [u8; 4] = [127, 0, 0, 2];
const BALANCER: [u8; 4] = [127, 0, 0, 3];
/// Longer than any limit of time in these trials.
const LONG: Duration = Duration::from_secs(45);

/// A stage whose gateway has further keys of `listen`, and further tables.
async fn stage(plan: Plan, listen: &str, tables: &str) -> Stage {
    plan.start_changed(async |text, _| extended(&text, listen, tables)).await
}

fn extended(config: &str, listen: &str, tables: &str) -> String {
    format!("{}\n{tables}\n", config.replace("[listen]\n", &format!("[listen]\n{listen}\n")))
}

fn plan() -> Plan {
    Plan::new().server("members").tenant("wagtail", "level-1").tenant("heron", "level-1")
}

/// A connection from an address.
async fn from(source: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(to).await
}

fn connector(dir: &Path, alpn: &[&[u8]]) -> TlsConnector {
    TlsConnector::from(tls_config(&dir.join("dev-ca/ca.pem"), DEFAULT_VERSIONS, alpn))
}

async fn tls(stage: &Stage, stream: TcpStream, sni: &str) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    timeout(DEADLINE, connector(stage.dir.path(), &[]).connect(name, stream)).await?
}

fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

/// Whether the other side has closed a connection, within a while.
async fn is_closed(stream: &mut (impl AsyncReadExt + Unpin), within: Duration) -> bool {
    let mut bytes = [0; 4096];
    let closed = async { while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {} };
    timeout(within, closed).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_a_stranger_leave_the_way_to_servers_and_other_people_free() {
    let dir = tempfile::tempdir().unwrap();
    let sims = plan().prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    let told = program::anteroom(&["check"], dir.path());
    assert!(String::from_utf8_lossy(&told.stdout).contains("file handles here"), "{told:?}");
    let program = Program::start_with_files(dir.path(), ports, 300).await;
    let mut strangers = Vec::new();
    for _ in 0..320 {
        strangers.push(from(STRANGER, program.https).await);
    }
    let polls = || sims[0].log().iter().filter(|seen| seen.call() == Some("getMeetings")).count();
    let before = polls();
    eventually("two polls", async || polls() >= before + 2).await;
    let client = program.client(dir.path());
    let made = program::api(&client, "heron", "create", &[("name", "room"), ("meetingID", "room")]).await;
    assert_eq!(made.xml("returncode"), "SUCCESS", "{}", made.body);
    let metrics = plain_get(program.admin, "localhost", "/metrics").await.body;
    assert_eq!(metric(&metrics, "anteroom_server_state", &["server=\"bbb-01\"", "state=\"ready\""]), 1, "{metrics}");
    assert_eq!(metric(&metrics, "anteroom_accept_errors_total", &[]), 0);
    assert!(metric(&metrics, "anteroom_connections_closed_total", &["reason=\"made_room\""]) >= 200, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lack_of_file_handles_is_no_fault_of_a_server() {
    let meetings = "<response><returncode>SUCCESS</returncode><meetings/></response>";
    // It closes each connection: each poll needs a new one.
    let server = EvilServer::start(move |_| EvilServer::answer("200 OK", "content-type: text/xml\r\n", meetings)).await;
    let dir = tempfile::tempdir().unwrap();
    Plan::new().tenant("wagtail", "level-1").prepare(dir.path()).await;
    let url = format!("http://{}", server.address);
    let file = dir.path().join("anteroom.toml");
    let server = format!("[servers.bbb-09]\nurl = \"{url}\"\nsecret = \"s\"\npool = \"members\"");
    fs::write(&file, extended(&fs::read_to_string(&file).unwrap(), "", &server)).unwrap();
    let ports = Program::fix_ports(dir.path());
    let program = Program::start_with_files(dir.path(), ports, 300).await;
    let create = sign::path("create", &[("name", "room"), ("meetingID", "room")], &secret("wagtail"));
    let open = program.client(dir.path()).connect(&host("wagtail")).await.unwrap();

    let limit = |files| {
        let pid = Pid::from_raw(i32::try_from(program.id()).unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(files), maximum: Some(300) }).unwrap();
    };
    limit(5);
    let log = || fs::read_to_string(dir.path().join("log.jsonl")).unwrap();
    eventually("two polls lack a handle", async || log().matches("health check skipped").count() >= 2).await;
    let refused = exchange(open, get(&host("wagtail"), &create)).await;
    assert_eq!(refused.xml("messageKey"), "overloaded", "{}", refused.body);
    limit(300);

    let metrics = plain_get(program.admin, "localhost", "/metrics").await.body;
    assert_eq!(metric(&metrics, "anteroom_server_up", &["server=\"bbb-09\""]), 1, "{metrics}");
    assert!(metric(&metrics, "anteroom_upstream_exhausted_total", &[]) >= 3, "{metrics}");
    for news in ["is unstable", "is offline", "server unreachable"] {
        assert!(!log().contains(news), "{news}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_and_who_does_nothing_makes_room() {
    let stage = stage(plan(), "", "[connections]\nper_address = 8\n").await;
    let mut strangers = Vec::new();
    for _ in 0..50 {
        strangers.push(from(STRANGER, stage.address).await.unwrap());
    }
    eventually("the stranger has no more than its share", async || {
        stage.metric("anteroom_connection_places", &[]).await == 8
    })
    .await;
    assert!(is_closed(&mut strangers[0], DEADLINE).await, "the oldest went first");
    // Somebody who shares the stranger's address has something to ask.
    let stream = from(STRANGER, stage.address).await.unwrap();
    let asked = exchange(tls(&stage, stream, &host("heron")).await.unwrap(), get(&host("heron"), "/")).await;
    assert_eq!(asked.status, 200);
    assert_eq!(stage.metric("anteroom_connections_closed_total", &["reason=\"made_room\""]).await, 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_refused_body_is_read_on_is_not_idle() {
    let stage = stage(plan(), "", "[connections]\nper_address = 1\n").await;
    let mut sending = tls(&stage, from(STRANGER, stage.address).await.unwrap(), &host("wagtail")).await.unwrap();
    let (head, piece) = (format!("host: {}\r\n", host("wagtail")), [b'x'; 16 * 1024]);
    let post = format!("POST /nothing HTTP/1.1\r\n{head}content-length: {}\r\n\r\n", 8 * piece.len());
    sending.write_all(post.as_bytes()).await.unwrap();
    sending.write_all(&piece).await.unwrap();
    answered(&mut sending, "HTTP/1.1 404").await;

    // Reset, perhaps before it is seen as open.
    if let Ok(mut other) = from(STRANGER, stage.address).await {
        assert!(is_closed(&mut other, DEADLINE).await, "no place is free");
    }
    for _ in 1..8 {
        sending.write_all(&piece).await.unwrap();
    }
    sending.write_all(format!("GET / HTTP/1.1\r\n{head}\r\n").as_bytes()).await.unwrap();
    answered(&mut sending, "HTTP/1.1 200").await;
    assert_eq!(stage.metric("anteroom_connections_closed_total", &["reason=\"made_room\""]).await, 0);
}

/// Reads until the head of an answer is there, which begins so.
async fn answered(stream: &mut (impl AsyncReadExt + Unpin), start: &str) {
    let mut read = Vec::new();
    let head = async {
        while !String::from_utf8_lossy(&read).contains(start) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "closed after {}", String::from_utf8_lossy(&read));
        }
    };
    timeout(DEADLINE, head).await.unwrap_or_else(|_| panic!("no answer {start}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_of_a_stranger_have_a_rate() {
    let stage = stage(plan(), "", "[rates]\nconnections = 20\n").await;
    for _ in 0..200 {
        let _ = from(STRANGER, stage.address).await;
    }
    let limited = stage.metric("anteroom_rate_limited_total", &["kind=\"connections\""]).await;
    assert!(limited >= 50, "{limited}");
    let other = stage.client().get(&host("wagtail"), "/").await;
    assert_eq!(other.status, 200, "another address");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_has_a_rate_and_what_does_not_goes_on() {
    let rates = "[rates]\nfailed_handshakes = 5\nunknown_hosts = 5\nwrong_checksums = 5\nunknown_sessions = 5\n";
    let stage = stage(plan(), "", rates).await;
    let client = stage.client();
    let wrong = sign::path("getMeetings", &[], "wrong");
    let slug = {
        stage.create("wagtail", "room").await;
        stage.joined("wagtail", "room", "Ada").await
    };
    let lost = format!("{}/bigbluebutton/api/guestWait?sessionToken=none", slug.prefix);
    let (mut checksums, mut sessions, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..30 {
        checksums.push(client.get(&host("wagtail"), &wrong).await);
        sessions.push(client.get(&host("wagtail"), &lost).await);
        hosts.push(client.get_with(&host("wagtail"), "/", &[("host", "elsewhere.test")]).await);
    }
    let is_limited = |reply: &&Reply| {
        reply.header("retry-after") == "1"
            && reply.header("connection") == "close"
            && reply.body.contains("rateLimited")
    };
    for (name, replies) in [("checksums", &checksums), ("sessions", &sessions), ("hosts", &hosts)] {
        assert!(!is_limited(&&replies[0]), "{name}: {:?}", replies[0]);
        assert!(replies.iter().any(|reply| is_limited(&reply)), "{name}: {:?}", replies[29]);
    }
    assert_eq!(checksums[0].xml("messageKey"), "checksumError");
    let limited = checksums.iter().find(is_limited).unwrap();
    assert_eq!((limited.status.as_u16(), limited.xml("messageKey")), (200, "rateLimited"), "in BBB's form");
    assert_eq!(hosts.iter().find(is_limited).unwrap().status, 429);

    // The same address, and everything that does not fail.
    assert_eq!(stage.api("wagtail", "getMeetings", &[]).await.xml("returncode"), "SUCCESS");
    assert!(stage.graphql("wagtail", &slug).await.is_ok());

    let (mut told, mut untold) = (0, 0);
    for _ in 0..30 {
        match stage.client().connect("nobody.test").await {
            Err(error) if error.to_string().contains("UnrecognisedName") => told += 1,
            Err(_) => untold += 1,
            Ok(_) => panic!("a host that nobody has"),
        }
    }
    assert!(told >= 5 && untold >= 5, "{told} {untold}");
    assert_eq!(stage.client().get(&host("wagtail"), "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_requests_and_joins_have_a_rate() {
    let stage = stage(plan(), "", "[rates]\ntenant_requests = 40\ntenant_joins = 3\n").await;
    stage.create("wagtail", "room").await;
    stage.create("heron", "room").await;
    let mut keys = Vec::new();
    for n in 0..10 {
        keys.push(stage.join("wagtail", "room", &format!("{n}")).await.xml("messageKey").to_owned());
    }
    assert!(keys[0].is_empty() && keys.iter().any(|key| key == "rateLimited"), "{keys:?}");

    let stream = stage.client().connect(&host("wagtail")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut pages = Vec::new();
    for _ in 0..200 {
        let mut request = get(&host("wagtail"), "/");
        request.headers_mut().insert("accept", "text/html".parse().unwrap());
        sender.ready().await.unwrap();
        let reply = sender.send_request(request).await.unwrap();
        pages.push((reply.status().as_u16(), reply.headers().contains_key("retry-after")));
        let _ = reply.into_body().collect().await;
    }
    assert!(pages.contains(&(200, false)) && pages.contains(&(429, true)), "{pages:?}");
    assert_eq!(stage.client().get(&host("heron"), "/").await.status, 200, "another tenant's are its own");
    assert!(stage.metric("anteroom_rate_limited_total", &["kind=\"tenant_requests\""]).await > 0);
}

/// A header of version 2 for a connection from these octets.
fn v2(command: u8, family: u8, ends: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ends.len() + 4).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, ends, &[0x13, 0x88, 0x01, 0xbb]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_says_whose_connection_it_is_and_nobody_else_does() {
    let frontend = EvilServer::start(|_| EvilServer::answer("200 OK", "", "front")).await;
    let key = format!("frontend = \"http://{}\"", frontend.address);
    let plan = Plan::new().server("members").tenant_with("wagtail", "level-1", &key);
    let stage = stage(plan, "proxy_protocol_from = [\"127.0.0.3\"]", "").await;
    let page = async |source, pieces: &[&[u8]]| {
        let mut stream = from(source, stage.address).await.unwrap();
        for piece in pieces {
            let _ = stream.write_all(piece).await;
            // Each piece comes by itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stream = tls(&stage, stream, &host("wagtail")).await.ok()?;
        assert_eq!(exchange(stream, get(&host("wagtail"), "/")).await.body, "front");
        let seen = frontend.seen().last().unwrap().clone();
        Some(seen.header("x-forwarded-for").join("|"))
    };
    let six = [Ipv6Addr::from_bits(0x2001_0db8 << 96 | 7).octets(), Ipv6Addr::LOCALHOST.octets()].concat();
    let four = [192, 0, 2, 7, 127, 0, 0, 1];
    let binary = v2(0x21, 0x11, &four);
    let v1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 443\r\n";
    for (pieces, expected) in [
        (vec![&v1[..]], "192.0.2.7"),
        (vec![&v1[..5], &v1[5..30], &v1[30..]], "192.0.2.7"),
        (vec![b"PROXY TCP6 2001:db8::7 ::1 5000 443\r\n".as_slice()], "2001:db8::7"),
        (vec![b"PROXY UNKNOWN\r\n".as_slice()], "127.0.0.3"),
        (vec![&binary], "192.0.2.7"),
        (vec![&binary[..3], &binary[3..17], &binary[17..]], "192.0.2.7"),
        (vec![&v2(0x21, 0x21, &six)], "2001:db8::7"),
        (vec![&v2(0x20, 0x11, &four)], "127.0.0.3"),
        (vec![&v2(0x21, 0x00, &[])], "127.0.0.3"),
    ] {
        assert_eq!(page(BALANCER, &pieces).await.as_deref(), Some(expected), "{pieces:?}");
    }
    assert_eq!(page(STRANGER, &[]).await.as_deref(), Some("127.0.0.2"));
    assert_eq!(page(STRANGER, &[v1]).await, None, "who is no balancer says nothing of the kind");
    assert_eq!(page(STRANGER, &[&binary]).await, None);
    assert_eq!(page(BALANCER, &[]).await, None, "a balancer says it always");
    assert_eq!(page(BALANCER, &[b"PROXY TCP4 192.0.2.7\r\n"]).await, None);
    assert_eq!(stage.metric("anteroom_connections_closed_total", &["reason=\"proxy_header\""]).await, 2);

    // So it is where there is no TLS.
    let http = stage.app.as_ref().unwrap().http[0];
    let mut stream = from(BALANCER, http).await.unwrap();
    stream.write_all(v1).await.unwrap();
    assert_eq!(exchange(stream, get(&host("wagtail"), "/x")).await.status, 308);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer_each_client_has_limits_of_its_own() {
    let stage = stage(plan(), "proxy_protocol_from = [\"127.0.0.0/29\"]", "[connections]\nper_address = 4\n").await;
    let mut all = Vec::new();
    for n in [7; 20].into_iter().chain(8..12) {
        let mut stream = from(BALANCER, stage.address).await.unwrap();
        stream.write_all(format!("PROXY TCP4 192.0.2.{n} 127.0.0.1 5000 443\r\n").as_bytes()).await.unwrap();
        all.push(stream);
    }
    eventually("four of the one, and one of each other", async || {
        stage.metric("anteroom_connection_places", &[]).await == 8
            && stage.metric("anteroom_connection_addresses", &[]).await == 5
    })
    .await;
}

/// A gateway that waits for a second where it waits for 75 by default, before a frontend that has much to say.
async fn impatient(body_bytes: usize) -> (Stage, EvilServer) {
    let body = "x".repeat(body_bytes);
    let frontend = EvilServer::start(move |_| EvilServer::answer("200 OK", "connection: close\r\n", &body)).await;
    let key = format!("frontend = \"http://{}\"", frontend.address);
    let plan = Plan::new().server("members").tenant_with("wagtail", "level-1", &key);
    (stage(plan, "", "[connections]\nidle_timeout = \"1s\"\n").await, frontend)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_and_does_not_go_on_is_left() {
    let (stage, _frontend) = impatient(10).await;
    let app = stage.app.as_ref().unwrap();
    let half = "GET / HTTP/1.1\r\nhost: wagtail.localhost\r\nx: ";
    let mut silent = Raw::open(&stage, &host("wagtail")).await;
    assert!(is_closed(&mut silent.0, DEADLINE).await);
    let mut raw = Raw::open(&stage, &host("wagtail")).await;
    raw.send(half).await;
    assert!(is_closed(&mut raw.0, DEADLINE).await, "half a head");
    let mut raw = Raw::open(&stage, &host("wagtail")).await;
    raw.send("GET / HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n").await.head().await;
    raw.send(half).await;
    assert!(is_closed(&mut raw.0, DEADLINE).await, "half of the second head");
    for (name, address) in [("http", app.http[0]), ("admin", app.admin.unwrap())] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(is_closed(&mut silent, LONG).await, "{name}: silent");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        assert!(is_closed(&mut stream, LONG).await, "{name}: half a head");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_takes_nothing_is_left_and_a_slow_one_is_not() {
    let (stage, frontend) = impatient(24 << 20).await;
    let request = "GET / HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n";
    let mut stalled = Raw::open(&stage, &host("wagtail")).await;
    stalled.send(request).await;
    // Many short answers: what holds the connection then is the last of them that could not be written.
    let mut pipelined = Raw::open(&stage, &host("wagtail")).await;
    let many = "GET /bigbluebutton/api HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n".repeat(20_000);
    let _ = timeout(Duration::from_secs(1), pipelined.send(&many)).await;
    let mut slow = Raw::open(&stage, &host("wagtail")).await;
    slow.send(request).await;
    let mut read = 0;
    let mut bytes = vec![0; 64 << 10];
    // For longer than somebody may take nothing.
    for _ in 0..20 {
        let mut now = 0;
        while now < 1 << 20 {
            let n = timeout(DEADLINE, slow.0.read(&mut bytes)).await.unwrap().unwrap_or(0);
            assert!(n > 0, "after {read} bytes: {}", stage.metrics().await);
            now += n;
        }
        read += now;
        // How slow it is.
        tokio::time::sleep(Duration::from_millis(450)).await;
    }
    eventually("those who take nothing have been left", async || {
        stage.metric("anteroom_connections_closed_total", &["reason=\"stalled\""]).await == 2
    })
    .await;
    while read < 24 << 20 {
        read += timeout(DEADLINE, slow.0.read(&mut bytes)).await.unwrap().unwrap();
    }
    eventually("nothing is held at the server", async || frontend.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn little_is_read_ahead_for_a_reader_who_takes_nothing() {
    const READERS: u64 = 4;
    let body = "x".repeat(24 << 20);
    let frontend = EvilServer::start(move |_| EvilServer::answer("200 OK", "connection: close\r\n", &body)).await;
    let key = format!("frontend = \"http://{}\"", frontend.address);
    let stage = stage(Plan::new().server("members").tenant_with("wagtail", "level-1", &key), "", "").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let mut stream = tls(&stage, socket.connect(stage.address).await.unwrap(), &host("wagtail")).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n").await.unwrap();
        readers.push(stream);
    }
    let taken = async || stage.metric("anteroom_body_bytes_total", &["direction=\"down\""]).await;
    eventually("each has got something", async || taken().await > READERS * (64 << 10)).await;
    let mut before = 0;
    eventually("no more is taken", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::mem::replace(&mut before, taken().await) == before
    })
    .await;
    // What the system holds unsent, what is on its way, what is encrypted, and a piece that was read.
    assert!(before <= READERS * (512 << 10), "{before} bytes for {READERS} readers");
    drop(readers);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_does_not_live_on_pings_nor_on_a_closed_window() {
    let (stage, _frontend) = impatient(1 << 20).await;
    for (reads, reason) in [(true, "idle"), (false, "stalled")] {
        let stream = TcpStream::connect(stage.address).await.unwrap();
        let name = ServerName::try_from(host("wagtail")).unwrap();
        let stream = connector(stage.dir.path(), &[b"h2"]).connect(name, stream).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_millis(200)).keep_alive_while_idle(true);
        builder.initial_stream_window_size(64 * 1024).initial_connection_window_size(64 * 1024);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let uri = format!("https://{}/", host("wagtail"));
        let reply = sender.send_request(Request::get(uri).body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 200);
        let mut unread = None;
        if reads {
            assert_eq!(reply.into_body().collect().await.unwrap().to_bytes().len(), 1 << 20);
        } else {
            unread = Some(reply);
        }
        assert!(timeout(DEADLINE, connection).await.is_ok(), "{reason}: it lives on");
        let label = format!("reason=\"{reason}\"");
        assert_eq!(stage.metric("anteroom_connections_closed_total", &[&label]).await, 1, "{reason}");
        drop((unread, sender));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_at_once_end_their_connection_and_cost_the_server_little() {
    let silent = EvilServer::silent().await;
    let frontend = format!("frontend = \"http://{}\"", silent.address);
    let plan = Plan::new().server("members").tenant_with("wagtail", "level-1", &frontend).tenant("heron", "level-1");
    let stage = plan.start().await;
    let sender = http2(&stage, &host("wagtail")).await;
    let mut sent = 0;
    let ended = async {
        loop {
            let burst: Vec<_> = (0..32)
                .map(|_| {
                    let request = Request::get(format!("https://{}/page", host("wagtail")));
                    let request = request.body(Full::default().boxed_unsync()).unwrap();
                    let mut sender = sender.clone();
                    tokio::spawn(async move { sender.send_request(request).await.is_err() })
                })
                .collect();
            // Until all of them have been sent; the server, which answers nothing, need not have heard of them.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut is_over = false;
            for request in burst {
                if request.is_finished() {
                    assert!(request.await.unwrap(), "the server answers nothing");
                    is_over = true;
                } else {
                    // What was sent is reset, also of the last burst: the gateway lets what is open end in order.
                    request.abort();
                    sent += usize::from(!is_over);
                }
            }
            if is_over {
                return;
            }
        }
    };
    timeout(LONG, ended).await.expect("the connection is closed");
    // 256, the burst in which it was noticed, and the one that was on its way.
    assert!((256..=256 + 3 * 32).contains(&sent), "{sent}");
    assert_eq!(stage.metric("anteroom_connections_closed_total", &["reason=\"resets\""]).await, 1);
    eventually("nothing is held at the server", async || silent.open() == 0).await;
    stage.create("heron", "room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_listener_is_not_held_by_who_does_nothing_or_reads_nothing() {
    let stage = plan().start().await;
    let admin = stage.app.as_ref().unwrap().admin.unwrap();
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(TcpStream::connect(admin).await.unwrap());
    }
    assert_eq!(plain_get(admin, "localhost", "/health/live").await.status, 200, "the idle ones make room");
    drop(all);
    let mut stalled = TcpStream::connect(admin).await.unwrap();
    // Some ten MB of answers.
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(3_000);
    let _ = timeout(Duration::from_secs(2), stalled.write_all(requests.as_bytes())).await;
    eventually_within(LONG, "it has lost its connection", async || {
        stage.metric("anteroom_connections_closed_total", &["reason=\"stalled\""]).await > 0
    })
    .await;
}
