//! What the answer of a server may tell a browser: nothing that names the server, leads off the tenant's host, or acts on more
//! than the answer itself. Each way in which an answer's headers reach a browser goes through here.
//!
//! What leads somewhere (`Location`) or names an origin is rewritten; what is of no use to BBB's client is dropped.

use std::{borrow::Cow, ops::Range};

use http::{HeaderMap, HeaderName, HeaderValue, header::LOCATION, uri::Authority};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::{
    cookies::{Binding, Owner, keep_on_host},
    headers::{remove_all, remove_hop_by_hop},
};
use crate::{
    bbb::addresses::is_one_of,
    domain::tenant::{Server, Tenant, Upstream},
};

/// What a proxy in front of an application acts upon, by the first letter: each stands for all names that begin with it. None
/// of it is for a browser, whoever has set it.
fn orders(first: u8) -> &'static [&'static str] {
    match first {
        b'x' => &["x-accel-", "x-lighttpd-", "x-reproxy-", "x-sendfile"],
        // Would take the whole host elsewhere, the meetings too.
        b'a' => &["alt-svc"],
        _ => &[],
    }
}

/// What a server tells of itself, of its parts and of where they are, or what would act on the whole of the tenant's host, by
/// the first letter, likewise.
fn of_the_server(first: u8) -> &'static [&'static str] {
    match first {
        b'c' => &["clear-site-data", "content-location"],
        b'e' => &["expect-ct"],
        b'l' => &["link"],
        b'n' => &["nel"],
        b'p' => &["proxy", "public-key-pins"],
        b'r' => &["refresh", "report-to", "reporting-endpoints"],
        b's' => &["server", "service-worker-allowed", "sourcemap", "strict-transport-security"],
        b'v' => &["via"],
        b'x' => &[
            "x-backend",
            "x-envoy-",
            "x-forward",
            "x-hasura-",
            "x-original-",
            "x-powered-by",
            "x-real-",
            "x-served-by",
            "x-server",
            "x-sourcemap",
            "x-upstream",
        ],
        _ => &[],
    }
}

fn is_one(name: &str, families: impl Fn(u8) -> &'static [&'static str]) -> bool {
    let is = |name: &str| families(name.bytes().next().unwrap_or_default()).iter().any(|start| name.starts_with(start));
    if name.contains('_') { is(&name.replace('_', "-")) } else { is(name) }
}

/// Whether a header has no address in it, whoever sets it: most of those of an answer.
fn is_plain(name: &str) -> bool {
    matches!(
        name,
        "accept-ranges"
            | "age"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "date"
            | "etag"
            | "expires"
            | "last-modified"
            | "pragma"
            | "set-cookie"
            | "vary"
    )
}

/// Where the answers of a server are led to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home<'a> {
    /// The names under which the server may speak of itself.
    pub(crate) names: &'a [Authority],
    /// The tenant's host as the browser wrote it.
    pub(crate) authority: &'a str,
    /// Where the server is found there.
    pub(crate) prefix: &'a str,
}

/// Prepares the headers of a server's answer for the browser.
pub(crate) fn to_browser(binding: &Binding, headers: &mut HeaderMap, server: &Server, tenant: &Tenant, home: Home<'_>) {
    home.lead(headers);
    rename_cookies(binding, headers, server, tenant);
}

/// Gives each cookie that a server sets the name and the tag of its owner.
pub(crate) fn rename_cookies(binding: &Binding, headers: &mut HeaderMap, server: &Server, tenant: &Tenant) {
    binding.rename(headers, Owner::new(tenant, &server.slug));
}

