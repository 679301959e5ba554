//! `join`: a seat is promised first, then the gateway itself joins at the server, and sends the browser to the meeting
//! on the tenant's own host.

mod breakout;

use std::sync::Arc;

use form_urlencoded::{byte_serialize, parse};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
    uri::Authority,
};
use serde::Deserialize;

use super::Verified;
use crate::{
    bbb::{
        answer::{Failure, failed},
        client::{Call as ServerCall, CallError, Reply},
        elsewhere::strange,
        params,
        query::Params,
        validate, xml,
    },
    domain::{admission::admit_tenant, denial::Denial, limits::Limit, pages::Page, tenant::Server},
    live::{
        Meeting,
        clock::now_ms,
        joins::Who,
        sessions::{LEASE_MS, Session, hash},
    },
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::{Answer, outcome_of, redirect, text},
        answered::Home,
        asked::Asked,
        carry::prefix,
        cookies::Owner,
        pages::{page, wants_page},
        path::split,
    },
    store::{
        NewSession, Seated, UserKey,
        writer::{Note, Notes},
    },
    upstream::Body,
};

/// Where a server is told to lead a join that it refuses: nowhere (RFC 2606).
const REFUSED: &str = "https://anteroom.invalid/";
/// What only an address may have that the gateway has made from a server's own: one more session of somebody who is in the
/// meeting.
const OF_A_GRANT: [&str; 3] = ["existingUserID", "replaceSessionToken", "sessionName"];
/// Where the client lives on a server, in all versions; many releases leave the final slash out.
const CLIENT: &str = "/html5client";
/// Where a server of 2.7 sends a guest who waits (docs/reference/bbb-protocol.md, "Answer of join").
const LOBBY: &str = "/html5client/guestWait";

/// Where somebody is let in.
struct Place<'a> {
    meeting: &'a Arc<Meeting>,
    /// The breakout room of the meeting, by the server's internal id.
    breakout: Option<&'a str>,
    /// Who it is, if the caller said so.
    user: Option<UserKey>,
    /// What they are called.
    name: &'a str,
    /// Whether the caller is a browser that is to be sent on.
    redirects: bool,
    /// Whether the guest policy may have somebody wait: a seat is promised when the server has said that it does not.
    may_wait: bool,
}

/// A refusal of a join, BBB's or ours.
pub(super) struct No {
    key: String,
    message: String,
    denial: Option<Denial>,
}

impl From<Failure> for No {
    fn from(failure: Failure) -> Self {
        Self { key: failure.key.into(), message: failure.message.into(), denial: None }
    }
}

impl From<params::Rejected> for No {
    fn from(rejected: params::Rejected) -> Self {
        Self { key: "validationError".into(), message: rejected.to_string(), denial: None }
    }
}

impl From<Denial> for No {
    fn from(denial: Denial) -> Self {
        Self { key: denial.key().into(), message: denial.message().into(), denial: Some(denial) }
    }
}

impl Gateway {
    /// Answers `join`.
    pub(super) async fn join(&self, call: Verified) -> Answer {
        if let Some(refused) = self.too_many_joins(&call.asked) {
            return refused;
        }
        match self.admit(&call).await {
            Ok(answer) => answer,
            Err(no) => {
                let ext_id = call.params.get("meetingID").unwrap_or_default();
                let meeting = self.live.meeting(&call.asked.tenant.id, ext_id);
                let mut answer = self.refuse_join(&call.asked, &call.params, no);
                answer.server = meeting.map(|meeting| meeting.server.clone());
                answer
            }
        }
    }

