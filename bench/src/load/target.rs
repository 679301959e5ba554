//! What is called: a host at an address, with or without TLS, and the secret of its API.

use std::{fmt, io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    CipherSuite, ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wire::{Stream, Wire};

/// A gateway or a BBB server.
#[derive(Clone)]
pub struct Target {
    /// The `Host` of requests, and the SNI.
    pub host: String,
    /// Where it is found.
    pub address: SocketAddr,
    /// Whom its certificate may come from; `None` is plain HTTP.
    pub roots: Option<Arc<RootCertStore>>,
    /// The shared secret of its API.
    pub secret: String,
}

/// What a load is put on.
#[derive(Clone)]
pub struct Targets {
    /// The same tenant at each of one or more gateways.
    pub replicas: Vec<Target>,
    /// Host names of several tenants, each with its secret.
    pub domains: Vec<Target>,
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = &*self.replicas else { return f.write_str("nobody") };
        write!(f, "{} at {}", first.host, first.address)?;
        others.iter().try_for_each(|other| write!(f, " and {}", other.address))
    }
}

impl From<Target> for Targets {
    fn from(one: Target) -> Self {
        Self { replicas: vec![one.clone()], domains: vec![one] }
    }
}

/// Opens connections to a target. One that resumes keeps the session tickets it has got.
#[derive(Clone)]
pub struct Dialer {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// A dialer of TLS 1.3 and HTTP/1.1.
    ///
    /// # Errors
    /// When the host is no name that TLS takes.
    pub fn dialer(&self, resumes: bool) -> io::Result<Dialer> {
        let tls = match self.connector(resumes, b"http/1.1") {
            Some(connector) => Some((connector, ServerName::try_from(self.host.clone()).map_err(io::Error::other)?)),
            None => None,
        };
        Ok(Dialer { address: self.address, tls })
    }

    /// What makes TLS 1.3 for one protocol (ALPN); `None` for a target without TLS.
    ///
    /// # Panics
    /// Never: the provider's defaults are consistent.
    #[must_use]
    pub fn connector(&self, resumes: bool, protocol: &[u8]) -> Option<TlsConnector> {
        let roots = self.roots.as_ref()?;
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // As browsers ask on processors that have instructions for AES.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has suites for TLS 1.3")
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = if resumes { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
        Some(TlsConnector::from(Arc::new(config)))
    }
}

impl Dialer {
    /// Opens a connection.
    ///
    /// # Errors
    /// The system's, and TLS's.
    pub async fn dial(&self) -> io::Result<Wire> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some((connector, name)) => Stream::Tls(Box::new(connector.connect(name.clone(), tcp).await?)),
        };
        Ok(Wire::new(stream))
    }
}

/// The trust roots in a PEM file.
///
/// # Errors
/// When the file cannot be read, or holds no certificate.
pub fn roots_of(file: &Path) -> io::Result<Arc<RootCertStore>> {
    let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).map_err(|error| named(&error))? {
        roots.add(root.map_err(|error| named(&error))?).map_err(|error| named(&error))?;
    }
    if roots.is_empty() { Err(named(&"holds no certificate")) } else { Ok(Arc::new(roots)) }
}

/// The trust roots of this system.
#[must_use]
pub fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // A root that rustls does not read is no reason to refuse the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}
