//! Connection pool: idle connections by server.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use http::{Request, Response, uri::Authority};

use super::{
    Body, BodyFault, Connector, OpenError,
    link::{Failed, Link},
};
use crate::supervise;

/// Maximum of idle connections per server; more than the usual number of requests in flight to one.
const IDLE_MAX: usize = 64;
/// Below nginx's and Tomcat's own keep-alive time-outs (65 s, 60 s), so that the gateway closes first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The connection pool.
#[derive(Debug, Clone)]
pub struct Pool {
    connector: Connector,
    /// By authority and TLS.
    servers: Arc<DashMap<(Authority, bool), Arc<Kept>>>,
}

/// The idle connections of a server, the last used one at the end.
#[derive(Default)]
pub(super) struct Kept(Mutex<VecDeque<(Instant, Box<Link>)>>);

/// Marks a request, in its extensions, that is never sent twice, in spite of its method: it has an effect on the server.
#[derive(Debug, Clone, Copy)]
pub struct Once;

/// Why a request got no answer.
#[derive(Debug)]
pub enum SendError {
    /// No connection: nothing was sent, another server may be used.
    Connect,
    /// No connection for lack of a file handle, port or memory on this machine: nothing was sent, and the server is not at fault.
    Exhausted,
    /// The body of the request is incomplete. The server is not at fault; it has not received a whole request.
    Body(BodyFault),
    /// The connection broke, or the response was invalid: the server may or may not have acted on the request.
    Broken,
}

impl From<OpenError> for SendError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unreachable(error) => {
                tracing::debug!(%error, "failed to connect to upstream");
                Self::Connect
            }
            OpenError::Exhausted(error) => {
                tracing::debug!(%error, "failed to connect to upstream: no file handle, port or memory left");
                Self::Exhausted
            }
        }
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector, servers: Arc::default() }
    }

    /// The connector, for connections outside the pool.
    #[must_use]
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Connections that were not opened for want of a file handle, port or memory.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.connector.exhausted.load(Relaxed)
    }

    /// Sends a request whose URI is absolute.
    ///
    /// A server may close a connection at the moment at which it is used again. A request that changes nothing there is sent
    /// again then, once and on a new connection, unless it is marked [`Once`].
    ///
    /// # Errors
    /// See [`SendError`]. There is no time-out here: callers know how long their request may take.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        let authority = request.uri().authority().ok_or(SendError::Connect)?.clone();
        let tls = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
        let kept = self.of(&authority, tls);
        let mut is_again = false;
        loop {
            let idle = if is_again { None } else { kept.take() };
            let link = match idle {
                Some(link) => link,
                None => {
                    // Boxed: seldom, and no request on a kept connection is to have room for it.
                    let stream = Box::pin(self.connector.open(authority.host(), authority.port_u16(), tls)).await;
                    let stream = stream.map_err(SendError::from)?;
                    Link::new(stream, Arc::downgrade(&kept))
                }
            };
            match link.exchange(request).await {
                Ok(response) => return Ok(response),
                // It had been closed meanwhile. One that is new is no such.
                Err(Failed::Unsent(unsent)) => request = *unsent,
                // The server may have seen it.
                Err(Failed::Unanswered(unanswered)) if !is_again && may_repeat(&unanswered) => {
                    (request, is_again) = (*unanswered, true);
                }
                Err(Failed::Unanswered(_)) => return Err(SendError::Broken),
                Err(Failed::Body(fault)) => return Err(SendError::Body(fault)),
                Err(Failed::Broken(error)) => {
                    tracing::debug!(%error, "no valid response from upstream");
                    return Err(SendError::Broken);
                }
            }
        }
    }

    fn of(&self, authority: &Authority, tls: bool) -> Arc<Kept> {
        let key = (authority.clone(), tls);
        if let Some(kept) = self.servers.get(&key) {
            return Arc::clone(&kept);
        }
        let kept = self.servers.entry(key).or_insert_with(|| {
            let kept: Arc<Kept> = Arc::default();
            let weak = Arc::downgrade(&kept);
            supervise::spawn("pool_sweep", move || sweep(Weak::clone(&weak)));
            kept
        });
        Arc::clone(&kept)
    }
}

/// Whether a request may reach its server twice (RFC 9110, 9.2.2).
fn may_repeat(request: &Request<Body>) -> bool {
    request.method().is_safe() && request.extensions().get::<Once>().is_none()
}

impl Kept {
    /// An open connection.
    fn take(&self) -> Option<Box<Link>> {
        loop {
            let (since, mut link) = self.links().pop_back()?;
            if since.elapsed() < IDLE_TIMEOUT && link.is_open() {
                return Some(link);
            }
        }
    }

    pub(super) fn put(&self, link: Box<Link>) {
        let mut links = self.links();
        links.push_back((Instant::now(), link));
        let oldest = if IDLE_MAX < links.len() { links.pop_front() } else { None };
        drop(links);
        drop(oldest);
    }

    fn links(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Box<Link>)>> {
        // A connection is in it or not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes expired idle connections while the pool lives.
async fn sweep(kept: Weak<Kept>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut links = kept.links();
        let old = links.iter().take_while(|(since, _)| IDLE_TIMEOUT <= since.elapsed()).count();
        let old: Vec<_> = links.drain(..old).collect();
        drop(links);
        drop(old);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("idle", &self.links().len()).finish()
    }
}