    async fn admit(&self, call: &Verified) -> Result<Answer, No> {
        let asked = &call.asked;
        let tenant = &asked.tenant;
        admit_tenant(tenant, self.live.suspended.contains(&tenant.id))?;
        let ext_id = call.params.get("meetingID").unwrap_or_default();
        let meeting = self.meeting(asked.account(), ext_id).await?;
        validate::join(&params::seen(&tenant.rules.join, &call.params), meeting.is_some())?;
        let meeting = meeting.ok_or(Failure::ENDED)?;
        let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        self.takes_people(server)?;
        let limits = meeting.limits(tenant);
        let branding = if limits.branding { tenant.branding.of_join(&asked.authority) } else { Vec::new() };
        let mut params = params::join(&call.params, limits, &tenant.rules, &branding)?;
        params.set("meetingID", &*meeting.server_id);
        for name in OF_A_GRANT.iter().filter(|_| call.granted) {
            if let Some(value) = call.params.get(name) {
                params.set(name, value);
            }
        }
        // A refusal is to be told from a success by where it leads, and the caller's own address is nobody's to go to
        // before the gateway has seen what is said.
        params.set("errorRedirectUrl", REFUSED);
        let redirects = !is_false(params.get("redirect"));
        let may_wait = call.granted || may_have_to_wait(&params);
        if may_wait {
            // Only this answer tells whether the guest is let in.
            params.set("redirect", "false");
        }

        let user = params.get("userID").filter(|id| !id.is_empty());
        let user = user.map(|id| self.user_keys.of(&tenant.id, id));
        let name = call.params.get("fullName").unwrap_or_default();
        let place = Place { meeting: &meeting, breakout: None, user, name, redirects, may_wait };
        self.let_in(asked, server, place, ServerCall::new("join", &params)).await
    }

    /// Whether people may come to a server.
    fn takes_people(&self, server: &Server) -> Result<(), Denial> {
        let state = self.live.servers.of(&server.id);
        if state.is_offline() || !state.mode().takes_people() { Err(Denial::ServerUnavailable) } else { Ok(()) }
    }

    /// Promises a seat, and then has the server let somebody in by this call: from then on their session is known.
    async fn let_in(
        &self,
        asked: &Asked,
        server: &Server,
        place: Place<'_>,
        call: ServerCall<'_>,
    ) -> Result<Answer, No> {
        let Place { meeting, breakout, user, name, redirects, may_wait } = place;
        let who = user.as_ref().map_or(Who::Named(asked.peer(), name), Who::User);
        if !self.live.joins.may(meeting.id, who) {
            return Err(Denial::RateLimited.into());
        }
        let (now, until) = (asked.now, asked.now + LEASE_MS);
        // Who may have to wait has no seat meanwhile, and is not refused one either.
        let (seats, held) = if may_wait { (Limit::Unlimited, 0) } else { (meeting.seats(), until) };
        let new = NewSession { meeting: meeting.id, user: user.as_ref(), now, until: held, seats, breakout };
        let Seated { id, instead_of } = self.store.admit_session(&new).await.map_err(|refusal| refusal.denial())?;
        if let Some(replaced) = instead_of {
            self.live.note_replaced(replaced, now);
            self.live.session_of_id(replaced).iter().for_each(|old| old.give_up());
        }
        let reserved = Reserved { id, notes: &self.notes, kept: false };
        let joined = self.join_at(server, call, asked, &meeting.ext_id, redirects).await?;

        // The room may have been restarted meanwhile, and the session be one of the new run.
        if !self.live.runs(meeting) {
            return Err(Denial::ServerUnavailable.into());
        }
        let waits = may_wait && joined.waits;
        if may_wait {
            self.judged(meeting, id, waits, until).await?;
        }
        let token = hash(&joined.session_token);
        let state = self.live.servers.of(&server.id);
        let session = Session::new(id, Arc::clone(meeting), until, state);
        let session = if waits { session.waiting() } else { session };
        if !self.live.add_session(token, Arc::new(session)) {
            tracing::warn!(server = %server.id, "server issued the same session token twice");
            return Err(Denial::ServerUnavailable.into());
        }
        reserved.keep();
        self.notes.leave(Note::Bound { session: id, token });
        self.told().await;
        meeting.touch();
        Ok(Answer::new(Call::Join, Outcome::Ok, joined.response).by(&server.id))
    }

    /// The server has said whether somebody waits: who does is noted so, who does not takes a seat.
    async fn judged(&self, meeting: &Meeting, session: i64, waits: bool, until: i64) -> Result<(), Denial> {
        if waits {
            return self.store.wait_session(session).await.map_err(|_| Denial::StoreUnavailable);
        }
        let seated = self.store.readmit_session(meeting.id, session, now_ms(), until, meeting.seats()).await;
        seated.map_err(|refusal| refusal.denial())
    }

