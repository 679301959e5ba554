//! Where a request of a meeting goes, and for which session.

use std::sync::Arc;

use super::{
    asked::Asked,
    cookies::Owner,
    gateway::Gateway,
    images, livekit,
    named_ids::{self, Of},
    path::merge_slashes,
    referrer,
    route::{Kind, Route, route},
    session_token,
};
use crate::{
    domain::{denial::Denial, session::TokenHash, tenant::Server},
    live::{
        Meeting,
        sessions::{Session, hash},
    },
    meetings::find,
};

/// Where the learning dashboard is.
const DASHBOARD: &str = "/learning-analytics-dashboard/";

/// Where a request of a meeting goes, and for which session.
#[derive(Debug)]
pub(super) struct Target {
    pub(crate) server: Arc<Server>,
    pub(crate) session: Option<Arc<Session>>,
}

/// The server of `/s/<slug>`, if this tenant reaches it and all that the request names is this tenant's. `session` is the one
/// that its path names, if it does.
pub(super) async fn of_slug(
    gateway: &Gateway,
    asked: &mut Asked,
    slug: &str,
    session: Option<TokenHash>,
    path: &str,
) -> Result<Target, Denial> {
    let server = asked.directory.server_of_slug(slug).cloned().ok_or(Denial::NotFound)?;
    if !find::reaches(&gateway.meetings, asked.account(), &server.id, asked.now).await? {
        return Err(Denial::NotFound);
    }
    livekit::settle(&mut asked.head, path)?;
    let meeting = own_meeting(gateway, asked, path).await?;
    let mut session = match session {
        Some(named) => {
            session_token::remove(&mut asked.head)?;
            Some(own_session(gateway, asked, &named).await?)
        }
        None => session_for(gateway, asked, path).await?,
    };
    check_image(path, session.as_deref(), meeting.as_deref())?;
    if session.as_ref().is_some_and(|session| session.meeting.server != server.id) {
        if !path.starts_with(DASHBOARD) {
            return Err(Denial::UnknownSession);
        }
        session_token::remove(&mut asked.head)?;
        session = None;
    }
    let target = Target { server, session };
    check_room(gateway, asked, path, &target, meeting.as_deref())?;
    Ok(target)
}

/// The server of a path that a client built from the root: by session, else by internal meeting id, else, for files that
/// are the same for everybody, by the page that asks, else by the one server whose session cookie the browser has
/// (docs/reference/bbb-protocol.md, "Server of a request"), else the one that has the host to itself.
pub(super) async fn of_root(gateway: &Gateway, asked: &mut Asked, path: &str, kind: Kind) -> Result<Target, Denial> {
    livekit::settle(&mut asked.head, path)?;
    let session = session_for(gateway, asked, path).await?;
    let meeting = own_meeting(gateway, asked, path).await?;
    check_image(path, session.as_deref(), meeting.as_deref())?;
    let id = match (&session, &meeting) {
        (Some(session), _) => &session.meeting.server,
        (None, Some(meeting)) => &meeting.server,
        (None, None) => {
            let of_page = if kind == Kind::Static { of_page(gateway, asked).await? } else { None };
            let server = of_page.or_else(|| of_browser(gateway, asked).cloned()).ok_or(Denial::NotFound)?;
            let target = Target { server, session: None };
            check_room(gateway, asked, path, &target, None)?;
            return Ok(target);
        }
    };
    let server = asked.directory.server(id.as_str()).ok_or(Denial::ServerUnavailable)?;
    let target = Target { server: Arc::clone(server), session };
    check_room(gateway, asked, path, &target, meeting.as_deref())?;
    Ok(target)
}

/// Refuses an image of another meeting than the session's. A breakout room and its parent are one meeting here.
fn check_image(path: &str, session: Option<&Session>, meeting: Option<&Meeting>) -> Result<(), Denial> {
    let is_anothers = || session.zip(meeting).is_some_and(|(session, meeting)| session.meeting.id != meeting.id);
    if images::is_image(path) && is_anothers() { Err(Denial::NotFound) } else { Ok(()) }
}

/// Refuses a token of LiveKit for a room on another server, or of another meeting than the session's; where no session is named,
/// one from a browser that has none of this tenant at this server.
fn check_room(
    gateway: &Gateway,
    asked: &Asked,
    path: &str,
    target: &Target,
    meeting: Option<&Meeting>,
) -> Result<(), Denial> {
    if !livekit::takes_token(path) {
        return Ok(());
    }
    let Target { server, session } = target;
    let is_known = match session {
        Some(session) => meeting.is_none_or(|meeting| meeting.id == session.meeting.id),
        None => {
            let owner = Owner::new(&asked.tenant, &server.slug);
            meeting.is_none_or(|meeting| meeting.server == server.id)
                && gateway.binding.has_session(&asked.head.headers, owner, asked.now)
        }
    };
    if is_known { Ok(()) } else { Err(Denial::UnknownSession) }
}

/// The one server whose session cookie a browser has, else the one that has the host to itself.
pub(super) fn of_browser<'a>(gateway: &Gateway, asked: &'a Asked) -> Option<&'a Arc<Server>> {
    let is_reached =
        |server: &&Arc<Server>| gateway.meetings.live.presence.reaches(&asked.tenant.id, &server.id, asked.now);
    let slugs = gateway.binding.session_slugs(&asked.head.headers, asked.now);
    let mut servers = slugs.filter_map(|slug| asked.directory.server_of_slug(slug)).filter(is_reached);
    match (servers.next(), servers.next()) {
        (Some(server), None) => Some(server),
        _ => asked.directory.meteor_of(&asked.tenant).filter(is_reached),
    }
}

