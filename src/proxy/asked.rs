//! A request that has found its tenant, and what is needed to send it on.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{EXPECT, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
};
use tracing::{Span, level_filters::LevelFilter};

use super::path::merge_slashes;
use crate::{
    domain::{
        directory::Directory,
        host::Host,
        ids::TenantId,
        tenant::{Tenant, Upstream},
        time::Timestamp,
    },
    net::{connections::Served, peer::Peer, request_context::RequestContext, request_id::RequestId},
};

/// In the path of each call, of the API and of sessions.
const CALLS: &str = "/bigbluebutton/api/";

/// A connection as far as its requests need to know it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who is at the other end.
    pub(crate) peer: SocketAddr,
    /// The same, as a header.
    pub(crate) peer_value: HeaderValue,
    /// Whether it comes from a trusted front, whose request ids are taken.
    pub(crate) is_of_front: bool,
    /// The host of the TLS handshake.
    pub(crate) sni: Host,
    /// Whether a request has come.
    pub(crate) used: Arc<AtomicBool>,
    /// Whether a body has been cut.
    pub(crate) is_cut: Arc<AtomicBool>,
    /// Its place, which its sockets keep, and what it does.
    pub(crate) served: Served,
}

impl Connection {
    /// The id of a request with these headers: that of a trusted front, else a new one.
    pub(crate) fn request_id(&self, headers: &HeaderMap) -> RequestId {
        if self.is_of_front { RequestId::of_front(headers) } else { RequestId::make() }
    }
}

/// A request that has found its tenant.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its name in the log, on pages and towards servers.
    pub(crate) request_id: RequestId,
    /// The configuration that it sees from start to end: a reload in the middle cannot mix old and new.
    pub(crate) directory: Arc<Directory>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) connection: Arc<Connection>,
    /// The host as the caller wrote it, with its port where it has one.
    pub(crate) authority: String,
    pub(crate) head: Parts,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Asked {
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or("")
    }

    /// What its log lines show.
    pub(crate) fn context(&self) -> RequestContext {
        RequestContext { tenant: self.tenant.id.clone(), request_id: self.request_id.clone() }
    }

    /// Its span: for filters of the log, such as one for the calls of one tenant. It is off, and costs nothing, unless the log
    /// has lines of the level debug.
    pub(crate) fn span(&self) -> Span {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return Span::none();
        }
        if merge_slashes(self.head.uri.path()).contains(CALLS) {
            return tracing::debug_span!("call", tenant = %self.tenant.id, request = %self.request_id);
        }
        tracing::debug_span!("request", tenant = %self.tenant.id, request = %self.request_id)
    }

    /// The span of the opening of a WebSocket, likewise.
    pub(crate) fn socket_span(&self) -> Span {
        tracing::debug_span!("socket", tenant = %self.tenant.id, request = %self.request_id)
    }

    /// The address on whose account it is what strangers may have only so much of.
    pub(crate) fn peer(&self) -> Peer {
        self.connection.served.peer()
    }

    /// Tenant and address, on whose account it is.
    pub(crate) fn account(&self) -> (&TenantId, Peer) {
        (&self.tenant.id, self.peer())
    }
}

/// Whether whoever asks waits for leave to send the body (RFC 9110, 10.1.1). hyper gives it when the body is asked for, in
/// HTTP/1.1 alone.
pub(crate) fn waits_for_leave(head: &Parts) -> bool {
    head.version == Version::HTTP_11
        && head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a request asks for a WebSocket (RFC 6455, 4.2.1; in HTTP/2 it has been made into such a one).
pub(crate) fn is_websocket(head: &Parts) -> bool {
    head.method == Method::GET
        && head.version > Version::HTTP_10
        && head.headers.contains_key(SEC_WEBSOCKET_KEY)
        && head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The address of a path on a server.
///
/// # Panics
/// Never: authority and path have been parsed before.
pub(crate) fn address(to: &Upstream, path: &str, query: Option<&str>) -> Uri {
    let path_and_query = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Uri::builder()
        .scheme(to.scheme.clone())
        .authority(to.authority.clone())
        .path_and_query(path_and_query)
        .build()
        .expect("parts of two addresses make one")
}