    /// Joins at the server, and makes its answer one for the tenant's host.
    async fn join_at(
        &self,
        server: &Server,
        mut call: ServerCall<'_>,
        asked: &Asked,
        ext_id: &str,
        redirects: bool,
    ) -> Result<Joined, No> {
        call.caller = asked.caller(server);
        let owner = Owner::new(&asked.tenant, &server.slug);
        call.cookie = self.binding.cookies_for(&asked.head.headers, owner, None, asked.now);
        let reply = self.call(call, server).await.map_err(CallError::denial)?;
        let joined = if reply.status.is_redirection() {
            redirected(server, &reply, asked)
        } else {
            told(server, &reply, asked, ext_id, redirects)
        };
        let state = self.live.servers.of(&server.id);
        let Some(mut joined) = joined? else {
            match strange(server, &reply.headers, &reply.body) {
                Some((strange, host)) => {
                    tracing::error!(server = %server.id, redirected_to = host, "server {strange}");
                    state.set_strange(Some(strange));
                }
                None => tracing::warn!(server = %server.id, status = %reply.status, "invalid answer to join"),
            }
            return Err(Denial::ServerUnavailable.into());
        };
        state.set_strange(None);
        let headers = joined.response.headers_mut();
        for cookie in reply.headers.get_all(SET_COOKIE) {
            headers.append(SET_COOKIE, cookie.clone());
        }
        self.rename_cookies(headers, server, &asked.tenant);
        Ok(joined)
    }

    /// A refusal in the form its caller reads: XML for `redirect=false`, BBB's own redirect where the caller gave an
    /// address for it, a page for people, XML for all others (docs/reference/bbb-protocol.md, "Answer of join").
    pub(super) fn refuse_join(&self, asked: &Asked, params: &Params, no: No) -> Answer {
        let ruled = |name| params::ruled(&asked.tenant.rules.join, params, name);
        let response = if is_false(ruled("redirect")) {
            None
        } else if let Some(address) = ["errorRedirectUrl", "logoutURL"]
            .iter()
            .find_map(|name| ruled(name).filter(|address| params::is_web_url(address)))
        {
            redirect(StatusCode::FOUND, &with_errors(address, &no.key, &no.message))
        } else if wants_page(&asked.head.headers) {
            Some(self.join_page_of(asked, Some(params), &no))
        } else {
            None
        };
        let response =
            response.unwrap_or_else(|| text(StatusCode::OK, "text/xml;charset=utf-8", failed(&no.key, &no.message)));
        let outcome = no.denial.map_or(Outcome::Refused, outcome_of);
        let mut answer = Answer::new(Call::Join, outcome, response);
        answer.reason = Failure::known_key(&no.key);
        match no.denial {
            Some(denial) => answer.because(denial),
            None => answer,
        }
    }

    /// The page of a join that BBB's own rules refuse.
    pub(super) fn join_page(&self, asked: &Asked, key: &'static str, message: &str) -> Answer {
        let no = No { key: key.into(), message: message.into(), denial: None };
        let mut answer = Answer::new(Call::Join, Outcome::Refused, self.join_page_of(asked, None, &no));
        answer.reason = key;
        answer
    }

    /// The page of a refusal.
    fn join_page_of(&self, asked: &Asked, params: Option<&Params>, no: &No) -> Response<Body> {
        let (status, of) = match (no.denial, no.key.as_str()) {
            (Some(denial), _) => (denial.status(), Page::Refused(denial)),
            (None, "meetingForciblyEnded" | "invalidMeetingIdentifier" | "notFound") => {
                // Who has the address of a breakout room has it from one that was there.
                let is_over = params.is_some_and(|params| {
                    let ext_id = params.get("meetingID").unwrap_or_default();
                    params.get("isBreakout") == Some("true") || self.live.has_ended(&asked.tenant.id, ext_id)
                });
                (StatusCode::NOT_FOUND, if is_over { Page::Over } else { Page::NotYet })
            }
            (None, "checksumError") => (StatusCode::FORBIDDEN, Page::WrongLink),
            (None, _) => (StatusCode::BAD_REQUEST, Page::Other(no.message.clone())),
        };
        // What BBB says of a meeting that does not run tells people the wrong thing.
        let key = if matches!(of, Page::NotYet | Page::Over) { of.name() } else { &no.key };
        page(asked, status, &of, key)
    }
}

