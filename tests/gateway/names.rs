//! What a client may send as the name of its host, and what it gets for it: a table, by a client of rustls and, for names that
//! this one does not send, by `openssl s_client`.

use std::{io, process::Stdio, sync::Arc};

use anteroom::{
    domain::time::Timestamp,
    tls::{dev_ca::DevCa, issued::Entry},
};
use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, RootCertStore,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    },
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Plan, Stage, eventually, tls_config, write};

const WILDCARD: &str = "certs/_.meet.localhost/fullchain.pem";

/// A gateway with a host in ASCII, one in Unicode and one that a wildcard covers.
async fn stage() -> Stage {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let ca = DevCa::open(&stage.path("dev-ca")).unwrap();
    ca.issue(&stage.path("certs"), &"xn--bcher-kva.localhost".parse().unwrap()).unwrap();
    let wildcard = rcgen::generate_simple_self_signed(["*.meet.localhost".to_owned()]).unwrap();
    write(stage.dir.path(), "certs/_.meet.localhost/privkey.pem", &wildcard.signing_key.serialize_pem());
    write(stage.dir.path(), WILDCARD, &wildcard.cert.pem());
    write(
        stage.dir.path(),
        "tenants/heron.toml",
        "name = \"Heron\"\npolicy = \"level-1\"\nhosts = [\"xn--bcher-kva.localhost\", \"heron.meet.localhost\"]\n\
         [secrets]\nmain = \"heron-secret\"\n",
    );
    let config = trusting(&stage);
    for host in ["xn--bcher-kva.localhost", "heron.meet.localhost"] {
        eventually("the new hosts are served", async || connect(&stage, &config, host).await.is_ok()).await;
    }
    stage
}

