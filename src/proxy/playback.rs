//! Recordings that are watched: carried on the host's root to the server that has them, for their own tenant only.

use std::{sync::Arc, time::Duration};

use form_urlencoded::parse;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
    },
};
use quick_xml::escape::escape;

use super::{
    answer::Answer,
    answered::{self, Home},
    api::spec::wrong_method,
    asked::Asked,
    forward::{self, outcome},
    gateway::Gateway,
    held::FIRST_BYTES_TIMEOUT,
    named_ids, refusal, session_token,
    target::Target,
};
use crate::{
    bbb::{
        addresses,
        meeting_id::{self as ids, is_internal},
    },
    domain::{denial::Denial, tenant::Server},
    metrics::{Call, Outcome},
    upstream::{Body, Incoming, whole},
};

/// As BBB's nginx waits for its own services.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What a recording says of itself has some KB.
const METADATA_BYTES_MAX: usize = 1024 * 1024;

/// The server of a recording, if that is this tenant's; of the player's own files, one that has any of the tenant.
pub(crate) fn server_of_recording(gateway: &Gateway, asked: &Asked, path: &str) -> Result<Target, Denial> {
    let in_query = parse(asked.query().as_bytes()).find(|(name, _)| name == "meetingId").map(|(_, id)| id);
    // What is behind the first id of a path is a file of that recording.
    let named = path.split('/').find(|segment| is_internal(segment)).or(in_query.as_deref());
    let (tenant, all) = (&asked.tenant.id, &gateway.meetings.live.recordings);
    if named_ids::in_query(asked.query()).iter().any(|(_, id)| all.get(tenant, id).is_none()) {
        return Err(Denial::NotFound);
    }
    let server = match named {
        Some(id) => {
            let recording = all.get(tenant, id).ok_or(Denial::NotFound)?;
            asked.directory.server(recording.server.as_str()).ok_or(Denial::ServerUnavailable)?
        }
        None => {
            let servers = all.servers(tenant);
            let mut known = servers.iter().filter_map(|id| asked.directory.server(id.as_str()));
            let up = known.clone().find(|server| gateway.meetings.live.servers.of(&server.id).is_up());
            up.or_else(|| known.next()).ok_or(Denial::NotFound)?
        }
    };
    Ok(Target { server: Arc::clone(server), session: None })
}

/// Carries a request of a recording there and back.
pub(crate) async fn playback(
    gateway: &Gateway,
    mut asked: Asked,
    mut body: Incoming,
    target: Target,
    path: &str,
) -> Answer {
    let call = Call::Playback;
    // A recording is watched without a session, and its server may be another one than that of a session.
    if let Err(denial) = session_token::remove(&mut asked.head) {
        return refusal::refuse(gateway, &asked, call, denial).by(&target.server.id);
    }
    if !matches!(asked.head.method, Method::GET | Method::HEAD) {
        return wrong_method(call, "GET, HEAD").by(&target.server.id);
    }
    match body.has_any(FIRST_BYTES_TIMEOUT).await {
        Ok(false) => {}
        Ok(true) => return refusal::refuse(gateway, &asked, call, Denial::TooLarge).by(&target.server.id),
        Err(fault) => return refusal::unsent(gateway, &asked, call, fault.into(), None),
    }
    // The one file of a recording that names the server.
    let is_metadata = path.ends_with("/metadata.xml");
    let prepare = |headers: &mut HeaderMap| {
        if is_metadata {
            for name in [ACCEPT_ENCODING, RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
                headers.remove(name);
            }
        }
    };
    let server = &target.server;
    let mut response =
        match forward::forward(gateway, &asked, (body, None), &target, path, ANSWER_TIMEOUT, prepare).await {
            Ok(response) => response,
            Err(why) => return refusal::unsent(gateway, &asked, call, why, Some(&server.id)),
        };
    let home = Home { names: &server.names, authority: &asked.authority, prefix: "" };
    answered::to_browser(&gateway.binding, response.headers_mut(), server, &asked.tenant, home);
    if is_metadata && response.status().is_success() {
        return with_metadata(gateway, &asked, server, path, response).await.by(&server.id);
    }
    Answer::new(call, outcome(&response), response).by(&server.id)
}

/// What a recording says of itself, with the tenant's host and the tenant's own id.
async fn with_metadata(
    gateway: &Gateway,
    asked: &Asked,
    server: &Server,
    path: &str,
    response: Response<Body>,
) -> Answer {
    let (mut head, body) = response.into_parts();
    let read = tokio::time::timeout(ANSWER_TIMEOUT, whole(body, METADATA_BYTES_MAX)).await;
    let text = read.ok().flatten().and_then(|body| String::from_utf8(body.into()).ok());
    let Some(mut text) = text else {
        return refusal::refuse(gateway, asked, Call::Playback, Denial::ServerUnavailable);
    };
    if let Some(new) = addresses::rewritten(&text, &server.names, &asked.authority, "") {
        text = new;
    }
    let id = path.split('/').find(|segment| is_internal(segment)).unwrap_or_default();
    if let Some(recording) = gateway.meetings.live.recordings.get(&asked.tenant.id, id) {
        let server_id = ids::to_server(&asked.tenant.id, recording.ext_id.as_str());
        text = text.replace(&*escape(&*server_id), &escape(recording.ext_id.as_str()));
    }
    if asked.head.method == Method::HEAD {
        head.headers.remove(CONTENT_LENGTH);
        text.clear();
    } else {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    }
    for name in [ETAG, ACCEPT_RANGES, LAST_MODIFIED] {
        head.headers.remove(name);
    }
    Answer::new(Call::Playback, Outcome::Ok, Response::from_parts(head, Body::from(text)))
}
