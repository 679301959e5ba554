//! Headers on their way through: what belongs to one hop stays there, what names a server is renamed.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERER, SERVER, SET_COOKIE,
        X_FRAME_OPTIONS,
    },
    uri::Authority,
};

use crate::domain::{
    ids::Slug,
    tenant::{Server, Tenant},
};

/// Headers that a proxy does not pass on (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a browser must not tell a server: BBB's nginx makes these itself, and the gateway the forwarded ones.
const NOT_FROM_OUTSIDE: [&str; 10] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "x-original-uri",
    "x-original-url",
    "x-original-method",
    "x-rewrite-url",
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Cookies that scripts of BBB's client set in the browser and servers read, which have no server's name on them (bbb.md 8.3).
/// That of the dashboard (`ld-...`) is for its script alone.
const SCRIPT_COOKIES: [&str; 3] = ["sessionID", "prefsHttp", "language"];

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

/// Says who asks, and takes out what the asking side claimed about that.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, peer: &HeaderValue, scheme: &'static str) {
    // Many applications read `_` as `-`.
    remove_all(headers, |name| match name.contains('_') {
        true => NOT_FROM_OUTSIDE.contains(&&*name.replace('_', "-")),
        false => NOT_FROM_OUTSIDE.contains(&name),
    });
    headers.insert(FORWARDED_FOR, peer.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

/// Takes out the headers with such names: there are fewer in a request than names to look for.
fn remove_all(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Prepares the headers of a meeting's request for its server.
///
/// The server sees its own name as host and origin, its own cookies, and no address of the tenant.
pub(crate) fn to_server(headers: &mut HeaderMap, server: &Server) {
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
    let cookies = cookies_for(headers, &server.slug);
    headers.remove(COOKIE);
    if let Some(value) = cookies {
        headers.insert(COOKIE, value);
    }
}

/// The cookies of one server: those that bear its slug, without it, and those of the client's scripts.
pub(crate) fn cookies_for(headers: &HeaderMap, slug: &Slug) -> Option<HeaderValue> {
    let own = pairs(headers).filter_map(|(name, value)| match name.rsplit_once('.') {
        Some((name, of)) if of == slug.as_str() => Some((name, value)),
        _ if SCRIPT_COOKIES.contains(&name) => Some((name, value)),
        _ => None,
    });
    cookie_header(own)
}

/// Takes the cookies of BBB servers out: a frontend has no business with them.
pub(crate) fn without_server_cookies(headers: &mut HeaderMap, is_slug: impl Fn(&str) -> bool) {
    let others = pairs(headers).filter(|(name, _)| !name.rsplit_once('.').is_some_and(|(_, of)| is_slug(of)));
    let kept = cookie_header(others);
    headers.remove(COOKIE);
    if let Some(kept) = kept {
        headers.insert(COOKIE, kept);
    }
}

/// The slugs of the servers whose session cookie a browser sends.
pub(crate) fn session_slugs(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    pairs(headers).filter_map(|(name, _)| name.strip_prefix("JSESSIONID."))
}

/// Names and values of all cookies. A value may have any bytes; a name that has is none that we know.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|b| *b == b'=')?;
        Some((std::str::from_utf8(&pair[..at]).ok()?, &pair[at + 1..]))
    })
}

fn cookie_header<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<HeaderValue> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        if !bytes.is_empty() {
            bytes.extend(b"; ");
        }
        bytes.extend(name.as_bytes());
        bytes.push(b'=');
        bytes.extend(value);
    }
    if bytes.is_empty() { None } else { HeaderValue::from_bytes(&bytes).ok() }
}

/// Prepares the headers of a server's answer for the browser.
///
/// `authority` is the tenant's host as the browser wrote it; the path of an answer that leads elsewhere on the server
/// gets the prefix under which it is found there.
pub(crate) fn to_browser(headers: &mut HeaderMap, server: &Server, tenant: &Tenant, authority: &str, prefix: &str) {
    remove_hop_by_hop(headers);
    headers.remove(SERVER);
    headers.remove("x-powered-by");
    rename_cookies(headers, &server.slug, tenant);
    if let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
        let value = relocate(location, &server.names, authority, prefix)
            .and_then(|location| HeaderValue::from_str(&location).ok());
        match value {
            Some(value) => headers.insert(LOCATION, value),
            None => headers.remove(LOCATION),
        };
    }
}

