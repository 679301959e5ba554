//! [`Transport`]: HTTPS towards one CA, as the `HttpClient` of instant-acme. HTTP/1.1 on hyper and rustls; `https` only, redirects
//! are not followed.
//!
//! Each request has a time limit from the look-up of the name to the end of the answer, and the answer a bound.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::answers;
use crate::{domain::time::Clock, tls::provider::provider};

/// A chain of certificates has some 10 KB, a directory 2.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// For one address of the CA: where its IPv6 leads nowhere, IPv4 gets its turn.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a CA that are tried.
const ADDRESSES_MAX: usize = 6;
/// Connections that wait for the next request: as many as orders run at once, more or less.
const IDLE_MAX: usize = 8;
/// A connection that has waited for longer is probably closed at the other end.
const IDLE_AGE_MAX: Duration = Duration::from_secs(20);
const USER_AGENT: &str = concat!("anteroom/", env!("CARGO_PKG_VERSION"), " instant-acme");

type Sent = Request<BodyWrapper<Bytes>>;

/// The connections to a CA. Clones share them.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    idle: Mutex<Vec<Idle>>,
    limit: Duration,
    clock: Clock,
}

struct Idle {
    host: String,
    port: u16,
    since: Instant,
    sender: SendRequest<BodyWrapper<Bytes>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum TransportError {
    /// An address that is not `https`.
    NotHttps(String),
    /// The name of the CA has no address.
    Unknown(String, io::Error),
    /// No connection, or no TLS: a certificate that is not trusted, for example.
    Connect(String, io::Error),
    /// The connection broke.
    Broken(String, hyper::Error),
    /// Nothing within the time limit.
    Slow(String),
    /// An answer that is longer than any is.
    TooLong(String),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttps(uri) => write!(f, "{uri} is no https address"),
            Self::Unknown(host, error) => write!(f, "no address is known for the CA {host}: {error}"),
            Self::Connect(host, error) => write!(f, "there is no connection to the CA {host}: {error}"),
            Self::Broken(host, error) => write!(f, "the connection to the CA {host} broke: {error}"),
            Self::Slow(host) => write!(f, "the CA {host} does not answer in time"),
            Self::TooLong(host) => write!(f, "the CA {host} sends an answer that is too long"),
        }
    }
}

impl StdError for TransportError {}

impl Transport {
    /// A transport that trusts `roots`.
    pub(super) fn new(roots: RootCertStore, limit: Duration, clock: Clock) -> Self {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for its own versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        Self(Arc::new(Inner { tls, idle: Mutex::default(), limit, clock }))
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn exchange(&self, request: Sent) -> Result<Response<Bytes>, TransportError> {
        answers::forget();
        let uri = request.uri().clone();
        let Some(host) = uri.host().filter(|_| uri.scheme() == Some(&http::uri::Scheme::HTTPS)) else {
            return Err(TransportError::NotHttps(uri.to_string()));
        };
        let at = (host.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(443));
        let exchanged = timeout(self.0.limit, self.exchange_with(&at, in_origin_form(request, &uri))).await;
        let mut response = exchanged.unwrap_or_else(|_| Err(TransportError::Slow(at.0)))?;
        answers::note(response.status(), response.headers(), self.0.clock.now());
        // It is noted, with a bound; instant-acme adds what it says to a time, whatever that is.
        response.headers_mut().remove(header::RETRY_AFTER);
        Ok(response)
    }

    async fn exchange_with(&self, at: &(String, u16), mut request: Sent) -> Result<Response<Bytes>, TransportError> {
        let broken = |error| TransportError::Broken(at.0.clone(), error);
        let (response, sender) = loop {
            let Some(mut sender) = self.idle(at) else {
                let mut sender = self.connect(at).await?;
                break (sender.send_request(request).await.map_err(broken)?, sender);
            };
            match sender.try_send_request(request).await {
                Ok(response) => break (response, sender),
                // It was closed meanwhile, before any of it was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(error.into_error())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = read.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => broken(*error),
            Err(other) if other.is::<LengthLimitError>() => TransportError::TooLong(at.0.clone()),
            Err(_) => TransportError::Slow(at.0.clone()),
        })?;
        self.keep(at, sender);
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// A connection that waits.
    fn idle(&self, at: &(String, u16)) -> Option<SendRequest<BodyWrapper<Bytes>>> {
        let mut all = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|idle| idle.since.elapsed() < IDLE_AGE_MAX && !idle.sender.is_closed());
        let nth = all.iter().rposition(|idle| idle.sender.is_ready() && (&idle.host, idle.port) == (&at.0, at.1))?;
        Some(all.swap_remove(nth).sender)
    }

    fn keep(&self, at: &(String, u16), sender: SendRequest<BodyWrapper<Bytes>>) {
        let mut all = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < IDLE_MAX && !sender.is_closed() {
            all.push(Idle { host: at.0.clone(), port: at.1, since: Instant::now(), sender });
        }
    }

    async fn connect(&self, at: &(String, u16)) -> Result<SendRequest<BodyWrapper<Bytes>>, TransportError> {
        let host = &at.0;
        let failed = |error| TransportError::Connect(host.clone(), error);
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let addresses = lookup_host((host.as_str(), at.1)).await;
        let addresses = addresses.map_err(|error| TransportError::Unknown(host.clone(), error))?;
        let mut last = failed(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses.take(ADDRESSES_MAX) {
            let opened = async { self.0.tls.connect(name.clone(), TcpStream::connect(address).await?).await };
            let error = match timeout(CONNECT_TIMEOUT, opened).await {
                Ok(Ok(stream)) => {
                    let begun = http1::handshake(TokioIo::new(stream)).await;
                    let (sender, connection) = begun.map_err(|error| TransportError::Broken(host.clone(), error))?;
                    // Ends with its sender, or when the CA closes it.
                    tokio::spawn(connection);
                    return Ok(sender);
                }
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            last = failed(error);
        }
        Err(last)
    }
}

/// As HTTP/1.1 wants a request to its origin: the path, with the host in a header.
fn in_origin_form(mut request: Sent, uri: &Uri) -> Sent {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if let Ok(host) = authority.parse() {
        request.headers_mut().insert(header::HOST, host);
    }
    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static(USER_AGENT));
    request
}

impl HttpClient for Transport {
    fn request(&self, request: Sent) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let response = this.exchange(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            let (parts, body) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}
