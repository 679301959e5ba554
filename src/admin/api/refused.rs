//! The answers to calls of the admin API that are refused: the only place that says their status, key and message.

use http::StatusCode;

use super::answer::Answer;
use crate::{domain::denial::Denial, store};

/// Missing or invalid token.
pub(super) fn no_token() -> Answer {
    Answer::refused(StatusCode::UNAUTHORIZED, "unauthorized", "missing or invalid token")
}

/// Insufficient scope of the token.
pub(super) fn scope() -> Answer {
    Answer::refused(StatusCode::FORBIDDEN, "forbidden", "a token with the scope operate is required")
}

/// Unknown path.
pub(super) fn not_found() -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "notFound", "unknown path")
}

/// Method not allowed.
pub(super) fn method() -> Answer {
    Answer::refused(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", "method not allowed for this path")
}

/// Unknown server.
pub(super) fn unknown_server(id: &str) -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "unknownServer", &format!("there is no server {id:?}"))
}

/// Unknown tenant.
pub(super) fn unknown_tenant(id: &str) -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "unknownTenant", &format!("there is no tenant {id:?}"))
}

/// Unknown meeting.
pub(super) fn unknown_meeting() -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "unknownMeeting", "the tenant has no such meeting")
}

/// Unknown callback, or one that is delivered.
pub(super) fn unknown_callback() -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "unknownCallback", "no callback that is not delivered has this id")
}

/// Unknown webhook.
pub(super) fn unknown_webhook() -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "unknownWebhook", "no webhook has this id")
}

/// A host that is in no configuration, or for which nothing is ordered.
pub(super) fn unknown_domain(host: &str) -> Answer {
    let message = format!("no tenant has the host {host:?}, or nothing is ordered for it");
    Answer::refused(StatusCode::NOT_FOUND, "unknownDomain", &message)
}

/// Unknown state of a domain.
pub(super) fn unknown_state(word: &str) -> Answer {
    let states = "configured, waiting_for_dns, ordering, active, failing, brought, expired or bare";
    invalid(&format!("there is no state {word:?}: {states}"))
}

/// A certificate that could not be revoked, with the reason.
pub(super) fn not_revoked(why: &str) -> Answer {
    Answer::refused(StatusCode::CONFLICT, "notRevoked", why)
}

/// Invalid body or query, with the reason.
pub(super) fn invalid(why: &str) -> Answer {
    Answer::refused(StatusCode::UNPROCESSABLE_ENTITY, "invalidRequest", why)
}

/// Body too large.
pub(super) fn too_large() -> Answer {
    Answer::refused(StatusCode::PAYLOAD_TOO_LARGE, "requestTooLarge", "the body is too large")
}

/// Timeout while reading the body.
pub(super) fn slow() -> Answer {
    Answer::refused(StatusCode::REQUEST_TIMEOUT, "requestTimeout", "timeout while reading the body")
}

/// Refused by a BBB server: its `messageKey` and `message`.
pub(super) fn by_server(key: &str, message: &str) -> Answer {
    Answer::refused(StatusCode::CONFLICT, key, message)
}

/// Internal error.
pub(super) fn failed() -> Answer {
    Answer::refused(StatusCode::INTERNAL_SERVER_ERROR, "failed", "internal error: see the log")
}

impl From<Denial> for Answer {
    fn from(denial: Denial) -> Self {
        let message = match denial {
            Denial::StoreUnavailable => "the store is unavailable: nothing was changed",
            other => other.message(),
        };
        Self::refused(denial.status(), denial.key(), message)
    }
}

impl From<store::Error> for Answer {
    fn from(error: store::Error) -> Self {
        Denial::from(error).into()
    }
}
