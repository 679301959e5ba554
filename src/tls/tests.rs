//! Certificates on their way into a handshake, with real handshakes over loopback.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustls::{ClientConfig, crypto::aws_lc_rs::sign::any_supported_type, pki_types::ServerName};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use super::{
    certs::Cert,
    issued::{Entry, Pair},
    *,
};

/// Certificates by name, as a store would have them.
struct Shelf {
    pairs: Mutex<HashMap<CertName, Result<Pair, String>>>,
    loads: AtomicUsize,
    /// Each load takes one.
    gate: Semaphore,
}

impl Shelf {
    fn new(gate: usize) -> Arc<Self> {
        Arc::new(Self { pairs: Mutex::default(), loads: AtomicUsize::new(0), gate: Semaphore::new(gate) })
    }

    fn put(&self, name: &str, pair: Result<Pair, &str>) {
        self.pairs.lock().expect("no panic").insert(cert_name(name), pair.map_err(str::to_owned));
    }

    fn loads(&self) -> usize {
        self.loads.load(Relaxed)
    }
}

struct FromShelf(Arc<Shelf>);

impl Source for FromShelf {
    fn load(&self, name: &CertName) -> BoxFuture<'static, Result<Option<Pair>, String>> {
        let (shelf, name) = (Arc::clone(&self.0), name.clone());
        Box::pin(async move {
            shelf.loads.fetch_add(1, Relaxed);
            shelf.gate.acquire().await.expect("it stays open").forget();
            shelf.pairs.lock().expect("no panic").get(&name).cloned().transpose()
        })
    }
}

fn cert_name(text: &str) -> CertName {
    text.parse().expect("a name")
}

fn host(text: &str) -> Host {
    text.parse().expect("a host")
}

/// A self-signed certificate, with its key in DER.
fn pair(name: &str) -> Pair {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a legal name");
    (made.cert.pem().into_bytes(), made.signing_key.serialize_der())
}

/// The same, good for these years.
fn pair_of(name: &str, years: std::ops::Range<i32>) -> Pair {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a legal name");
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem().into_bytes(), key.serialize_der())
}

fn write(folder: &Path, (chain, key): &Pair) {
    std::fs::write(folder.join(brought::CHAIN), chain).expect("written");
    let pem = rcgen::KeyPair::try_from(key.as_slice()).expect("a key").serialize_pem();
    std::fs::write(folder.join(brought::KEY), pem).expect("written");
}

/// A certificate in a directory whose key is not in memory.
fn slot(folder: &Path, name: &str, (chain, key): &Pair) -> Arc<Slot> {
    let cert = Cert::parse(&cert_name(name), chain, key).expect("sound");
    Arc::new(Slot::of_files(cert_name(name), folder.into(), &cert, false))
}

fn entry(name: &str, version: i64) -> Entry {
    Entry { name: cert_name(name), not_after: Timestamp::from_secs(4_000_000_000), version }
}

fn tls(shelf: &Arc<Shelf>) -> Arc<Tls> {
    let tls = Tls::new(Certs::default(), true, None).expect("randomness");
    Arc::new(tls.with_source(Arc::new(FromShelf(Arc::clone(shelf)))))
}

fn leaf((chain, key): &Pair, name: &str) -> Vec<u8> {
    Cert::parse(&cert_name(name), chain, key).expect("sound").key.cert[0].to_vec()
}

/// Which certificate a client is shown, and for which protocol; or why there is none.
async fn shown(tls: &Arc<Tls>, name: &str, alpn: &[&[u8]]) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let tls = Arc::clone(tls);
    let server: JoinHandle<io::Result<()>> = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let sni: Option<Host> = hello.client_hello().server_name().and_then(|name| name.parse().ok());
        let opening = tls.open(&hello.client_hello(), sni.as_ref());
        let config = match opening {
            Opening::Serve(config) | Opening::Challenge(config) => config,
            Opening::Prepare => match tls.prepare(&sni.expect("a name")).await {
                Prepared::Serve(config) => config,
                other => return Err(io::Error::other(format!("{other:?}"))),
            },
            Opening::Unknown => return Err(io::Error::other("Unknown")),
        };
        hello.into_stream(config).await.map(drop)
    });
    let mut config = ClientConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any::Any(provider::provider())))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(address).await.expect("it listens");
    let made = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    server.await.expect("no panic").map_err(|error| error.to_string())?;
    let made = made.map_err(|error| error.to_string())?;
    let session = made.get_ref().1;
    let leaf = session.peer_certificates().expect("shown")[0].to_vec();
    Ok((leaf, session.alpn_protocol().map(<[u8]>::to_vec)))
}

