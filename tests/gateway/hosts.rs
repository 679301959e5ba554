//! Hosts, handshakes and certificates.

use std::{sync::Arc, time::Duration};

use anteroom::tls::dev_ca::DevCa;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{DEADLINE, Plan, Stage, eventually, host, plain_get, tls_config, write};

async fn stage() -> Stage {
    Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "level-1").start().await
}

fn config(stage: &Stage, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    tls_config(&stage.path("dev-ca/ca.pem"), versions, alpn)
}

async fn connect(stage: &Stage, config: &Arc<ClientConfig>, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(stage.address).await?;
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(sni.to_owned()).unwrap(), stream).await
}

/// One request by hand, so that the session's ticket has been read when this is done.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    let request = format!("GET /bigbluebutton/api HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_unknown_name_is_refused_in_the_handshake() {
    let stage = stage().await;
    let config = config(&stage, &[&TLS13, &TLS12], &[]);
    for name in ["stranger.localhost", "localhost", "wagtail.localhost.evil.example"] {
        let error = connect(&stage, &config, name).await.unwrap_err();
        assert!(error.to_string().to_lowercase().contains("unrecognisedname"), "{name}: {error}");
    }
    let no_sni = connect(&stage, &config, "127.0.0.1").await.unwrap_err();
    assert!(no_sni.to_string().to_lowercase().contains("unrecognisedname"), "{no_sni}");
    eventually("the refusals are counted", async || {
        stage.metrics().await.contains("anteroom_handshakes_failed_total 4")
    })
    .await;
}

#[tokio::test]
async fn a_host_other_than_that_of_the_handshake_is_misdirected() {
    let stage = stage().await;
    for other in ["heron.localhost", "stranger.localhost", "wagtail.localhost.evil.example"] {
        let reply =
            stage.client().send(&host("wagtail"), Request::get("/bigbluebutton/api").header("host", other)).await;
        assert_eq!(reply.status, 421, "{other}");
    }
    let request = Request::get("/bigbluebutton/api").header("host", "WAGTAIL.localhost:8443");
    let own = stage.client().send(&host("wagtail"), request).await;
    assert_eq!(own.status, 200);
    assert_eq!(own.xml("graphqlWebsocketUrl"), "wss://wagtail.localhost:8443/graphql");
    let mut stream = stage.client().connect(&host("wagtail")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: wagtail.localhost\r\nhost: heron.localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400", "two hosts are none");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_sessions_are_resumed() {
    let stage = stage().await;
    for (offered, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = config(&stage, &[offered], &[]);
        let mut first = connect(&stage, &config, "wagtail.localhost").await.unwrap();
        assert_eq!(first.get_ref().1.protocol_version(), Some(spoken));
        assert!(ask(&mut first, "wagtail.localhost").await.starts_with("HTTP/1.1 200"));
        let mut second = connect(&stage, &config, "wagtail.localhost").await.unwrap();
        assert!(ask(&mut second, "wagtail.localhost").await.starts_with("HTTP/1.1 200"));
        assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{spoken:?}");
    }
}

#[tokio::test]
async fn what_ends_a_handshake_reaches_whoever_only_listens() {
    let stage = stage().await;
    let nothing_in_common = config(&stage, &[&TLS13], &[b"spdy/1"]);
    let error = connect(&stage, &nothing_in_common, "wagtail.localhost").await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");

    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut stream = connect(&stage, &config(&stage, &[&TLS13], &[alpn]), "wagtail.localhost").await.unwrap();
        let listening = async {
            while stream.get_ref().1.tls13_tickets_received() == 0 {
                let _ = tokio::time::timeout(Duration::from_millis(20), stream.read_u8()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listening).await.expect("a ticket, without having asked");
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let stage = stage().await;
    let config = config(&stage, &[&TLS13], &[b"h2", b"http/1.1"]);
    let stream = connect(&stage, &config, "wagtail.localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let request = Request::get("https://wagtail.localhost/bigbluebutton/api").body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let request = Request::get("https://heron.localhost/bigbluebutton/api").body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 421, "one connection, one host");
}

#[tokio::test]
async fn http_2_is_not_spoken_where_it_is_switched_off() {
    let plan = Plan::new().server("members").tenant("wagtail", "level-1");
    let stage = plan.start_changed(async |text, _| text.replace("[listen]", "[listen]\nhttp2 = false")).await;
    let config = config(&stage, &[&TLS13], &[b"h2", b"http/1.1"]);
    let stream = connect(&stage, &config, "wagtail.localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn plain_http_leads_to_https() {
    let stage = stage().await;
    let address = stage.app.as_ref().unwrap().http[0];
    let reply = plain_get(address, "wagtail.localhost:80", "/b/room?x=1").await;
    assert_eq!(reply.status, 308);
    let port = stage.address.port();
    assert_eq!(reply.header("location"), format!("https://wagtail.localhost:{port}/b/room?x=1"));
    assert_eq!(plain_get(address, "stranger.localhost", "/").await.status, 421);
}

#[tokio::test]
async fn a_tenant_is_added_while_a_socket_of_another_stays_open() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let mut socket = stage.graphql("wagtail", &joined).await.unwrap();

    let ca = DevCa::open(&stage.path("dev-ca")).unwrap();
    ca.issue(&stage.path("certs"), &"dove.localhost".parse().unwrap()).unwrap();
    write(
        stage.dir.path(),
        "tenants/dove.toml",
        "name = \"Dove\"\npolicy = \"level-1\"\nhosts = [\"dove.localhost\"]\n[secrets]\nmain = \"dove-secret\"\n",
    );
    let added = tokio::time::Instant::now();
    eventually("the new host is served", async || stage.client().connect("dove.localhost").await.is_ok()).await;
    let created = stage.create("dove", "room").await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    println!("the new tenant was served after {:?}", added.elapsed());

    socket.send(tokio_tungstenite::tungstenite::Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    let pong = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(pong.to_text().unwrap().contains("pong"), "{pong}");

    std::fs::remove_file(stage.path("tenants/dove.toml")).unwrap();
    eventually("the removed tenant is gone", async || match stage.client().connect("dove.localhost").await {
        Err(_) => true,
        Ok(_) => stage.client().get("dove.localhost", "/").await.status == 421,
    })
    .await;
}

#[tokio::test]
async fn a_broken_file_is_reported_and_its_last_good_version_stays() {
    let stage = stage().await;
    let good = std::fs::read_to_string(stage.path("tenants/heron.toml")).unwrap();
    write(stage.dir.path(), "tenants/heron.toml", "name = \n");
    eventually("the fault is reported", async || stage.metrics().await.contains("anteroom_config_faults 1")).await;
    assert_eq!(stage.create("heron", "room").await.xml("returncode"), "SUCCESS");
    let renewed = good.replace("heron-secret", "heron-new-secret");
    write(stage.dir.path(), "tenants/heron.toml", &renewed);
    eventually("the mended file is in service", async || {
        stage.create("heron", "room").await.xml("messageKey") == "checksumError"
    })
    .await;
    assert!(stage.metrics().await.contains("anteroom_config_faults 0"));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let stage = stage().await;
    let shown = async || {
        let config = config(&stage, &[&TLS13], &[]);
        let stream = connect(&stage, &config, "wagtail.localhost").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old = shown().await;
    let ca = DevCa::open(&stage.path("dev-ca")).unwrap();
    ca.issue(&stage.path("certs"), &"wagtail.localhost".parse().unwrap()).unwrap();
    eventually("the new certificate is shown", async || shown().await != old).await;
}
