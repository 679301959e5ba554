//! An HTTP client of the tests, and what it is answered.

use std::{net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, client::IntoClientRequest},
};

use super::{DEADLINE, Joined};

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// The text of the first element of this name.
    pub fn xml(&self, name: &str) -> &str {
        element(&self.body, name)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// All cookies that were set, as a browser sends them back.
    pub fn cookies(&self) -> String {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// A value of the query of `Location`.
    pub fn location_param(&self, name: &str) -> String {
        let (_, query) = self.header("location").split_once('?').unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }
}

/// The text of the first element of this name, empty where there is none.
pub fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let Some((_, rest)) = xml.split_once(&format!("<{name}>")) else { return "" };
    rest.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

/// A request without TLS.
pub async fn plain_get(address: SocketAddr, host: &str, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::get(path).header("host", host).body(Full::default()).unwrap();
    exchange(stream, request).await
}

/// Sends one request on a connection of its own.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Reply
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// A configuration that trusts a CA, in a file, and offers these protocols.
pub fn tls_config(ca: &Path, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// An HTTP client that trusts the stage's CA and finds every host at the gateway.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &Path) -> Self {
        Self { address, tls: TlsConnector::from(tls_config(ca, DEFAULT_VERSIONS, &[])) }
    }

    /// The same client with nothing that it remembers: each of its handshakes is a full one. A session that is resumed has the
    /// certificate of its first handshake.
    pub fn forgetful(&self) -> Self {
        let mut config = ClientConfig::clone(self.tls.config());
        config.resumption = Resumption::disabled();
        Self { tls: TlsConnector::from(Arc::new(config)), ..self.clone() }
    }

    /// The same client, with what it remembers, at another gateway.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A TLS connection for a host.
    pub async fn connect(&self, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.tls.connect(ServerName::try_from(sni.to_owned()).unwrap(), stream).await
    }

    pub async fn get(&self, host: &str, path: &str) -> Reply {
        self.send(host, Request::get(path)).await
    }

    pub async fn get_with(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(host, request).await
    }

    pub async fn send(&self, host: &str, request: http::request::Builder) -> Reply {
        self.send_body(host, request, Bytes::new()).await
    }

    pub async fn post(&self, host: &str, path: &str, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let request = Request::builder().method(Method::POST).uri(path).header("content-type", content_type);
        self.send_body(host, request, body.into()).await
    }

    pub async fn send_body(&self, host: &str, request: http::request::Builder, body: Bytes) -> Reply {
        let mut request = request.body(Full::new(body)).unwrap();
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        exchange(self.connect(host).await.unwrap(), request).await
    }

    /// Opens a WebSocket.
    pub async fn socket(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> tungstenite::Result<Socket> {
        let mut request = format!("wss://{host}{path}").into_client_request()?;
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = self.connect(host).await.unwrap();
        Ok(tokio_tungstenite::client_async(request, stream).await?.0)
    }

    /// Opens the GraphQL socket of somebody who has joined, up to `connection_ack`.
    pub async fn graphql(&self, host: &str, joined: &Joined) -> Result<Socket, String> {
        let origin = format!("https://{host}");
        let headers =
            [("cookie", &*joined.cookies), ("origin", &*origin), ("sec-websocket-protocol", "graphql-transport-ws")];
        let path = format!("{}/graphql", joined.prefix);
        let mut socket = self.socket(host, &path, &headers).await.map_err(|error| error.to_string())?;
        greet(&mut socket, &joined.token).await?;
        Ok(socket)
    }
}

/// Says hello on a GraphQL socket, up to `connection_ack`.
pub async fn greet<S>(socket: &mut WebSocketStream<S>, token: &str) -> Result<(), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::{SinkExt, StreamExt};
    let init = format!(
        r#"{{"type":"connection_init","payload":{{"headers":{{"X-Session-Token":"{token}","X-ClientSessionUUID":"u","X-ClientType":"HTML5","X-ClientIsMobile":"false"}}}}}}"#
    );
    socket.send(tungstenite::Message::text(init)).await.map_err(|error| error.to_string())?;
    match tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
        Some(Ok(tungstenite::Message::Text(text))) if text.contains("connection_ack") => Ok(()),
        Some(Ok(other)) => Err(format!("{other:?}")),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("closed".into()),
    }
}
