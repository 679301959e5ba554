//! One request, from its host to its line in the log.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use http::{
    Method, Request, Response, StatusCode,
    header::{HOST, STRICT_TRANSPORT_SECURITY},
    request::Parts,
};
use http_body::Body as _;
use tracing::Instrument as _;

use super::{
    answer::{Answer, text},
    asked::{Asked, Connection, waits_for_leave},
    framing::set_framing,
    gateway::Gateway,
    h2_socket,
    permissions::keep_needed,
    refusal::{self, too_fast},
    robots::set_not_listed,
    router, webhook,
};
use crate::{
    domain::{denial::Denial, host::Host, tenant::Tenant},
    metrics::{Call, TenantMetrics},
    net::{connections::Served, rates::RateOf, request_id::RequestId},
    upstream::{Body, Incoming, Source, Watch},
};

/// Answers one request and notes it.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    request: Request<hyper::body::Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let (peer, peer_key) = (connection.peer.ip(), connection.served.peer());
    let (mut head, body) = request.into_parts();
    let socket = h2_socket::read(&mut head);
    let mut body = incoming(&gateway, &head, body, &connection.served, &connection.is_cut);
    let is_over = body.over();
    let request_id = connection.request_id(&head.headers);
    let asked = match find_tenant(&gateway, connection, head, request_id.clone()) {
        Ok(asked) => asked,
        Err(refused) => {
            gateway.metrics.unknown_hosts.fetch_add(1, Relaxed);
            if !gateway.net.rates.allow(RateOf::UnknownHosts, peer_key) {
                return too_fast();
            }
            let status = refused.status().as_u16();
            let (request, reason) = (request_id, Denial::UnknownHost.key());
            tracing::info!(target: "access", %request, %peer, status, reason, "unknown host");
            return refused;
        }
    };
    let line = Line {
        request_id,
        tenant: Arc::clone(&asked.tenant),
        host: asked.connection.sni.clone(),
        method: asked.head.method.clone(),
        peer: asked.connection.peer,
        connection: asked.connection.served.place().number(),
    };
    let hsts = asked.directory.hsts_of(&asked.tenant).header().cloned();
    let metrics = gateway.metrics.tenant(&line.tenant.id);
    // Of many tenants: it counts neither to the rate nor to the usage of the one on whose host it comes.
    let is_receipt = webhook::is_of_a_server(&gateway, &asked);
    let refused = if is_receipt { None } else { refusal::too_many(&gateway, &asked, &metrics) };
    let mut answer = match refused {
        Some(refused) => refused,
        None => {
            let (context, span) = (asked.context(), asked.span());
            let body = if is_receipt { body } else { body.counted(&metrics) };
            let answered = pin!(router::dispatch(&gateway, asked, body));
            context.scope(answered.instrument(span)).await
        }
    };
    if let Some(expected) = socket {
        answer = h2_socket::answered(answer, &expected);
    }
    // A frontend knows best who shows it.
    if answer.call != Call::Frontend {
        set_framing(&mut answer.response, &line.tenant);
        keep_needed(answer.response.headers_mut());
    }
    if let Some(hsts) = hsts {
        answer.response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
    set_not_listed(&mut answer);
    note(&metrics, &line, &answer, started);
    if let Some(is_over) = is_over
        && waits_for_the_body(&answer.response)
    {
        let _ = is_over.await;
    }
    if is_receipt { answer.response } else { answer.response.map(|body| counted(body, metrics)) }
}

/// The body of a request, with what becomes of its rest when it is answered before it has ended.
pub(super) fn incoming(
    gateway: &Gateway,
    head: &Parts,
    body: hyper::body::Incoming,
    served: &Served,
    is_cut: &Arc<AtomicBool>,
) -> Incoming {
    Incoming::new(body, head.version, || Source {
        discards: gateway.discards.clone(),
        peer: served.peer(),
        activity: Arc::clone(&served.activity),
        waits_for_leave: waits_for_leave(head),
        is_cut: Arc::clone(is_cut),
    })
}

