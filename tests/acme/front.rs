//! A proxy in front of pebble, as CAs have one: it does what pebble cannot be brought to do. Everything else is pebble's own.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
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
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    pebble::{HOST, Pebble, directory_at},
    support::Client,
};

/// Of pebble, or of the proxy's own.
pub type Answer = Response<Bytes>;

/// What it does with a request: by the path and the payload, in order of their calls.
pub trait Rule: Send + Sync + 'static {
    /// In place of pebble.
    fn instead(&self, _path: &str, _payload: &Value) -> Option<Answer> {
        None
    }

    /// With what pebble has answered.
    fn after(&self, _path: &str, _payload: &Value, answer: Answer) -> Answer {
        answer
    }
}

/// A proxy that runs until it is dropped.
pub struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Front {
    pub async fn start(pebble: &Pebble, rule: impl Rule) -> Self {
        let [chain, key] = pebble.certificate();
        let chain = CertificateDer::pem_file_iter(chain).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, rule) = (Client::new(pebble.address(), &pebble.root()), Arc::new(rule));
        let paths = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&paths);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client, rule) = (acceptor.clone(), client.clone(), Arc::clone(&rule));
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let (client, rule, seen) = (client.clone(), Arc::clone(&rule), Arc::clone(&seen));
                        async move { Ok::<_, Infallible>(pass(&client, &*rule, &seen, request).await.map(Full::new)) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, task, paths }
    }

    pub fn directory(&self) -> String {
        directory_at(self.address)
    }

    /// How many requests went to paths that begin so.
    pub fn count(&self, path: &str) -> usize {
        self.paths.lock().unwrap().iter().filter(|seen| seen.starts_with(path)).count()
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

async fn pass(client: &Client, rule: &dyn Rule, seen: &Mutex<Vec<String>>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    seen.lock().unwrap().push(path.clone());
    let body = body.collect().await.unwrap().to_bytes();
    let payload = payload(&body);
    if let Some(answer) = rule.instead(&path, &payload) {
        return answer;
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
    rule.after(&path, &payload, answer)
}

/// What was signed.
fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = data_encoding::BASE64URL_NOPAD.decode(jws["payload"].as_str().unwrap_or_default().as_bytes());
    serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
}
