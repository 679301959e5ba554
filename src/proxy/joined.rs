//! A WebSocket that is open: both its ends, joined for as long as they stay.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    domain::{denial::Denial, tenant::Tenant},
    live::sessions::Session,
    meetings::rows::Present,
    metrics::{OpenSocket, SocketEnd, TenantMetrics},
    net::{
        activity::{Activity, Busy},
        connections::Place,
        request_id::RequestId,
        socket::notice_loss,
    },
    upstream::Stream,
};

/// A socket in HTTP/2 that its browser ends sooner is counted as a request that was cancelled.
const SHORT: Duration = Duration::from_secs(1);

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

/// The place of a socket, and what it means for its connection in HTTP/2.
pub(super) struct Room {
    place: Place,
    stream: Option<Busy>,
}

/// Room for a socket: in HTTP/1.1 the place of its connection, in HTTP/2 that for one of them, and another one for each more.
pub(super) fn room_for(gateway: &Gateway, asked: &Asked) -> Result<Room, Denial> {
    let served = &asked.connection.served;
    if asked.head.version != Version::HTTP_2 {
        return Ok(Room { place: served.place().clone(), stream: None });
    }
    let (stream, is_only) = served.activity.socket();
    let place = if is_only { Ok(served.place().clone()) } else { served.place().another() };
    let place = place.inspect_err(|full| gateway.metrics.count_full(*full)).map_err(|_| Denial::Overloaded)?;
    Ok(Room { place, stream: Some(stream) })
}

impl Socket {
    pub(super) fn new(gateway: &Arc<Gateway>, asked: Asked, room: Room) -> Self {
        let Room { place, stream } = room;
        let metrics = gateway.metrics.tenant(&asked.tenant.id);
        Self {
            open: metrics.open_socket(),
            metrics,
            gateway: Arc::clone(gateway),
            request_id: asked.request_id,
            place,
            stream,
            tenant: asked.tenant,
        }
    }

    /// The connection of a stream in HTTP/2.
    pub(super) fn connection(&self) -> Option<&Arc<Activity>> {
        self.stream.as_ref().map(Busy::of)
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
        let Self { gateway: _, tenant: _, request_id, metrics, open, place, mut stream } = self;
        stream.as_mut().map(Busy::carried);
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
            if end == SocketEnd::Client && opened.elapsed() < SHORT {
                stream.as_ref().map(Busy::given_up);
            }
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
