//! What search engines are told: where they may not go, and what they may not list.
//!
//! `robots.txt` keeps them from what has effects or belongs to a meeting. It does not name recordings: only what may be read
//! can say of itself that it is not to be listed (`X-Robots-Tag`), and a link that stands on some page would be listed
//! otherwise, though unread. A tenant's frontend speaks for its own paths, and has a `robots.txt` of its own.

use http::{HeaderName, HeaderValue, StatusCode, header::CACHE_CONTROL};

use super::answer::{Answer, is_page, text};
use crate::metrics::{Call, Outcome};

/// Where the rules are found (RFC 9309, 2.3).
pub(crate) const PATH: &str = "/robots.txt";

const RULES: &str = "User-agent: *\nDisallow: /bigbluebutton/\nDisallow: /s/\nDisallow: /html5client/\n";

const TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const NOT_LISTED: HeaderValue = HeaderValue::from_static("noindex, nofollow");

/// The rules of a host without a frontend.
pub(crate) fn rules() -> Answer {
    let mut response = text(StatusCode::OK, "text/plain;charset=utf-8", RULES);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Answer::new(Call::Page, Outcome::Ok, response)
}

/// Keeps an answer out of search engines: joins, recordings with all their files, and every page of a meeting. The landing
/// page may be found, and a frontend knows best.
pub(crate) fn set_not_listed(answer: &mut Answer) {
    let is_private = match answer.call {
        Call::Join | Call::Playback => true,
        Call::Frontend | Call::Page => false,
        _ => is_page(answer.response.headers()),
    };
    if is_private {
        answer.response.headers_mut().insert(TAG, NOT_LISTED);
    }
}
