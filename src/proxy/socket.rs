//! WebSockets: opened towards the server, then taken out of HTTP and carried by a tunnel.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONNECTION, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, UPGRADE},
};
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, sync::mpsc, time::timeout};

use super::{
    Gateway,
    accept::Downstream,
    answer::{Answer, text},
    asked::{Asked, address, downstream},
    carry::Target,
    frame::{FIRST_FRAME_TIMEOUT, close, read_first},
    headers::{remove_hop_by_hop, set_forwarded, to_browser, to_server},
    route::Kind,
    tunnel,
};
use crate::{
    domain::{
        admission::admit_participant,
        denial::Denial,
        tenant::{Tenant, Upstream},
    },
    live::{
        clock::now_ms,
        sessions::{Present, Session, hash},
    },
    metrics::{Call, OpenSocket, Outcome, TenantMetrics},
    store::Refusal,
    upstream::{Body, Stream},
};

/// A server that takes longer than that for a handshake is in trouble.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// What BBB's client takes as final; all other closes make it try again (bbb.md 8.1).
const CLOSE_FORBIDDEN: u16 = 4403;

impl Gateway {
    /// Opens a WebSocket of a meeting.
    pub(crate) async fn socket(self: &Arc<Self>, asked: Asked, target: Target, path: &str, kind: Kind) -> Answer {
        let server = Arc::clone(&target.server);
        if !is_own_origin(&asked) {
            let refused = text(StatusCode::FORBIDDEN, "text/plain", "The origin is another site.\n");
            return Answer::new(Call::Socket, Outcome::Refused, refused).by(&server.id);
        }
        let mut headers = asked.head.headers.clone();
        set_forwarded(&mut headers, &asked.connection.peer_value, "https");
        to_server(&mut headers, &server);
        let to = address(&server.upstream, path, asked.head.uri.query());
        let (response, upgraded) = match self.handshake(&server.upstream, to, headers).await {
            Ok(opened) => opened,
            Err(denial) => {
                self.unreachable(&server);
                return self.refuse(&asked, Call::Socket, denial).by(&server.id);
            }
        };
        let purpose = match kind {
            Kind::GraphQl => Purpose::GraphQl,
            _ => Purpose::Other,
        };
        let (authority, slug_server) = (asked.authority.clone(), Arc::clone(&server));
        let rewrite = move |headers: &mut HeaderMap| to_browser(headers, &slug_server, &authority);
        self.join_ends(asked, response, upgraded, purpose, rewrite).by(&server.id)
    }

    /// Opens a WebSocket of the tenant's frontend.
    pub(crate) async fn frontend_socket(
        self: &Arc<Self>,
        asked: Asked,
        frontend: Upstream,
        to: Uri,
        headers: HeaderMap,
    ) -> Answer {
        match self.handshake(&frontend, to, headers).await {
            Ok((response, upgraded)) => self.join_ends(asked, response, upgraded, Purpose::Other, remove_hop_by_hop),
            Err(denial) => self.refuse(&asked, Call::Socket, denial),
        }
    }

    /// Asks a server for a WebSocket, on a connection of its own.
    async fn handshake(
        &self,
        server: &Upstream,
        to: Uri,
        mut headers: HeaderMap,
    ) -> Result<(Response<Incoming>, OnUpgrade), Denial> {
        remove_hop_by_hop(&mut headers);
        // BBB's servers agree on no extension; what passes stays readable (bbb.md 8.4).
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = to.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        *request.headers_mut() = headers;
        let opened = async {
            let stream = self.pool.connector().connect(server).await.ok()?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            // Ends with the upgrade, or with the answer that is none.
            tokio::spawn(connection.with_upgrades());
            let mut response = sender.send_request(request).await.ok()?;
            let upgraded = hyper::upgrade::on(&mut response);
            Some((response, upgraded))
        };
        timeout(HANDSHAKE_TIMEOUT, opened).await.ok().flatten().ok_or(Denial::ServerUnavailable)
    }

