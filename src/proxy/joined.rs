//! A WebSocket that is open: both its ends, joined for as long as they stay.

use std::sync::Arc;

use super::{asked::Asked, downstream::Downstream, gateway::Gateway, text_frames::TextFrames, tunnel, upgrade::End};
use crate::{
    domain::tenant::Tenant,
    meetings::rows::Present,
    metrics::{OpenSocket, TenantMetrics},
    net::{connections::Place, socket::notice_loss},
    upstream::Stream,
};

/// A socket that is open.
pub(super) struct Socket {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) metrics: Arc<TenantMetrics>,
    open: OpenSocket,
    place: Place,
}

impl Socket {
    pub(super) fn new(gateway: &Arc<Gateway>, asked: Asked) -> Self {
        let metrics = gateway.metrics.tenant(&asked.tenant.id);
        Self {
            open: metrics.open_socket(),
            metrics,
            gateway: Arc::clone(gateway),
            place: asked.connection.served.place().clone(),
            tenant: asked.tenant,
        }
    }

    /// Joins both ends for as long as they stay. `frames` rewrites what the server sends, where that is needed.
    pub(super) async fn carry(
        self,
        browser: End<Downstream>,
        server: End<Stream>,
        present: Option<Present>,
        frames: Option<Box<TextFrames>>,
    ) {
        let Self { gateway, tenant, metrics, open, place } = self;
        drop((gateway, tenant));
        [browser.io.get_ref().0.inner(), server.io.tcp()].into_iter().for_each(notice_loss);
        let tunnel = tunnel::run(browser.io, server.io, browser.read, server.read, frames);
        let carried = match present.as_ref().and_then(Present::seated) {
            Some(session) => tokio::select! {
                carried = tunnel => carried,
                // The client tries again, and learns what has become of its seat.
                () = session.is_cut() => tunnel::Carried::default(),
            },
            None => tunnel.await,
        };
        metrics.count_bytes(carried.up, carried.down);
        drop((present, open, place));
    }
}