/// A client that looks at the certificate by itself.
mod any {
    use super::*;
    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, UnixTime},
    };

    #[derive(Debug)]
    pub(super) struct Any(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[tokio::test]
async fn an_issued_certificate_is_loaded_once_and_served_from_memory() {
    let shelf = Shelf::new(1);
    let tls = tls(&shelf);
    let (own, wild) = (pair("a.b.example"), pair("*.b.example"));
    shelf.put("a.b.example", Ok(own.clone()));
    shelf.put("*.b.example", Ok(wild.clone()));
    tls.put(entry("a.b.example", 1));
    tls.put(entry("*.b.example", 1));
    let clients = (0..8).map(|_| shown(&tls, "a.b.example", &[]));
    for seen in futures_util::future::join_all(clients).await {
        assert_eq!(seen.expect("served").0, leaf(&own, "a.b.example"));
    }
    assert_eq!((shelf.loads(), tls.loads()), (1, (1, 0)), "one load for all");
    shelf.gate.add_permits(1);
    assert_eq!(shown(&tls, "other.b.example", &[]).await.expect("served").0, leaf(&wild, "*.b.example"));
    for stranger in ["b.example", "x.a.b.example", "c.example"] {
        assert_eq!(shown(&tls, stranger, &[]).await, Err("Unknown".to_owned()), "{stranger}");
    }
    tls.issued().remove(&cert_name("a.b.example"));
    assert_eq!(shown(&tls, "a.b.example", &[]).await.expect("by the wildcard").0, leaf(&wild, "*.b.example"));
    tls.issued().remove(&cert_name("*.b.example"));
    assert_eq!(shown(&tls, "a.b.example", &[]).await, Err("Unknown".to_owned()));
    assert_eq!(shelf.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_fails_and_is_left_alone_for_a_moment() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let name = host("a.example");
    tls.put(entry("a.example", 1));
    let other = pair("b.example");
    for (nth, broken) in [Err("the store is away"), Ok(other), Ok((Vec::new(), Vec::new()))].into_iter().enumerate() {
        shelf.put("a.example", broken);
        for _ in 0..3 {
            assert!(matches!(tls.prepare(&name).await, Prepared::Failed));
        }
        assert_eq!(shelf.loads(), nth + 1, "asked once within a second");
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    shelf.put("a.example", Ok(pair("a.example")));
    assert!(matches!(tls.prepare(&name).await, Prepared::Serve(_)));
    assert_eq!(tls.loads(), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_ends_by_itself() {
    let shelf = Shelf::new(0);
    let tls = tls(&shelf);
    tls.put(entry("a.example", 1));
    let began = tokio::time::Instant::now();
    assert!(matches!(tls.prepare(&host("a.example")).await, Prepared::Failed));
    assert_eq!((began.elapsed().as_secs(), tls.loads()), (5, (0, 1)));
}

#[tokio::test]
async fn the_version_before_is_served_until_the_new_one_is_loaded() {
    let shelf = Shelf::new(1);
    let tls = tls(&shelf);
    let (old, new) = (pair("a.example"), pair("a.example"));
    shelf.put("a.example", Ok(old.clone()));
    tls.put(entry("a.example", 1));
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&old, "a.example"));
    tls.put(entry("a.example", 1));
    shelf.put("a.example", Ok(new.clone()));
    tls.put(entry("a.example", 2));
    // Its load waits at the gate.
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&old, "a.example"));
    shelf.gate.add_permits(1);
    loaded(&tls, 2).await;
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&new, "a.example"));
    assert_eq!(shelf.loads(), 2);
}

/// Waits until so many loads have ended well.
async fn loaded(tls: &Tls, loads: u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while tls.loads() != (loads, 0) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_loaded_before_the_next_hello() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let (old, new) = (pair("a.example"), pair("a.example"));
    shelf.put("a.example", Ok(old));
    tls.put(entry("a.example", 1));
    shown(&tls, "a.example", &[]).await.expect("served");
    shelf.put("a.example", Ok(new.clone()));
    tls.put(entry("a.example", 2));
    loaded(&tls, 2).await;
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&new, "a.example"));
    assert_eq!(shelf.loads(), 2);
}