/// The tenant of a request, or its refusal: a host that is missing or cannot be read, that is not the one of the
/// handshake, or that no tenant has.
fn find_tenant(
    gateway: &Gateway,
    connection: Arc<Connection>,
    head: Parts,
    request_id: RequestId,
) -> Result<Asked, Response<Body>> {
    // HTTP/2 has the host in the URI; in HTTP/1.1 an absolute URI outweighs the header (RFC 9112, 3.2.2).
    let authority = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None if head.headers.get_all(HOST).iter().count() == 1 => {
            head.headers.get(HOST).and_then(|host| host.to_str().ok())
        }
        None => None,
    };
    let Some((authority, host)) = authority.and_then(|text| Some((text, host_of(text)?))) else {
        return Err(text(StatusCode::BAD_REQUEST, "text/plain", "The request names no host.\n"));
    };
    let directory = gateway.meetings.directory.load_full();
    let known = host.eq_ignore_ascii_case(connection.sni.as_str());
    let now = gateway.meetings.clock.now();
    let tenant = directory.tenant_of_host(connection.sni.as_str(), now).filter(|_| known);
    let Some(tenant) = tenant.map(Arc::clone) else {
        let denial = Denial::UnknownHost;
        return Err(text(denial.status(), "text/plain", format!("{}: {}\n", denial.key(), denial.message())));
    };
    let authority = authority.to_ascii_lowercase();
    Ok(Asked { request_id, directory, tenant, connection, authority, head, now })
}

/// Whether an answer is sent when the request's body has been read to its end, or has been cut. A client that has a whole answer
/// without an error, and is still sending, may read no more from its connection: in HTTP/2 it is not given leave to send the
/// rest then, and both wait (curl 7.88; an error makes it stop sending). A body that a server or a frontend sends is not held back.
fn waits_for_the_body(response: &Response<Body>) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let is_whole = response.body().is_end_stream() || matches!(response.body(), Body::Held(_) | Body::Pieces(_));
    !is_error && is_whole
}

/// One line and one set of counters per request, whatever its outcome. No path, query, token or cookie is in it.
fn note(metrics: &TenantMetrics, line: &Line, answer: &Answer, started: Instant) {
    metrics.count_request(answer.call, answer.outcome);
    if let Some(denial) = answer.denial {
        metrics.count_denial(denial);
    }
    if answer.reason == "checksumError" {
        metrics.count_checksum_error();
    }
    tracing::info!(
        target: "access",
        request = %line.request_id,
        tenant = line.tenant.id.as_str(),
        host = line.host.as_str(),
        peer = %line.peer.ip(),
        connection = line.connection,
        method = line.method.as_str(),
        call = answer.call.as_str(),
        status = answer.response.status().as_u16(),
        outcome = answer.outcome.as_str(),
        reason = answer.reason,
        server = answer.server.as_ref().map_or("", |id| id.as_str()),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
}

/// A body whose bytes are counted: at once where it is held, else as they pass, since not all of a long one may be wanted.
fn counted(body: Body, metrics: Arc<TenantMetrics>) -> Body {
    match body {
        Body::Answered(body) if !body.is_end_stream() => {
            let count = move |data: &[u8]| {
                metrics.count_body_down(data.len() as u64);
                Ok(())
            };
            Body::Answered(body.watched(Watch(Box::new(count))))
        }
        body => {
            metrics.count_body_down(body.size_hint().exact().unwrap_or(0));
            body
        }
    }
}

/// What the log says of a request, kept aside while the request itself is used up.
struct Line {
    request_id: RequestId,
    tenant: Arc<Tenant>,
    host: Host,
    method: Method,
    peer: SocketAddr,
    connection: u64,
}

/// The host of `host[:port]`; `None` for what has another form.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let legal = port.is_none_or(|port| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()));
    (legal && !host.is_empty()).then(|| host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (text, host) in [
            ("meet.example", Some("meet.example")),
            ("meet.example:8443", Some("meet.example")),
            ("meet.example.", Some("meet.example")),
            ("meet.example:", Some("meet.example")),
            ("meet.example:x", None),
            (":443", None),
            ("user@meet.example:1:2", None),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
    }
}
