//! A WebSocket that is open: both its ends, joined for as long as they stay.

use std::{sync::Arc, time::Instant};

use http::Version;

use super::{
    asked::Asked,
    downstream::Browser,
    gateway::Gateway,
    text_frames::TextFrames,
    tunnel::{Carried, Side, Tunnel},
    upgrade::End,
};
use crate::{
    domain::tenant::Tenant,
    live::sessions::Session,
    meetings::rows::Present,
    metrics::{OpenSocket, SocketEnd, TenantMetrics},
    net::{activity::Busy, connections::Place, request_id::RequestId, socket::notice_loss},
    upstream::Stream,
};

/// A socket that is open.
pub(super) struct Socket {
    pub(super) gateway: Arc<Gateway>,
    pub(super) request_id: RequestId,
    pub(super) tenant: Arc<Tenant>,
    pub(super) metrics: Arc<TenantMetrics>,
    open: OpenSocket,
    place: Place,
    /// In HTTP/2 a connection that has a socket is not idle.
    stream: Option<Busy>,
}

impl Socket {
    pub(super) fn new(gateway: &Arc<Gateway>, asked: Asked) -> Self {
        let metrics = gateway.metrics.tenant(&asked.tenant.id);
        Self {
            open: metrics.open_socket(),
            metrics,
            gateway: Arc::clone(gateway),
            request_id: asked.request_id,
            place: asked.connection.served.place().clone(),
            stream: (asked.head.version == Version::HTTP_2).then(|| asked.connection.served.activity.busy()),
            tenant: asked.tenant,
        }
    }

    /// Notes that the browser has given it up before it was carried.
    pub(super) fn given_up(&self) {
        if let Some(stream) = &self.stream {
            stream.given_up();
        }
    }

    /// Joins both ends for as long as they stay. `frames` rewrites what the server sends, where that is needed.
    pub(super) fn carry(
        self,
        browser: End<Browser>,
        server: End<Box<Stream>>,
        present: Option<Present>,
        frames: Option<Box<TextFrames>>,
    ) -> impl Future<Output = ()> {
        let Self { gateway: _, tenant: _, request_id, metrics, open, place, stream } = self;
        let opened = Instant::now();
        browser.io.notice_loss();
        notice_loss(server.io.tcp());
        let mut tunnel = Tunnel::new((browser.io, browser.read), (server.io, server.read), frames);
        // No async fn: an idle socket would have room for all of these twice.
        async move {
            let end = match present.as_ref().map(Present::session) {
                Some(session) => tokio::select! {
                    side = tunnel.run() => side.into(),
                    // The client tries again, and learns what has become of its seat.
                    () = session.is_cut() => SocketEnd::SeatLost,
                },
                None => tunnel.run().await.into(),
            };
            let carried = tunnel.carried();
            drop(tunnel);
            metrics.count_bytes(carried.up, carried.down);
            if let Some(session) = present.as_ref().and_then(Present::seated) {
                metrics.socket_ends.count(end);
                log_end(session, &request_id, end, carried, opened);
            }
            drop((present, open, place, stream));
        }
    }
}

impl From<Side> for SocketEnd {
    fn from(side: Side) -> Self {
        match side {
            Side::Browser => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

/// Logs the end of a GraphQL socket: who ended it, after how long.
fn log_end(session: &Session, request: &RequestId, end: SocketEnd, carried: Carried, opened: Instant) {
    let (meeting, seconds) = (&session.meeting, opened.elapsed().as_secs());
    let (tenant, server, Carried { up, down }) = (&meeting.tenant, &meeting.server, carried);
    tracing::info!(%tenant, %request, %server, end = end.as_str(), seconds, up, down, "GraphQL socket closed");
}
