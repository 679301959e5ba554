//! Files as nginx serves them: with an entity tag, and in part where a part is asked for.

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::answer;
use crate::sign::Algorithm;

/// A file and its type.
pub(crate) struct File {
    content_type: &'static str,
    bytes: Bytes,
}

impl File {
    pub(crate) fn new(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self { content_type, bytes: bytes.into() }
    }
}

/// What a `Range` asks of a file of some length.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// First byte, and the one after the last.
    Part(usize, usize),
    /// No byte of it is there.
    Nothing,
}

/// Reads a `Range`. More than one range is answered with all, as a server may.
fn wanted(range: Option<&str>, length: usize) -> Wanted {
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")).filter(|range| !range.contains(',')) else {
        return Wanted::All;
    };
    let part = range.trim().split_once('-').and_then(|(first, last)| match (first, last) {
        ("", suffix) => Some((length.saturating_sub(suffix.parse().ok()?), length)),
        (first, "") => Some((first.parse().ok()?, length)),
        (first, last) => Some((first.parse().ok()?, last.parse::<usize>().ok()?.saturating_add(1).min(length))),
    });
    match part {
        Some((first, end)) if first < end => Wanted::Part(first, end),
        _ => Wanted::Nothing,
    }
}

/// A file as nginx serves it: whole, the part that is asked for, or 416.
pub(crate) fn ranged(file: File, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let length = file.bytes.len();
    let etag = format!("\"{}\"", &Algorithm::Sha1.hex(&file.bytes)[..16]);
    let is_current = text(IF_RANGE).is_none_or(|given| given == etag);
    let wanted = wanted(text(RANGE).filter(|_| is_current), length);
    let mut response = match wanted {
        Wanted::All => answer::text(StatusCode::OK, file.content_type, Body::from(file.bytes)),
        Wanted::Part(first, end) => {
            answer::text(StatusCode::PARTIAL_CONTENT, file.content_type, Body::from(file.bytes.slice(first..end)))
        }
        Wanted::Nothing => answer::page(StatusCode::RANGE_NOT_SATISFIABLE),
    };
    let content_range = match wanted {
        Wanted::All => None,
        Wanted::Part(first, end) => Some(format!("bytes {first}-{}/{length}", end - 1)),
        Wanted::Nothing => Some(format!("bytes */{length}")),
    };
    let mut set = |name, value: &str| {
        response.headers_mut().insert(name, HeaderValue::from_str(value).expect("digits and hex are fit for a header"));
    };
    if let Some(content_range) = content_range {
        set(CONTENT_RANGE, &content_range);
    }
    set(ACCEPT_RANGES, "bytes");
    set(ETAG, &etag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_against_the_length() {
        for (range, expected) in [
            (None, Wanted::All),
            (Some("bytes=0-0"), Wanted::Part(0, 1)),
            (Some("bytes=2-5"), Wanted::Part(2, 6)),
            (Some("bytes=7-"), Wanted::Part(7, 10)),
            (Some("bytes=-3"), Wanted::Part(7, 10)),
            (Some("bytes=-30"), Wanted::Part(0, 10)),
            (Some("bytes=5-99"), Wanted::Part(5, 10)),
            (Some("bytes=9-9"), Wanted::Part(9, 10)),
            (Some("bytes=10-"), Wanted::Nothing),
            (Some("bytes=-0"), Wanted::Nothing),
            (Some("bytes=5-2"), Wanted::Nothing),
            (Some("bytes=x-y"), Wanted::Nothing),
            (Some("bytes=0-1,4-5"), Wanted::All),
            (Some("lines=0-1"), Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range:?}");
        }
    }
}
