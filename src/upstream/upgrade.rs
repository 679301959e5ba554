//! The opening of a WebSocket at a server or a frontend, on a connection of its own.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Request, Response, Uri,
    header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, UPGRADE},
};
use hyper::{body::Incoming, client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{body::Body, pool::Pool};
use crate::domain::{backend_error::BackendError, tenant::Upstream};

/// A server that takes longer than that for a handshake is in trouble.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The answer to the opening of a WebSocket, and the connection that it may become.
pub type Upgrade = (Response<Incoming>, OnUpgrade);

impl Pool {
    /// Asks a server for a WebSocket. `headers` are without those of one hop. The answer may be a refusal.
    ///
    /// # Errors
    /// [`BackendError::Connect`], [`BackendError::Exhausted`]; [`BackendError::Broken`] for a server that does not answer in
    /// time, or not in HTTP.
    pub async fn upgrade(&self, server: &Upstream, to: Uri, mut headers: HeaderMap) -> Result<Upgrade, BackendError> {
        // BBB's servers agree on no extension; what passes stays readable
        // (docs/reference/bbb-protocol.md, "GraphQL sockets").
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = to.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        *request.headers_mut() = headers;
        let stream = self.connector().connect(server).await?;
        let opened = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            // Ends with the upgrade, or with the answer that is none.
            tokio::spawn(connection.with_upgrades());
            let mut response = sender.send_request(request).await.ok()?;
            let upgraded = hyper::upgrade::on(&mut response);
            Some((response, upgraded))
        };
        timeout(HANDSHAKE_TIMEOUT, opened).await.ok().flatten().ok_or(BackendError::Broken)
    }
}
