//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT is read as the upgrade of HTTP/1.1 that it stands for, so that all
//! checks are the same, and the answer is put back.
//!
//! The stream stays in the connection, beside the page that has opened it.

use aws_lc_rs::rand;
use data_encoding::BASE64;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
};
use hyper::ext::Protocol;

use super::{
    answer::{Answer, text},
    upgrade::{accept_of, no_upgrade, set_upgrade},
};
use crate::metrics::{Call, Outcome};

/// What a server has to answer to the key that it is sent. Browsers send none over HTTP/2, and look at no answer to it.
pub(super) struct Expected(HeaderValue);

/// Whether a request is an extended CONNECT for a WebSocket: it has become a GET with the headers of an upgrade then. In HTTP/2
/// no request comes with those (RFC 9113, 8.2.2).
///
/// # Panics
/// Never: base64 is a legal header.
pub(super) fn read(head: &mut Parts) -> Option<Expected> {
    let is_socket = head.method == Method::CONNECT
        && head.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    if !is_socket {
        return None;
    }
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).ok()?;
    let key = HeaderValue::from_str(&BASE64.encode(&nonce)).expect("base64 is a legal header");
    let expected = Expected(accept_of(&key));
    head.method = Method::GET;
    head.headers.insert(SEC_WEBSOCKET_KEY, key);
    set_upgrade(&mut head.headers);
    Some(expected)
}

/// The answer as HTTP/2 has it: 200 in place of 101.
pub(super) fn answered(mut answer: Answer, expected: &Expected) -> Answer {
    match answer.response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        // Any success would say that the socket is open.
        status if status.is_success() => return Answer { response: no_upgrade().response, ..answer },
        _ => return answer,
    }
    let headers = answer.response.headers_mut();
    [CONNECTION, UPGRADE, CONTENT_LENGTH].into_iter().for_each(|name| drop(headers.remove(name)));
    if headers.remove(SEC_WEBSOCKET_ACCEPT).as_ref() != Some(&expected.0) {
        let refused: Response<_> = text(StatusCode::BAD_GATEWAY, "text/plain", "The server speaks no WebSocket.\n");
        let server = answer.server.take();
        return Answer { server, ..Answer::new(Call::Socket, Outcome::Failed, refused) };
    }
    *answer.response.status_mut() = StatusCode::OK;
    answer
}