impl Home<'_> {
    /// Rewrites or drops all that names the server.
    fn lead(self, headers: &mut HeaderMap) {
        remove_hop_by_hop(headers);
        remove_all(headers, |name| is_one(name, orders) || is_one(name, of_the_server));
        if let Some(location) = headers.remove(LOCATION) {
            let new = location.to_str().ok().and_then(|location| self.relocate(location));
            if let Some(new) = new.and_then(|new| HeaderValue::from_str(&new).ok()) {
                headers.insert(LOCATION, new);
            }
        }
        // What is left may name an origin (CORS, content policies), which has no path.
        let origin = Self { prefix: "", ..self };
        let told: Vec<HeaderName> =
            headers.iter().filter(|(name, value)| self.is_told(name, value)).map(named).collect();
        for name in told {
            let values: Vec<_> = headers.get_all(&name).iter().filter_map(|value| origin.value(value)).collect();
            headers.remove(&name);
            for value in values {
                headers.append(&name, value);
            }
        }
    }

    /// Whether a header names the server.
    fn is_told(self, name: &HeaderName, value: &HeaderValue) -> bool {
        !is_plain(name.as_str()) && *name != LOCATION && self.names_server(value.as_bytes())
    }

    /// A value with the tenant's host in place of the server's; `None` where that cannot be done.
    fn value(self, value: &HeaderValue) -> Option<HeaderValue> {
        let text = self.rewritten(value.to_str().ok()?)?;
        HeaderValue::from_str(&text).ok()
    }

    /// Where a `Location` of a server leads on the tenant's host: a path on the server itself gets the prefix, an address
    /// elsewhere (a logout page) stays, and the server's address within either is rewritten. Read as browsers read it (WHATWG
    /// URL): without tabs, and a backslash is a slash. `None` for what cannot be read, or could be read in two ways.
    pub(crate) fn relocate(self, location: &str) -> Option<String> {
        let text = location.trim_matches(|c: char| c <= ' ').replace('\t', "");
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let text = format!("{}{}", text[..end].replace('\\', "/"), &text[end..]);
        let place = text[..end].find(['/', ':']).filter(|at| text.as_bytes()[*at] == b':');
        let rest = match place {
            Some(at) if ["http", "https"].iter().any(|scheme| text[..at].eq_ignore_ascii_case(scheme)) => {
                &text[at.saturating_add(1)..]
            }
            Some(_) => return None,
            None => &*text,
        };
        let Some(from_host) = rest.strip_prefix("//") else {
            return match place {
                // `https:x` is another address in each place that it stands in.
                Some(_) => None,
                None if rest.starts_with('/') => self.on_host(rest),
                None => self.rewritten(rest).map(Cow::into_owned),
            };
        };
        let (at, path) = from_host.split_at(from_host.find(['/', '?', '#']).unwrap_or(from_host.len()));
        if at.is_empty() || at.contains('@') || at.parse::<Authority>().is_err() {
            return None;
        }
        if is_one_of(at, self.names) {
            return self.on_host(path);
        }
        // Without a scheme it would be that of the server's own answer.
        place?;
        let inner = self.rewritten(path)?;
        Some(format!("{}{at}{inner}", text.strip_suffix(from_host)?))
    }

    /// The address of a path, with its query, on the tenant's host.
    fn on_host(self, path: &str) -> Option<String> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(format!("https://{}{}{slash}{}", self.authority, self.prefix, self.rewritten(path)?))
    }

    /// A text with the tenant's host in place of each name of the server, as part of an address, plain or percent-encoded, or by
    /// itself. `None` where the server would still be named.
    pub(crate) fn rewritten(self, text: &str) -> Option<Cow<'_, str>> {
        if !self.names_server(text.as_bytes()) {
            return Some(Cow::Borrowed(text));
        }
        let mut text = Cow::Borrowed(text);
        for name in self.names {
            let mut new = String::new();
            let mut done = 0;
            for found in Found::all(&text, name.host()) {
                new.push_str(&text[done..found.range.start]);
                new.push_str(&found.replaced(self));
                done = found.range.end;
            }
            new.push_str(&text[done..]);
            text = new.into();
        }
        (!self.names_server(text.as_bytes())).then(|| text.into_owned().into())
    }

    /// Whether a value names the server, encoded or not.
    fn names_server(self, value: &[u8]) -> bool {
        let names = |value: &[u8]| self.names.iter().any(|name| Found::first(value, name.host()).is_some());
        let mut value = Cow::Borrowed(value);
        for _ in 0..DECODED_MAX {
            if names(&value) {
                return true;
            }
            let decoded: Vec<u8> = percent_decode(&value).collect();
            if decoded.len() == value.len() {
                return false;
            }
            value = decoded.into();
        }
        // Encoded more often than that, it is meant to be overlooked.
        names(&value) || percent_decode(&value).count() < value.len()
    }
}

/// How often a value is decoded in search of a server's name: an address within an address within an address.
const DECODED_MAX: usize = 3;

fn named((name, _): (&HeaderName, &HeaderValue)) -> HeaderName {
    name.clone()
}

