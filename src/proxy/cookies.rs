//! Cookies that pass: the servers' are renamed, bound to their tenant, and known again; a frontend's stay on its host.
//!
//! `JSESSIONID=V` of a server becomes `__Host-JSESSIONID.<slug>=V.<tag>`: no other host can set a cookie of that name (RFC
//! 6265bis, 4.1.3.2), and the tag is a MAC over tenant, server, name and value. Only what bears the right tag goes back to
//! the server, so that nobody joins a meeting in a session that somebody else has prepared. A name that comes with two
//! values is dropped, and the request is carried without it: refused, one planted cookie would close the whole host to its
//! owner.

use std::{fmt, ops::Range, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use data_encoding::BASE64URL_NOPAD;
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

use crate::{
    bbb::meeting_id::is_internal,
    domain::{
        ids::{SessionNumber, Slug, TenantId},
        tenant::Tenant,
        time::Timestamp,
    },
};

/// What a browser lets only the host itself set, for itself alone.
const HOST_ONLY: &str = "__Host-";
/// The session of BBB's Java server, on which all of a meeting's access hangs
/// (docs/reference/bbb-protocol.md, "Sessions and cookies").
const SESSION: &str = "JSESSIONID";
/// Cookies that scripts of BBB's client set in the browser and servers read, which have no server's name on them
/// (docs/reference/bbb-protocol.md, "Paths").
/// That of the dashboard is for its script alone.
const OF_SCRIPTS: [&str; 3] = [OF_NOTES, "prefsHttp", "language"];
const OF_NOTES: &str = "sessionID";
/// The author of the notes, as Etherpad's script sets it.
const OF_AUTHOR: &str = "token";
/// What the name of a dashboard's cookie begins with; the internal id of its meeting follows.
const OF_DASHBOARD: &str = "ld-";
/// What a server may say of a cookie. `Path`, `Secure` and, in frames of other sites, the rest are the gateway's to say.
const ATTRIBUTES: [&str; 4] = ["expires", "max-age", "httponly", "samesite"];
/// Bytes of a tag: 128 bits cannot be guessed.
const TAG_BYTES: usize = 16;
/// The same in base64: 22 characters.
const TAG_CHARS: usize = 22;
/// Cookies of one server that are looked at in a request; BBB has two or three, and each costs a MAC.
const OWN_MAX: usize = 16;
/// How long after an upgrade cookies are good that the gateway had not bound yet: no meeting of a shipped level (`policies/`)
/// lasts longer.
const UNBOUND: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose cookies: a tenant's at a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    tenant: &'a TenantId,
    slug: &'a Slug,
    /// Whether other sites' pages may show its meetings. Browsers keep what is set for that beside what was set before.
    is_embedded: bool,
}

impl<'a> Owner<'a> {
    /// A tenant at the server of this slug.
    pub(crate) fn new(tenant: &'a Tenant, slug: &'a Slug) -> Self {
        Self::of(&tenant.id, slug, !tenant.embedded_by.is_empty())
    }

    pub(super) fn of(tenant: &'a TenantId, slug: &'a Slug, is_embedded: bool) -> Self {
        Self { tenant, slug, is_embedded }
    }
}

/// Binds cookies to their owners; the same on every gateway of an installation.
pub struct Binding {
    key: hmac::Key,
    unbound: Unbound,
}

/// The cookies that an older release has given out, named `JSESSIONID.<slug>`: good for a while, and only beside the token of
/// a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unbound(Option<Given>);

/// Those that were given out before an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    /// Until when they are good.
    until: Timestamp,
    /// The number of the last session that had no other.
    last_session: SessionNumber,
}

impl Unbound {
    /// Those of an upgrade at this moment; `last_session` is the highest number of the sessions that there are, if any.
    #[must_use]
    pub fn since(now: Timestamp, last_session: Option<SessionNumber>) -> Self {
        Self(last_session.map(|last_session| Given { until: now.saturating_add(UNBOUND), last_session }))
    }

