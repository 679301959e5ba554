//! An answer to the operator.

use axum::response::{IntoResponse, Response};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

/// An answer to the operator: JSON.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    json: Value,
}

impl Answer {
    /// What was asked for.
    pub(super) fn ok(json: Value) -> Self {
        Self { status: StatusCode::OK, json }
    }

    /// A refusal, with a stable key and a message for people.
    pub(super) fn refused(status: StatusCode, key: &str, message: &str) -> Self {
        Self { status, json: json!({ "error": { "key": key, "message": message } }) }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        // RFC 9110, 15.5.2.
        let challenge = (self.status == StatusCode::UNAUTHORIZED).then_some([(WWW_AUTHENTICATE, "Bearer")]);
        (self.status, headers, challenge, self.json.to_string()).into_response()
    }
}
