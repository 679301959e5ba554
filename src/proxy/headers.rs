//! Headers of requests on their way to servers and frontends: what belongs to one hop stays there, and what only a proxy may
//! say is the gateway's to say. Answers are `answered`'s, cookies are `cookies`'.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, COOKIE, HOST, ORIGIN, REFERER},
};

use crate::{
    domain::tenant::Server,
    net::request_id::{REQUEST_ID, RequestId},
};

/// Headers that a proxy does not pass on (RFC 9110, 7.6.1), beside those that `Connection` names. What is expected has been met
/// here: leave to send a body is given before a server is asked.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What applications believe of a proxy in front of them, by the first letter: who asks, for which address, by which method,
/// and who that has been found to be. Each stands for all names that begin with it. BBB's nginx makes some of these itself
/// (`x-original-uri`, and those for Hasura).
fn claims(first: u8) -> &'static [&'static str] {
    match first {
        b'a' => &["akamai-"],
        b'c' => &["cf-", "client-ip", "cloudfront-"],
        b'd' => &["do-connecting-ip"],
        b'f' => &["fastly-", "fly-", "forwarded", "front-end-https"],
        b'i' => &["incap-client-ip"],
        b'p' => &["proxy"],
        b'r' => &["remote-"],
        b's' => &["ssl-client-"],
        b't' => &["true-client-ip"],
        b'v' => &["via"],
        b'w' => &["wl-proxy-"],
        b'x' => &[
            "x-accel-",
            "x-appengine-",
            "x-arr-",
            "x-auth-request-",
            "x-aws-",
            "x-azure-",
            "x-backend-",
            "x-client-ip",
            "x-clientip",
            "x-cluster-client-",
            "x-envoy-",
            "x-forward",
            "x-hasura-",
            "x-host",
            "x-http-method",
            "x-lighttpd-",
            "x-method-override",
            "x-original-",
            "x-originating-",
            "x-proto",
            "x-proxy",
            "x-real-",
            "x-remote-",
            "x-request-id",
            "x-rewrite-",
            "x-scheme",
            "x-script-name",
            "x-sendfile",
            "x-source-ip",
            "x-ssl-",
            "x-sucuri-",
            "x-true-",
            "x-url-scheme",
            "x-user-ip",
            "x-vercel-",
            "x-webauth-",
        ],
        _ => &[],
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes out what belongs to one hop.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    remove_all(headers, |name| HOP_BY_HOP.contains(&name) || named.iter().any(|named| named == name));
}

/// Sets the client's address, the scheme and the id of the request, and removes what the client claims about them.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, peer: &HeaderValue, scheme: &'static str, id: &RequestId) {
    // Many applications read `_` as `-`.
    remove_all(headers, |name| match name.contains('_') {
        true => is_claim(&name.replace('_', "-")),
        false => is_claim(name),
    });
    headers.insert(FORWARDED_FOR, peer.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(REQUEST_ID, id.to_value());
}

fn is_claim(name: &str) -> bool {
    let first = name.bytes().next().unwrap_or_default();
    claims(first).iter().any(|claim| name.starts_with(claim))
}

/// Takes out the headers with such names: there are fewer in a request than names to look for.
pub(super) fn remove_all(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Prepares the headers of a meeting's request for its server.
///
/// The server sees its own name as host and origin, its own cookies, and no address of the tenant.
pub(crate) fn to_server(headers: &mut HeaderMap, server: &Server, cookies: Option<HeaderValue>) {
    let host = server.upstream.authority.as_str();
    if let Ok(value) = HeaderValue::from_str(host) {
        headers.insert(HOST, value);
    }
    if headers.contains_key(ORIGIN)
        && let Ok(value) = HeaderValue::from_str(&format!("{}://{host}", server.upstream.scheme))
    {
        headers.insert(ORIGIN, value);
    }
    headers.remove(REFERER);
    headers.remove(COOKIE);
    if let Some(value) = cookies {
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::server;

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_server_is_asked_under_its_own_name() {
        let mut map = headers(&[
            ("cookie", "_greenlight=3"),
            ("origin", "https://meet.wagtail.example"),
            ("referer", "https://meet.wagtail.example/x?sessionToken=y"),
            ("host", "meet.wagtail.example"),
        ]);
        let server = server("a", "members");
        to_server(&mut map, &server, Some(HeaderValue::from_static("JSESSIONID=1")));
        assert_eq!(map[COOKIE], "JSESSIONID=1");
        assert_eq!(map[HOST], "a.internal.test");
        assert_eq!(map[ORIGIN], "https://a.internal.test");
        assert!(!map.contains_key(REFERER));
        to_server(&mut map, &server, None);
        assert!(!map.contains_key(COOKIE));
    }

    #[test]
    fn what_belongs_to_one_hop_stays_there() {
        let mut map = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut map);
        set_forwarded(&mut map, &HeaderValue::from_static("127.0.0.1"), "https", &RequestId::make());
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]);
    }

    #[test]
    fn what_only_a_proxy_may_say_is_not_believed() {
        for name in [
            "forwarded",
            "client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-ipcountry",
            "cloudfront-viewer-address",
            "cloudfront-forwarded-proto",
            "fly-client-ip",
            "incap-client-ip",
            "wl-proxy-client-ip",
            "wl-proxy-ssl",
            "x-appengine-user-ip",
            "x-aws-alb-client-ip",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-sucuri-clientip",
            "x-user-ip",
            "fastly-client-ip",
            "front-end-https",
            "proxy",
            "remote-user",
            "via",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-anything",
            "x-forward-for",
            "x-real-ip",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-original-uri",
            "x-original-url",
            "x-originating-ip",
            "x-rewrite-url",
            "x-accel-redirect",
            "x-sendfile-type",
            "x-envoy-external-address",
            "x-proxyuser-ip",
            "x-remote-user",
            "x-auth-request-email",
            "x-hasura-role",
            "x-request-id",
            "x_request_id",
            "x_forwarded_for",
            "x-original_uri",
            "client_ip",
        ] {
            let mut map = headers(&[(name, "6.6.6.6")]);
            set_forwarded(&mut map, &HeaderValue::from_static("127.0.0.1"), "https", &RequestId::make());
            assert!(map.values().all(|value| value != "6.6.6.6"), "{name}");
            assert_eq!((map.len(), &map["x-forwarded-for"]), (3, &HeaderValue::from_static("127.0.0.1")), "{name}");
        }
        for name in [
            "accept",
            "accept-language",
            "authorization",
            "cache-control",
            "content-type",
            "cookie",
            "host",
            "if-none-match",
            "origin",
            "range",
            "sec-websocket-key",
            "user-agent",
            "x-csrf-token",
            "x-requested-with",
            "x-session-token",
            "x-user-id",
            "incap",
            "www-authenticate",
        ] {
            let mut map = headers(&[(name, "1")]);
            set_forwarded(&mut map, &HeaderValue::from_static("127.0.0.1"), "https", &RequestId::make());
            assert!(map.contains_key(name), "{name}");
        }
    }
}