#[tokio::test]
async fn a_certificate_that_has_expired_comes_after_all_that_have_not() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let (own, wild) = (pair("a.b.example"), pair("*.b.example"));
    shelf.put("a.b.example", Ok(own.clone()));
    shelf.put("*.b.example", Ok(wild.clone()));
    tls.put(Entry { not_after: Timestamp::from_secs(1_000_000_000), ..entry("a.b.example", 1) });
    assert_eq!(shown(&tls, "a.b.example", &[]).await.expect("the only one").0, leaf(&own, "a.b.example"));
    tls.put(entry("*.b.example", 1));
    assert_eq!(shown(&tls, "a.b.example", &[]).await.expect("the good one").0, leaf(&wild, "*.b.example"));
    tls.put(entry("a.b.example", 2));
    loaded(&tls, 3).await;
    assert_eq!(shown(&tls, "a.b.example", &[]).await.expect("its own again").0, leaf(&own, "a.b.example"));
}

#[tokio::test]
async fn what_the_operator_brought_comes_first_and_is_read_when_it_is_asked_for() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let dir = tempfile::tempdir().expect("a directory");
    let (brought, issued) = (pair("a.example"), pair("a.example"));
    let slot = || slot(dir.path(), "a.example", &brought);
    shelf.put("a.example", Ok(issued.clone()));
    tls.put(entry("a.example", 1));
    write(dir.path(), &brought);
    tls.swap(Certs::from_iter([slot()]));
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&brought, "a.example"));
    assert_eq!(shelf.loads(), 0);
    // Once it is loaded, files are none of a handshake's.
    std::fs::remove_file(dir.path().join(brought::KEY)).expect("it was there");
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&brought, "a.example"));
    // One that was never loaded and has no files any more gives way to the next.
    tls.swap(Certs::from_iter([slot()]));
    assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(&issued, "a.example"));
    assert_eq!(tls.expiries().len(), 1, "one name, one date");
}

#[tokio::test]
async fn one_of_the_operator_outside_its_dates_comes_after_an_issued_one() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let issued = pair("a.example");
    shelf.put("a.example", Ok(issued.clone()));
    for years in [1990..1991, 2990..2991] {
        let dir = tempfile::tempdir().expect("a directory");
        let brought = pair_of("a.example", years);
        write(dir.path(), &brought);
        tls.swap(Certs::from_iter([slot(dir.path(), "a.example", &brought)]));
        assert_eq!(shown(&tls, "a.example", &[]).await.expect("the only one").0, leaf(&brought, "a.example"));
        tls.put(entry("a.example", 1));
        assert_eq!(shown(&tls, "a.example", &[]).await.expect("the good one").0, leaf(&issued, "a.example"));
        tls.issued().remove(&cert_name("a.example"));
    }
}

#[tokio::test]
async fn files_that_were_changed_since_they_were_checked_count_as_they_are_unless_their_dates_are_over() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let (checked, issued) = (pair("a.example"), pair("a.example"));
    shelf.put("a.example", Ok(issued.clone()));
    tls.put(entry("a.example", 1));
    let told = async || timeout(Duration::ZERO, tls.files_changed()).await.is_ok();
    for (by_now, is_served, is_told) in [
        (checked.clone(), true, false),
        (pair("a.example"), true, true),
        (pair_of("a.example", 1990..1991), false, false),
        (pair_of("a.example", 2990..2991), false, false),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &by_now);
        tls.swap(Certs::from_iter([slot(dir.path(), "a.example", &checked)]));
        let expected = if is_served { &by_now } else { &issued };
        assert_eq!(shown(&tls, "a.example", &[]).await.expect("served").0, leaf(expected, "a.example"));
        assert_eq!(told().await, is_told);
    }
}

#[tokio::test]
async fn acme_tls_is_answered_for_open_challenges_and_for_nothing_else() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let answer = pair("a.example");
    let key = any_supported_type(&answer.1.as_slice().try_into().expect("a key")).expect("a key");
    let chain = vec![leaf(&answer, "a.example").into()];
    tls.challenges().set([(host("a.example"), Arc::new(CertifiedKey::new(chain, key)))]);
    let acme = b"acme-tls/1".as_slice();
    let seen = shown(&tls, "a.example", &[acme]).await.expect("answered");
    assert_eq!(seen, (leaf(&answer, "a.example"), Some(acme.to_vec())));
    assert_eq!(shown(&tls, "b.example", &[acme]).await, Err("Unknown".to_owned()));
    for ordinary in [&[][..], &[b"http/1.1".as_slice()], &[b"http/1.1", acme], &[acme, b"http/1.1"]] {
        assert_eq!(shown(&tls, "a.example", ordinary).await, Err("Unknown".to_owned()), "{ordinary:?}");
    }
    let count = |of: &AtomicU64| of.load(Relaxed);
    assert_eq!((count(&tls.challenges().answered), count(&tls.challenges().refused)), (1, 1));
    let own = pair("a.example");
    shelf.put("a.example", Ok(own.clone()));
    tls.put(entry("a.example", 1));
    let both = shown(&tls, "a.example", &[acme, b"http/1.1"]).await.expect("served");
    assert_eq!(both, (leaf(&own, "a.example"), Some(b"http/1.1".to_vec())), "an ordinary client");
    tls.challenges().set([]);
    assert_eq!(shown(&tls, "a.example", &[acme]).await, Err("Unknown".to_owned()));
}

