//! An integration, as each tenant has one: it calls the tenant's own host.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anteroom_bench::sign;
use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{MEETING, stage::Tenant, trouble::Trouble};

/// The gateway opens its store and asks each server once.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A call to a gateway on this machine.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls tenants' hosts, which are all at the gateway.
pub(crate) struct Caller {
    tls: TlsConnector,
    port: u16,
}

impl Caller {
    pub(crate) fn new(dir: &Path, port: u16) -> Result<Self, Trouble> {
        let path = dir.join("dev-ca/ca.pem");
        let pem = fs::read(&path).map_err(Trouble::file(&path))?;
        let bad = |error: String| Trouble::File(path.clone(), error.into());
        let root = CertificateDer::from_pem_slice(&pem).map_err(|error| bad(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(|error| bad(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), port })
    }

    pub(crate) async fn until_ready(&self, admin: SocketAddr) -> Result<(), Trouble> {
        let began = Instant::now();
        let ready = async || {
            let stream = TcpStream::connect(admin).await.ok()?;
            let (status, _) = exchange(stream, "localhost", "/health/ready").await.ok()?;
            Some(status == StatusCode::OK)
        };
        while timeout(CALL_TIMEOUT, ready()).await.ok().flatten() != Some(true) {
            if START_TIMEOUT < began.elapsed() {
                return Err(Trouble::Failed("the gateway", "is not ready".to_owned()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Creates a tenant's meeting on its own host.
    pub(crate) async fn create(&self, tenant: &Tenant) -> Result<(), Trouble> {
        let name = format!("{}: demo", tenant.name);
        let path = sign::path("create", &[("name", &name), ("meetingID", MEETING)], &tenant.secret);
        let failed = |why: String| Trouble::Failed("a meeting cannot be created", format!("{}: {why}", tenant.host));
        let call = async {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let name = ServerName::try_from(tenant.host.clone()).map_err(io::Error::other)?;
            let stream = self.tls.connect(name, stream).await?;
            exchange(stream, &authority(&tenant.host, self.port), &path).await
        };
        let (_, body) = timeout(CALL_TIMEOUT, call)
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        if body.contains("<returncode>SUCCESS</returncode>") { Ok(()) } else { Err(failed(body)) }
    }
}

async fn exchange<S>(stream: S, host: &str, path: &str) -> io::Result<(StatusCode, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) fn authority(host: &str, port: u16) -> String {
    if port == 443 { host.to_owned() } else { format!("{host}:{port}") }
}
