//! Requests sent on to a server, and the bodies that go with them.

use std::{pin::pin, time::Duration};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;

use super::{
    answer::{Answer, text},
    asked::{Asked, address},
    cookies::Owner,
    gateway::Gateway,
    headers::{remove_hop_by_hop, set_forwarded, to_server},
    held::{Charge, Whole},
    images, refusal,
    route::{BODY_BYTES_MAX, Kind, UPLOAD_BYTES_MAX, call_of},
    target::Target,
};
use crate::{
    domain::{
        backend_error::{BackendError, BodyFault},
        denial::Denial,
        tenant::Server,
    },
    metrics::Outcome,
    upstream::{Body, Incoming, Watch},
};

/// How much of a body without a length is held until it is measured: nginx's default limit of a body.
const MEASURED_BYTES_MAX: usize = 1024 * 1024;

/// Sends a request on to a server, once its body has begun; `watch` looks at that as it passes. What names the server is
/// still in the answer.
pub(super) async fn forward(
    gateway: &Gateway,
    asked: &Asked,
    (body, watch): (Incoming, Option<Watch>),
    target: &Target,
    path: &str,
    limit: Duration,
    prepare: impl FnOnce(&mut HeaderMap),
) -> Result<Response<Body>, BackendError> {
    let Target { server, session } = target;
    let owner = Owner::new(&asked.tenant, &server.slug);
    let session = session.as_ref().map(|session| session.id);
    let cookies = gateway.binding.cookies_for(&asked.head.headers, owner, session, asked.now);
    let (body, clock) = gateway.uploads.begin(asked, server.id.as_str(), body, watch).await?;
    let mut headers = asked.head.headers.clone();
    remove_hop_by_hop(&mut headers);
    set_forwarded(&mut headers, &asked.connection.peer_value, "https", &asked.request_id);
    to_server(&mut headers, server, cookies);
    prepare(&mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = asked.head.method.clone();
    *request.uri_mut() = address(&server.upstream, path, asked.head.uri.query());
    *request.headers_mut() = headers;
    let answer = pin!(gateway.meetings.backends.forward(server, request));
    clock.answer(limit, answer).await.flatten()
}

/// A body is bounded by its length.
pub(super) fn check_length(gateway: &Gateway, asked: &Asked, body: &Incoming, kind: Kind) -> Result<(), Answer> {
    let most = match kind {
        Kind::Upload => UPLOAD_BYTES_MAX,
        Kind::Image => images::BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    let is_too_long = body.size_hint().exact().is_some_and(|length| length > most);
    if is_too_long { Err(refusal::refuse(gateway, asked, call_of(kind), Denial::TooLarge)) } else { Ok(()) }
}

/// A body with its length, which a server must be told: BBB refuses an upload without one, with a status that misleads
/// (docs/reference/bbb-protocol.md, "Uploads"). A body that comes without one is held until it is measured, and one
/// that is too long for that is refused: a sender of so much knows its length. With what it is charged for while it
/// is held.
pub(super) async fn with_length(
    gateway: &Gateway,
    asked: &Asked,
    body: Incoming,
    kind: Kind,
) -> Result<(Incoming, Option<Charge>), Answer> {
    check_length(gateway, asked, &body, kind)?;
    if body.size_hint().exact().is_some() {
        return Ok((body, None));
    }
    let call = call_of(kind);
    // Boxed: bodies have a length, nearly all of them.
    match Box::pin(gateway.bodies.read(asked, body, MEASURED_BYTES_MAX, false)).await {
        Ok(Whole { bytes, charge }) => Ok((Incoming::held(bytes), charge)),
        Err(BodyFault::TooLarge) => {
            let message = "A body of more than 1 MB has to tell its length.\n";
            let answer = text(StatusCode::LENGTH_REQUIRED, "text/plain;charset=utf-8", message);
            Err(Answer::new(call, Outcome::Refused, answer))
        }
        Err(fault) => Err(refusal::unsent(gateway, asked, call, fault.into(), None)),
    }
}

/// Where a server is found on a tenant's host. The client of 2.7 knows of no prefix: it has the host to itself.
pub(super) fn prefix(server: &Server) -> String {
    if server.is_meteor { String::new() } else { format!("/s/{}", server.slug) }
}

pub(super) fn outcome(response: &Response<Body>) -> Outcome {
    if response.status().is_server_error() { Outcome::Failed } else { Outcome::Ok }
}
