//! A client that sends any bytes, over TLS as a tenant's browser does, or over nothing but TCP.

use std::{convert::Infallible, net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{DEFAULT_VERSIONS, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{DEADLINE, Stage, tls_config};

/// A connection for a host from one of this machine's own addresses, such as `127.0.0.2`, with these protocols offered.
pub async fn connect(stage: &Stage, host: &str, from: &str, protocols: &[&str]) -> TlsStream<TcpStream> {
    connect_at(stage.address, &stage.path("dev-ca/ca.pem"), host, from, protocols).await
}

/// The same to a gateway at an address, whose certificates are of this CA.
pub async fn connect_at(
    address: SocketAddr,
    ca: &Path,
    host: &str,
    from: &str,
    protocols: &[&str],
) -> TlsStream<TcpStream> {
    let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes()).collect();
    let config = tls_config(ca, DEFAULT_VERSIONS, &protocols);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await.unwrap()
}

/// A body of any pieces, at any time.
pub type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// A body that begins with these bytes and never ends.
pub fn endless(first: &'static str) -> AnyBody {
    use futures_util::stream::{self, StreamExt};
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(first.as_bytes())))]);
    StreamBody::new(first.chain(stream::pending())).boxed_unsync()
}

/// A connection in HTTP/2.
pub async fn http2(stage: &Stage, host: &str) -> SendRequest<AnyBody> {
    let stream = connect(stage, host, "127.0.0.1", &["h2"]).await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An answer in words: its status, its `Retry-After`, and its body.
pub async fn told(response: Response<Incoming>) -> String {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    format!("{} {:?} {}", head.status, head.headers.get("retry-after"), String::from_utf8_lossy(&body))
}

/// A form for an API call that begins and never ends.
pub fn endless_form(host: &str, call: &str) -> Request<AnyBody> {
    Request::post(format!("https://{host}/bigbluebutton/api/{call}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", "1000")
        .body(endless("n"))
        .unwrap()
}

/// A TLS connection whose bytes are one's own.
pub struct Raw(pub TlsStream<TcpStream>);

impl Raw {
    /// Opens one for a host.
    pub async fn open(stage: &Stage, host: &str) -> Self {
        Self(stage.client().connect(host).await.unwrap())
    }

    /// Opens one from one of this machine's own addresses, such as `127.0.0.2`.
    pub async fn open_from(stage: &Stage, host: &str, from: &str) -> Self {
        Self(connect(stage, host, from, &["http/1.1"]).await)
    }

    /// Sends bytes; a connection that has been closed is no error, since that may be what is tried.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
        self
    }

    /// Everything that comes until the other side closes, or nothing has come for a while.
    pub async fn read_for(&mut self, most: Duration) -> String {
        let mut bytes = Vec::new();
        while let Ok(Ok(n)) = timeout(most, self.0.read_buf(&mut bytes)).await {
            if n == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The head of the next answer, with its empty line; what came behind it is in it too.
    pub async fn head(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            if timeout(DEADLINE, self.0.read_buf(&mut bytes)).await.unwrap().unwrap_or(0) == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends one request of these bytes on a connection of its own, and returns all that comes back.
pub async fn one(stage: &Stage, host: &str, request: &str) -> String {
    let mut raw = Raw::open(stage, host).await;
    raw.send(request).await.read_for(Duration::from_millis(500)).await
}

/// A text frame as a client sends it (RFC 6455, 5.2): whole and masked.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mask = [7, 1, 8, 2];
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}
