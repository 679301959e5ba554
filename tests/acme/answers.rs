//! The owner of orders in these tests: it answers challenges with real sockets, and keeps the progress.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use anteroom::acme::{AccountKey, Failure, Kind, Progress, Shown, Work, tls_alpn_certificate};
use axum::{Router, extract::Path, routing::get};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{pebble::Place, support::exchange};

/// Answers the challenges of a CA until it is dropped.
pub struct Answers {
    records: std::net::SocketAddr,
    certificates: Arc<Certificates>,
    tasks: Vec<JoinHandle<()>>,
    shown: Mutex<Vec<Shown>>,
    hidden: Mutex<Vec<Shown>>,
    saved: Mutex<Vec<Progress>>,
    begun: Mutex<Vec<bool>>,
    not_begun: AtomicUsize,
    /// Whether the order comes no further than to be kept.
    pub holds: AtomicBool,
}

#[derive(Debug, Default)]
struct Certificates(Mutex<HashMap<String, Arc<CertifiedKey>>>);

impl Answers {
    /// By HTTP for every token, as the gateway does; by TLS and DNS for what is shown.
    pub async fn start(place: Place, key: &AccountKey) -> Self {
        let key = key.clone();
        Self::start_with(place, move |token| key.key_authorization(token).unwrap()).await
    }

    pub async fn start_with(place: Place, answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> Self {
        let certificates = Arc::<Certificates>::default();
        let http = TcpListener::bind(place.http).await.unwrap();
        let tls = TcpListener::bind(place.tls).await.unwrap();
        let router = Router::new()
            .route("/.well-known/acme-challenge/{token}", get(async move |Path(token): Path<String>| answer(&token)));
        let tasks = vec![
            tokio::spawn(async move { axum::serve(http, router).await.unwrap() }),
            tokio::spawn(serve_tls(tls, Arc::clone(&certificates))),
        ];
        Self {
            records: place.records,
            certificates,
            tasks,
            shown: Mutex::default(),
            hidden: Mutex::default(),
            saved: Mutex::default(),
            begun: Mutex::default(),
            not_begun: AtomicUsize::default(),
            holds: AtomicBool::new(false),
        }
    }

    /// Ends it: nothing listens any more when this returns.
    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }

    pub fn shown(&self) -> Vec<Shown> {
        self.shown.lock().unwrap().clone()
    }

    pub fn hidden(&self) -> Vec<Shown> {
        self.hidden.lock().unwrap().clone()
    }

    pub fn saved(&self) -> Vec<Progress> {
        self.saved.lock().unwrap().clone()
    }

    /// The orders that were begun, each with whether it named what it replaced; and how many of them were none.
    pub fn begun(&self) -> (Vec<bool>, usize) {
        (self.begun.lock().unwrap().clone(), self.not_begun.load(Relaxed))
    }

    async fn record(&self, path: &str, body: serde_json::Value) -> Result<(), String> {
        let stream = tokio::net::TcpStream::connect(self.records).await.map_err(|error| error.to_string())?;
        let request = http::Request::post(path).header("host", "localhost").body(body.to_string().into()).unwrap();
        let reply = exchange(stream, request).await;
        if reply.status.is_success() { Ok(()) } else { Err(reply.body) }
    }
}

impl Work for Answers {
    async fn begin(&self, replaces: bool) -> Result<(), Failure> {
        self.begun.lock().unwrap().push(replaces);
        Ok(())
    }

    async fn not_begun(&self) {
        self.not_begun.fetch_add(1, Relaxed);
    }

    async fn show(&self, challenge: &Shown) -> Result<(), String> {
        self.shown.lock().unwrap().push(challenge.clone());
        let name = challenge.name.to_string();
        match challenge.kind {
            Kind::Http01 => Ok(()),
            Kind::TlsAlpn01 => {
                let made = tls_alpn_certificate(&challenge.name, &challenge.key_authorization).unwrap();
                self.certificates.0.lock().unwrap().insert(name, made);
                Ok(())
            }
            Kind::Dns01 => {
                let record = json!({ "host": format!("{}.", challenge.dns_name()), "value": challenge.dns_value() });
                self.record("/set-txt", record).await
            }
        }
    }

    async fn hide(&self, challenge: &Shown) {
        self.hidden.lock().unwrap().push(challenge.clone());
        self.certificates.0.lock().unwrap().remove(challenge.name.as_str());
        if challenge.kind == Kind::Dns01 {
            let record = json!({ "host": format!("{}.", challenge.dns_name()) });
            self.record("/clear-txt", record).await.unwrap();
        }
    }

    async fn save(&self, progress: &Progress) -> Result<(), String> {
        self.saved.lock().unwrap().push(progress.clone());
        if self.holds.load(Relaxed) {
            pending::<()>().await;
        }
        Ok(())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().get(hello.server_name()?).cloned()
    }
}

async fn serve_tls(listener: TcpListener, certificates: Arc<Certificates>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
    }
}
