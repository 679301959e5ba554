//! A meeting's traffic: found its server, carried there and back.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{
        ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, EXPIRES, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
    },
};

use super::{
    answer::Answer,
    answered::{self, Home},
    asked::{Asked, is_websocket},
    client_file,
    cookies::Owner,
    forward::{self, outcome, prefix},
    gateway::Gateway,
    graphql,
    held::FIRST_BYTES_TIMEOUT,
    named_ids::{self, Of},
    refusal,
    route::{Kind, call_of},
    session_token,
    settings::Rewrite,
    socket,
    target::Target,
    upload_form::Form,
};
use crate::{
    domain::{denial::Denial, tenant::Server},
    live::{Meeting, sessions::hash},
    metrics::{Call, Outcome},
    upstream::{Body, Incoming, Watch, whole},
};

/// As BBB's nginx waits for its own services (docs/reference/bbb-protocol.md, "Time limits and sizes").
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// An upload is passed on within the server once all of it is there.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Settings have some 100 KB.
const SETTINGS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Carries one request of a meeting to its server and the answer back.
pub(crate) async fn carry(
    gateway: &Arc<Gateway>,
    asked: Asked,
    mut body: Incoming,
    target: Target,
    path: &str,
    kind: Kind,
) -> Answer {
    let call = call_of(kind);
    if matches!(kind, Kind::Token | Kind::Settings | Kind::Image | Kind::PluginData) && target.session.is_none() {
        return refusal::refuse(gateway, &asked, call, Denial::UnknownSession).by(&target.server.id);
    }
    // Where there is no socket, one that is asked for is nothing: what is carried as it is would not be rewritten.
    if is_websocket(&asked.head) {
        match kind {
            Kind::GraphQl => {
                return graphql::graphql(gateway, asked, Some(&target.server), path).by(&target.server.id);
            }
            // Boxed: once for each socket, and no other request is to have room for it.
            Kind::Token | Kind::Session => return Box::pin(socket::socket(gateway, asked, target, path)).await,
            Kind::Static | Kind::Settings | Kind::Upload | Kind::Image | Kind::PluginData | Kind::Call(_) => {}
        }
    }
    let has_body = match body.has_any(FIRST_BYTES_TIMEOUT).await {
        Ok(has_body) => has_body,
        Err(fault) => return refusal::unsent(gateway, &asked, call, fault.into(), None),
    };
    // No body of a stranger is carried to a server. An upload has no token in its address, but its browser has the cookie.
    if has_body && !is_known(gateway, &asked, &target) {
        return refusal::refuse(gateway, &asked, call, Denial::UnknownSession).by(&target.server.id);
    }
    if has_body && named_ids::is_slide(path) && kind != Kind::Upload {
        // A form could name another meeting than the path does.
        return refusal::refuse(gateway, &asked, call, Denial::NotFound).by(&target.server.id);
    }
    let (body, _charge) = match forward::with_length(gateway, &asked, body, kind).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let server = &target.server;
    if let Some(answer) = client_file::client_file(gateway, &asked, server, path, kind).await {
        return answer;
    }
    let is_page = kind == Kind::Static && server.is_meteor && !has_ending(path);
    let is_rewritten = is_page || kind == Kind::Settings || matches!(kind, Kind::Call(call) if call.names_the_server());
    let prepare = |headers: &mut HeaderMap| {
        if is_rewritten {
            // The server is to send them as they are, and all of them: what the browser has is another text.
            for name in [ACCEPT_ENCODING, IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
                headers.remove(name);
            }
        }
    };
    let limit = if kind == Kind::Upload { UPLOAD_TIMEOUT } else { ANSWER_TIMEOUT };
    let form = if kind == Kind::Upload { Form::of(&asked.head.headers) } else { Ok(None) };
    let watch = match form {
        Ok(form) => form.map(|form| watch_upload(gateway, &asked, form)),
        Err(_) => return refusal::refuse(gateway, &asked, call, Denial::NotFound).by(&server.id),
    };
    let mut response = match forward::forward(gateway, &asked, (body, watch), &target, path, limit, prepare).await {
        Ok(response) => response,
        Err(why) => return refusal::unsent(gateway, &asked, call, why, Some(&server.id)),
    };
    let prefix = prefix(server);
    let home = Home { names: &server.names, authority: &asked.authority, prefix: &prefix };
    answered::to_browser(&gateway.binding, response.headers_mut(), server, &asked.tenant, home);
    if is_rewritten && asked.head.method == Method::HEAD {
        response.headers_mut().remove(CONTENT_LENGTH);
    } else if is_page && response.status().is_success() {
        let meeting = target.session.as_ref().map(|session| &*session.meeting);
        return rewritten(gateway, &asked, server, call, meeting, true, response).await;
    } else if is_rewritten && response.status().is_success() {
        // Nothing is rewritten without a session: it was checked above, or by the caller.
        let Some(session) = &target.session else {
            return refusal::refuse(gateway, &asked, call, Denial::UnknownSession).by(&server.id);
        };
        return rewritten(gateway, &asked, server, call, Some(&session.meeting), false, response).await;
    }
    Answer::new(call, outcome(&response), response).by(&server.id)
}