/// What stands before a server's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// `https://`, of this length.
    Address(usize, &'static str),
    /// `https%3A%2F%2F`, of this length.
    Encoded(usize, &'static str),
    /// `//`.
    Slashes,
    /// Nothing of an address.
    Nothing,
}

/// A server's name in a text, with its port, and with the scheme before it.
#[derive(Debug)]
struct Found {
    range: Range<usize>,
    before: Before,
}

impl Found {
    fn all<'a>(text: &'a str, host: &'a str) -> impl Iterator<Item = Self> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let found = Self::find(text.as_bytes(), host, from)?;
            from = found.range.end;
            Some(found)
        })
    }

    fn first(text: &[u8], host: &str) -> Option<Self> {
        Self::find(text, host, 0)
    }

    /// The next one that begins at `from` or behind it. A name without a dot counts in an address only: it may be any word.
    fn find(text: &[u8], host: &str, from: usize) -> Option<Self> {
        let last = text.len().checked_sub(host.len())?;
        (from..=last).find_map(|at| {
            let end = at.saturating_add(host.len());
            let is_it =
                text[at..end].eq_ignore_ascii_case(host.as_bytes()) && begins(&text[..at]) && ends(&text[end..]);
            let before = is_it.then(|| before(&text[from..at]))?;
            if before == Before::Nothing && !host.contains(['.', ':']) {
                return None;
            }
            let scheme = match before {
                Before::Address(length, _) | Before::Encoded(length, _) => length,
                Before::Slashes | Before::Nothing => 0,
            };
            Some(Self { range: at.saturating_sub(scheme)..end.saturating_add(port_len(&text[end..])), before })
        })
    }

    /// What goes in its place.
    fn replaced(&self, home: Home<'_>) -> String {
        let place = format!("{}{}", home.authority, home.prefix);
        match self.before {
            Before::Address(_, scheme) => format!("{scheme}://{place}"),
            Before::Encoded(_, scheme) => format!("{scheme}%3A%2F%2F{}", utf8_percent_encode(&place, NON_ALPHANUMERIC)),
            Before::Slashes => place,
            Before::Nothing => home.authority.to_owned(),
        }
    }
}

