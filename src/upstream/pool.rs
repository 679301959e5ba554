//! Connection pool: idle connections by server.

use std::sync::{Arc, Weak, atomic::Ordering::Relaxed};

use dashmap::DashMap;
use http::{Request, Response, uri::Authority};

use super::{
    body::Body,
    connector::Connector,
    link::{Exchanged, Kept, Link, sweep},
};
use crate::{domain::backend_error::BackendError, supervise};

/// The connection pool.
#[derive(Debug, Clone)]
pub struct Pool {
    connector: Connector,
    /// By authority and TLS.
    servers: Arc<DashMap<(Authority, bool), Arc<Kept>>>,
}

/// Marks a request, in its extensions, that is never sent twice, in spite of its method: it has an effect on the server.
#[derive(Debug, Clone, Copy)]
pub struct Once;

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
    /// See [`BackendError`]. There is no time-out here: callers know how long their request may take.
    #[expect(clippy::manual_async_fn, reason = "an async fn would have room for the request twice")]
    pub fn send(&self, mut request: Request<Body>) -> impl Future<Output = Result<Response<Body>, BackendError>> {
        async move {
            let authority = request.uri().authority().ok_or(BackendError::Connect)?.clone();
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
                        let stream = stream?;
                        Link::new(stream, Arc::downgrade(&kept))
                    }
                };
                match link.exchange(request).await? {
                    Exchanged::Answered(response) => return Ok(response),
                    // It had been closed meanwhile. One that is new is no such.
                    Exchanged::Unsent(unsent) => request = *unsent,
                    // The server may have seen it.
                    Exchanged::Unanswered(unanswered) if !is_again && may_repeat(&unanswered) => {
                        (request, is_again) = (*unanswered, true);
                    }
                    Exchanged::Unanswered(_) => return Err(BackendError::Broken),
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
