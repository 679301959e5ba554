//! The session that a request of a meeting names, in the one form that every reader behind the gateway finds.
//!
//! BBB reads a session token from the header `X-Session-Token`, from the parameters that Tomcat has decoded, or out of
//! the whole address, which it decodes itself (docs/reference/bbb-protocol.md, "Sessions and cookies"). The
//! gateway looks a session up once. So a request goes on only if all of them find what was looked up: a name that some
//! reader could take for `sessionToken` and that is not written in those bytes is refused, the same token given twice
//! becomes one, and all other bytes of a query stay as they came.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Uri, request::Parts, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

use crate::domain::denial::Denial;

/// What a token is called in a query.
const PARAM: &str = "sessionToken";
/// The header that names a session.
const HEADER: HeaderName = HeaderName::from_static("x-session-token");
/// The same, as some applications read it.
const HEADER_AS_READ: &str = "x_session_token";
/// BBB's tokens have 16 characters.
const TOKEN_BYTES_MAX: usize = 128;
/// How often a reader may decode what has been decoded.
const DECODED_MAX: usize = 2;

/// A token could be read in two ways, or two are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The session that a query names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its token.
    pub token: Option<&'a str>,
    /// The query that goes on: it names the token once.
    pub query: Cow<'a, str>,
}

/// Whether a text can be a token: it means the same encoded and decoded, as often as one likes.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The session that a raw query names, and the query that goes on.
///
/// # Errors
/// [`Ambiguous`] for two tokens, for one that is none ([`is_token`]), and for a name that is `sessionToken` only to some
/// readers: in another case, encoded once or twice, behind a second `?`, as an array.
pub fn named(query: &str) -> Result<Named<'_>, Ambiguous> {
    let mut found = query.split('&').filter_map(value_of);
    let token = found.next();
    let others = found
        .try_fold(0_usize, |n, other| if Some(other) == token { Ok(n.saturating_add(1)) } else { Err(Ambiguous) })?;
    if token.is_some_and(|token| !is_token(token)) {
        return Err(Ambiguous);
    }
    let plain = if token.is_some() { others.saturating_add(1) } else { 0 };
    if readings(query).any(|text| names_in(&text) != plain) {
        return Err(Ambiguous);
    }
    let query = match token {
        Some(token) if others > 0 => Cow::Owned(once(query, token)),
        _ => Cow::Borrowed(query),
    };
    Ok(Named { token, query })
}

/// Makes a request name its session in one way, and tells which one.
///
/// # Errors
/// [`Denial::UnknownSession`] for what is ambiguous: see [`named`].
pub(super) fn settle(head: &mut Parts) -> Result<Option<String>, Denial> {
    let in_header = of_header(head)?;
    let Named { token, query } = named(head.uri.query().unwrap_or("")).map_err(|_| Denial::UnknownSession)?;
    if in_header.is_some() && token.is_some() && token != in_header.as_deref() {
        return Err(Denial::UnknownSession);
    }
    let token = token.map(str::to_owned).or(in_header);
    if let Cow::Owned(query) = query {
        head.uri = with_query(&head.uri, &query)?;
    }
    Ok(token)
}

/// The token of a request that has been settled.
pub(super) fn of_settled(head: &Parts) -> Option<&str> {
    let in_query = named(head.uri.query().unwrap_or("")).ok().and_then(|named| named.token);
    in_query.or_else(|| head.headers.get(HEADER)?.to_str().ok())
}

/// The token that the header names; it is left there once.
fn of_header(head: &mut Parts) -> Result<Option<String>, Denial> {
    head.headers.remove(HEADER_AS_READ);
    let mut values = head.headers.get_all(HEADER).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let token = first.to_str().ok().filter(|token| is_token(token)).ok_or(Denial::UnknownSession)?.to_owned();
    if values.any(|other| other.as_bytes() != token.as_bytes()) {
        return Err(Denial::UnknownSession);
    }
    head.headers.insert(HEADER, HeaderValue::from_str(&token).map_err(|_| Denial::UnknownSession)?);
    Ok(Some(token))
}

/// Whether a request names a session, in whichever way.
pub(super) fn is_named(head: &Parts) -> bool {
    let in_header = head.headers.contains_key(HEADER) || head.headers.contains_key(HEADER_AS_READ);
    in_header || head.uri.query().is_some_and(is_named_in)
}