/// Whether a name may begin behind this: not within another name.
fn begins(text: &[u8]) -> bool {
    let encoded = |text: &[u8]| matches!(text, [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    text.last().is_none_or(|b| !b.is_ascii_alphanumeric() && !b"-.".contains(b)) || encoded(text)
}

/// Whether a name may end before this.
fn ends(text: &[u8]) -> bool {
    match text {
        [b'.', next, ..] => !next.is_ascii_alphanumeric(),
        [next, ..] => !next.is_ascii_alphanumeric() && *next != b'-' && next.is_ascii(),
        [] => true,
    }
}

/// The scheme and its joint at the end of a text.
fn before(text: &[u8]) -> Before {
    const SCHEMES: [(&str, &str); 4] = [("https", "https"), ("http", "https"), ("wss", "wss"), ("ws", "wss")];
    let scheme_of = |text: &[u8]| {
        let letters = text.iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
        // In an address that is encoded itself, a letter of the escape before it may stand there.
        SCHEMES.into_iter().find(|(scheme, _)| letters >= scheme.len() && ends_with(text, scheme))
    };
    for joint in ["://", "%3A%2F%2F"] {
        if !ends_with(text, joint) {
            continue;
        }
        if let Some((scheme, secure)) = scheme_of(&text[..text.len().saturating_sub(joint.len())]) {
            let length = scheme.len().saturating_add(joint.len());
            return if joint == "://" { Before::Address(length, secure) } else { Before::Encoded(length, secure) };
        }
    }
    if text.ends_with(b"//") || ends_with(text, "%2F%2F") { Before::Slashes } else { Before::Nothing }
}

/// Whether a text ends with this, in any case.
fn ends_with(text: &[u8], end: &str) -> bool {
    text.len().checked_sub(end.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(end.as_bytes()))
}

/// The bytes of a port, plain or encoded, and of the dot that may end a name.
fn port_len(text: &[u8]) -> usize {
    let dot = usize::from(text.first() == Some(&b'.'));
    let rest = &text[dot..];
    let joint = match rest {
        [b':', ..] => 1,
        [b'%', b'3', b'a' | b'A', ..] => 3,
        _ => return dot,
    };
    // A content policy may name any port.
    match rest[joint..].iter().take_while(|b| b.is_ascii_digit() || **b == b'*').count() {
        0 => dot,
        digits => dot.saturating_add(joint).saturating_add(digits),
    }
}

/// Takes out of an answer that is held for all tenants what is not for browsers. Returns whether the rest names the server: then
/// it cannot be held for all.
pub(crate) fn for_all(headers: &mut HeaderMap, names: &[Authority]) -> bool {
    remove_hop_by_hop(headers);
    remove_all(headers, |name| is_one(name, orders) || is_one(name, of_the_server));
    let home = Home { names, authority: "", prefix: "" };
    !headers.iter().any(|(name, value)| home.is_told(name, value))
}

/// Prepares the headers of a frontend's answer for the browser. A frontend is the tenant's own: what it says of itself is its
/// business. Its cookies stay on `host`, and a `Location` that leads to where the gateway finds it leads there by the gateway.
pub(crate) fn of_frontend(
    headers: &mut HeaderMap,
    frontend: &Upstream,
    authority: &str,
    is_slug: impl Fn(&str) -> bool,
) {
    remove_hop_by_hop(headers);
    remove_all(headers, |name| is_one(name, orders));
    let host = authority.split(':').next().unwrap_or(authority);
    keep_on_host(headers, host, is_slug);
    let new = headers.get(LOCATION).and_then(|location| {
        let text = location.to_str().ok()?;
        let (scheme, rest) = text.split_once("://")?;
        let (at, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let is_own = matches!(scheme, "http" | "https") && at.eq_ignore_ascii_case(frontend.authority.as_str());
        is_own.then(|| HeaderValue::from_str(&format!("https://{authority}{path}")).ok())?
    });
    if let Some(new) = new {
        headers.insert(LOCATION, new);
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::*;
    use crate::domain::fixtures::server;

    fn names() -> Vec<Authority> {
        let mut names = server("a", "members").names;
        names.push("bbb:8090".parse().expect("legal"));
        names
    }

    #[test]
    fn a_location_stays_on_the_tenants_host() {
        let names = names();
        let home = Home { names: &names, authority: "meet.w", prefix: "/s/s1" };
        for (location, expected) in [
            (
                "https://a.internal.test/html5client/?sessionToken=t",
                Some("https://meet.w/s/s1/html5client/?sessionToken=t"),
            ),
            ("http://A.internal.test:80/x", Some("https://meet.w/s/s1/x")),
            ("HTTPS://a.internal.test/x", Some("https://meet.w/s/s1/x")),
            ("https://a.internal.test", Some("https://meet.w/s/s1/")),
            ("https://a.internal.test?x=1", Some("https://meet.w/s/s1/?x=1")),
            ("/html5client/", Some("https://meet.w/s/s1/html5client/")),
            (" /html5client/ ", Some("https://meet.w/s/s1/html5client/")),
            ("page2", Some("page2")),
            ("?x=1", Some("?x=1")),
            ("", Some("")),
            ("https://elsewhere.example/bye", Some("https://elsewhere.example/bye")),
            ("https://bbb/x", Some("https://meet.w/s/s1/x")),
            // As browsers read it.
            ("//a.internal.test/x", Some("https://meet.w/s/s1/x")),
            ("/\\a.internal.test/x", Some("https://meet.w/s/s1/x")),
            ("\\\\a.internal.test\\x", Some("https://meet.w/s/s1/x")),
            ("/\t/a.internal.test/x", Some("https://meet.w/s/s1/x")),
            ("ht\ttps://a.internal.test/x", Some("https://meet.w/s/s1/x")),
            ("https:\\\\a.internal.test/x?a=\\b", Some("https://meet.w/s/s1/x?a=\\b")),
            ("//elsewhere.example/x", None),
            ("/\\elsewhere.example/x", None),
            ("https:/elsewhere.example", None),
            ("https:elsewhere.example", None),
            ("https:///elsewhere.example", None),
            ("https://user@elsewhere.example/", None),
            ("https://a.internal.test@elsewhere.example/", None),
            ("https://user@a.internal.test/", None),
            ("https://a b/x", None),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            // An address within an address.
            ("/x?u=https://a.internal.test/y", Some("https://meet.w/s/s1/x?u=https://meet.w/s/s1/y")),
            (
                "https://elsewhere.example/bye?u=https%3A%2F%2FA.internal.test%3A8443%2Fy&v=1",
                Some("https://elsewhere.example/bye?u=https%3A%2F%2Fmeet%2Ew%2Fs%2Fs1%2Fy&v=1"),
            ),
            ("page2?u=http%3a%2f%2fa.internal.test%2fy", Some("page2?u=https%3A%2F%2Fmeet%2Ew%2Fs%2Fs1%2fy")),
            ("/x#wss://a.internal.test./y", Some("https://meet.w/s/s1/x#wss://meet.w/s/s1/y")),
            ("/x?host=a.internal.test", Some("https://meet.w/s/s1/x?host=meet.w")),
            ("/x?room=bbb", Some("https://meet.w/s/s1/x?room=bbb")),
            ("/x?u=https://bbb:8090/y", Some("https://meet.w/s/s1/x?u=https://meet.w/s/s1/y")),
            ("/x?host=xa.internal.test", Some("https://meet.w/s/s1/x?host=xa.internal.test")),
            ("/x?host=a.internal.test.example", Some("https://meet.w/s/s1/x?host=a.internal.test.example")),
            ("/x?u=https%253A%252F%252Fa.internal.test%252Fy", None),
            ("/x?u=%61.internal.test", None),
            ("/x?u=100%25", Some("https://meet.w/s/s1/x?u=100%25")),
        ] {
            assert_eq!(home.relocate(location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn an_answer_does_not_name_its_server() {
        let names = names();
        let home = Home { names: &names, authority: "meet.w:8443", prefix: "/s/s1" };
        for (name, value, expected) in [
            ("location", "/x", Some("https://meet.w:8443/s/s1/x")),
            ("location", "javascript:1", None),
            ("refresh", "0; url=/x", None),
            ("link", "</x>; rel=preload", None),
            ("content-location", "/x", None),
            ("via", "1.1 a.internal.test", None),
            ("server", "nginx", None),
            ("server-timing", "db;dur=1", None),
            ("x-powered-by", "Express", None),
            ("alt-svc", "h3=\":443\"", None),
            ("sourcemap", "/x.map", None),
            ("x-sourcemap", "/x.map", None),
            ("report-to", "{}", None),
            ("reporting-endpoints", "a=\"/x\"", None),
            ("nel", "{}", None),
            ("x-accel-redirect", "/protected/x", None),
            ("x_accel_redirect", "/protected/x", None),
            ("x-sendfile", "/etc/hosts", None),
            ("x-backend-server", "7", None),
            ("clear-site-data", "\"*\"", None),
            ("service-worker-allowed", "/", None),
            ("strict-transport-security", "max-age=0", None),
            ("access-control-allow-origin", "*", Some("*")),
            ("access-control-allow-origin", "https://a.internal.test", Some("https://meet.w:8443")),
            ("timing-allow-origin", "https://a.internal.test:443", Some("https://meet.w:8443")),
            (
                "content-security-policy",
                "default-src 'self' https://A.internal.test wss://a.internal.test a.internal.test:* https://x.example",
                Some("default-src 'self' https://meet.w:8443 wss://meet.w:8443 meet.w:8443 https://x.example"),
            ),
            ("x-anything", "at a.internal.test", Some("at meet.w:8443")),
            ("x-anything", "at https%3A%2F%2Fa%2Einternal%2Etest", None),
            ("content-type", "text/html", Some("text/html")),
            ("x-epoch", "5", Some("5")),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            home.lead(&mut headers);
            let got = headers.get(name).map(|value| value.to_str().expect("text"));
            assert_eq!(got, expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_file_for_all_names_no_server() {
        let names = names();
        for (name, value, is, stays) in [
            ("content-type", "text/css", true, true),
            ("server", "nginx", true, false),
            ("content-security-policy", "default-src https://a.internal.test", false, true),
            ("access-control-allow-origin", "*", true, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            assert_eq!(for_all(&mut headers, &names), is, "{value}");
            assert_eq!(headers.contains_key(name), stays, "{value}");
        }
    }

    #[test]
    fn a_frontend_leads_to_itself_by_way_of_the_gateway() {
        let frontend = Upstream { scheme: Scheme::HTTP, authority: "greenlight:3000".parse().expect("legal") };
        for (name, value, expected) in [
            ("location", "http://greenlight:3000/b/x?y", Some("https://meet.w:8443/b/x?y")),
            ("location", "https://GREENLIGHT:3000", Some("https://meet.w:8443")),
            ("location", "/b/x", Some("/b/x")),
            (
                "location",
                "https://idp.example/?x=http://greenlight:3000",
                Some("https://idp.example/?x=http://greenlight:3000"),
            ),
            ("location", "http://greenlight/b", Some("http://greenlight/b")),
            ("x-accel-redirect", "/x", None),
            ("x-sendfile", "/x", None),
            ("alt-svc", "h3=\":443\"", None),
            ("link", "</app.css>; rel=preload", Some("</app.css>; rel=preload")),
            ("set-cookie", "a=1; Domain=w", Some("a=1; Secure")),
            ("set-cookie", "a=1; Domain=meet.w", Some("a=1; Domain=meet.w; Secure")),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            of_frontend(&mut headers, &frontend, "meet.w:8443", |slug| slug == "s1");
            let got = headers.get(name).map(|value| value.to_str().expect("text"));
            assert_eq!(got, expected, "{name}: {value}");
        }
    }
}
