//! The learning dashboard: a page with its script, and the data of meetings behind their access tokens, all static files.

use axum::http::StatusCode;
use axum::response::Response;

use super::api::session_calls::dashboard_of;
use super::{Shared, answer};

const PAGE: &str = include_str!("dashboard/index.html");
const SCRIPT: &str = include_str!("dashboard/dashboard.js");

/// A file below `/learning-analytics-dashboard/`.
pub(crate) fn file(path: &str, shared: &Shared) -> Response {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["" | "index.html"] => answer::text(StatusCode::OK, "text/html", PAGE),
        ["static", "js", "dashboard.js"] => answer::text(StatusCode::OK, "application/javascript", SCRIPT),
        [int_id, token, "learning_dashboard_data.json"] => {
            let world = shared.world();
            match world.by_int_id(int_id).filter(|meeting| meeting.dashboard_token == token) {
                Some(meeting) => answer::json(&dashboard_of(meeting)),
                None => match world.ended_dashboard(int_id, token) {
                    Some(data) => answer::json(data),
                    None => answer::page(StatusCode::NOT_FOUND),
                },
            }
        }
        _ => answer::page(StatusCode::NOT_FOUND),
    }
}