/// Whether some reader finds a session in an address or a query.
pub(super) fn is_named_in(text: &str) -> bool {
    readings(text).any(|text| names_in(&text) > 0)
}

/// Takes the session out of a request that is for nobody who knows sessions: out of its headers, and out of its query the pairs
/// in which some reader finds one.
///
/// # Errors
/// [`Denial::UnknownSession`] where no address is left: never, what is left was part of one.
pub(super) fn remove(head: &mut Parts) -> Result<(), Denial> {
    strip(&mut head.headers);
    if let Some(query) = head.uri.query().filter(|query| is_named_in(query)) {
        let others: Vec<&str> = query.split('&').filter(|pair| !is_named_in(pair)).collect();
        head.uri = with_query(&head.uri, &others.join("&"))?;
    }
    Ok(())
}

/// Takes the session out of the headers of a request that names it elsewhere.
pub(super) fn strip(headers: &mut http::HeaderMap) {
    headers.remove(HEADER);
    headers.remove(HEADER_AS_READ);
}

/// The value of a pair that bears the name in its own bytes.
fn value_of(pair: &str) -> Option<&str> {
    pair.strip_prefix(PARAM)?.strip_prefix('=')
}

/// A query without its tokens, and behind it this one.
fn once(query: &str, token: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for pair in query.split('&').filter(|pair| value_of(pair).is_none()) {
        out.push_str(pair);
        out.push('&');
    }
    out + PARAM + "=" + token
}

/// A query as it may be read: as it is, and decoded as often as that changes it.
fn readings(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let again =
        |text: &Cow<'_, str>| text.contains('%').then(|| percent_decode_str(text).decode_utf8_lossy().into_owned());
    std::iter::successors(Some(Cow::Borrowed(query)), move |text| again(text).map(Cow::Owned)).take(DECODED_MAX + 1)
}

/// How many parameters some reader takes for a token.
fn names_in(text: &str) -> usize {
    text.split(['&', '?', ';']).filter(|pair| is_read_as_name(pair)).count()
}

fn is_read_as_name(pair: &str) -> bool {
    let name = pair.split(['=', '[']).next().unwrap_or("");
    if name == PARAM {
        return true;
    }
    if name.len() < PARAM.len() {
        return false;
    }
    // Names are sanitised as values are, and not every reader minds the case.
    let folded = name.chars().filter(|c| !c.is_control() && !c.is_whitespace() && *c != '+');
    folded.flat_map(char::to_uppercase).flat_map(char::to_lowercase).eq(PARAM.chars().map(|c| c.to_ascii_lowercase()))
}