/// Gives each cookie that a server sets the server's slug, so that two servers do not overwrite each other's.
pub(crate) fn rename_cookies(headers: &mut HeaderMap, slug: &Slug, tenant: &Tenant) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let is_embedded = !tenant.embedded_by.is_empty();
    let renamed: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| rename_cookie(value.to_str().ok()?, slug, is_embedded))
        .collect();
    headers.remove(SET_COOKIE);
    for value in renamed {
        headers.append(SET_COOKIE, value);
    }
}

/// `NAME=value; Path=/; Domain=...` becomes `NAME.<slug>=value; Path=/`: host-only, as BBB means it. In a frame of another
/// site's page a browser sends only what says that it may be, and keeps it apart for each such site.
fn rename_cookie(cookie: &str, slug: &Slug, is_embedded: bool) -> Option<HeaderValue> {
    let (name, rest) = cookie.split_once('=')?;
    let mut parts = rest.split(';').map(str::trim);
    let mut renamed = format!("{}.{slug}={}", name.trim(), parts.next()?);
    for part in parts.filter(|part| !part.is_empty()) {
        let attribute = part.split('=').next().unwrap_or(part).trim_end();
        let is_given = ["samesite", "partitioned", "secure"].iter().any(|given| attribute.eq_ignore_ascii_case(given));
        if attribute.eq_ignore_ascii_case("domain") || is_embedded && is_given {
            continue;
        }
        renamed.push_str("; ");
        renamed.push_str(part);
    }
    if is_embedded {
        renamed.push_str("; Secure; SameSite=None; Partitioned");
    }
    HeaderValue::from_str(&renamed).ok()
}

/// Says which sites' pages may show this one in a frame, where the tenant has named them.
pub(crate) fn set_framing(headers: &mut HeaderMap, tenant: &Tenant) {
    if tenant.embedded_by.is_empty() {
        return;
    }
    // The older header knows one site at the most.
    headers.remove(X_FRAME_OPTIONS);
    let policy = format!("frame-ancestors 'self' {}", tenant.embedded_by.join(" "));
    if let Ok(value) = HeaderValue::from_str(&policy) {
        headers.append(CONTENT_SECURITY_POLICY, value);
    }
}