/// A client that trusts the CA of the stage, and the wildcard.
fn trusting(stage: &Stage) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for file in ["dev-ca/ca.pem", WILDCARD] {
        roots.add(CertificateDer::from_pem_file(stage.path(file)).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn connect(stage: &Stage, config: &Arc<ClientConfig>, name: &str) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(stage.address).await?;
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// What a client is shown, or the alert that it gets.
enum Gets {
    Certificate(&'static str),
    /// `unrecognized_name`.
    Unknown,
    /// `illegal_parameter`, for what is no name at all.
    Illegal,
}

#[tokio::test]
async fn each_name_gets_its_certificate_or_an_alert() {
    let stage = stage().await;
    let config = trusting(&stage);
    let shown = |file: &str| CertificateDer::from_pem_file(stage.path(file)).unwrap();
    // rustls sends no SNI for an address, lower case, and no dot at the end.
    for (name, certificate) in [
        ("wagtail.localhost", Some("certs/wagtail.localhost/fullchain.pem")),
        ("WagTail.LOCALHOST", Some("certs/wagtail.localhost/fullchain.pem")),
        ("xn--bcher-kva.localhost", Some("certs/xn--bcher-kva.localhost/fullchain.pem")),
        ("heron.meet.localhost", Some(WILDCARD)),
        ("other.meet.localhost", Some(WILDCARD)),
        ("meet.localhost", None),
        ("x.heron.meet.localhost", None),
        ("stranger.localhost", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("::1", None),
    ] {
        match (connect(&stage, &config, name).await, certificate) {
            (Ok(made), Some(file)) => {
                assert_eq!(made.get_ref().1.peer_certificates().unwrap()[0], shown(file), "{name}");
            }
            (Err(error), None) => {
                assert!(error.to_string().to_lowercase().contains("unrecognisedname"), "{name}: {error}");
            }
            (made, _) => panic!("{name}: {:?}", made.map(|_| "connected")),
        }
    }
}

#[tokio::test]
async fn each_name_as_openssl_sends_it_gets_its_certificate_or_an_alert() {
    use Gets::{Certificate, Illegal, Unknown};
    let stage = stage().await;
    for (name, gets) in [
        (Some("wagtail.localhost"), Certificate("wagtail.localhost")),
        (Some("WAGTAIL.LocalHost"), Certificate("wagtail.localhost")),
        (Some("wagtail.localhost."), Certificate("wagtail.localhost")),
        (Some("XN--BCHER-KVA.localhost"), Certificate("xn--bcher-kva.localhost")),
        (Some("b\u{fc}cher.localhost"), Illegal),
        (Some("stranger.localhost"), Unknown),
        (Some("wagtail.localhost.evil.example"), Unknown),
        (Some("*.meet.localhost"), Illegal),
        (Some("wagtail.localhost:443"), Illegal),
        (Some("127.0.0.1"), Unknown),
        (None, Unknown),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let mut client = Command::new("openssl");
            client.args(["s_client", "-brief", version, "-connect", &stage.address.to_string()]);
            client.arg("-CAfile").arg(stage.path("dev-ca/ca.pem"));
            match name {
                Some(name) => client.args(["-servername", name]),
                None => client.arg("-noservername"),
            };
            let said = client.stdin(Stdio::null()).output().await.expect("openssl is installed");
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            let expected = match gets {
                Certificate(subject) => format!("CN = {subject}\n"),
                Unknown => "SSL alert number 112".into(),
                Illegal => "SSL alert number 47".into(),
            };
            assert!(said.contains(&expected), "{name:?} {version}: {said}");
        }
    }
}

/// Tickets of all hosts in one place, as no honest client keeps them.
#[derive(Debug)]
struct Mixed(ClientSessionMemoryCache);

impl Mixed {
    fn name() -> ServerName<'static> {
        ServerName::try_from("all.example").unwrap()
    }
}

impl ClientSessionStore for Mixed {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

#[tokio::test]
async fn a_ticket_of_one_host_resumes_nothing_at_another() {
    let stage = stage().await;
    for version in [&TLS12, &TLS13] {
        let mut config = ClientConfig::clone(&tls_config(&stage.path("dev-ca/ca.pem"), &[version], &[b"http/1.1"]));
        config.resumption = Resumption::store(Arc::new(Mixed(ClientSessionMemoryCache::new(8))));
        let config = Arc::new(config);
        let kind = async |host: &str| {
            let mut made = connect(&stage, &config, host).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            made.write_all(request.as_bytes()).await.unwrap();
            // Its ticket has been read when this is done.
            made.read_to_end(&mut Vec::new()).await.unwrap();
            made.get_ref().1.handshake_kind().unwrap()
        };
        assert_eq!(kind("wagtail.localhost").await, HandshakeKind::Full);
        assert_eq!(kind("wagtail.localhost").await, HandshakeKind::Resumed, "{version:?}");
        assert_ne!(kind("xn--bcher-kva.localhost").await, HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test]
async fn an_acme_server_sees_the_answer_to_its_challenge_and_is_served_nothing_else() {
    let stage = stage().await;
    let made = rcgen::generate_simple_self_signed(["wagtail.localhost".to_owned()]).unwrap();
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap());
    let answer = Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key.unwrap()));
    let tls = stage.app.as_ref().unwrap().tls();
    tls.challenges().set([("wagtail.localhost".parse().unwrap(), answer)]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let config = Arc::new(config);
    let mut seen = connect(&stage, &config, "wagtail.localhost").await.unwrap();
    assert_eq!(seen.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(seen.get_ref().1.peer_certificates().unwrap()[0], *made.cert.der());
    let _ = seen.write_all(b"GET / HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n").await;
    let mut more = Vec::new();
    let _ = seen.read_to_end(&mut more).await;
    assert!(more.is_empty(), "it is closed after the handshake");
    for other in ["heron.meet.localhost", "stranger.localhost"] {
        let error = connect(&stage, &config, other).await.unwrap_err();
        assert!(error.to_string().to_lowercase().contains("unrecognisedname"), "{other}: {error}");
    }
    assert_eq!(stage.metric("anteroom_tls_challenges_total", &["answered"]).await, 1);
    assert_eq!(stage.metric("anteroom_tls_challenges_total", &["unknown"]).await, 2);
    assert!(connect(&stage, &trusting(&stage), "wagtail.localhost").await.is_ok(), "an ordinary client is served");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_loaded_is_told_apart_from_a_name_that_is_not_ours() {
    let stage = stage().await;
    let tls = stage.app.as_ref().unwrap().tls();
    // The store of this gateway has no such certificate.
    let name = "issued.example".parse().unwrap();
    tls.put(Entry { name, not_after: Timestamp::from_secs(4_000_000_000), version: 1 });
    let error = connect(&stage, &trusting(&stage), "issued.example").await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("internalerror"), "{error}");
    assert_eq!(stage.metric("anteroom_certificate_loads_total", &["failed"]).await, 1);
}