    /// Those of which some are good.
    fn good(&self, now: Timestamp) -> Option<&Given> {
        self.0.as_ref().filter(|given| now < given.until)
    }

    /// As it is written down beside the keys: all 0 where there are none.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        if let Some(Given { until, last_session }) = self.0 {
            bytes[..8].copy_from_slice(&until.as_ms().to_be_bytes());
            bytes[8..16].copy_from_slice(&last_session.get().to_be_bytes());
        }
        bytes
    }

    /// What was written down.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let number = |place: Range<usize>| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[place]);
            i64::from_be_bytes(eight)
        };
        let given = Given { until: Timestamp::from_ms(number(0..8)), last_session: SessionNumber::new(number(8..16)) };
        Self((given.until != Timestamp::EPOCH).then_some(given))
    }
}

impl Binding {
    /// Binds with this key.
    #[must_use]
    pub fn new(key: [u8; 32], unbound: Unbound) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), unbound }
    }

    /// The cookies of one server as it knows them: those that are bound to this owner, and those of the client's scripts.
    /// `session` is the number of the session that the request names by its token.
    pub(crate) fn cookies_for(
        &self,
        headers: &HeaderMap,
        owner: Owner<'_>,
        session: Option<SessionNumber>,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let mut own = self.bound(headers, owner);
        for (name, value) in pairs(headers).filter(|(name, value)| OF_SCRIPTS.contains(name) && is_plain(value)) {
            put(&mut own, name, value);
        }
        if let Some(session) = session
            && let Some(given) = self.unbound.good(now)
            && let Some(old) = unbound(headers, owner.slug)
        {
            let found = own.iter_mut().find(|(name, _)| *name == SESSION);
            match found {
                // Somebody whose meeting is older than the upgrade has opened another one since.
                Some((_, value)) if session <= given.last_session => *value = Some(old),
                Some(_) => {}
                None => own.push((SESSION, Some(old))),
            }
        }
        cookie_header(own.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }

    /// Whether a browser has a session of this owner.
    pub(crate) fn has_session(&self, headers: &HeaderMap, owner: Owner<'_>, now: Timestamp) -> bool {
        self.bound(headers, owner).iter().any(|(name, value)| *name == SESSION && value.is_some())
            || self.unbound.good(now).is_some() && unbound(headers, owner.slug).is_some()
    }

    /// The slugs of the servers that a browser may have a session of. Only names are looked at.
    pub(crate) fn session_slugs<'h>(&self, headers: &'h HeaderMap, now: Timestamp) -> impl Iterator<Item = &'h str> {
        let takes_unbound = self.unbound.good(now).is_some();
        pairs(headers).filter_map(move |(name, _)| match name.strip_prefix(HOST_ONLY) {
            Some(name) => name.strip_prefix(SESSION)?.strip_prefix('.'),
            None if takes_unbound => name.strip_prefix(SESSION)?.strip_prefix('.'),
            None => None,
        })
    }

    /// Renames and binds each cookie that a server sets.
    pub(crate) fn rename(&self, headers: &mut HeaderMap, owner: Owner<'_>) {
        replace(headers, |cookie| self.renamed(cookie.to_str().ok()?, owner));
    }

    /// `NAME=value; Path=/x; Domain=...` becomes `__Host-NAME.<slug>=value.<tag>; Path=/; Secure`: host-only, as BBB means
    /// it. In a frame of another site's page a browser sends only what says that it may be, and keeps it apart for each such
    /// site.
    fn renamed(&self, cookie: &str, owner: Owner<'_>) -> Option<HeaderValue> {
        let (name, rest) = cookie.split_once('=')?;
        let name = name.trim();
        let mut parts = rest.split(';').map(str::trim);
        let value = parts.next().filter(|_| is_token(name))?;
        let tag = BASE64URL_NOPAD.encode(&self.tag(owner, owner.is_embedded, name, value.as_bytes()));
        let mut renamed = format!("{HOST_ONLY}{name}.{}={value}.{tag}; Path=/; Secure", owner.slug);
        for part in parts {
            let attribute = part.split('=').next().unwrap_or(part).trim_end();
            let is_known = ATTRIBUTES.iter().any(|known| attribute.eq_ignore_ascii_case(known));
            if is_known && !(owner.is_embedded && attribute.eq_ignore_ascii_case("samesite")) {
                renamed.push_str("; ");
                renamed.push_str(part);
            }
        }
        if owner.is_embedded {
            renamed.push_str("; SameSite=None; Partitioned");
        }
        HeaderValue::from_str(&renamed).ok()
    }

    /// The cookies that are bound to this owner, by the server's names; without a value where there are several. One that was set
    /// before the tenant's pages could be embedded, or while they could, counts where there is none of now.
    fn bound<'h>(&self, headers: &'h HeaderMap, owner: Owner<'_>) -> Jar<'h> {
        let (mut own, mut former) = (Jar::new(), Jar::new());
        let named = pairs(headers).filter_map(|(name, value)| {
            let (name, of) = name.strip_prefix(HOST_ONLY)?.rsplit_once('.')?;
            (of == owner.slug.as_str()).then_some((name, value))
        });
        for (name, value) in named.take(OWN_MAX) {
            match self.verified(owner, name, value) {
                Some((value, true)) => put(&mut own, name, value),
                Some((value, false)) => put(&mut former, name, value),
                None => {}
            }
        }
        former.retain(|(name, _)| !own.iter().any(|(have, _)| have == name));
        own.append(&mut former);
        own
    }

    /// A value without its tag, if that is a right one, in constant time, and whether it is that of now.
    fn verified<'h>(&self, owner: Owner<'_>, name: &str, value: &'h [u8]) -> Option<(&'h [u8], bool)> {
        let (value, text) = value.split_last_chunk::<TAG_CHARS>()?;
        let value = value.strip_suffix(b".")?;
        let mut tag = [0; TAG_BYTES];
        BASE64URL_NOPAD.decode_mut(text, &mut tag).ok()?;
        let is_right =
            |is_embedded: bool| verify_slices_are_equal(&self.tag(owner, is_embedded, name, value), &tag).is_ok();
        let is_of_now = is_right(owner.is_embedded);
        (is_of_now || is_right(!owner.is_embedded)).then_some((value, is_of_now))
    }

    /// None of the parts has a line break.
    fn tag(&self, owner: Owner<'_>, is_embedded: bool, name: &str, value: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        let place = if is_embedded { "embedded" } else { "own" };
        for part in [owner.tenant.as_str(), owner.slug.as_str(), place, name] {
            context.update(part.as_bytes());
            context.update(b"\n");
        }
        context.update(value);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_BYTES]);
        tag
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Names and values; no value where two have come that differ.
type Jar<'h> = Vec<(&'h str, Option<&'h [u8]>)>;