/// A seat that is given back unless the join comes to something: also when whoever joins has gone away meanwhile.
struct Reserved<'a> {
    id: i64,
    notes: &'a Notes,
    kept: bool,
}

impl Reserved<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.notes.leave(Note::Dropped { session: self.id });
        }
    }
}

/// What a server made of a join.
struct Joined {
    session_token: String,
    /// The guest is not let in yet.
    waits: bool,
    response: Response<Body>,
}

/// The 302 of a join: to the client with a session, or to some address with errors. `None` for neither.
fn redirected(server: &Server, reply: &Reply, asked: &Asked) -> Result<Option<Joined>, No> {
    let Some(location) = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let (_, query) = location.split_once('?').unwrap_or((location, ""));
    if let Some(no) = errors_of(query) {
        return Err(no);
    }
    let Some(path) = client_path(server, location) else { return Ok(None) };
    let Some(session_token) = token_of(query) else { return Ok(None) };
    let response = client_address(server, asked, &path).and_then(|address| redirect(StatusCode::FOUND, &address));
    let Some(response) = response else { return Ok(None) };
    Ok(Some(Joined { session_token, waits: path.starts_with(LOBBY), response }))
}

/// The XML of a join: for `redirect=false`, and for some refusals whatever was asked. `None` for what is no answer. Where it was
/// the gateway that wanted XML, the browser is sent to where the server would have sent it.
fn told(server: &Server, reply: &Reply, asked: &Asked, ext_id: &str, redirects: bool) -> Result<Option<Joined>, No> {
    let Ok(answer) = xml::answer(&reply.body, &asked.tenant.id, Some(ext_id)) else {
        return Ok(None);
    };
    if !answer.success {
        return Err(No { key: answer.message_key, message: answer.message, denial: None });
    }
    let Some(path) = client_path(server, &answer.url) else { return Ok(None) };
    let Some(address) = client_address(server, asked, &path) else { return Ok(None) };
    if answer.session_token.is_empty() {
        return Ok(None);
    }
    let response = if redirects {
        let Some(response) = redirect(StatusCode::FOUND, &address) else { return Ok(None) };
        response
    } else {
        let Ok(body) = xml::replace_text(&answer.body, "url", &address) else { return Ok(None) };
        let mut response = text(StatusCode::OK, "text/xml;charset=utf-8", body);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    };
    let waits = answer.waits || path.starts_with(LOBBY);
    Ok(Some(Joined { session_token: answer.session_token, waits, response }))
}

/// The path and query of the client's address, with one slash where a server has none or two, if it is one of the server's
/// client: anything else may be an address that a caller made up.
fn client_path(server: &Server, location: &str) -> Option<String> {
    let address = match location.split_once("://") {
        Some((_, rest)) => {
            let (at, address) = rest.split_at(rest.find('/')?);
            let at: Authority = at.parse().ok()?;
            server.names.iter().any(|name| name.host().eq_ignore_ascii_case(at.host())).then_some(address)?
        }
        // `//host/...` names a host of its own.
        None => Some(location).filter(|location| !location.starts_with("//"))?,
    };
    let (path, rest) = split(address);
    match path.strip_prefix(CLIENT)? {
        "" => Some(format!("{path}/{rest}")),
        below if below.starts_with('/') => Some(format!("{path}{rest}")),
        _ => None,
    }
}

/// The client's address on the tenant's host; `None` where the server would be named in it.
fn client_address(server: &Server, asked: &Asked, path: &str) -> Option<String> {
    let home = Home { names: &server.names, authority: &asked.authority, prefix: &prefix(server) };
    Some(format!("https://{}{}{}", asked.authority, home.prefix, home.rewritten(path)?))
}

fn token_of(query: &str) -> Option<String> {
    parse(query.as_bytes())
        .find(|(name, token)| name == "sessionToken" && !token.is_empty())
        .map(|(_, token)| token.into_owned())
}

