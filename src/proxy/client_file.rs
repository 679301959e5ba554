//! Files of BBB's client, from memory: a class that joins in the same second costs its server one read of each.
//!
//! Only those of 3.0 and later, which are the same for everybody. What is no plain file there is carried.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE,
        ETAG, EXPIRES, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, SET_COOKIE, VARY,
    },
};
use http_body::Body as _;

use super::{
    answer::Answer,
    answered::for_all,
    asked::{Asked, address, is_websocket},
    gateway::Gateway,
    route::Kind,
};
use crate::{
    domain::{backend_error::BodyFault, tenant::Server},
    live::files::{FILE_BYTES_MAX, File, HEADERS_BYTES_MAX, Held, length_of},
    meetings::Meetings,
    metrics::{Call, Outcome},
    upstream::Body,
};

mod form;
mod range;

use form::{Form, accepted, is_known};
use range::{Wanted, wanted};

/// Where the client is.
const CLIENT: &str = "/html5client/";
/// How old the knowledge may be that a file is still what its server has; the page tells of a new release.
const FRESH: Duration = Duration::from_secs(5);
/// If it is older than that there was no request for a while, and the next one waits for the server's answer.
const STALE: Duration = Duration::from_secs(30);
/// A server that takes longer than this for a file has none for us.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A name with a digest in it.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// To be kept, and asked about each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// What the gateway says of a file by itself, or what is not of the file.
const NOT_KEPT: [HeaderName; 8] = [ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, DATE, ETAG, EXPIRES, VARY];

/// A file of the client, if that is what is asked for and it is one that can be held.
pub(crate) async fn client_file(
    gateway: &Gateway,
    asked: &Asked,
    server: &Arc<Server>,
    path: &str,
    kind: Kind,
) -> Option<Answer> {
    let meetings = &gateway.meetings;
    let is_file = kind == Kind::Static && path.starts_with(CLIENT) && !is_websocket(&asked.head);
    let is_read = matches!(asked.head.method, Method::GET | Method::HEAD);
    if !is_file || !is_read || server.is_meteor || meetings.live.servers.of(&server.id).reported.is_before_3() {
        return None;
    }
    let files = &meetings.live.files;
    let unconditionally = HeaderMap::new();
    let held = files.get(&server.id, path, || read_file(meetings, server, path, &unconditionally)).await?;
    let mut file = match held {
        Held::File(file) => file,
        Held::Carried(since) => {
            // A server that is being upgraded lacks a file for a moment.
            if meetings.clock.now().saturating_duration_since(since) > STALE {
                files.forget(&server.id, path).await;
            }
            return None;
        }
    };
    let age = meetings.clock.now().saturating_duration_since(file.checked.load());
    if !file.is_lasting && age > STALE {
        // Boxed: seldom, and no other request is to have room for it.
        Box::pin(check_file(meetings, server, path, &file)).await;
        match files.get(&server.id, path, async || None).await? {
            Held::File(now) => file = now,
            Held::Carried(_) => return None,
        }
    } else if !file.is_lasting && age > FRESH {
        let (meetings, server, path, file) =
            (Arc::clone(&gateway.meetings), Arc::clone(server), path.to_owned(), Arc::clone(&file));
        tokio::spawn(async move { check_file(&meetings, &server, &path, &file).await });
    }
    let mut response = answer(&file, &asked.head.headers);
    let outcome = if response.status().is_client_error() { Outcome::Refused } else { Outcome::Ok };
    if asked.head.method == Method::HEAD {
        let length = response.body().size_hint().exact().unwrap_or(0);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Body::empty();
    }
    Some(Answer::new(Call::Meeting, outcome, response).by(&server.id))
}

/// Reads a file from its server. `None` where that gives no answer, or says that a file is still what it was.
async fn read_file(meetings: &Meetings, server: &Server, path: &str, conditions: &HeaderMap) -> Option<Held> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = address(&server.upstream, path, None);
    *request.headers_mut() = conditions.clone();
    request.headers_mut().insert(HOST, HeaderValue::from_str(server.upstream.authority.as_str()).ok()?);
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    let files = &meetings.live.files;
    let read = async {
        let response = meetings.backends.forward(server, request).await.ok()?;
        let (head, body) = response.into_parts();
        if head.status.is_server_error() || head.status == StatusCode::NOT_MODIFIED {
            return None;
        }
        let is_short = body.size_hint().upper().is_none_or(|bytes| bytes <= FILE_BYTES_MAX as u64);
        let is_headed = length_of(&head.headers) <= HEADERS_BYTES_MAX;
        if head.status != StatusCode::OK || !is_short || !is_headed || !is_for_all(&head.headers) {
            return Some(Held::Carried(meetings.clock.now()));
        }
        let mut headers = head.headers.clone();
        if !for_all(&mut headers, &server.names) {
            return Some(Held::Carried(meetings.clock.now()));
        }
        let length = body.size_hint().exact();
        let bytes = match files.read(&server.id, body).await {
            Ok(bytes) => bytes,
            // The end of it may not have been told, and then it is not known whether that was one.
            Err(BodyFault::Broken | BodyFault::Slow | BodyFault::Refused) => {
                return length.is_none().then(|| Held::Carried(meetings.clock.now()));
            }
            Err(BodyFault::TooLarge) => return Some(Held::Carried(meetings.clock.now())),
            Err(BodyFault::NoRoom) => return Some(without_room(meetings, server)),
        };
        let pick = |name: HeaderName, condition: HeaderName| Some((condition, head.headers.get(name)?.clone()));
        let validators = [pick(ETAG, IF_NONE_MATCH), pick(LAST_MODIFIED, IF_MODIFIED_SINCE)];
        let validators = validators.into_iter().flatten().collect();
        for name in NOT_KEPT {
            headers.remove(name);
        }
        let file = File::new(path, bytes, headers, validators, meetings.clock.now());
        let Some(file) = file.in_room(path, files, &server.id).await.map(Arc::new) else {
            return Some(without_room(meetings, server));
        };
        if file.is_packable() {
            files.pack(&file);
        }
        Some(Held::File(file))
    };
    tokio::time::timeout(READ_TIMEOUT, read).await.ok()?
}