fn put<'h>(jar: &mut Jar<'h>, name: &'h str, value: &'h [u8]) {
    match jar.iter_mut().find(|(have, _)| *have == name) {
        Some((_, have)) if *have != Some(value) => *have = None,
        Some(_) => {}
        None => jar.push((name, Some(value))),
    }
}

/// The one session cookie of a server that an older release has given out.
fn unbound<'h>(headers: &'h HeaderMap, slug: &Slug) -> Option<&'h [u8]> {
    let is_old = |name: &str| name.strip_prefix(SESSION).and_then(|rest| rest.strip_prefix('.')) == Some(slug.as_str());
    let mut jar = Jar::new();
    pairs(headers).filter(|(name, value)| is_old(name) && is_plain(value)).for_each(|(_, value)| {
        put(&mut jar, SESSION, value);
    });
    jar.first()?.1
}

/// Takes the cookies of meetings out, those that servers have set and those that the client's scripts have: a frontend has no
/// business with them.
pub(crate) fn without_meeting_cookies(headers: &mut HeaderMap, is_slug: impl Fn(&str) -> bool) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let of_scripts = |name: &str, value: &[u8]| {
        // The access token of a meeting's dashboard, and the notes' session, as Etherpad writes it: a frontend may have a cookie
        // of that name.
        name.strip_prefix(OF_DASHBOARD).is_some_and(is_internal)
            || (name == OF_NOTES && value.starts_with(b"s."))
            || (name == OF_AUTHOR && value.starts_with(b"t."))
    };
    let others =
        pairs(headers).filter(|(name, value)| !is_of_server(name.as_bytes(), &is_slug) && !of_scripts(name, value));
    let kept = cookie_header(others);
    headers.remove(COOKIE);
    if let Some(kept) = kept {
        headers.insert(COOKIE, kept);
    }
}