/// Where a `Location` of a server leads on the tenant's host: a path on the server itself gets the prefix, an address
/// elsewhere (a logout page) stays. `None` for an address that cannot be read.
pub(crate) fn relocate(location: &str, names: &[Authority], authority: &str, prefix: &str) -> Option<String> {
    let path = match location.split_once("://") {
        Some((_, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (at, path) = rest.split_at(end);
            let at: Authority = at.parse().ok()?;
            if !names.iter().any(|name| name.host().eq_ignore_ascii_case(at.host())) {
                return Some(location.to_owned());
            }
            path
        }
        None if location.starts_with("//") || !location.starts_with('/') => {
            // Scheme-relative addresses could name the server; relative ones are right as they are.
            return (!location.starts_with("//")).then(|| location.to_owned());
        }
        None => location,
    };
    if path.starts_with('/') {
        Some(format!("https://{authority}{prefix}{path}"))
    } else {
        Some(format!("https://{authority}{prefix}/{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{server, tenant};

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_server_gets_its_own_cookies_only() {
        let server = server("a", "members"); // its slug is slug-a
        let mut map = headers(&[
            ("cookie", "JSESSIONID.slug-a=1; JSESSIONID.slug-b=2; _greenlight=3; JSESSIONID=4"),
            ("cookie", "sessionID=5; ld-x=6; broken"),
            ("origin", "https://meet.wagtail.example"),
            ("referer", "https://meet.wagtail.example/x?sessionToken=y"),
            ("host", "meet.wagtail.example"),
        ]);
        to_server(&mut map, &server);
        assert_eq!(map[COOKIE], "JSESSIONID=1; sessionID=5");
        assert_eq!(map[HOST], "a.internal.test");
        assert_eq!(map[ORIGIN], "https://a.internal.test");
        assert!(!map.contains_key(REFERER));
    }

    #[test]
    fn a_cookie_of_any_bytes_does_no_harm_to_the_others() {
        let mut map = HeaderMap::new();
        let value = HeaderValue::from_bytes("name=Zoë; JSESSIONID.slug-a=1".as_bytes()).expect("legal");
        map.insert(COOKIE, value.clone());
        assert_eq!(cookies_for(&map, &"slug-a".parse().expect("an id")).expect("a cookie"), "JSESSIONID=1");
        without_server_cookies(&mut map, |slug| slug == "slug-a");
        assert_eq!(map[COOKIE].as_bytes(), "name=Zoë".as_bytes());
    }

    #[test]
    fn a_frontend_gets_no_cookie_of_a_server() {
        let mut map = headers(&[("cookie", "JSESSIONID.slug-a=1; _greenlight=3; a.b=4")]);
        without_server_cookies(&mut map, |slug| slug == "slug-a");
        assert_eq!(map[COOKIE], "_greenlight=3; a.b=4");
        without_server_cookies(&mut map, |_| true);
        assert_eq!(map[COOKIE], "_greenlight=3");
    }

    #[test]
    fn a_servers_cookie_bears_its_slug_and_stays_host_only() {
        let mut map = headers(&[
            ("set-cookie", "JSESSIONID=ABC; Path=/; Secure; HttpOnly"),
            ("set-cookie", "x=y=z; Domain=a.internal.test; Path=/"),
        ]);
        let mut embedded = map.clone();
        let (slug, mut tenant) = ("s1".parse().expect("an id"), tenant("wagtail"));
        rename_cookies(&mut map, &slug, &tenant);
        let all: Vec<_> = map.get_all(SET_COOKIE).iter().collect();
        assert_eq!(all, ["JSESSIONID.s1=ABC; Path=/; Secure; HttpOnly", "x.s1=y=z; Path=/"]);
        embedded.append(SET_COOKIE, HeaderValue::from_static("y=z; SameSite=Lax"));
        tenant.embedded_by = vec!["https://moodle.example".into()];
        rename_cookies(&mut embedded, &slug, &tenant);
        let all: Vec<_> = embedded.get_all(SET_COOKIE).iter().collect();
        assert_eq!(
            all,
            [
                "JSESSIONID.s1=ABC; Path=/; HttpOnly; Secure; SameSite=None; Partitioned",
                "x.s1=y=z; Path=/; Secure; SameSite=None; Partitioned",
                "y.s1=z; Secure; SameSite=None; Partitioned"
            ]
        );
    }

    #[test]
    fn a_location_stays_on_the_tenants_host() {
        let names = server("a", "members").names;
        for (location, expected) in [
            (
                "https://a.internal.test/html5client/?sessionToken=t",
                Some("https://meet.w/s/s1/html5client/?sessionToken=t"),
            ),
            ("http://A.internal.test:80/x", Some("https://meet.w/s/s1/x")),
            ("https://a.internal.test", Some("https://meet.w/s/s1/")),
            ("https://a.internal.test?x=1", Some("https://meet.w/s/s1/?x=1")),
            ("/html5client/", Some("https://meet.w/s/s1/html5client/")),
            ("page2", Some("page2")),
            ("https://elsewhere.example/bye", Some("https://elsewhere.example/bye")),
            ("//a.internal.test/x", None),
            ("https://a b/x", None),
        ] {
            let got = relocate(location, &names, "meet.w", "/s/s1");
            assert_eq!(got.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn what_belongs_to_one_hop_stays_there() {
        let mut map = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-original-uri", "/evil"),
            ("x_forwarded_for", "6.6.6.6"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut map);
        set_forwarded(&mut map, &HeaderValue::from_static("127.0.0.1"), "https");
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "x-forwarded-for", "x-forwarded-proto"]);
        assert_eq!(map["x-forwarded-for"], "127.0.0.1");
    }
}