fn with_query(uri: &Uri, query: &str) -> Result<Uri, Denial> {
    let mut parts = uri.clone().into_parts();
    let joint = if query.is_empty() { "" } else { "?" };
    let path = format!("{}{joint}{query}", uri.path());
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| Denial::UnknownSession)?);
    Uri::from_parts(parts).map_err(|_| Denial::UnknownSession)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_query_names_one_session_or_none() {
        for (query, token, goes_on) in [
            ("", None, ""),
            ("x=1", None, "x=1"),
            ("x=%26y%3D%25", None, "x=%26y%3D%25"),
            ("sessionTokens=abc&mysessionToken=1", None, "sessionTokens=abc&mysessionToken=1"),
            ("replaceSessionToken=true", None, "replaceSessionToken=true"),
            ("x=1&sessionToken=abc", Some("abc"), "x=1&sessionToken=abc"),
            ("sessionToken=a-b_C1&t=%3D+%20", Some("a-b_C1"), "sessionToken=a-b_C1&t=%3D+%20"),
            ("sessionToken=abc&x=%41&sessionToken=abc", Some("abc"), "x=%41&sessionToken=abc"),
            ("sessionToken=abc&sessionToken=abc", Some("abc"), "sessionToken=abc"),
        ] {
            assert_eq!(named(query), Ok(Named { token, query: goes_on.into() }), "{query}");
            // What goes on is read as it was read here.
            assert_eq!(named(goes_on).map(|again| again.token), Ok(token), "{query}");
        }
    }

    #[test]
    fn a_session_that_some_readers_find_and_others_do_not_is_refused() {
        for query in [
            "sessionToken=",
            "sessionToken",
            "sessionToken=a%62c",
            "sessionToken=a+b",
            "sessionToken=abc=d",
            "sessionToken=abc&sessionToken=xyz",
            "sessionToken=abc&SessionToken=xyz",
            "sessiontoken=xyz",
            "session%54oken=xyz",
            "session%2554oken=xyz",
            "sessionToken=abc&session%54oken=abc",
            "%20sessionToken=xyz",
            "+sessionToken=xyz",
            "session%00Token=xyz",
            "se%C5%BFsionToken=xyz",
            "sessionToken[]=xyz",
            "sessionToken%5B0%5D=xyz",
            "sessionToken=abc&x=%26sessionToken%3Dxyz",
            "sessionToken=abc&x=%2526sessionToken%253Dxyz",
            "sessionToken=abc&x=%3FsessionToken%3Dxyz",
            "x=1?sessionToken=xyz",
            "x=1;sessionToken=xyz",
        ] {
            assert_eq!(named(query), Err(Ambiguous), "{query}");
        }
        assert_eq!(named(&format!("sessionToken={}", "a".repeat(129))), Err(Ambiguous));
    }

    #[test]
    fn a_session_is_taken_out_of_a_request_for_others() {
        for (query, left) in [
            ("", ""),
            ("x=1&y=%26", "?x=1&y=%26"),
            ("sessionToken=abc", ""),
            ("a=1&sessionToken=abc&b=2&sessionToken=abc", "?a=1&b=2"),
            ("a=1&SESSIONTOKEN=abc&session%54oken=x&sessionToken[]=y", "?a=1"),
            ("return=%2Fx%3FsessionToken%3Dabc&b=2", "?b=2"),
            ("sessionTokens=abc&mysessionToken=1", "?sessionTokens=abc&mysessionToken=1"),
        ] {
            let request = Request::get(format!("https://meet.example/rooms?{query}"));
            let request = request.header("x-session-token", "abc").header("x_session_token", "abc").body(());
            let (mut head, ()) = request.expect("legal").into_parts();
            assert!(is_named(&head));
            remove(&mut head).expect("an address is left");
            let left = if query.is_empty() { "?" } else { left };
            assert_eq!(head.uri, *format!("https://meet.example/rooms{left}"), "{query}");
            assert!(head.headers.is_empty() && !is_named(&head), "{query}");
        }
    }

    #[test]
    fn a_request_names_one_session_or_none() {
        let settled = |headers: &[(&str, &str)], query: &str| {
            let mut request = Request::builder().uri(format!("https://meet.example/s/x/pad/p?{query}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (mut head, ()) = request.body(()).expect("legal").into_parts();
            settle(&mut head).map(|token| (token, head))
        };
        let (h, as_read) = ("x-session-token", "x_session_token");
        for (headers, query, token, left) in [
            (&[][..], "x=1", None, "x=1"),
            (&[(h, "abc")], "x=1", Some("abc"), "x=1"),
            (&[(h, "abc"), (h, "abc")], "", Some("abc"), ""),
            (&[(h, "abc")], "sessionToken=abc&sessionToken=abc&y=2", Some("abc"), "y=2&sessionToken=abc"),
            (&[(as_read, "xyz")], "sessionToken=abc", Some("abc"), "sessionToken=abc"),
        ] {
            let (got, head) = settled(headers, query).expect("one session");
            assert_eq!(got.as_deref(), token, "{headers:?} {query}");
            assert_eq!(head.uri, *format!("https://meet.example/s/x/pad/p?{left}"), "{headers:?} {query}");
            assert!(head.headers.get_all(h).iter().count() <= 1 && !head.headers.contains_key(as_read));
        }
        for (headers, query) in [
            (&[(h, "abc"), (h, "xyz")][..], ""),
            (&[(h, "a b")], ""),
            (&[(h, "")], ""),
            (&[(h, "abc")], "sessionToken=xyz"),
            (&[], "sessionToken=abc&sessionToken=xyz"),
        ] {
            assert_eq!(settled(headers, query).err(), Some(Denial::UnknownSession), "{headers:?} {query}");
        }
    }
}
