//! Who a call to a server is made for: what the server is told of them, as it would be by a request that is carried.
//!
//! * Their address, browser and languages, as they are. BBB writes the first two into its records of who has joined.
//! * Where they came from (`Referer`), which BBB records too: the origin alone, as a browser tells it to another origin. A path
//!   may hold a signed link or what somebody reads. Whoever comes from the tenant's own host comes, for the server, from its
//!   own: no address of a tenant is told to a server.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{ACCEPT_LANGUAGE, REFERER, USER_AGENT},
};

use super::asked::Asked;
use crate::upstream::{Caller, Referrer};

/// A browser's name has some 120 bytes, apps have 300; servers take 8 KB for a whole head.
const VALUE_BYTES_MAX: usize = 1024;

impl Asked {
    /// What a server is told of who has asked.
    pub(crate) fn caller(&self) -> Caller {
        let headers = &self.head.headers;
        Caller {
            address: Some(self.connection.peer.ip()),
            user_agent: value(headers, &USER_AGENT),
            languages: value(headers, &ACCEPT_LANGUAGE),
            referrer: value(headers, &REFERER).and_then(|from| origin(&from, &self.authority)),
        }
    }
}

/// The one value of a header, unless it is longer than any that means something.
fn value(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    headers.get(name).filter(|value| value.len() <= VALUE_BYTES_MAX).cloned()
}

/// The origin of an address, as browsers write it into `Referer`.
fn origin(from: &HeaderValue, authority: &str) -> Option<Referrer> {
    // A fragment is not sent, and an address that has one is not one that is parsed.
    let from: Uri = from.to_str().ok()?.parse().ok()?;
    let (scheme, host) = (from.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"))?, from.host()?);
    let own = authority.split(':').next().unwrap_or_default();
    let origin = match from.port() {
        _ if host.eq_ignore_ascii_case(own) => return Some(Referrer::OwnHost),
        Some(port) => format!("{scheme}://{host}:{port}/"),
        None => format!("{scheme}://{host}/"),
    };
    HeaderValue::try_from(origin).ok().map(Referrer::Origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_learns_the_origin_and_no_more() {
        for (from, told) in [
            ("https://moodle.example/mod/view.php?id=7", Some("https://moodle.example/")),
            ("https://moodle.example:8443", Some("https://moodle.example:8443/")),
            ("http://user:word@moodle.example/", Some("http://moodle.example/")),
            ("https://meet.wagtail.example/rooms/x?token=y", Some("own host")),
            ("https://MEET.wagtail.example:443/", Some("own host")),
            ("android-app://org.example.app/", None),
            ("/rooms", None),
            ("about:blank", None),
            ("", None),
        ] {
            let found = origin(&HeaderValue::from_static(from), "meet.wagtail.example:443");
            let found = found.as_ref().map(|found| match found {
                Referrer::Origin(value) => value.to_str().expect("text"),
                Referrer::OwnHost => "own host",
            });
            assert_eq!(found, told, "{from}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_left_out() {
        let mut headers = HeaderMap::new();
        for (length, is_told) in [(VALUE_BYTES_MAX, true), (VALUE_BYTES_MAX + 1, false)] {
            headers.insert(USER_AGENT, HeaderValue::try_from("x".repeat(length)).expect("legal"));
            assert_eq!(value(&headers, &USER_AGENT).is_some(), is_told, "{length}");
        }
    }
}
