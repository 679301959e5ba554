//! The page that a request was asked from, as its browser says (`Referer`): on a page of the same host a browser says the whole
//! address.
//!
//! Pages of a meeting ask for some files from the root of the host, and nothing but this tells which meeting they are of. Anybody
//! can say anything here, so that it leads to no more than to files which are the same for everybody, on a server that the
//! tenant reaches anyway. What a frontend learns of it is in `for_frontend`.

use http::{HeaderMap, HeaderValue, header::REFERER};

use super::{
    path::merge_slashes,
    route::{Route, route},
    session_token,
};

/// Leaves a frontend what it may know of where somebody came from: of a page of a meeting, of a signed link, and of whatever
/// names a session, the origin alone, as a browser tells it to another origin.
pub(super) fn for_frontend(headers: &mut HeaderMap, authority: &str) {
    let Some(from) = headers.get(REFERER) else { return };
    let told = match from.to_str() {
        Ok(text) if is_of_session(text, authority) => {
            origin(text).and_then(|origin| HeaderValue::from_str(origin).ok())
        }
        Ok(_) => return,
        Err(_) => None,
    };
    headers.remove(REFERER);
    if let Some(origin) = told {
        headers.insert(REFERER, origin);
    }
}

fn is_of_session(text: &str, authority: &str) -> bool {
    let is_bbbs = |path: &str| !matches!(route(&merge_slashes(path)), Route::Other | Route::OfPage { .. });
    session_token::is_named_in(text) || on_host(text, authority).is_some_and(|(path, _)| is_bbbs(path))
}

/// An address up to its first path, with that slash.
fn origin(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("://")?;
    // Neither a query nor a name and a password before the host.
    let (_, path) = behind.split_at(behind.find(['/', '?', '#', '@', '\\'])?);
    text.strip_suffix(path.strip_prefix('/')?)
}

/// Path and query of the page of this host that a request was asked from.
pub(super) fn own_page<'h>(headers: &'h HeaderMap, authority: &str) -> Option<(&'h str, &'h str)> {
    on_host(headers.get(REFERER)?.to_str().ok()?, authority)
}

/// Path and query of an address on this host.
fn on_host<'t>(text: &'t str, authority: &str) -> Option<(&'t str, &'t str)> {
    let rest = text.strip_prefix("https://")?;
    let (host, rest) = rest.split_at_checked(authority.len()).filter(|(_, rest)| rest.starts_with('/'))?;
    let address = rest.split('#').next().unwrap_or(rest);
    host.eq_ignore_ascii_case(authority).then(|| address.split_once('?').unwrap_or((address, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "meet.w:8443";

    #[test]
    fn a_page_of_the_host_is_told_from_all_others() {
        for (from, page) in [
            ("https://meet.w:8443/s/x1/html5client/?sessionToken=t", Some(("/s/x1/html5client/", "sessionToken=t"))),
            ("https://MEET.w:8443/", Some(("/", ""))),
            ("https://meet.w:8443/a?b#c", Some(("/a", "b"))),
            ("https://meet.w:8443", None),
            ("https://meet.w/s/x1/", None),
            ("https://meet.w:84430/s/x1/", None),
            ("http://meet.w:8443/s/x1/", None),
            ("https://evil.example/https://meet.w:8443/s/x1/", None),
            ("https://meet.w:8443@evil.example/s/x1/", None),
            ("https://meet.\u{fc}", None),
            ("", None),
        ] {
            assert_eq!(on_host(from, HOST), page, "{from}");
        }
    }

    #[test]
    fn a_frontend_learns_of_no_session() {
        for (from, told) in [
            ("https://meet.w:8443/rooms/x?tab=1", Some("https://meet.w:8443/rooms/x?tab=1")),
            ("https://meet.w:8443/static/app.css", Some("https://meet.w:8443/static/app.css")),
            ("https://moodle.example/course?id=7", Some("https://moodle.example/course?id=7")),
            ("https://meet.w:8443/s/x1/html5client/", Some("https://meet.w:8443/")),
            ("https://meet.w:8443//s/x1/html5client/", Some("https://meet.w:8443/")),
            ("https://meet.w:8443/html5client?sessionToken=t", Some("https://meet.w:8443/")),
            ("https://meet.w:8443/rooms/x?session%54oken=t", Some("https://meet.w:8443/")),
            ("https://meet.w:8443/rooms/x?to=%2Fs%2Fx1%2F%3FsessionToken%3Dt", Some("https://meet.w:8443/")),
            ("https://meet.w:8443/bigbluebutton/api/join?meetingID=a&checksum=b", Some("https://meet.w:8443/")),
            ("https://meet.w:8443/learning-analytics-dashboard/?meeting=a&report=b", Some("https://meet.w:8443/")),
            ("https://other.example:80/x?sessionToken=t", Some("https://other.example:80/")),
            ("https://name:sessionToken=t@other.example/?sessionToken=t", None),
            ("https://other.example?sessionToken=t", None),
            ("sessionToken=t", None),
            ("", Some("")),
        ] {
            let mut headers = HeaderMap::from_iter([(REFERER, HeaderValue::from_static(from))]);
            for_frontend(&mut headers, HOST);
            assert_eq!(headers.get(REFERER).map(|value| value.to_str().expect("text")), told, "{from}");
        }
        let mut headers =
            HeaderMap::from_iter([(REFERER, HeaderValue::from_bytes(b"https://meet.w/\xff").expect("legal"))]);
        for_frontend(&mut headers, HOST);
        assert!(headers.is_empty(), "what cannot be read is not passed on");
    }
}
