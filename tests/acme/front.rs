//! A proxy in front of a CA, as CAs have one: it does what the CA cannot be brought to do. Everything else is the CA's own.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    pebble::{HOST, Place},
    support::Client,
};

/// A certificate authority on loopback.
pub trait Ca {
    /// Where it is.
    fn address(&self) -> SocketAddr;

    /// The path of its directory.
    fn directory_path(&self) -> &'static str;

    /// The certificate of the CA that its own is from.
    fn root(&self) -> PathBuf;

    /// Chain and key of its own certificate.
    fn certificate(&self) -> [PathBuf; 2];

    /// Where it looks for answers.
    fn place(&self) -> Place;

    /// Its name server.
    fn dns(&self) -> SocketAddr;

    /// The root of the certificates that it issues, PEM.
    async fn issues_from(&self) -> String;

    fn directory(&self) -> String {
        format!("https://{HOST}:{}{}", self.address().port(), self.directory_path())
    }
}

/// Of the CA, or of the proxy's own.
pub type Answer = Response<Bytes>;

/// What it does with a request: by the path and the payload, in order of their calls.
pub trait Rule: Send + Sync + 'static {
    /// In place of the CA.
    fn instead(&self, _path: &str, _payload: &Value) -> Option<Answer> {
        None
    }

    /// With what the CA has answered.
    fn after(&self, _path: &str, _payload: &Value, answer: Answer) -> Answer {
        answer
    }
}

/// Does nothing.
pub struct Plain;

impl Rule for Plain {}

/// A proxy that runs until it is dropped.
pub struct Front {
    directory: String,
    task: JoinHandle<()>,
    state: Arc<State>,
    held: watch::Sender<&'static str>,
}

#[derive(Default)]
struct State {
    /// Path and payload of each request.
    seen: Mutex<Vec<(String, Value)>>,
    is_away: AtomicBool,
}

impl Front {
    pub async fn start(ca: &impl Ca, rule: impl Rule) -> Self {
        let [chain, key] = ca.certificate();
        let chain = CertificateDer::pem_file_iter(chain).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, rule) = (Client::new(ca.address(), &ca.root()), Arc::new(rule));
        let (state, (held, holds)) = (Arc::<State>::default(), watch::channel(""));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client, rule) = (acceptor.clone(), client.clone(), Arc::clone(&rule));
                let (state, holds) = (Arc::clone(&shared), holds.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let (client, rule, state) = (client.clone(), Arc::clone(&rule), Arc::clone(&state));
                        let holds = holds.clone();
                        async move {
                            let answer = pass(&client, &*rule, &state, holds, request).await;
                            answer.map(|answer| answer.map(Full::new)).ok_or("away")
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let directory = format!("https://{HOST}:{}{}", address.port(), ca.directory_path());
        Self { directory, task, state, held }
    }

    pub fn directory(&self) -> String {
        self.directory.clone()
    }

    /// How many requests went to paths that begin so.
    pub fn count(&self, path: &str) -> usize {
        self.payloads(path).len()
    }

    /// What was signed in requests to paths that begin so.
    pub fn payloads(&self, path: &str) -> Vec<Value> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|(of, _)| of.starts_with(path)).map(|(_, payload)| payload.clone()).collect()
    }

    /// Keeps requests to paths that begin so waiting.
    pub fn hold(&self, path: &'static str) {
        self.held.send_replace(path);
    }

    /// Lets them go on.
    pub fn release(&self) {
        self.held.send_replace("");
    }

    /// Whether connections end without an answer, but for what says when to renew.
    pub fn set_away(&self, is_away: bool) {
        self.state.is_away.store(is_away, Relaxed);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer of the proxy's own.
pub fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    builder.body(body.into()).unwrap()
}

/// An answer with its JSON changed.
pub fn changed(answer: Answer, change: impl FnOnce(&mut Value)) -> Answer {
    answer.map(|body| {
        let mut value = serde_json::from_slice(&body).unwrap();
        change(&mut value);
        value.to_string().into()
    })
}

/// `None` where there is no answer.
async fn pass(
    client: &Client,
    rule: &dyn Rule,
    state: &State,
    mut holds: watch::Receiver<&'static str>,
    request: Request<Incoming>,
) -> Option<Answer> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = body.collect().await.ok()?.to_bytes();
    let payload = payload(&body);
    state.seen.lock().unwrap().push((path.clone(), payload.clone()));
    let is_about_renewal = path == "/dir" || path.starts_with("/renewal");
    if state.is_away.load(Relaxed) && !is_about_renewal {
        return None;
    }
    let _ = holds.wait_for(|held| held.is_empty() || !path.starts_with(held)).await;
    if let Some(answer) = rule.instead(&path, &payload) {
        return Some(answer);
    }
    let mut passed = Request::builder().method(head.method).uri(head.uri);
    for name in [header::HOST, header::CONTENT_TYPE, header::USER_AGENT] {
        if let Some(value) = head.headers.get(&name) {
            passed = passed.header(name, value);
        }
    }
    let reply = client.send_body(HOST, passed, body).await;
    let mut answer = Response::new(Bytes::from(reply.body));
    *answer.status_mut() = reply.status;
    for (name, value) in &reply.headers {
        let is_framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(name);
        if !is_framing {
            answer.headers_mut().append(name, value.clone());
        }
    }
    Some(rule.after(&path, &payload, answer))
}

/// What was signed.
fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = data_encoding::BASE64URL_NOPAD.decode(jws["payload"].as_str().unwrap_or_default().as_bytes());
    serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
}
