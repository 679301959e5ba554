//! bbb-file-upload, of 4.0: images that people put into chat and notes. nginx asks bbb-web whose session it is; the service takes
//! the meeting from that, and never from the form.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::meeting::Meeting;
use super::world::World;
use super::{Shared, answer, ids, session};

/// nginx's `client_max_body_size` here.
const BODY_BYTES_MAX: usize = 6 << 20;
/// What the service itself takes of a file.
const FILE_BYTES_MAX: usize = 5 << 20;
/// What a PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Where images are put, and where each of them is.
pub(crate) async fn serve(rest: &str, parts: &Parts, body: Body, shared: &Shared) -> Response {
    let own = own_meeting(parts, shared);
    match (&parts.method, rest.split_once('/'), own) {
        (_, _, None) => answer::page(StatusCode::UNAUTHORIZED),
        (&Method::POST, None, Some(own)) if rest == "upload" => upload(&own, parts, body, shared).await,
        (&Method::GET, Some((meeting, name)), Some(own)) => image(&own, meeting, name, shared),
        _ => answer::page(StatusCode::NOT_FOUND),
    }
}

fn own_meeting(parts: &Parts, shared: &Shared) -> Option<String> {
    let token = session::query_token(parts.uri.query())?;
    let world = shared.world();
    let (meeting, _) = world.authorize(&token, &session::http_sessions(&parts.headers))?;
    Some(meeting.int_id.clone())
}

async fn upload(meeting: &str, parts: &Parts, body: Body, shared: &Shared) -> Response {
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_none_or(|length| BODY_BYTES_MAX < length) {
        return answer::page(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return answer::page(StatusCode::BAD_REQUEST) };
    let Some(file) = file_of(&body) else { return failed(StatusCode::BAD_REQUEST, "no_file") };
    if FILE_BYTES_MAX < file.len() {
        return failed(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large");
    }
    if !file.starts_with(PNG) {
        return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_image_type");
    }
    let name = format!("{}.png", ids::uuid());
    let url = format!("/bigbluebutton/fileUpload/{meeting}/{name}");
    if let Some(meeting) = shared.world().meeting_mut(meeting) {
        meeting.images.insert(name, file);
    }
    (StatusCode::CREATED, answer::json(&json!({ "url": url }))).into_response()
}

fn failed(status: StatusCode, code: &str) -> Response {
    (status, answer::json(&json!({ "code": code }))).into_response()
}

/// The only part of a form.
fn file_of(body: &Bytes) -> Option<Bytes> {
    let find =
        |from: usize, what: &[u8]| body[from..].windows(what.len()).position(|part| part == what).map(|at| from + at);
    let boundary = &body[..find(0, b"\r\n")?];
    let start = find(0, b"\r\n\r\n")? + 4;
    let end = find(start, &[b"\r\n", boundary].concat())?;
    Some(body.slice(start..end))
}

/// An image is for its meeting, its breakout rooms, and the meeting that it is a breakout room of.
fn image(own: &str, meeting: &str, name: &str, shared: &Shared) -> Response {
    let world = shared.world();
    let root = |id: &str| world.by_int_id(id).map(|meeting| root_of(meeting, &world));
    if root(own).is_none() || root(own) != root(meeting) {
        return answer::page(StatusCode::FORBIDDEN);
    }
    match world.by_int_id(meeting).and_then(|meeting| meeting.images.get(name)) {
        Some(image) => answer::text(StatusCode::OK, "image/png", image.clone()),
        None => answer::page(StatusCode::NOT_FOUND),
    }
}

fn root_of(meeting: &Meeting, world: &World) -> String {
    let parent = meeting.parent.as_deref().and_then(|parent| world.find(parent));
    parent.unwrap_or(meeting).int_id.clone()
}