/// A file for which there is no room is carried, for a while.
fn without_room(meetings: &Meetings, server: &Server) -> Held {
    meetings.live.files.without_room.fetch_add(1, Relaxed);
    tracing::debug!(server = %server.id, "client file cache is full");
    Held::Carried(meetings.clock.now())
}

/// Asks a server whether a file is still what it has, unless somebody has a moment ago.
async fn check_file(meetings: &Meetings, server: &Server, path: &str, file: &File) {
    let _turn = file.checking.lock().await;
    if meetings.clock.now().saturating_duration_since(file.checked.load()) <= FRESH {
        return;
    }
    let found = read_file(meetings, server, path, &file.validators).await;
    // A server that does not answer has what it had.
    file.checked.store(meetings.clock.now());
    match found {
        Some(Held::File(now)) if now.tag == file.tag => {}
        Some(held) => {
            tracing::info!(server = %server.id, "client file changed on the server: cache entry replaced");
            meetings.live.files.replace(&server.id, path, held).await;
        }
        None => {}
    }
}

/// Whether an answer is the same for everybody, as its server says.
fn is_for_all(headers: &HeaderMap) -> bool {
    let controls = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut controls = controls.flat_map(|value| value.split(',')).map(|control| control.trim().to_ascii_lowercase());
    let by_encoding_only =
        headers.get_all(VARY).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"accept-encoding"));
    !headers.contains_key(SET_COOKIE)
        && !headers.contains_key(CONTENT_ENCODING)
        && by_encoding_only
        && !controls.any(|control| control == "no-store" || control.starts_with("private"))
}

/// A file as it is asked for: whole or in part, in the smallest form that is understood, or the word that it is known.
fn answer(file: &Arc<File>, asked: &HeaderMap) -> Response<Body> {
    let packed = file.packed.get();
    let form = if asked.contains_key(RANGE) {
        Form::Plain
    } else {
        accepted(asked, |form| form.bytes(file, packed).is_some())
    };
    let (bytes, etag) = (form.bytes(file, packed).unwrap_or(&file.bytes), file.etag(form.suffix()));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.clone_from(&file.headers);
    headers.insert(CACHE_CONTROL, if file.is_lasting { FOR_EVER } else { ASK_AGAIN });
    headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(encoding) = form.encoding() {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    if is_known(asked, &file.tag) {
        headers.insert(ETAG, etag);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let is_current = asked.get(IF_RANGE).is_none_or(|condition| *condition == etag);
    headers.insert(ETAG, etag);
    let wanted = match asked.get(RANGE).filter(|_| is_current) {
        Some(range) => wanted(range, bytes.len()),
        None => Wanted::All,
    };
    match wanted {
        Wanted::All => *response.body_mut() = Body::Held(bytes.clone()),
        Wanted::Part(part) => {
            let place = format!("bytes {}-{}/{}", part.start, part.end.saturating_sub(1), bytes.len());
            headers.insert(CONTENT_RANGE, HeaderValue::try_from(place).expect("digits are legal"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            *response.body_mut() = Body::Held(bytes.slice(part));
        }
        Wanted::Nothing => {
            let place = format!("bytes */{}", bytes.len());
            headers.insert(CONTENT_RANGE, HeaderValue::try_from(place).expect("digits are legal"));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_person_is_not_held() {
        for (name, value, is) in [
            ("content-type", "text/css", true),
            ("cache-control", "public, max-age=60", true),
            ("vary", "Accept-Encoding", true),
            ("set-cookie", "a=b", false),
            ("cache-control", "public, no-store", false),
            ("cache-control", "Private", false),
            ("vary", "cookie", false),
            ("content-encoding", "gzip", false),
        ] {
            let name: HeaderName = name.parse().expect("legal");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(is_for_all(&headers), is, "{value}");
        }
    }
}
