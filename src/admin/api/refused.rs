//! [`Refused`]: errors of the admin API, with status, key and message.

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
    /// Missing or invalid token.
    NoToken,
    /// Insufficient scope of the token.
    Scope,
    /// Unknown path.
    NotFound,
    /// Method not allowed.
    Method,
    /// Unknown server.
    UnknownServer(String),
    /// Unknown tenant.
    UnknownTenant(String),
    /// Unknown meeting.
    UnknownMeeting,
    /// Unknown callback, or one that is delivered.
    UnknownCallback,
    /// Unknown webhook.
    UnknownWebhook,
    /// Invalid body or query, with the reason.
    Invalid(String),
    /// Body too large.
    TooLarge,
    /// Timeout while reading the body.
    Slow,
    /// Refused by the BBB server, with its message.
    ByServer {
        /// BBB's `messageKey`.
        key: String,
        /// Its `message`.
        message: String,
    },
    /// Refused by the gateway.
    Denied(Denial),
    /// The store failed; nothing was changed.
    Store,
    /// Internal error.
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
    /// Status, key and message: the only place that maps them.
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
            Self::UnknownCallback => {
                (StatusCode::NOT_FOUND, "unknownCallback", "no callback that is not delivered has this id".into())
            }
            Self::UnknownWebhook => (StatusCode::NOT_FOUND, "unknownWebhook", "no webhook has this id".into()),
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