/// The session that a request names. The dashboard asks for none, since its data has a token of its own
/// (docs/reference/bbb-protocol.md, "Paths"): a link to it with a session that is over, or somebody else's,
/// leads there without one.
async fn session_for(gateway: &Gateway, asked: &mut Asked, path: &str) -> Result<Option<Arc<Session>>, Denial> {
    match named_session(gateway, asked).await {
        Err(Denial::UnknownSession) if path.starts_with(DASHBOARD) => {
            session_token::remove(&mut asked.head)?;
            Ok(None)
        }
        named => named,
    }
}

/// The session that a request names, from here on in one way only; refused if it is none of this tenant.
async fn named_session(gateway: &Gateway, asked: &mut Asked) -> Result<Option<Arc<Session>>, Denial> {
    let Some(token) = session_token::settle(&mut asked.head)? else { return Ok(None) };
    own_session(gateway, asked, &hash(&token)).await.map(Some)
}

/// The session of a token, which has to be one of this tenant.
async fn own_session(gateway: &Gateway, asked: &Asked, token: &TokenHash) -> Result<Arc<Session>, Denial> {
    let found = find::session(&gateway.meetings, asked.account(), token).await?;
    found.filter(|session| session.meeting.tenant == asked.tenant.id).ok_or(Denial::UnknownSession)
}

/// The ids in a token of LiveKit: its room's, perhaps once more. Each one that is unknown is a question to the store.
const ROOMS_MAX: usize = 4;

/// The first meeting whose internal id a request names in its path or its query. Refused if any of them is none of this
/// tenant, also where the id of a document should stand; of a room of LiveKit if it is known to be somebody else's. A request
/// to LiveKit names no second one.
pub(super) async fn own_meeting(gateway: &Gateway, asked: &Asked, path: &str) -> Result<Option<Arc<Meeting>>, Denial> {
    let tenant = &asked.tenant.id;
    let mut own: Option<Arc<Meeting>> = None;
    let in_query = named_ids::in_query(asked.query());
    if in_query.iter().filter(|(of, _)| *of == Of::Room).count() > ROOMS_MAX {
        return Err(Denial::NotFound);
    }
    for (of, id) in named_ids::in_path(path).chain(in_query.iter().map(|(of, id)| (*of, &**id))) {
        let found = match of {
            Of::Meeting | Of::Room => find::meeting_of_internal(&gateway.meetings, asked.account(), id).await?,
            Of::Document => None,
        };
        let is_anothers =
            || gateway.meetings.live.meetings.of_internal(id).is_some_and(|meeting| meeting.tenant != *tenant);
        match found {
            // The room of a token would hide behind one that is named before it.
            Some(meeting) if livekit::takes_token(path) && own.as_ref().is_some_and(|own| own.id != meeting.id) => {
                return Err(Denial::UnknownSession);
            }
            Some(meeting) => drop(own.get_or_insert(meeting)),
            None if of == Of::Meeting || is_anothers() => return Err(Denial::NotFound),
            None => {}
        }
    }
    Ok(own)
}

/// The server of the page of a meeting that a request was asked from, where the tenant has or had a meeting on it: by the
/// name in the page's path, else by the id of a meeting in its address; of a page at the root that names neither (2.7), as
/// [`of_browser`] finds it.
///
/// # Errors
/// As those of [`find::reaches`] and [`find::meeting_of_internal`].
pub(super) async fn of_page(gateway: &Gateway, asked: &Asked) -> Result<Option<Arc<Server>>, Denial> {
    let Some((path, query)) = referrer::own_page(&asked.head.headers, &asked.authority) else { return Ok(None) };
    if let Some(slug) = path.strip_prefix("/s/").and_then(|rest| rest.split('/').next()) {
        let Some(server) = asked.directory.server_of_slug(slug) else { return Ok(None) };
        return Ok(find::reaches(&gateway.meetings, asked.account(), &server.id, asked.now)
            .await?
            .then(|| Arc::clone(server)));
    }
    // A page of a frontend may have the id of a meeting in its address, too.
    if !matches!(route(&merge_slashes(path)), Route::RootMeeting { .. }) {
        return Ok(None);
    }
    let in_query = named_ids::in_query(query);
    let mut ids = named_ids::in_path(path).chain(in_query.iter().map(|(of, id)| (*of, &**id)));
    let Some((_, id)) = ids.find(|(of, _)| *of == Of::Meeting) else {
        return Ok(of_browser(gateway, asked).cloned());
    };
    let meeting = find::meeting_of_internal(&gateway.meetings, asked.account(), id).await?;
    Ok(meeting.and_then(|meeting| asked.directory.server(meeting.server.as_str()).cloned()))
}

/// The server of a file that may be a frontend's as well: of the page that asks for it, and without a frontend of the browser.
///
/// # Errors
/// As those of [`of_page`].
pub(super) async fn of_file(gateway: &Gateway, asked: &Asked) -> Result<Option<Arc<Server>>, Denial> {
    Ok(match of_page(gateway, asked).await? {
        None if asked.tenant.frontend.is_none() => of_browser(gateway, asked).cloned(),
        of_page => of_page,
    })
}
