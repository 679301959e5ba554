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
use crate::{bbb::client::Caller, domain::tenant::Server};

/// A browser's name has some 120 bytes, apps have 300; servers take 8 KB for a whole head.
const VALUE_BYTES_MAX: usize = 1024;

impl Asked {
    /// What a server is told of who has asked.
    pub(crate) fn caller(&self, server: &Server) -> Caller {
        let headers = &self.head.headers;
        Caller {
            address: Some(self.connection.peer.ip()),
            user_agent: value(headers, &USER_AGENT),
            languages: value(headers, &ACCEPT_LANGUAGE),
            request_id: Some(self.request_id.to_value()),
            referrer: value(headers, &REFERER).and_then(|from| origin(&from, &self.authority, server)),
        }
    }
}

/// The one value of a header, unless it is longer than any that means something.
fn value(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    headers.get(name).filter(|value| value.len() <= VALUE_BYTES_MAX).cloned()
}

/// The origin of an address, as browsers write it into `Referer`; the server's own in the place of the tenant's host.
fn origin(from: &HeaderValue, authority: &str, server: &Server) -> Option<HeaderValue> {
    // A fragment is not sent, and an address that has one is not one that is parsed.
    let from: Uri = from.to_str().ok()?.parse().ok()?;
    let (scheme, host) = (from.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"))?, from.host()?);
    let own = authority.split(':').next().unwrap_or_default();
    let origin = match from.port() {
        _ if host.eq_ignore_ascii_case(own) => format!("{}://{}/", server.upstream.scheme, server.upstream.authority),
        Some(port) => format!("{scheme}://{host}:{port}/"),
        None => format!("{scheme}://{host}/"),
    };
    HeaderValue::try_from(origin).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::server;

    #[test]
    fn a_server_learns_the_origin_and_no_more() {
        for (from, told) in [
            ("https://moodle.example/mod/view.php?id=7", Some("https://moodle.example/")),
            ("https://moodle.example:8443", Some("https://moodle.example:8443/")),
            ("http://user:word@moodle.example/", Some("http://moodle.example/")),
            ("https://meet.wagtail.example/rooms/x?token=y", Some("https://a.internal.test/")),
            ("https://MEET.wagtail.example:443/", Some("https://a.internal.test/")),
            ("android-app://org.example.app/", None),
            ("/rooms", None),
            ("about:blank", None),
            ("", None),
        ] {
            let value = origin(&HeaderValue::from_static(from), "meet.wagtail.example:443", &server("a", "members"));
            assert_eq!(value.as_ref().and_then(|value| value.to_str().ok()), told, "{from}");
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