#[tokio::test]
async fn a_handshake_waits_for_the_first_certificate_where_that_is_wanted() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    assert_eq!(shown(&tls, "a.example", &[]).await, Err("Unknown".to_owned()), "off by default");
    tls.first_hello().set(Duration::from_secs(30), |asked| *asked == host("a.example"));
    assert_eq!(shown(&tls, "b.example", &[]).await, Err("Unknown".to_owned()), "not ours");
    let clients = futures_util::future::join_all((0..3).map(|_| shown(&tls, "a.example", &[])));
    let orders = async {
        assert_eq!(tls.first_hello().asked().await, host("a.example"));
        let made = pair("a.example");
        shelf.put("a.example", Ok(made.clone()));
        tls.put(entry("a.example", 1));
        made
    };
    let (seen, made) = tokio::join!(clients, orders);
    for seen in seen {
        assert_eq!(seen.expect("served").0, leaf(&made, "a.example"));
    }
    assert_eq!(tls.first_hello().waited.load(Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn who_comes_for_a_host_without_a_certificate_is_heard_and_not_too_often() {
    use futures_util::FutureExt as _;
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let first = tls.first_hello();
    // Not bounded by what a task may do in one go.
    let heard = || tokio::task::unconstrained(first.asked()).now_or_never();
    let (one, two) = (host("a.example"), host("b.example"));
    first.set(Duration::ZERO, |asked| ["a.example", "b.example"].contains(&asked.as_str()));
    assert_eq!(shown(&tls, "c.example", &[]).await, Err("Unknown".to_owned()));
    assert_eq!(heard(), None, "not ours");
    for _ in 0..3 {
        assert_eq!(shown(&tls, "a.example", &[]).await, Err("Unknown".to_owned()), "no handshake waits");
    }
    first.came(&two);
    assert_eq!((heard(), heard(), heard()), (Some(one.clone()), Some(two.clone()), None));
    first.set(Duration::ZERO, |asked| asked.as_str() == "a.example");
    first.came(&one);
    first.came(&two);
    assert_eq!(heard(), None, "too early, and not awaited any more");
    tokio::time::advance(Duration::from_secs(15)).await;
    first.came(&one);
    first.came(&one);
    assert_eq!((heard(), heard()), (Some(one), None));

    let many: Vec<_> = (0..100).map(|n| host(&format!("h{n}.example"))).collect();
    first.set(Duration::ZERO, |asked| asked.as_str().starts_with('h'));
    many.iter().for_each(|host| first.came(host));
    let told = std::iter::from_fn(heard).count();
    assert_eq!(told, 64, "bounded");
    many.iter().for_each(|host| first.came(host));
    assert_eq!(std::iter::from_fn(heard).count(), 36, "those that were dropped are told when the next one comes");
}

#[tokio::test(start_paused = true)]
async fn few_wait_for_the_first_certificate_and_not_for_ever() {
    let shelf = Shelf::new(100);
    let tls = tls(&shelf);
    let (one, two) = (host("a.example"), host("b.example"));
    tls.first_hello().set(Duration::from_secs(5), |_| true);
    let all = (0..12).map(|_| tls.prepare(&one)).chain([tls.prepare(&two)]);
    let began = tokio::time::Instant::now();
    for prepared in futures_util::future::join_all(all).await {
        assert!(matches!(prepared, Prepared::Unknown));
    }
    assert_eq!(began.elapsed().as_secs(), 5);
    let count = |of: &AtomicU64| of.load(Relaxed);
    assert_eq!((count(&tls.first_hello().waited), count(&tls.first_hello().refused)), (9, 4));
    // Each host was told once.
    assert_eq!((tls.first_hello().asked().await, tls.first_hello().asked().await), (one.clone(), two));
    tls.first_hello().set(Duration::ZERO, |_| true);
    assert!(matches!(tls.prepare(&one).await, Prepared::Unknown));
    assert_eq!(began.elapsed().as_secs(), 5, "no wait any more");
}
