//! LiveKit's signalling below `/livekit`: which of its paths the client of a meeting asks for, and how a refusal there is told
//! (docs/reference/bbb-protocol.md, "LiveKit").
//!
//! The API of LiveKit's administrators (`twirp`) and its workers' socket are behind the same address of a server: they are refused.

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION, request::Parts};

use super::named_ids::access_tokens;
use crate::domain::{denial::Denial, session::TokenHash};

/// Where LiveKit is on a server.
const LIVEKIT: &str = "/livekit";
/// What the name of a session follows, below the name of its server.
const OF: &str = "/of/";

/// Where a session finds LiveKit below its server's name: `/of/<name>/livekit`. LiveKit's client puts its own path behind that, and
/// sends nothing else that tells whose socket it is. The name is the hash of the session's token: the client logs the address.
pub(super) fn path_for(session: Option<&TokenHash>) -> String {
    match session {
        Some(session) => format!("{OF}{}{LIVEKIT}", BASE64URL_NOPAD.encode(session)),
        None => LIVEKIT.to_owned(),
    }
}

/// The session that such a path names, and the path on the server; `None` for any other path.
pub(super) fn of_session(path: &str) -> Option<(TokenHash, &str)> {
    let rest = path.strip_prefix(OF)?;
    let (name, path) = rest.split_at(rest.find('/')?);
    let session = BASE64URL_NOPAD.decode(name.as_bytes()).ok()?.try_into().ok()?;
    is_livekit(path).then_some((session, path))
}

/// Whether LiveKit takes a token at a path: everywhere but where it says that it is there.
pub(super) fn takes_token(path: &str) -> bool {
    is_livekit(path) && !matches!(path, "/livekit" | "/livekit/")
}

/// Whether the client of a meeting asks for a path, which is what stands behind `/livekit`.
pub(super) fn is_of_a_client(rest: &str) -> bool {
    matches!(rest, "/" | "/rtc") || rest.starts_with("/rtc/") || rest.starts_with("/settings/")
}

/// Leaves LiveKit one place to read a token from, and one way: the query, which is where the gateway reads its room. LiveKit
/// would take one from a header or a form first. Its native SDKs send a bearer and nothing in the query: that goes there.
///
/// # Errors
/// [`Denial::NotFound`] for a method that may have a form, and for a token that has not the plain form of a JWT.
pub(super) fn settle(head: &mut Parts, path: &str) -> Result<(), Denial> {
    if !is_livekit(path) {
        return Ok(());
    }
    let bearer = head.headers.remove(AUTHORIZATION);
    let tokens: Vec<_> = access_tokens(head.uri.query().unwrap_or_default()).collect();
    if !tokens.iter().all(|token| is_jwt(token)) || !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Denial::NotFound);
    }
    if tokens.is_empty()
        && let Some(token) = bearer.as_ref().and_then(jwt_of)
    {
        let query = head.uri.query().map(|query| format!("{query}&")).unwrap_or_default();
        let with_token = format!("{}?{query}access_token={token}", head.uri.path());
        head.uri = with_token.parse().map_err(|_| Denial::NotFound)?;
    }
    Ok(())
}

/// The JWT of a bearer (RFC 6750, 2.1).
fn jwt_of(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && is_jwt(token)).then_some(token)
}

/// Three parts in letters, digits, hyphens and underscores (RFC 7515, 7.1).
fn is_jwt(token: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    token.bytes().all(is_plain) && token.split('.').count() == 3
}

/// The status of a refusal. LiveKit's client gives up at 401 and 403, and takes 404 for a LiveKit that does not know `v1`: the
/// gateway says these of no address of LiveKit's, so that they are always LiveKit's own.
pub(super) fn status(path: &str, status: StatusCode) -> StatusCode {
    let is_livekits_word = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    if is_livekits_word && is_livekit(on_server(path)) { StatusCode::GONE } else { status }
}

/// A path without the names of its server and its session.
fn on_server(path: &str) -> &str {
    let rest = path.strip_prefix("/s/");
    let path = rest.and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(path);
    of_session(path).map_or(path, |(_, path)| path)
}

fn is_livekit(path: &str) -> bool {
    path.strip_prefix(LIVEKIT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_refusal_is_not_livekits() {
        for (path, given, told) in [
            ("/s/x1/livekit/twirp/livekit.RoomService/ListRooms", 404, 410),
            ("/s/x1/livekit/rtc/v1/validate", 401, 410),
            ("/livekit/rtc", 403, 410),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit/rtc", 401, 410),
            ("/s/x1/livekit", 404, 410),
            ("/s/x1/livekit/rtc", 429, 429),
            ("/s/x1/livekit/rtc", 502, 502),
            ("/s/x1/livekits", 404, 404),
            ("/s/livekit", 404, 404),
            ("/s/livekit/pad/x", 404, 404),
            ("/b/livekit/rtc", 404, 404),
        ] {
            let given = StatusCode::from_u16(given).expect("a status");
            assert_eq!(status(path, given), told, "{path}");
        }
    }

    #[test]
    fn a_token_is_read_from_the_query_alone() {
        let asked = |method, path: &str| {
            let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, "Bearer x");
            let (mut head, ()) = request.body(()).expect("legal").into_parts();
            let may = settle(&mut head, path.split('?').next().unwrap_or_default()).is_ok();
            (may, head.headers.contains_key(AUTHORIZATION))
        };
        assert_eq!(asked(Method::GET, "/livekit/rtc"), (true, false));
        assert_eq!(asked(Method::POST, "/livekit/rtc/validate"), (false, false));
        assert_eq!(asked(Method::POST, "/pad/p/1"), (true, true));
        for (query, may) in [
            ("", true),
            ("access_token=x.Y-_0.z", true),
            ("Access%5Ftoken=x.y.z", true),
            ("access_token=x.y", false),
            ("access_token=x.y*.z", false),
            ("x=1&access%5Ftoken=x.y%20.z", false),
        ] {
            assert_eq!(asked(Method::GET, &format!("/livekit/rtc?{query}")).0, may, "{query}");
        }
    }

    #[test]
    fn a_bearer_goes_into_the_query() {
        for (query, authorization, left) in [
            ("", "Bearer x.y.z", "/livekit/rtc?access_token=x.y.z"),
            ("?protocol=16", "bearer x.y.z", "/livekit/rtc?protocol=16&access_token=x.y.z"),
            ("?access_token=a.b.c", "Bearer x.y.z", "/livekit/rtc?access_token=a.b.c"),
            ("", "Bearer x.y", "/livekit/rtc"),
            ("", "Bearer x.y.z&room=1", "/livekit/rtc"),
            ("", "Basic x.y.z", "/livekit/rtc"),
        ] {
            let request = Request::builder().uri(format!("/livekit/rtc{query}")).header(AUTHORIZATION, authorization);
            let (mut head, ()) = request.body(()).expect("legal").into_parts();
            assert_eq!(settle(&mut head, "/livekit/rtc"), Ok(()), "{query} {authorization}");
            assert_eq!((head.uri.to_string().as_str(), head.headers.len()), (left, 0), "{query} {authorization}");
        }
    }
}