/// Looks at the form of an upload as it passes: it may name no meeting but the tenant's own. Breaks it off where it does. What
/// other gateways have made is known here as soon as they tell.
fn watch_upload(gateway: &Arc<Gateway>, asked: &Asked, mut form: Form) -> Watch {
    let (gateway, tenant) = (Arc::clone(gateway), asked.tenant.id.clone());
    let may = move |of, id: &str| match gateway.meetings.live.meetings.of_internal(id) {
        Some(meeting) => meeting.tenant == tenant,
        None => of == Of::Document || gateway.meetings.live.breakouts.of_internal(&tenant, id).is_some(),
    };
    Watch(Box::new(move |bytes| Ok(form.pass(bytes, &may)?)))
}

/// Whether a request has a session of this tenant at this server: it names it, or has its cookie.
fn is_known(gateway: &Gateway, asked: &Asked, target: &Target) -> bool {
    let owner = Owner::new(&asked.tenant, &target.server.slug);
    target.session.is_some() || gateway.binding.has_session(&asked.head.headers, owner, asked.now)
}

/// An answer that has been read whole, with the tenant's host in place of the server's.
async fn rewritten(
    gateway: &Gateway,
    asked: &Asked,
    server: &Server,
    call: Call,
    meeting: Option<&Meeting>,
    is_page: bool,
    response: Response<Body>,
) -> Answer {
    let (mut head, body) = response.into_parts();
    let prefix = prefix(server);
    let meeting = meeting.map(|meeting| (meeting.server_meeting_id.as_str(), meeting.ext_id.as_str()));
    let session = session_token::of_settled(&asked.head).map(hash);
    let session = session.as_ref();
    let rewrite = Rewrite { names: &server.names, authority: &asked.authority, prefix: &prefix, meeting, session };
    let read = tokio::time::timeout(ANSWER_TIMEOUT, whole(body, SETTINGS_BYTES_MAX)).await;
    let new = read
        .ok()
        .flatten()
        .filter(|_| !head.headers.contains_key(CONTENT_ENCODING))
        .and_then(|body| if is_page { rewrite.page(&body) } else { rewrite.apply(&body) });
    let Some(new) = new else {
        tracing::warn!(server = %server.id, "failed to rewrite addresses in a server's answer");
        return refusal::refuse(gateway, asked, call, Denial::ServerUnavailable).by(&server.id);
    };
    describe(&mut head.headers, new.len(), is_page);
    Answer::new(call, Outcome::Ok, Response::from_parts(head, Body::from(new))).by(&server.id)
}

/// Describes what an answer has become. The server's validators are those of another text; what was made for one session is kept
/// by no cache.
fn describe(headers: &mut HeaderMap, bytes: usize, is_page: bool) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    for name in [ETAG, LAST_MODIFIED] {
        headers.remove(name);
    }
    if !is_page {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for name in [EXPIRES, AGE] {
            headers.remove(name);
        }
    }
}

/// Whether the last part of a path has an ending, as files have.
fn has_ending(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_a_session_is_kept_by_no_cache() {
        let of_server = [
            (CACHE_CONTROL, "public, max-age=600"),
            (EXPIRES, "Thu, 01 Jan 2099 00:00:00 GMT"),
            (AGE, "7"),
            (LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT"),
            (ETAG, "\"x\""),
            (CONTENT_LENGTH, "3"),
        ];
        let described = |is_page| {
            let mut headers: HeaderMap =
                of_server.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            describe(&mut headers, 5, is_page);
            of_server.clone().map(|(name, _)| headers.get(name).map(|value| value.to_str().expect("text").to_owned()))
        };
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(described(false), [text("no-store"), None, None, None, None, text("5")]);
        let [cache, expires, age, ..] = of_server.clone().map(|(_, value)| text(value));
        assert_eq!(described(true), [cache, expires, age, None, None, text("5")]);
    }
}
