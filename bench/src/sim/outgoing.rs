//! Calls that the server makes itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::target::{Target, roots_of, system_roots};

/// Where calls go, whatever their host's name leads to.
#[derive(Clone, Debug)]
pub struct CallbackRoute {
    /// The gateway.
    pub address: SocketAddr,
    /// A PEM file with the root of its certificate.
    pub ca: PathBuf,
}

/// A call that is made once. Redirects are not followed.
pub(crate) struct Request {
    method: &'static str,
    url: String,
    /// All but the first line and the host.
    rest: String,
}

impl Request {
    pub(crate) fn get(url: &str) -> Self {
        Self { method: "GET", url: url.to_owned(), rest: "\r\n".to_owned() }
    }

    /// `more` are whole header lines.
    pub(crate) fn post(url: &str, kind: &str, more: &str, body: &str) -> Self {
        let rest = format!("content-type: {kind}\r\n{more}content-length: {}\r\n\r\n{body}", body.len());
        Self { method: "POST", url: url.to_owned(), rest }
    }
}

/// The way of the calls.
#[derive(Default)]
pub(crate) struct Outgoing(Mutex<Option<CallbackRoute>>);

impl Outgoing {
    pub(crate) fn set_route(&self, route: Option<CallbackRoute>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = route;
    }

    /// Makes a call. The status of its answer, if one comes in time.
    pub(crate) async fn answer(&self, request: &Request, timeout: Duration) -> Option<u16> {
        let route = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::time::timeout(timeout, send(route.as_ref(), request)).await.ok()?.ok()
    }
}

async fn send(route: Option<&CallbackRoute>, request: &Request) -> io::Result<u16> {
    let uri: Uri = request.url.parse().map_err(io::Error::other)?;
    let host = uri.host().ok_or_else(|| io::Error::other("no host"))?.to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let address = match route {
        Some(route) => route.address,
        None => tokio::net::lookup_host((host.as_str(), port)).await?.next().ok_or(io::ErrorKind::NotFound)?,
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or(host.as_str(), |authority| authority.as_str());
    let Request { method, rest, .. } = request;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{rest}");
    let tcp = TcpStream::connect(address).await?;
    if !is_tls {
        return exchange(tcp, &request).await;
    }
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    let roots = route.map_or_else(|| Ok(system_roots()), |route| roots_of(&route.ca))?;
    let target = Target { address, host, roots: Some(roots), secret: String::new() };
    let connector = target.connector(false, b"http/1.1").ok_or(io::ErrorKind::Unsupported)?;
    exchange(connector.connect(name, tcp).await?, &request).await
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.windows(2).any(|end| end == b"\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let line = String::from_utf8_lossy(&answer);
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other("no answer"))
}
