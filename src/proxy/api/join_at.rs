//! The join at a server, and what its answer becomes on the tenant's host.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
};

use super::{
    client_address::{client_address, client_path, token_of},
    refused_join::errors_of,
};
use crate::{
    bbb::{answer::Failure, elsewhere::strange, xml},
    domain::{backend_error::BackendError, denial::Denial, tenant::Server},
    meetings::seats::{self, Place},
    metrics::{Call, Outcome},
    proxy::{
        answer::{Answer, redirect, text},
        answered::rename_cookies,
        asked::Asked,
        cookies::Owner,
        gateway::Gateway,
    },
    upstream::{ApiCall, Body, Reply},
};

/// Where a server of 2.7 sends a guest who waits (docs/reference/bbb-protocol.md, "Answer of join").
const LOBBY: &str = "/html5client/guestWait";

/// Reserves a seat, and then has the server let somebody in by this call: from then on their session is known. `redirects`
/// says whether the caller is a browser that is to be sent on.
///
/// # Errors
/// See [`seats::reserve`], [`seats::Reserved::keep`]; what the server says where it refuses.
pub(super) async fn let_in(
    gateway: &Gateway,
    asked: &Asked,
    server: &Server,
    place: &Place<'_>,
    redirects: bool,
    call: ApiCall<'_>,
) -> Result<Answer, Failure> {
    let reserved = seats::reserve(&gateway.meetings, server, place, asked.peer(), asked.now).await?;
    let joined = join_at(gateway, server, call, asked, place.meeting.ext_id.as_str(), redirects).await?;
    reserved.keep(server, &joined.session_token, joined.waits).await?;
    Ok(Answer::new(Call::Join, Outcome::Ok, joined.response).by(&server.id))
}

/// Joins at the server, and makes its answer one for the tenant's host.
async fn join_at(
    gateway: &Gateway,
    server: &Server,
    mut call: ApiCall<'_>,
    asked: &Asked,
    ext_id: &str,
    redirects: bool,
) -> Result<Joined, Failure> {
    call.caller = asked.caller();
    let owner = Owner::new(&asked.tenant, &server.slug);
    call.cookie = gateway.binding.cookies_for(&asked.head.headers, owner, None, asked.now);
    let reply = gateway.meetings.backends.call(call, server).await.map_err(BackendError::denial)?;
    let joined = if reply.status.is_redirection() {
        redirected(server, &reply, asked)
    } else {
        told(server, &reply, asked, ext_id, redirects)
    };
    let state = gateway.meetings.live.servers.of(&server.id);
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
    rename_cookies(&gateway.binding, headers, server, &asked.tenant);
    Ok(joined)
}

/// What a server made of a join.
struct Joined {
    session_token: String,
    /// The guest is not let in yet.
    waits: bool,
    response: Response<Body>,
}

/// The 302 of a join: to the client with a session, or to some address with errors. `None` for neither.
fn redirected(server: &Server, reply: &Reply, asked: &Asked) -> Result<Option<Joined>, Failure> {
    let Some(location) = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let (_, query) = location.split_once('?').unwrap_or((location, ""));
    if let Some(failure) = errors_of(query) {
        return Err(failure);
    }
    let Some(path) = client_path(server, location) else { return Ok(None) };
    let Some(session_token) = token_of(query) else { return Ok(None) };
    let response = client_address(server, asked, &path).and_then(|address| redirect(StatusCode::FOUND, &address));
    let Some(response) = response else { return Ok(None) };
    Ok(Some(Joined { session_token, waits: path.starts_with(LOBBY), response }))
}

/// The XML of a join: for `redirect=false`, and for some refusals whatever was asked. `None` for what is no answer. Where it was
/// the gateway that wanted XML, the browser is sent to where the server would have sent it.
fn told(
    server: &Server,
    reply: &Reply,
    asked: &Asked,
    ext_id: &str,
    redirects: bool,
) -> Result<Option<Joined>, Failure> {
    let Ok(answer) = xml::answer(&reply.body, &asked.tenant.id, Some(ext_id)) else {
        return Ok(None);
    };
    if !answer.success {
        return Err(Failure::by_server(answer.message_key, answer.message));
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
