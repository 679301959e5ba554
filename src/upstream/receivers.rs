//! SSRF protection of what the gateway itself calls: [`Receivers`], the hosts of callbacks. A name is resolved, all its addresses
//! are checked, and the connection goes to one of those: what the name leads to a moment later does not matter. Redirects are
//! not followed.

use std::{fmt, net::IpAddr, sync::Weak, time::Duration};

use futures_util::future::BoxFuture;
use http::{Request, StatusCode, Uri, uri::Scheme};
use tokio::time::timeout;

use super::{
    body::Body,
    connector::{Connector, Stream},
    link::{Exchanged, Link},
    resolver::Resolver,
};
use crate::{
    bbb::fetched::{is_public_address, name_of},
    domain::{backend_error::BackendError, tenant::Upstream},
};

/// How long a receiver has, from the look-up of its name to the head of its answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Finds the addresses of a name; none where it has none, or the name server does not answer.
pub type Lookup = Box<dyn Fn(String) -> BoxFuture<'static, Vec<IpAddr>> + Send + Sync>;

/// Why a receiver has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// Its name has no address.
    NoAddress,
    /// One of its addresses is not public.
    NotPublic,
    /// It takes no connection, or has no certificate for its name.
    Connect,
    /// It broke the connection off, or its answer is no HTTP.
    Broken,
    /// It has no answer in time.
    Slow,
    /// No file handle, port or memory is left here.
    Exhausted,
}

impl Undelivered {
    /// In words, for the operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no address for its name",
            Self::NotPublic => "address is not public",
            Self::Connect => "no connection",
            Self::Broken => "connection broken",
            Self::Slow => "no answer in time",
            Self::Exhausted => "no file handle, port or memory left",
        }
    }
}

impl From<BackendError> for Undelivered {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Connect => Self::Connect,
            BackendError::Exhausted => Self::Exhausted,
            BackendError::Timeout => Self::Slow,
            BackendError::Broken | BackendError::TooLong | BackendError::Body(_) => Self::Broken,
        }
    }
}

/// The client of receivers.
pub struct Receivers {
    connector: Connector,
    lookup: Lookup,
    is_public: fn(IpAddr) -> bool,
}

impl Receivers {
    /// A client that asks these resolvers.
    #[must_use]
    pub fn new(connector: Connector, resolvers: Vec<Resolver>) -> Self {
        let lookup = move |name: String| -> BoxFuture<'static, Vec<IpAddr>> {
            let resolvers = resolvers.clone();
            Box::pin(async move {
                let mut all = Vec::new();
                for resolver in resolvers {
                    // One kind is enough.
                    all.extend(resolver.lookup(&name).await.unwrap_or_default());
                }
                all
            })
        };
        Self::with_lookup(connector, Box::new(lookup), is_public_address)
    }

    /// A client with another idea of names, and of which addresses are public.
    #[must_use]
    pub fn with_lookup(connector: Connector, lookup: Lookup, is_public: fn(IpAddr) -> bool) -> Self {
        Self { connector, lookup, is_public }
    }

    /// Sends a request, whose URI is absolute, once and on a connection of its own: to its host, or to the frontend that the
    /// operator has named for that. The answer is not read beyond its head.
    ///
    /// # Errors
    /// See [`Undelivered`].
    pub async fn send(&self, request: Request<Body>, frontend: Option<&Upstream>) -> Result<StatusCode, Undelivered> {
        timeout(TIMEOUT, self.sent(request, frontend)).await.unwrap_or(Err(Undelivered::Slow))
    }

    async fn sent(&self, request: Request<Body>, frontend: Option<&Upstream>) -> Result<StatusCode, Undelivered> {
        let stream = match frontend {
            Some(frontend) => self.connector.connect(frontend).await?,
            None => self.open(request.uri()).await?,
        };
        match Link::new(stream, Weak::new()).exchange(request).await {
            Ok(Exchanged::Answered(answer)) => Ok(answer.status()),
            Ok(Exchanged::Unsent(_) | Exchanged::Unanswered(_)) | Err(_) => Err(Undelivered::Broken),
        }
    }

    async fn open(&self, uri: &Uri) -> Result<Stream, Undelivered> {
        let authority = uri.authority().ok_or(Undelivered::NoAddress)?;
        let addresses = self.addresses(uri).await?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        Ok(self.connector.open_at(&addresses, (authority.host(), authority.port_u16()), is_tls).await?)
    }

    /// The addresses of a host, all of them public.
    async fn addresses(&self, uri: &Uri) -> Result<Vec<IpAddr>, Undelivered> {
        let addresses = match name_of(&uri.to_string()) {
            Some(name) => (self.lookup)(name).await,
            None => {
                let literal = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
                literal.parse().into_iter().collect()
            }
        };
        if addresses.is_empty() {
            return Err(Undelivered::NoAddress);
        }
        if addresses.iter().all(|address| (self.is_public)(*address)) {
            Ok(addresses)
        } else {
            Err(Undelivered::NotPublic)
        }
    }
}

impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receivers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use futures_util::FutureExt;
    use rustls::RootCertStore;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Those that the test takes for public: it listens on one of them.
    fn is_public(address: IpAddr) -> bool {
        address == IpAddr::from([127, 0, 0, 1])
    }

    /// A receiver that answers, and counts.
    async fn receiver(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (port, calls) = (listener.local_addr().expect("bound").port(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                counted.fetch_add(1, Relaxed);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, calls)
    }

    fn named(addresses: &'static [&'static [[u8; 4]]]) -> Receivers {
        let asked = AtomicUsize::new(0);
        let lookup: Lookup = Box::new(move |_| {
            let turn = asked.fetch_add(1, Relaxed).min(addresses.len() - 1);
            std::future::ready(addresses[turn].iter().map(|at| IpAddr::from(*at)).collect()).boxed()
        });
        Receivers::with_lookup(Connector::new(RootCertStore::empty()), lookup, is_public)
    }

    async fn get(receivers: &Receivers, host: &str, port: u16) -> Result<u16, Undelivered> {
        let request = Request::get(format!("http://{host}:{port}/x")).body(Body::empty()).expect("legal");
        receivers.send(request, None).await.map(|status| status.as_u16())
    }

    const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

    #[tokio::test]
    async fn a_name_that_turns_private_is_not_called() {
        let (port, calls) = receiver(OK).await;
        let receivers = named(&[&[[127, 0, 0, 1]], &[[10, 0, 0, 1]], &[[127, 0, 0, 1], [10, 0, 0, 1]], &[]]);
        for (answer, called) in [
            (Ok(204), 1),
            (Err(Undelivered::NotPublic), 1),
            (Err(Undelivered::NotPublic), 1),
            (Err(Undelivered::NoAddress), 1),
        ] {
            assert_eq!(get(&receivers, "school.example", port).await, answer);
            assert_eq!(calls.load(Relaxed), called);
        }
    }

    #[tokio::test]
    async fn a_literal_is_checked_as_it_is() {
        let (port, calls) = receiver(OK).await;
        let receivers = named(&[&[[127, 0, 0, 1]]]);
        assert_eq!(get(&receivers, "127.0.0.1", port).await, Ok(204));
        for host in ["127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"] {
            assert_eq!(get(&receivers, host, port).await, Err(Undelivered::NotPublic), "{host}");
        }
        assert_eq!(calls.load(Relaxed), 1);
        let shipped = Receivers::new(Connector::new(RootCertStore::empty()), Vec::new());
        assert_eq!(get(&shipped, "127.0.0.1", port).await, Err(Undelivered::NotPublic));
        assert_eq!(get(&shipped, "school.example", port).await, Err(Undelivered::NoAddress));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let (port, calls) = receiver("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(get(&named(&[&[[127, 0, 0, 1]]]), "school.example", port).await, Ok(302));
        assert_eq!(calls.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        let (port, _) = receiver("").await;
        let receivers = named(&[&[[127, 0, 0, 1]]]);
        assert_eq!(get(&receivers, "school.example", port).await, Err(Undelivered::Broken));
        assert_eq!(get(&receivers, "school.example", 1).await, Err(Undelivered::Connect));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_hangs_holds_nothing_for_long() {
        let lookup: Lookup = Box::new(|_| std::future::pending().boxed());
        let receivers = Receivers::with_lookup(Connector::new(RootCertStore::empty()), lookup, is_public);
        assert_eq!(get(&receivers, "school.example", 80).await, Err(Undelivered::Slow));
    }
}
