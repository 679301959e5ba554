//! What certificate authorities read: answers to HTTP-01 challenges, on port 80 and where a redirect has led them.

use http::{Method, Response, StatusCode, request::Parts};

use super::{answer::text, gateway::Gateway};
use crate::{domain::host::Host, upstream::Body};

/// The answer to a challenge for a host; `None` for all other requests.
pub(super) fn answer(gateway: &Gateway, host: &Host, head: &Parts) -> Option<Response<Body>> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let answer = gateway.answers.find(host, head.uri.path())?;
    Some(text(StatusCode::OK, "application/octet-stream", answer))
}
