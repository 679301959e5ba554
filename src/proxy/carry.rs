//! A meeting's traffic: found its server, carried there and back.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG},
};
use http_body::Body as _;

use super::{
    Gateway,
    answer::{Answer, text},
    answered::Home,
    asked::{Asked, address, is_websocket},
    cookies::Owner,
    headers::{remove_hop_by_hop, set_forwarded, to_server},
    held::{Charge, FIRST_BYTES_TIMEOUT, Unread, Whole},
    named_ids::{self, Of},
    passing::Unsent,
    route::{BODY_BYTES_MAX, Kind, UPLOAD_BYTES_MAX, call_of},
    session_token,
    settings::Rewrite,
    upload_form::Form,
};
use crate::{
    domain::{denial::Denial, tenant::Server},
    live::{
        Meeting,
        sessions::{Session, hash},
    },
    metrics::{Call, Outcome},
    upstream::{Body, BodyFault, Incoming, SendError, Watch, whole},
};

/// As BBB's nginx waits for its own services (docs/reference/bbb-protocol.md, "Time limits and sizes").
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the learning dashboard is.
const DASHBOARD: &str = "/learning-analytics-dashboard/";
/// An upload is passed on within the server once all of it is there.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How much of a body without a length is held until it is measured: what nginx takes of a body unless it is told otherwise.
const MEASURED_BYTES_MAX: usize = 1024 * 1024;
/// Settings have some 100 KB.
const SETTINGS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a request of a meeting goes, and for which session.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: Arc<Server>,
    pub(crate) session: Option<Arc<Session>>,
}

impl Gateway {
    /// The server of `/s/<slug>`, if this tenant reaches it and all that the request names is this tenant's.
    pub(crate) async fn server_of_slug(&self, asked: &mut Asked, slug: &str, path: &str) -> Result<Target, Denial> {
        let server = asked.directory.server_of_slug(slug).cloned().ok_or(Denial::NotFound)?;
        if !self.reaches(asked, &server.id).await? {
            return Err(Denial::NotFound);
        }
        self.own_meeting(asked, path).await?;
        let mut session = self.session_for(asked, path).await?;
        if session.as_ref().is_some_and(|session| session.meeting.server != server.id) {
            if !path.starts_with(DASHBOARD) {
                return Err(Denial::UnknownSession);
            }
            session_token::remove(&mut asked.head)?;
            session = None;
        }
        Ok(Target { server, session })
    }

    /// The server of a path that a client built from the root: by session, else by internal meeting id, else, for files that
    /// are the same for everybody, by the page that asks, else by the one server whose session cookie the browser has
    /// (docs/reference/bbb-protocol.md, "Server of a request"), else the one that has the host to itself.
    pub(crate) async fn server_of_root(&self, asked: &mut Asked, path: &str, kind: Kind) -> Result<Target, Denial> {
        let session = self.session_for(asked, path).await?;
        let meeting = self.own_meeting(asked, path).await?;
        let id = match (&session, &meeting) {
            (Some(session), _) => &session.meeting.server,
            (None, Some(meeting)) => &meeting.server,
            (None, None) => {
                let of_page = if kind == Kind::Static { self.server_of_page(asked).await? } else { None };
                let server = of_page.or_else(|| self.server_of_browser(asked).cloned()).ok_or(Denial::NotFound)?;
                return Ok(Target { server, session: None });
            }
        };
        let server = asked.directory.server(id.as_str()).ok_or(Denial::ServerUnavailable)?;
        Ok(Target { server: Arc::clone(server), session })
    }

