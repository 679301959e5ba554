//! [`Refused`]: every refusal of the admin API, with its status, its key and its words.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{HeaderName, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::answer::Answer;
use crate::{domain::denial::Denial, store};

/// Why a call of the admin API is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no token, or none that is good.
    NoToken,
    /// The token does not admit to this.
    Scope,
    /// There is no such call.
    NotFound,
    /// There is, with another method.
    Method,
    /// The configuration has no such server.
    UnknownServer(String),
    /// The configuration has no such tenant.
    UnknownTenant(String),
    /// The tenant has no such meeting.
    UnknownMeeting,
    /// The body, or the query, says nothing that can be done; with what is wrong.
    Invalid(String),
    /// The body is longer than anything that could be asked for.
    TooLarge,
    /// The body does not come.
    Slow,
    /// The BBB server says no, in its own words.
    ByServer {
        /// BBB's `messageKey`.
        key: String,
        /// Its `message`.
        message: String,
    },
    /// The gateway says no.
    Denied(Denial),
    /// The store did not write it down: nothing has changed.
    Store,
    /// We are at fault.
    Failed,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<store::Error> for Refused {
    fn from(_: store::Error) -> Self {
        Self::Store
    }
}

impl Refused {
    /// What is told of it: the only place that maps one to the other.
    fn told(&self) -> (StatusCode, &str, Cow<'_, str>) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "unauthorized", "missing or invalid token".into()),
            Self::Scope => (StatusCode::FORBIDDEN, "forbidden", "a token with the scope operate is required".into()),
            Self::NotFound => (StatusCode::NOT_FOUND, "notFound", "unknown path".into()),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", "method not allowed for this path".into())
            }
            Self::UnknownServer(id) => {
                (StatusCode::NOT_FOUND, "unknownServer", format!("there is no server {id:?}").into())
            }
            Self::UnknownTenant(id) => {
                (StatusCode::NOT_FOUND, "unknownTenant", format!("there is no tenant {id:?}").into())
            }
            Self::UnknownMeeting => (StatusCode::NOT_FOUND, "unknownMeeting", "the tenant has no such meeting".into()),
            Self::Invalid(what) => (StatusCode::UNPROCESSABLE_ENTITY, "invalidRequest", what.into()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "requestTooLarge", "the body is too large".into()),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "requestTimeout", "timeout while reading the body".into()),
            Self::ByServer { key, message } => (StatusCode::CONFLICT, key, message.into()),
            Self::Store | Self::Denied(Denial::StoreUnavailable) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "storeUnavailable",
                "the store is unavailable: nothing was changed".into(),
            ),
            Self::Denied(denial) => (denial.status(), denial.key(), denial.message().into()),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed", "internal error: see the log".into()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, key, message) = self.told();
        let answer = Answer(json!({ "error": { "key": key, "message": message } }));
        let challenge: Option<(HeaderName, HeaderValue)> = match self {
            Self::NoToken => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => None,
        };
        let mut response = (status, answer).into_response();
        response.headers_mut().extend(challenge);
        response
    }
}
