//! The client of BBB servers: calls to their API, forwarded requests, WebSockets. What fails is logged, and a server that cannot
//! be reached is not chosen until it has answered a poll.
//!
//! The health gate is here: a server that is offline gets no call, but those of the poller, which find out when it is back.
//! Forwarded requests and WebSockets go to an offline server all the same: its API is what polls ask, and meetings go on while
//! that is away.

use std::sync::Arc;

use futures_util::TryFutureExt;
use http::{HeaderMap, Request, Response, Uri};

use super::{
    api_call::{ApiCall, Reply},
    body::Body,
    pool::Pool,
    upgrade::Upgrade,
    version::version,
};
use crate::{
    bbb::xml,
    domain::{backend_error::BackendError, ids::TenantId, tenant::Server},
    live::servers::{Servers, Version},
};

/// The BBB servers: connections to them, and what is known of their health.
#[derive(Debug)]
pub struct Backends {
    /// Connections to servers and frontends.
    pub pool: Pool,
    servers: Arc<Servers>,
}

impl Backends {
    /// A client that asks `servers` which of them are offline.
    #[must_use]
    pub fn new(pool: Pool, servers: Arc<Servers>) -> Self {
        Self { pool, servers }
    }

    /// Sends a call.
    ///
    /// # Errors
    /// See [`BackendError`]; [`BackendError::Connect`] without a call for a server that is offline.
    pub async fn call(&self, call: ApiCall<'_>, server: &Server) -> Result<Reply, BackendError> {
        let name = call.name;
        if self.servers.of(&server.id).health.is_offline() {
            return Err(BackendError::Connect);
        }
        let reply = call.send(&self.pool, server).await;
        reply.inspect_err(|error| self.note_failure(name, server, *error))
    }

    /// Sends a call of the poller's to a server in any state. The caller notes what became of it.
    ///
    /// # Errors
    /// See [`BackendError`].
    pub async fn poll(&self, call: ApiCall<'_>, server: &Server) -> Result<Reply, BackendError> {
        call.send(&self.pool, server).await
    }

    /// Sends a call, and reads its answer for a tenant; `ext_id` is the tenant's id of the meeting that it is about.
    ///
    /// # Errors
    /// See [`Backends::call`]; [`BackendError::Broken`] for an answer that is not BBB's.
    pub async fn call_xml(
        &self,
        call: ApiCall<'_>,
        server: &Server,
        tenant: &TenantId,
        ext_id: Option<&str>,
    ) -> Result<xml::Answer, BackendError> {
        let name = call.name;
        let reply = self.call(call, server).await?;
        xml::answer(&reply.body, tenant, ext_id).map_err(|_| {
            self.note_failure(name, server, BackendError::Broken);
            BackendError::Broken
        })
    }

    /// Asks a server for its version; `None` where it does not tell one.
    pub async fn version(&self, server: &Server) -> Option<Version> {
        version(&self.pool, server).await
    }

    /// Forwards a request, whose URI is one of the server's. There is no time-out here.
    pub fn forward<'a>(
        &'a self,
        server: &'a Server,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, BackendError>> + use<'a> {
        // A combinator, since an async block would have room for the request twice.
        self.pool.send(request).inspect_err(|error| self.note_connect(server, *error))
    }

    /// Asks a server for a WebSocket. `headers` are without those of one hop.
    ///
    /// # Errors
    /// See [`Pool::upgrade`].
    pub async fn upgrade(&self, server: &Server, to: Uri, headers: HeaderMap) -> Result<Upgrade, BackendError> {
        let opened = self.pool.upgrade(&server.upstream, to, headers).await;
        opened.inspect_err(|error| self.note_connect(server, *error))
    }

    /// Notes that a call got no answer.
    pub fn note_failure(&self, name: &'static str, server: &Server, error: BackendError) {
        tracing::warn!(server = %server.id, call = name, %error, "call to server failed");
        self.note_connect(server, error);
    }

    fn note_connect(&self, server: &Server, error: BackendError) {
        if error == BackendError::Connect && self.servers.of(&server.id).health.unreachable() {
            tracing::warn!(server = %server.id, "server unreachable");
        }
    }
}