/// What BBB says in the `errors` that it hangs on a redirect: a JSON array of `{"key", "message"}`. A redirect that has
/// them is a refusal, whatever else it has.
fn errors_of(query: &str) -> Option<No> {
    #[derive(Deserialize)]
    struct Error {
        key: String,
        #[serde(default)]
        message: String,
    }
    // BBB's own come last: what stands before them was in the address already.
    let (_, errors) = parse(query.as_bytes()).filter(|(name, _)| name == "errors").last()?;
    let errors: Vec<Error> = serde_json::from_str(&errors).unwrap_or_default();
    let Some(error) = errors.into_iter().next() else { return Some(Denial::ServerUnavailable.into()) };
    let denial = (error.key == Denial::MaxParticipantsReached.key()).then_some(Denial::MaxParticipantsReached);
    Some(No { key: error.key, message: error.message, denial })
}

fn with_errors(address: &str, key: &str, message: &str) -> String {
    let errors = serde_json::json!([{ "key": key, "message": message }]).to_string();
    let (address, fragment) = address.split_once('#').map_or((address, None), |(a, f)| (a, Some(f)));
    let joint = if address.contains('?') { '&' } else { '?' };
    let mut out = format!("{address}{joint}errors=");
    out.extend(byte_serialize(errors.as_bytes()));
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

/// Whether the guest policy of the meeting may have somebody wait: a guest, or a user with `auth=true`
/// (docs/reference/bbb-protocol.md, "Guests").
/// Moderators change the policy while a meeting runs, so that what it was created with says nothing.
fn may_have_to_wait(params: &Params) -> bool {
    ["guest", "auth"].iter().any(|name| params.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true")))
}

/// Whether `redirect` asks for none: as Java reads it, all that is not `true`
/// (docs/reference/bbb-protocol.md, "Parameter values").
fn is_false(value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_hung_on_an_address_and_read_from_one() {
        for (address, start) in
            [("https://a.b/", "https://a.b/?errors="), ("https://a.b/?x=1", "https://a.b/?x=1&errors=")]
        {
            let with = with_errors(address, "someKey", "Some \"message\" & more");
            assert!(with.starts_with(start), "{with}");
            let no = errors_of(with.split_once('?').expect("a query").1).expect("errors");
            assert_eq!((&*no.key, &*no.message), ("someKey", "Some \"message\" & more"));
        }
        assert!(with_errors("https://a.b/#top", "k", "m").ends_with("#top"));
        let with = with_errors("https://a.b/#/rooms?x=1", "k", "m");
        assert!(with.starts_with("https://a.b/?errors=") && with.ends_with("#/rooms?x=1"), "{with}");
        assert!(errors_of("errors=nonsense").is_some_and(|no| no.denial == Some(Denial::ServerUnavailable)));
        let own = errors_of("errors=x&errors=%5B%7B%22key%22%3A%22own%22%7D%5D").expect("errors");
        assert_eq!(own.key, "own", "what a caller put there does not count");
        assert!(errors_of("sessionToken=t").is_none());
    }

    #[test]
    fn only_the_servers_own_client_is_gone_to() {
        let server = crate::domain::fixtures::server("a", "members");
        for (location, path) in [
            ("https://a.internal.test/html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test/html5client/join?sessionToken=t", Some("/html5client/join?sessionToken=t")),
            ("/html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://evil.example/html5client/?sessionToken=t", None),
            ("https://a.internal.test/elsewhere?sessionToken=t", None),
            ("https://a.internal.test?sessionToken=t", None),
            // 3.0 as it shipped for many releases, and a `serverURL` that ends in a slash.
            ("https://a.internal.test/html5client?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test//html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test//html5client//join?sessionToken=t", Some("/html5client/join?sessionToken=t")),
            ("/html5client?sessionToken=a//b", Some("/html5client/?sessionToken=a//b")),
            ("https://a.internal.test/html5clients?sessionToken=t", None),
            ("//evil.example/html5client/?sessionToken=t", None),
            ("//html5client/?sessionToken=t", None),
        ] {
            assert_eq!(client_path(&server, location).as_deref(), path, "{location}");
        }
    }
}