/// Keeps the cookies that a frontend sets on its own host, and within TLS. Those that bear a server's name are dropped, and so
/// are those without a name: what stands in their value, a browser would send as a name.
pub(crate) fn keep_on_host(headers: &mut HeaderMap, host: &str, is_slug: impl Fn(&str) -> bool) {
    replace(headers, |cookie| kept_on_host(cookie.as_bytes(), host, &is_slug));
}

/// A `Domain` other than the host itself is taken out: the cookie then belongs to the host alone, and what depends on it goes
/// on working there.
fn kept_on_host(cookie: &[u8], host: &str, is_slug: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    let mut parts = cookie.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next()?;
    let name = pair[..pair.iter().position(|b| *b == b'=')?].trim_ascii();
    if name.is_empty() || is_of_server(name, &is_slug) {
        return None;
    }
    let mut kept = pair.to_vec();
    let mut is_secure = false;
    for part in parts.filter(|part| !part.is_empty()) {
        let (attribute, value) = part.split_at(part.iter().position(|b| *b == b'=').unwrap_or(part.len()));
        let (attribute, value) = (attribute.trim_ascii_end(), value.trim_ascii_start());
        is_secure |= attribute.eq_ignore_ascii_case(b"secure");
        if attribute.eq_ignore_ascii_case(b"domain") {
            let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
            if !value.strip_prefix(b".").unwrap_or(value).eq_ignore_ascii_case(host.as_bytes()) {
                continue;
            }
        }
        kept.extend_from_slice(b"; ");
        kept.extend_from_slice(part);
    }
    if !is_secure {
        kept.extend_from_slice(b"; Secure");
    }
    HeaderValue::from_bytes(&kept).ok()
}

/// Whether a cookie bears a server's name, also that of one that is not configured any more. A name may have any bytes.
fn is_of_server(name: &[u8], is_slug: impl Fn(&str) -> bool) -> bool {
    let begins = |start: &[u8]| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    let (behind_dot, has_dot) = (name.rsplit(|b| *b == b'.').next(), name.contains(&b'.'));
    let behind_dot = behind_dot.filter(|_| has_dot).and_then(|end| std::str::from_utf8(end).ok());
    begins(b"__Host-JSESSIONID") || begins(b"JSESSIONID.") || behind_dot.is_some_and(is_slug)
}

/// Replaces each `Set-Cookie`, or drops it.
fn replace(headers: &mut HeaderMap, new: impl Fn(&HeaderValue) -> Option<HeaderValue>) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let replaced: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter_map(new).collect();
    headers.remove(SET_COOKIE);
    for value in replaced {
        headers.append(SET_COOKIE, value);
    }
}

/// Names and values of all cookies. A value may have any bytes; a name that has is none that we know.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at(pair.iter().position(|b| *b == b'=')?);
        Some((std::str::from_utf8(name).ok()?, value.get(1..)?))
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

/// Whether all readers take a value for one value: no quotes, no spaces, and nothing that could be a second pair. Commas
/// divide the ids of pads.
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_graphic() && !b"\"\\;=".contains(b))
}

