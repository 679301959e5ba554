//! `/api/plugin/<plugin>/<source>/`: what a plugin's data source has, for a session. The plugin SDK asks for it from the root
//! of the host, with the token in `X-Session-Token` and the cookies.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;

use super::{Shared, answer, session};

/// The data of a source, `<plugin>/<source>/`.
pub(crate) fn data(source: &str, parts: &Parts, shared: &Shared) -> Response {
    let token = parts.headers.get("x-session-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let world = shared.world();
    let Some((meeting, user)) = world.authorize(token, &session::http_sessions(&parts.headers)) else {
        return answer::page(StatusCode::UNAUTHORIZED);
    };
    match source.split('/').collect::<Vec<_>>()[..] {
        [plugin, source] | [plugin, source, ""] => answer::json(&json!({
            "plugin": plugin, "source": source, "meeting": meeting.int_id, "user": user.full_name,
        })),
        _ => answer::page(StatusCode::NOT_FOUND),
    }
}
