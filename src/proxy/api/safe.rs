//! Safe requests: `HEAD`, which link scanners send, and prefetches, which browsers make of links that nobody has followed yet.
//! They change nothing: no server is asked, no seat and no room is taken.

use http::{HeaderMap, HeaderValue, StatusCode, header::CACHE_CONTROL};

use crate::{
    metrics::{Call, Outcome},
    proxy::answer::{Answer, text},
    upstream::Body,
};

/// What says that a request is made ahead of time: the standard's header (Fetch, `Sec-Purpose`), and older ones of browsers.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// Whether a browser asks ahead of time, for a link that it shows or guesses.
pub(crate) fn is_prefetch(headers: &HeaderMap) -> bool {
    let values = PURPOSES.iter().flat_map(|name| headers.get_all(*name));
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        // `prefetch;prerender`: an item with parameters.
        let is_ahead = |purpose: &str| {
            ["prefetch", "prerender", "preview"].iter().any(|ahead| purpose.eq_ignore_ascii_case(ahead))
        };
        value.split([',', ';']).map(str::trim).any(is_ahead)
    })
}

/// The answer to a `HEAD` of a call that would change something: that there is such a call, and nothing of what it would say.
pub(super) fn preview(call: Call) -> Answer {
    let kind = if call == Call::Join { "text/html;charset=utf-8" } else { "text/xml;charset=utf-8" };
    let mut answer = Answer::new(call, Outcome::Ok, text(StatusCode::OK, kind, Body::empty()));
    answer.reason = "preview";
    not_kept(answer)
}

/// The answer to a prefetch of a call that would change something: not now. The browser asks again when the link is followed.
pub(crate) fn not_ahead(call: Call) -> Answer {
    let refused =
        text(StatusCode::SERVICE_UNAVAILABLE, "text/plain;charset=utf-8", "This is not done ahead of time.\n");
    let mut answer = Answer::new(call, Outcome::Refused, refused);
    answer.reason = "prefetch";
    not_kept(answer)
}

fn not_kept(mut answer: Answer) -> Answer {
    answer.response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_prefetch_says_so() {
        for (name, value, is) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch;anonymous-client-ip", true),
            ("purpose", "Prefetch", true),
            ("x-moz", "prefetch", true),
            ("x-purpose", "preview", true),
            ("sec-purpose", "", false),
            ("sec-purpose", "prefetched", false),
            ("purpose", "meeting", false),
            ("sec-fetch-mode", "navigate", false),
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(is_prefetch(&headers), is, "{name}: {value}");
        }
    }
}