/// A name as RFC 6265 (4.1.1) has it.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner, whose parts live as long as the test.
    fn owner<'a>(tenant: &'a TenantId, slug: &'a Slug) -> Owner<'a> {
        Owner { tenant, slug, is_embedded: false }
    }

    fn tenant(id: &str) -> TenantId {
        id.parse().expect("an id")
    }

    fn slug(id: &str) -> Slug {
        id.parse().expect("an id")
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn sent(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(cookies.as_bytes()).expect("legal"))])
    }

    /// What a browser keeps of a cookie that a server sets: `name=value`.
    fn kept(binding: &Binding, owner: Owner<'_>, cookie: &'static str) -> String {
        let mut headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(cookie))]);
        binding.rename(&mut headers, owner);
        let cookie = headers[SET_COOKIE].to_str().expect("text").to_owned();
        cookie.split(';').next().expect("a pair").to_owned()
    }

    #[test]
    fn a_server_gets_what_is_bound_to_it_and_no_other_session() {
        let binding = Binding::new([7; 32], Unbound::default());
        let (wagtail, heron, a, b) = (tenant("wagtail"), tenant("heron"), slug("slug-a"), slug("slug-b"));
        let own = owner(&wagtail, &a);
        let good = kept(&binding, own, "JSESSIONID=1.route; Path=/; Secure; HttpOnly");
        let (start, _) = good.rsplit_once('.').expect("a tag");
        let other = kept(&binding, own, "JSESSIONID=2; Path=/");
        let of_heron = kept(&binding, owner(&heron, &a), "JSESSIONID=1; Path=/");
        let of_b = kept(&binding, owner(&wagtail, &b), "JSESSIONID=1; Path=/").replace("slug-b", "slug-a");
        let of_x = kept(&binding, own, "x=1; Path=/");
        let embedded = kept(&binding, Owner { is_embedded: true, ..own }, "JSESSIONID=3; Path=/");
        let elsewhere = kept(&Binding::new([8; 32], Unbound::default()), own, "JSESSIONID=1; Path=/");
        for (what, cookies, expected) in [
            ("its own", good.clone(), Some("JSESSIONID=1.route")),
            ("twice the same", format!("{good}; {good}"), Some("JSESSIONID=1.route")),
            ("two that differ", format!("{good}; {other}"), None),
            ("of when it was embedded", embedded.clone(), Some("JSESSIONID=3")),
            ("the same beside that of now", format!("{embedded}; {good}"), Some("JSESSIONID=1.route")),
            ("without a tag", "__Host-JSESSIONID.slug-a=1".into(), None),
            ("another tag", format!("{start}.AAAAAAAAAAAAAAAAAAAAAA"), None),
            ("no base64", format!("{start}.!!!!!!!!!!!!!!!!!!!!!!"), None),
            ("another value", good.replace("=1", "=2"), None),
            (
                "a planted one beside its own",
                format!("__Host-JSESSIONID.slug-a=evil; {good}"),
                Some("JSESSIONID=1.route"),
            ),
            ("another tenant's", of_heron, None),
            ("another server's", of_b, None),
            ("another name's", of_x.replace("-x.", "-JSESSIONID."), None),
            ("another key's", elsewhere, None),
            ("an old name", "JSESSIONID.slug-a=1; JSESSIONID=2".into(), None),
            ("another cookie of it", of_x, Some("x=1")),
            ("those of scripts", "_greenlight=3; sessionID=s.5,s.6; ld-x=6; broken".into(), Some("sessionID=s.5,s.6")),
            ("a script's, doubtful", "sessionID=\"5\"; language=a b; prefsHttp=a,JSESSIONID=x".into(), None),
            ("a script's, twice", "sessionID=5; sessionID=6".into(), None),
            ("with any bytes beside it", format!("name=Zoë; {good}"), Some("JSESSIONID=1.route")),
        ] {
            let got = binding.cookies_for(&sent(&cookies), own, Some(SessionNumber::new(1)), at(0));
            let got = got.as_ref().map(|value| value.to_str().expect("text"));
            assert_eq!(got, expected, "{what}: {cookies}");
            let has = expected.is_some_and(|cookie| cookie.starts_with(SESSION));
            assert_eq!(binding.has_session(&sent(&cookies), own, at(0)), has, "{what}");
        }
        let many = (0..=OWN_MAX).map(|n| format!("__Host-x{n}.slug-a=1; ")).collect::<String>() + &good;
        assert_eq!(binding.cookies_for(&sent(&many), own, None, at(0)), None, "not more are looked at");
    }

    #[test]
    fn old_cookies_are_good_for_a_day_beside_a_session() {
        let (wagtail, a) = (tenant("wagtail"), slug("slug-a"));
        let own = owner(&wagtail, &a);
        let unbound = Unbound::since(at(1_000), Some(SessionNumber::new(5)));
        assert_eq!(Unbound::from_bytes(&unbound.to_bytes()), unbound);
        let binding = Binding::new([7; 32], unbound);
        let new = kept(&binding, own, "JSESSIONID=new; Path=/");
        let both = format!("JSESSIONID.slug-a=old; {new}");
        let old = "JSESSIONID.slug-a=old";
        for (what, cookies, session, now, expected) in [
            ("of a session", old, Some(9), at(2_000), Some("JSESSIONID=old")),
            ("of no session", old, None, at(2_000), None),
            ("a day later", old, Some(5), at(1_000).saturating_add(UNBOUND), None),
            ("two", "JSESSIONID.slug-a=old; JSESSIONID.slug-a=x", Some(5), at(2_000), None),
            ("another server's", "JSESSIONID.slug-b=old", Some(5), at(2_000), None),
            ("beside a new one, of a session before the upgrade", &both, Some(5), at(2_000), Some("JSESSIONID=old")),
            ("beside a new one, of a session after it", &both, Some(6), at(2_000), Some("JSESSIONID=new")),
            ("beside a new one, in a join", &both, None, at(2_000), Some("JSESSIONID=new")),
        ] {
            let got = binding.cookies_for(&sent(cookies), own, session.map(SessionNumber::new), now);
            assert_eq!(got.as_ref().map(|value| value.to_str().expect("text")), expected, "{what}");
        }
        assert!(binding.has_session(&sent(old), own, at(2_000)));
        assert!(!binding.has_session(&sent(old), own, at(1_000).saturating_add(UNBOUND)));
        assert_eq!(Unbound::since(at(1_000), None), Unbound::default(), "without sessions there are none");
    }

    #[test]
    fn servers_are_found_by_the_names_of_sessions() {
        let binding = Binding::new([7; 32], Unbound::since(Timestamp::EPOCH, Some(SessionNumber::new(1))));
        let headers =
            sent("__Host-JSESSIONID.s1=1; __Host-x.s2=1; JSESSIONID.s3=1; JSESSIONIDx.s4=1; __Host-JSESSIONID=1");
        assert_eq!(binding.session_slugs(&headers, at(0)).collect::<Vec<_>>(), ["s1", "s3"]);
        assert_eq!(
            binding.session_slugs(&headers, Timestamp::EPOCH.saturating_add(UNBOUND)).collect::<Vec<_>>(),
            ["s1"]
        );
    }

    #[test]
    fn a_servers_cookie_becomes_the_hosts_own() {
        let binding = Binding::new([7; 32], Unbound::default());
        let (wagtail, s1) = (tenant("wagtail"), slug("s1"));
        for (cookie, is_embedded, expected) in [
            (
                "JSESSIONID=ABC; Path=/; Secure; HttpOnly",
                false,
                "__Host-JSESSIONID.s1=ABC.TAG; Path=/; Secure; HttpOnly",
            ),
            ("x=y=z; Domain=a.internal.test; Path=/pad", false, "__Host-x.s1=y=z.TAG; Path=/; Secure"),
            (
                "x=1; SameSite=Lax; Max-Age=5; Odd=1",
                false,
                "__Host-x.s1=1.TAG; Path=/; Secure; SameSite=Lax; Max-Age=5",
            ),
            (
                "x=1; SameSite=Lax; HttpOnly",
                true,
                "__Host-x.s1=1.TAG; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
            ),
            ("x=; Max-Age=0", false, "__Host-x.s1=.TAG; Path=/; Secure; Max-Age=0"),
            ("no pair", false, ""),
            ("=x", false, ""),
            ("a b=x", false, ""),
        ] {
            let mut headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(cookie))]);
            binding.rename(&mut headers, Owner { is_embedded, ..owner(&wagtail, &s1) });
            let got = headers.get(SET_COOKIE).map_or("", |value| value.to_str().expect("text"));
            let tag = got.split(';').next().and_then(|pair| pair.rsplit_once('.')).map_or("TAG", |(_, tag)| tag);
            assert_eq!(got.replace(tag, "TAG"), expected, "{cookie}");
        }
    }

    #[test]
    fn a_frontend_gets_no_cookie_of_a_server() {
        let mut map = sent("JSESSIONID.slug-a=1; __Host-JSESSIONID.slug-a=1.t; _greenlight=3; a.b=4; name=Zoë");
        without_meeting_cookies(&mut map, |slug| slug == "slug-a");
        assert_eq!(map[COOKIE].as_bytes(), "_greenlight=3; a.b=4; name=Zoë".as_bytes());
        without_meeting_cookies(&mut map, |_| true);
        assert_eq!(map[COOKIE].as_bytes(), "_greenlight=3; name=Zoë".as_bytes());
        let id = format!("{}-1700000000000", "a".repeat(40));
        let map = sent(&format!("ld-{id}=access; ld-x=1; sessionID=s.abc,s.def; token=t.abc; a=2"));
        for (mut map, kept) in [
            (map, Some("ld-x=1; a=2")),
            (sent("sessionID=of-a-frontend; JSESSIONID=1"), Some("sessionID=of-a-frontend; JSESSIONID=1")),
            (sent("token=of-a-frontend"), Some("token=of-a-frontend")),
            // Of a server that is not there any more.
            (sent("__Host-JSESSIONID.gone=1.t; jsessionid.gone=1"), None),
            (HeaderMap::new(), None),
        ] {
            without_meeting_cookies(&mut map, |_| false);
            assert_eq!(map.get(COOKIE).map(|value| value.to_str().expect("text")), kept);
        }
    }

    #[test]
    fn a_frontends_cookie_stays_on_its_host() {
        for (cookie, expected) in [
            ("_greenlight=1; Path=/; HttpOnly", Some("_greenlight=1; Path=/; HttpOnly; Secure")),
            ("a=1; secure; SameSite=Lax", Some("a=1; secure; SameSite=Lax")),
            ("a=1; Domain=meet.w", Some("a=1; Domain=meet.w; Secure")),
            ("a=1; Domain=.MEET.W", Some("a=1; Domain=.MEET.W; Secure")),
            ("a=1; Domain=w; Path=/", Some("a=1; Path=/; Secure")),
            ("a=1; domain =.w", Some("a=1; Secure")),
            ("a=1; Domain=other.meet.w", Some("a=1; Secure")),
            ("a=1; Domain", Some("a=1; Secure")),
            ("a=1; Domain=meet.w; Domain=w", Some("a=1; Domain=meet.w; Secure")),
            ("name=Zoë; Path=/", Some("name=Zoë; Path=/; Secure")),
            ("__Host-JSESSIONID.s1=evil; Path=/; Secure", None),
            ("__HOST-jsessionid.s1=evil; Path=/; Secure", None),
            ("__Host-x.s1=evil; Path=/; Secure", None),
            ("JSESSIONID.s9=evil; Domain=w", None),
            ("x.s1=evil", None),
            ("=JSESSIONID.s1=evil", None),
            ("nameless", None),
            ("a.b=1", Some("a.b=1; Secure")),
        ] {
            let got = kept_on_host(cookie.as_bytes(), "meet.w", |slug| slug == "s1");
            let got = got.as_ref().map(|value| std::str::from_utf8(value.as_bytes()).expect("text"));
            assert_eq!(got, expected, "{cookie}");
        }
        for cookie in [&b"__Host-JSESSIONID\xf7=evil"[..], b"__host-jsessionid.\xf7.s1=evil", b"\xf7.s1=evil"] {
            assert_eq!(kept_on_host(cookie, "meet.w", |slug| slug == "s1"), None, "its name is not text");
        }
    }
}