    /// Answers as the server did; where that was a 101, both ends are joined once the answer is out.
    fn join_ends(
        self: &Arc<Self>,
        mut asked: Asked,
        response: Response<Incoming>,
        server: OnUpgrade,
        purpose: Purpose,
        rewrite: impl FnOnce(&mut HeaderMap),
    ) -> Answer {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let mut response = downstream(response);
        rewrite(response.headers_mut());
        if !switched {
            return Answer::new(Call::Socket, Outcome::Failed, response);
        }
        let Some(browser) = asked.head.extensions.remove::<OnUpgrade>() else {
            let refused = text(StatusCode::BAD_REQUEST, "text/plain", "No WebSocket here.\n");
            return Answer::new(Call::Socket, Outcome::Refused, refused);
        };
        *response.body_mut() = Body::empty();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        let socket = Socket {
            open: self.metrics.tenant(&asked.tenant.id).open_socket(),
            metrics: self.metrics.tenant(&asked.tenant.id),
            gateway: Arc::clone(self),
            tenant: asked.tenant,
            purpose,
            alive: asked.connection.alive.clone(),
        };
        tokio::spawn(async move {
            let (Ok(browser), Ok(server)) = (browser.await, server.await) else { return };
            if let (Some(browser), Some(server)) = (taken(browser), taken(server)) {
                socket.run(browser, server).await;
            }
        });
        Answer::new(Call::Socket, Outcome::Ok, response)
    }
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Purpose {
    /// The session's presence in its meeting.
    GraphQl,
    Other,
}

/// A socket that is open.
struct Socket {
    gateway: Arc<Gateway>,
    tenant: Arc<Tenant>,
    metrics: Arc<TenantMetrics>,
    open: OpenSocket,
    purpose: Purpose,
    alive: mpsc::Sender<Infallible>,
}

/// One end, taken out of HTTP, with what had been read of it already.
struct End<T> {
    io: T,
    read: Bytes,
}

fn taken<T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static>(upgraded: Upgraded) -> Option<End<T>> {
    let parts = upgraded.downcast::<T>().ok()?;
    Some(End { io: parts.io, read: parts.read_buf })
}

impl Socket {
    async fn run(self, browser: End<TokioIo<Downstream>>, server: End<TokioIo<Stream>>) {
        let Self { gateway, tenant, metrics, open, purpose, alive } = self;
        let (mut browser, read) = (browser.io.into_inner(), browser.read);
        let (to_server, present) = match purpose {
            Purpose::Other => (read, None),
            Purpose::GraphQl => match gateway.first_frame(&tenant, &mut browser, read).await {
                Ok((bytes, present)) => (bytes, Some(present)),
                Err(reason) => {
                    tracing::debug!(tenant = %tenant.id, reason, "a GraphQL socket is refused");
                    let _ = browser.write_all(&close(CLOSE_FORBIDDEN, reason)).await;
                    let _ = browser.shutdown().await;
                    return;
                }
            },
        };
        drop((gateway, tenant));
        let server_read = server.read;
        let carried = tunnel::run(browser, server.io.into_inner(), to_server, server_read).await;
        metrics.count_bytes(carried.up, carried.down);
        drop((present, open, alive));
    }
}

impl Gateway {
    /// Reads the first frame of a GraphQL socket: it names the session, which must be this tenant's and have a seat.
    async fn first_frame(
        &self,
        tenant: &Tenant,
        browser: &mut Downstream,
        read: Bytes,
    ) -> Result<(Bytes, Present), &'static str> {
        let first = timeout(FIRST_FRAME_TIMEOUT, read_first(browser, read))
            .await
            .map_err(|_| "timeout")?
            .map_err(|_| "malformed")?;
        let session = self
            .live
            .session(&hash(&first.token))
            .filter(|session| session.meeting.tenant == tenant.id)
            .ok_or(Denial::UnknownSession.key())?;
        let present = self.seat(tenant, &session).await.map_err(Denial::key)?;
        Ok((first.bytes, present))
    }

    /// The seat of a session whose socket opens: its own, or, when that has lapsed, a new one if there is one.
    async fn seat(&self, tenant: &Tenant, session: &Arc<Session>) -> Result<Present, Denial> {
        let now = now_ms();
        if !session.has_seat(now) {
            let meeting = &session.meeting;
            let decide = |seats| admit_participant(&tenant.limits, meeting.participants, seats);
            self.store.readmit_session(session.id, meeting.id, now, decide).await.map_err(|refusal| match refusal {
                Refusal::Denied(denial) => denial,
                Refusal::Failed(_) => Denial::StoreUnavailable,
            })?;
        }
        Ok(session.open(&self.notes))
    }
}

/// Whether a socket is asked for by a page of the tenant's own host: a browser says so, and programs say nothing. BBB
/// itself compares with the host it is asked under, which is not the server's (bbb.md 8.3).
fn is_own_origin(asked: &Asked) -> bool {
    asked.head.headers.get(ORIGIN).is_none_or(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("https://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(&asked.authority))
    })
}
