//! WebSockets that name their session in their address, or none: accepted when their server has accepted them.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode, Uri, Version};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    answer::{Answer, text},
    answered::{self, Home, of_frontend},
    asked::{Asked, address},
    cookies::Owner,
    forward::prefix,
    gateway::Gateway,
    headers::to_server,
    joined::{Socket, room_for},
    refusal,
    target::Target,
    text_frames::TextFrames,
    upgrade::{browser_of, frames, no_upgrade, passed_on, refused, set_upgrade, taken},
};
use crate::{
    domain::tenant::Upstream,
    meetings::{rows::Present, seats},
    metrics::{Call, Outcome},
    upstream::Body,
};

/// Where the socket of the 2.7 client is.
const SOCKJS: &str = "/html5client/sockjs/";

/// Opens a WebSocket of a meeting that names its session in its address, or none.
pub(crate) async fn socket(gateway: &Arc<Gateway>, asked: Asked, target: Target, path: &str) -> Answer {
    let Target { server, session } = target;
    if let Some(refused) = refused(&asked) {
        return refused.by(&server.id);
    }
    let open = match &session {
        Some(session) => seats::open_other(&gateway.meetings, asked.account(), &server, session).await.map(Some),
        None => Ok(None),
    };
    let open = match open {
        Ok(open) => open,
        Err(denial) => return refusal::refuse(gateway, &asked, Call::Socket, denial).by(&server.id),
    };
    let mut headers = passed_on(&asked);
    let owner = Owner::new(&asked.tenant, &server.slug);
    let session = session.map(|session| session.id);
    let cookies = gateway.binding.cookies_for(&headers, owner, session, asked.now);
    to_server(&mut headers, &server, cookies);
    let to = address(&server.upstream, path, asked.head.uri.query());
    // The client of 2.7 has its data from here.
    let frames = path.starts_with(SOCKJS).then(|| frames(&server, &asked.authority)).flatten();
    match gateway.meetings.backends.upgrade(&server, to, headers).await {
        Ok((response, upgraded)) => {
            let (authority, tenant, of) = (asked.authority.clone(), Arc::clone(&asked.tenant), Arc::clone(&server));
            let rewrite = move |headers: &mut HeaderMap| {
                let home = Home { names: &of.names, authority: &authority, prefix: &prefix(&of) };
                answered::to_browser(&gateway.binding, headers, &of, &tenant, home);
            };
            join_ends(gateway, asked, response, upgraded, frames, open, rewrite).by(&server.id)
        }
        Err(error) => refusal::refuse(gateway, &asked, Call::Socket, error.denial()).by(&server.id),
    }
}

/// Opens a WebSocket of the tenant's frontend.
pub(crate) async fn frontend_socket(
    gateway: &Arc<Gateway>,
    asked: Asked,
    frontend: Arc<Upstream>,
    to: Uri,
    headers: HeaderMap,
) -> Answer {
    match gateway.meetings.backends.pool.upgrade(&frontend, to, headers).await {
        Ok((response, upgraded)) => {
            let (authority, directory) = (asked.authority.clone(), Arc::clone(&asked.directory));
            let rewrite = move |headers: &mut HeaderMap| {
                of_frontend(headers, &frontend, &authority, |slug| directory.server_of_slug(slug).is_some());
            };
            join_ends(gateway, asked, response, upgraded, None, None, rewrite)
        }
        Err(error) => refusal::refuse(gateway, &asked, Call::Socket, error.denial()),
    }
}

/// Answers as the server did; where that was a 101, both ends are joined once the answer is out.
fn join_ends(
    gateway: &Arc<Gateway>,
    mut asked: Asked,
    response: Response<Incoming>,
    server: OnUpgrade,
    frames: Option<Box<TextFrames>>,
    open: Option<Present>,
    rewrite: impl FnOnce(&mut HeaderMap),
) -> Answer {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut response = response.map(|_| Body::empty());
    *response.version_mut() = Version::HTTP_11;
    rewrite(response.headers_mut());
    if !switched {
        // Its body is not looked at, and may name the server.
        let status = response.status();
        let outcome = if status.is_server_error() { Outcome::Failed } else { Outcome::Refused };
        let status = if status.is_success() { StatusCode::BAD_REQUEST } else { status };
        return Answer::new(Call::Socket, outcome, text(status, "text/plain", "There is no WebSocket.\n"));
    }
    let Some(browser) = asked.head.extensions.remove::<OnUpgrade>() else { return no_upgrade() };
    let room = match room_for(gateway, &asked) {
        Ok(room) => room,
        Err(denial) => return refusal::refuse(gateway, &asked, Call::Socket, denial),
    };
    set_upgrade(response.headers_mut());
    let socket = Socket::new(gateway, asked, room);
    tokio::spawn(async move {
        let Ok(browser) = browser.await else { return socket.given_up() };
        let Ok(server) = server.await else { return };
        if let (Some(browser), Some(server)) = (browser_of(browser, &socket), taken(server)) {
            // A task of its own: the memory of this one is freed.
            tokio::spawn(socket.carry(browser, server, open, frames));
        }
    });
    Answer::new(Call::Socket, Outcome::Ok, response)
}
