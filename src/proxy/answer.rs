//! What a request is answered with, and what is to be known of it afterwards.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde_json::{Value, json};

use crate::{
    bbb::answer::{Failure, failed},
    domain::{denial::Denial, ids::ServerId},
    metrics::{Call, Outcome},
    upstream::Body,
};

/// When a request may be tried again for which there was no room.
const RETRY_AFTER_SECONDS: &str = "2";

/// An answer with what the log and the metrics need to know.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
    /// A stable word for the log: the key of a refusal, else empty.
    pub(crate) reason: &'static str,
    pub(crate) denial: Option<Denial>,
    pub(crate) server: Option<ServerId>,
}

impl Answer {
    pub(crate) fn new(call: Call, outcome: Outcome, response: Response<Body>) -> Self {
        Self { response, call, outcome, reason: "", denial: None, server: None }
    }

    /// An answer of the API: 200, XML.
    pub(crate) fn xml(call: Call, outcome: Outcome, xml: String) -> Self {
        Self::new(call, outcome, text(StatusCode::OK, "text/xml;charset=utf-8", xml))
    }

    /// An answer of the API that is JSON: 200.
    pub(crate) fn json(call: Call, outcome: Outcome, json: &Value) -> Self {
        Self::new(call, outcome, text(StatusCode::OK, "application/json;charset=utf-8", json.to_string()))
    }

    /// A refused API call, in the form of the call.
    pub(crate) fn failure(call: Call, failure: Failure) -> Self {
        Self::failed(call, &failure.key, &failure.message).refused(&failure)
    }

    /// A `FAILED` in the form of the call: JSON for text tracks, XML for all others.
    pub(crate) fn failed(call: Call, key: &str, message: &str) -> Self {
        if matches!(call, Call::GetRecordingTextTracks | Call::PutRecordingTextTrack) {
            let failed = json!({ "returncode": "FAILED", "messageKey": key, "message": message });
            Self::json(call, Outcome::Refused, &json!({ "response": failed }))
        } else {
            Self::xml(call, Outcome::Refused, failed(key, message))
        }
    }

    /// A call that the gateway itself refuses, in the form of the call.
    pub(crate) fn denied(call: Call, denial: Denial) -> Self {
        Self::failure(call, denial.into())
    }

    /// With what the log and the metrics say of a refused API call.
    pub(crate) fn refused(mut self, failure: &Failure) -> Self {
        self.outcome = failure.denial.map_or(Outcome::Refused, outcome_of);
        self.reason = failure.known_key();
        match failure.denial {
            Some(denial) => self.because(denial),
            None => self,
        }
    }

    pub(crate) fn because(mut self, denial: Denial) -> Self {
        if matches!(denial, Denial::RateLimited | Denial::Overloaded) {
            self.response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        self.reason = denial.key();
        self.denial = Some(denial);
        self
    }

    pub(crate) fn by(mut self, server: &ServerId) -> Self {
        self.server = Some(server.clone());
        self
    }
}

/// A refusal because something failed behind us is a failure, not a rule.
pub(crate) fn outcome_of(denial: Denial) -> Outcome {
    if denial.status().is_server_error() { Outcome::Failed } else { Outcome::Refused }
}

/// A short answer that nobody keeps.
pub(crate) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Whether an answer is a page.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    const HTML: &[u8] = b"text/html";
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..HTML.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(HTML))
}

/// A redirect; `None` for an address that cannot stand in a header.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Option<Response<Body>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(location).ok()?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
