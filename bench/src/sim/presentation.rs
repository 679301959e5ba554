//! Documents: uploads, and the pages made from them.

use aws_lc_rs::{digest, hmac};
use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_DISPOSITION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;

use super::meeting::Meeting;
use super::params::Params;
use super::{Shared, answer, session, wall_ms};
use crate::sign::{encode_value, to_hex};

/// The page that the client of 2026 puts between two slides; it asks for it from the root of the host (`/blank.pdf`).
pub(crate) const BLANK_PDF: &str = "%PDF-1.4\n\
    1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
    2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
    3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 1280 720]>>endobj\n\
    trailer<</Root 1 0 R>>\n%%EOF\n";
/// A document of one empty page.
pub(crate) const DEFAULT_PDF: &str = "%PDF-1.4\n\
    1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
    2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
    3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 640 360]>>endobj\n\
    trailer<</Root 1 0 R>>\n%%EOF\n";

/// Takes an upload as a stream and keeps only its size and SHA-256, in the log. The size is judged by `Content-Length`
/// before anything is read, and what has none counts as too large, as it does with nginx and bbb-web. The token, which comes
/// over GraphQL, is good once.
pub(crate) async fn upload(token: &str, parts: &Parts, mut body: Body, entry: u64, shared: &Shared) -> Response {
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if !length.is_some_and(|length| 0 < length && length <= shared.config.upload_bytes_max) {
        let mut response = answer::page(StatusCode::PAYLOAD_TOO_LARGE);
        response.headers_mut().insert("x-file-too-large", HeaderValue::from_static("1"));
        return response;
    }
    if !shared.world().meetings().any(|meeting| meeting.upload_tokens.contains_key(token)) {
        return answer::page(StatusCode::FORBIDDEN);
    }
    let mut name = None;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            shared.log.complete(entry, |received| received.body_bytes = bytes);
            return answer::page(StatusCode::BAD_REQUEST);
        };
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            name = name.or_else(|| file_name(data));
            hash.update(data);
        }
    }
    let sha256 = to_hex(hash.finish().as_ref());
    shared.log.complete(entry, |received| {
        received.body_bytes = bytes;
        received.body_sha256 = Some(sha256);
    });
    if !shared.world().uploaded(token, name.as_deref().unwrap_or("upload"), wall_ms()) {
        return answer::page(StatusCode::FORBIDDEN);
    }
    answer::text(StatusCode::OK, "text/html;charset=utf-8", "upload-success")
}

/// The name of the file in a piece of a form.
fn file_name(piece: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&piece[..piece.len().min(4096)]).into_owned();
    let (_, rest) = text.split_once("filename=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// A page of a document: `<int id>/<int id>/<presentation id>/svg|thumbnail|textfiles/<number>`, or the document itself:
/// `download/<int id>/<presentation id>?presFilename=<name>`.
pub(crate) fn page(path: &str, parts: &Parts, shared: &Shared) -> Response {
    let segments: Vec<&str> = path.split('/').collect();
    let [int_id, again, presentation, kind, number] = segments[..] else {
        return match segments[..] {
            ["download", int_id, presentation] => download(int_id, presentation, parts, shared),
            _ => answer::page(StatusCode::NOT_FOUND),
        };
    };
    let world = shared.world();
    if shared.config.slides_need_session {
        let query = Params::parse(parts.uri.query().unwrap_or_default());
        let token = query.first("sessionToken").unwrap_or_default();
        if world.authorize(token, &session::http_sessions(&parts.headers)).is_none() {
            return answer::page(StatusCode::UNAUTHORIZED);
        }
        if query.first("pageToken") != Some(&page_token(path, shared)) {
            return answer::page(StatusCode::FORBIDDEN);
        }
    }
    let meeting = world.by_int_id(int_id).filter(|meeting| int_id == again && meeting.presentation_id == presentation);
    let (Some(meeting), Ok(number)) = (meeting, number.parse::<u32>()) else {
        return answer::page(StatusCode::NOT_FOUND);
    };
    let mut response = match kind {
        "svg" | "thumbnail" => answer::text(StatusCode::OK, "image/svg+xml", drawing(meeting, number)),
        "textfiles" => answer::text(StatusCode::OK, "text/plain", format!("Page {number}\n")),
        _ => return answer::page(StatusCode::NOT_FOUND),
    };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The document as it was uploaded. Whoever knows its name may have it.
fn download(int_id: &str, presentation: &str, parts: &Parts, shared: &Shared) -> Response {
    let query = Params::parse(parts.uri.query().unwrap_or_default());
    let world = shared.world();
    let meeting = world.by_int_id(int_id).filter(|meeting| meeting.presentation_id == presentation);
    let is_named = query.first("presFilename") == Some(&format!("{presentation}.pdf"));
    if meeting.is_none() || !is_named {
        return answer::page(StatusCode::NOT_FOUND);
    }
    let mut response = answer::text(StatusCode::OK, "application/pdf", DEFAULT_PDF);
    let name = encode_value(query.text("filename").unwrap_or("default.pdf"));
    let disposition = format!("attachment; filename=\"{name}\"");
    let disposition = HeaderValue::from_str(&disposition).expect("what is encoded is fit for a header");
    response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    response
}

/// The absolute URL of a page, as it is told in GraphQL data.
pub(crate) fn page_url(meeting: &Meeting, kind: &str, number: u32, shared: &Shared) -> String {
    let stock = || format!("{}/bigbluebutton/presentation", shared.config.server_url);
    let base = shared.config.presentation_base_url.clone().unwrap_or_else(stock);
    let path = format!("{0}/{0}/{1}/{kind}/{number}", meeting.int_id, meeting.presentation_id);
    if shared.config.slides_need_session {
        let token = page_token(&path, shared);
        return format!("{base}/{path}?pageToken={token}");
    }
    format!("{base}/{path}")
}

/// What proves that the server has told somebody of a page.
fn page_token(path: &str, shared: &Shared) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, shared.config.secret.as_bytes());
    to_hex(hmac::sign(&key, path.as_bytes()).as_ref())
}

fn drawing(meeting: &Meeting, number: u32) -> String {
    let name = meeting.name.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 360\" width=\"640\" height=\"360\">\
        <defs><linearGradient id=\"g\" x2=\"1\" y2=\"1\"><stop stop-color=\"#0f2f4f\"/>\
        <stop offset=\"1\" stop-color=\"#0f70d7\"/></linearGradient></defs>\
        <rect width=\"640\" height=\"360\" fill=\"url(#g)\"/><g fill=\"#fff\" font-family=\"sans-serif\">\
        <text x=\"40\" y=\"170\" font-size=\"40\">{name}</text>\
        <text x=\"40\" y=\"215\" font-size=\"20\" opacity=\".8\">Slide {number}</text></g></svg>"
    )
}