    /// The one server whose session cookie a browser has, else the one that has the host to itself.
    pub(super) fn server_of_browser<'a>(&self, asked: &'a Asked) -> Option<&'a Arc<Server>> {
        let is_reached = |server: &&Arc<Server>| self.live.reaches(&asked.tenant.id, &server.id, asked.now);
        let slugs = self.binding.session_slugs(&asked.head.headers, asked.now);
        let mut servers = slugs.filter_map(|slug| asked.directory.server_of_slug(slug)).filter(is_reached);
        match (servers.next(), servers.next()) {
            (Some(server), None) => Some(server),
            _ => asked.directory.meteor_of(&asked.tenant).filter(is_reached),
        }
    }

    /// The session that a request names. The dashboard asks for none, since its data has a token of its own
    /// (docs/reference/bbb-protocol.md, "Paths"): a link to it with a session that is over, or somebody else's,
    /// leads there without one.
    async fn session_for(&self, asked: &mut Asked, path: &str) -> Result<Option<Arc<Session>>, Denial> {
        match self.named_session(asked).await {
            Err(Denial::UnknownSession) if path.starts_with(DASHBOARD) => {
                session_token::remove(&mut asked.head)?;
                Ok(None)
            }
            named => named,
        }
    }

    /// The session that a request names, from here on in one way only; refused if it is none of this tenant.
    async fn named_session(&self, asked: &mut Asked) -> Result<Option<Arc<Session>>, Denial> {
        let Some(token) = session_token::settle(&mut asked.head)? else { return Ok(None) };
        self.session(asked.account(), &hash(&token))
            .await?
            .filter(|session| session.meeting.tenant == asked.tenant.id)
            .map(Some)
            .ok_or(Denial::UnknownSession)
    }

    /// The first meeting whose internal id a request names in its path or its query. Refused if any of them is none of this
    /// tenant, also where the id of a document should stand.
    pub(super) async fn own_meeting(&self, asked: &Asked, path: &str) -> Result<Option<Arc<Meeting>>, Denial> {
        let tenant = &asked.tenant.id;
        let mut own = None;
        let in_query = named_ids::in_query(asked.query());
        for (of, id) in named_ids::in_path(path).chain(in_query.iter().map(|(of, id)| (*of, &**id))) {
            if of == Of::Meeting {
                let meeting = self.meeting_of_internal(asked.account(), id).await?.ok_or(Denial::NotFound)?;
                own.get_or_insert(meeting);
            } else if self.live.meeting_of_internal(id).is_some_and(|meeting| meeting.tenant != *tenant) {
                return Err(Denial::NotFound);
            }
        }
        Ok(own)
    }

    /// Carries one request of a meeting to its server and the answer back.
    pub(crate) async fn carry(
        self: &Arc<Self>,
        asked: Asked,
        mut body: Incoming,
        target: Target,
        path: &str,
        kind: Kind,
    ) -> Answer {
        let call = call_of(kind);
        if matches!(kind, Kind::Token | Kind::Settings | Kind::PluginData) && target.session.is_none() {
            return self.refuse(&asked, call, Denial::UnknownSession).by(&target.server.id);
        }
        // Where there is no socket, one that is asked for is nothing: what is carried as it is would not be rewritten.
        if is_websocket(&asked.head) {
            match kind {
                Kind::GraphQl => {
                    return self.graphql(asked, Some(&target.server), path).by(&target.server.id);
                }
                Kind::Token | Kind::Session => return self.socket(asked, target, path).await,
                Kind::Static | Kind::Settings | Kind::Upload | Kind::PluginData | Kind::Call(_) => {}
            }
        }
        let has_body = match body.has_any(FIRST_BYTES_TIMEOUT).await {
            Ok(has_body) => has_body,
            Err(fault) => return self.unsent(&asked, call, fault.into(), None),
        };
        // No body of a stranger is carried to a server. An upload has no token in its address, but its browser has the cookie.
        if has_body && !self.is_known(&asked, &target) {
            return self.refuse(&asked, call, Denial::UnknownSession).by(&target.server.id);
        }
        if has_body && named_ids::is_slide(path) && kind != Kind::Upload {
            // A form could name another meeting than the path does.
            return self.refuse(&asked, call, Denial::NotFound).by(&target.server.id);
        }
        let (body, _charge) = match self.with_length(&asked, body, kind).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let server = &target.server;
        if let Some(answer) = self.client_file(&asked, server, path, kind).await {
            return answer;
        }
        let is_page = kind == Kind::Static && server.is_meteor && !has_ending(path);
        let is_rewritten =
            is_page || kind == Kind::Settings || matches!(kind, Kind::Call(call) if call.names_the_server());
        let prepare = |headers: &mut HeaderMap| {
            if is_rewritten {
                // The server is to send them as they are.
                headers.remove(ACCEPT_ENCODING);
            }
        };
        let limit = if kind == Kind::Upload { UPLOAD_TIMEOUT } else { ANSWER_TIMEOUT };
        let form = if kind == Kind::Upload { Form::of(&asked.head.headers) } else { Ok(None) };
        let watch = match form {
            Ok(form) => form.map(|form| self.watch_upload(&asked, form)),
            Err(_) => return self.refuse(&asked, call, Denial::NotFound).by(&server.id),
        };
        let mut response = match self.forward(&asked, (body, watch), &target, path, limit, prepare).await {
            Ok(response) => response,
            Err(why) => return self.unsent(&asked, call, why, Some(&server.id)),
        };
        let prefix = prefix(server);
        let home = Home { names: &server.names, authority: &asked.authority, prefix: &prefix };
        self.to_browser(response.headers_mut(), server, &asked.tenant, home);
        if is_rewritten && asked.head.method == Method::HEAD {
            response.headers_mut().remove(CONTENT_LENGTH);
        } else if is_page && response.status().is_success() {
            let meeting = target.session.as_ref().map(|session| &*session.meeting);
            return self.rewritten(&asked, server, call, meeting, true, response).await;
        } else if is_rewritten && response.status().is_success() {
            // Nothing is rewritten without a session: it was asked for above, or by whoever sent this here.
            let Some(session) = &target.session else {
                return self.refuse(&asked, call, Denial::UnknownSession).by(&server.id);
            };
            return self.rewritten(&asked, server, call, Some(&session.meeting), false, response).await;
        }
        Answer::new(call, outcome(&response), response).by(&server.id)
    }

    /// Looks at the form of an upload as it passes: it may name no meeting but the tenant's own. Breaks it off where it does. What
    /// other gateways have made is known here as soon as they tell.
    fn watch_upload(self: &Arc<Self>, asked: &Asked, mut form: Form) -> Watch {
        let (gateway, tenant) = (Arc::clone(self), asked.tenant.id.clone());
        let may = move |of, id: &str| match gateway.live.meeting_of_internal(id) {
            Some(meeting) => meeting.tenant == tenant,
            None => of == Of::Document || gateway.live.breakouts.of_internal(&tenant, id).is_some(),
        };
        Watch(Box::new(move |bytes| Ok(form.pass(bytes, &may)?)))
    }

    /// Whether whoever asks has a session of this tenant at this server: they name it, or have its cookie.
    fn is_known(&self, asked: &Asked, target: &Target) -> bool {
        let owner = Owner::new(&asked.tenant, &target.server.slug);
        target.session.is_some() || self.binding.has_session(&asked.head.headers, owner, asked.now)
    }

    /// Sends a request on to a server, once its body has begun; `watch` looks at that as it passes. What names the server is
    /// still in the answer.
    pub(crate) async fn forward(
        &self,
        asked: &Asked,
        (body, watch): (Incoming, Option<Watch>),
        target: &Target,
        path: &str,
        limit: Duration,
        prepare: impl FnOnce(&mut HeaderMap),
    ) -> Result<Response<Body>, Unsent> {
        let Target { server, session } = target;
        let owner = Owner::new(&asked.tenant, &server.slug);
        let session = session.as_ref().map(|session| session.id);
        let cookies = self.binding.cookies_for(&asked.head.headers, owner, session, asked.now);
        let (body, clock) = self.uploads.begin(asked, server.id.as_str(), body, watch).await?;
        let mut headers = asked.head.headers.clone();
        remove_hop_by_hop(&mut headers);
        set_forwarded(&mut headers, &asked.connection.peer_value, "https", &asked.request_id);
        to_server(&mut headers, server, cookies);
        prepare(&mut headers);
        let mut request = Request::new(body);
        *request.method_mut() = asked.head.method.clone();
        *request.uri_mut() = address(&server.upstream, path, asked.head.uri.query());
        *request.headers_mut() = headers;
        match clock.answer(limit, self.pool.send(request)).await? {
            Ok(response) => Ok(response),
            Err(SendError::Body(fault)) => Err(fault.into()),
            Err(SendError::Connect) => {
                asked.failure_span().in_scope(|| self.unreachable(server));
                Err(Denial::ServerUnavailable.into())
            }
            Err(SendError::Exhausted) => Err(Denial::Overloaded.into()),
            Err(SendError::Broken) => Err(Denial::ServerUnavailable.into()),
        }
    }

    /// A body is bounded by its length.
    pub(crate) fn check_length(&self, asked: &Asked, body: &Incoming, kind: Kind) -> Result<(), Answer> {
        let most = if kind == Kind::Upload { UPLOAD_BYTES_MAX } else { BODY_BYTES_MAX };
        let is_too_long = body.size_hint().exact().is_some_and(|length| length > most);
        if is_too_long { Err(self.refuse(asked, call_of(kind), Denial::TooLarge)) } else { Ok(()) }
    }

    /// A body with its length, which a server must be told: BBB refuses an upload without one, with a status that misleads
    /// (docs/reference/bbb-protocol.md, "Uploads"). A body that comes without one is held until it is measured, and one
    /// that is too long for that is refused: whoever sends so much knows how much it is. With what it is charged for while it
    /// is held.
    async fn with_length(
        &self,
        asked: &Asked,
        body: Incoming,
        kind: Kind,
    ) -> Result<(Incoming, Option<Charge>), Answer> {
        self.check_length(asked, &body, kind)?;
        if body.size_hint().exact().is_some() {
            return Ok((body, None));
        }
        let call = call_of(kind);
        // Boxed: bodies have a length, nearly all of them.
        match Box::pin(self.bodies.read(asked, body, MEASURED_BYTES_MAX, false)).await {
            Ok(Whole { bytes, charge }) => Ok((Incoming::held(bytes), charge)),
            Err(Unread::Broken) => Err(self.unsent(asked, call, BodyFault::Broken.into(), None)),
            Err(Unread::Slow) => Err(self.unsent(asked, call, BodyFault::Slow.into(), None)),
            Err(Unread::NoRoom) => Err(self.refuse(asked, call, Denial::Overloaded)),
            Err(Unread::TooLarge) => {
                let message = "A body of more than 1 MB has to tell its length.\n";
                let answer = text(StatusCode::LENGTH_REQUIRED, "text/plain;charset=utf-8", message);
                Err(Answer::new(call, Outcome::Refused, answer))
            }
        }
    }

    /// An answer that has been read whole, with the tenant's host in place of the server's.
    async fn rewritten(
        &self,
        asked: &Asked,
        server: &Server,
        call: Call,
        meeting: Option<&Meeting>,
        is_page: bool,
        response: Response<Body>,
    ) -> Answer {
        let (mut head, body) = response.into_parts();
        let prefix = prefix(server);
        let meeting = meeting.map(|meeting| (&*meeting.server_id, &*meeting.ext_id));
        let rewrite = Rewrite { names: &server.names, authority: &asked.authority, prefix: &prefix, meeting };
        let read = tokio::time::timeout(ANSWER_TIMEOUT, whole(body, SETTINGS_BYTES_MAX)).await;
        let new = read
            .ok()
            .flatten()
            .filter(|_| !head.headers.contains_key(CONTENT_ENCODING))
            .and_then(|body| if is_page { rewrite.page(&body) } else { rewrite.apply(&body) });
        let Some(new) = new else {
            asked.failure_span().in_scope(|| {
                tracing::warn!(server = %server.id, "failed to rewrite addresses in a server's answer");
            });
            return self.refuse(asked, call, Denial::ServerUnavailable).by(&server.id);
        };
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(new.len()));
        head.headers.remove(ETAG);
        Answer::new(call, Outcome::Ok, Response::from_parts(head, Body::from(new))).by(&server.id)
    }
}

/// Where a server is found on a tenant's host. The client of 2.7 knows of no prefix: it has the host to itself.
pub(crate) fn prefix(server: &Server) -> String {
    if server.is_meteor { String::new() } else { format!("/s/{}", server.slug) }
}

/// Whether the last part of a path has an ending, as files have.
fn has_ending(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.contains('.'))
}

pub(crate) fn outcome(response: &Response<Body>) -> Outcome {
    if response.status().is_server_error() { Outcome::Failed } else { Outcome::Ok }
}
