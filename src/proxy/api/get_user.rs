//! `getUser`: one Greenlight that serves all tenants asks for the address and the secret of each, signed with a secret of its own
//! (docs/clients.md, "One Greenlight for all tenants"). To all others there is no such call.

use http::{HeaderValue, Method, header::CACHE_CONTROL};

use crate::{
    bbb::{
        answer::{Failure, user},
        checksum::is_signed_with,
        query::Params,
    },
    domain::get_user::{Found, GetUser},
    metrics::{Call, Outcome},
    net::rates::RateOf,
    proxy::{answer::Answer, asked::Asked, gateway::Gateway, refusal::fails_too_often},
};

/// The name of the call.
pub(super) const NAME: &str = "getUser";

/// Answers the call; `None` where there is none: on another host, or for another source.
pub(super) fn get_user(gateway: &Gateway, asked: &Asked) -> Option<Answer> {
    let calls = asked.directory.get_user()?;
    if asked.connection.sni != calls.host || !matches!(asked.head.method, Method::GET | Method::HEAD) {
        return None;
    }
    if !calls.may_ask(asked.connection.peer.ip()) {
        complain(gateway, asked, "its source is not in get_user.sources");
        return None;
    }
    match found(calls, asked) {
        Ok(found) => Some(told(asked, &found)),
        Err(reason) => Some(refused(gateway, asked, reason)),
    }
}

/// What the call asks for, or why it is refused.
fn found<'a>(calls: &GetUser, asked: &'a Asked) -> Result<Found<'a>, &'static str> {
    if !is_signed_with(NAME, asked.query(), &calls.secret) {
        return Err("its checksum does not match get_user.secret");
    }
    let params = Params::parse(asked.query().as_bytes()).map_err(|_| "its query cannot be read")?;
    let name = params.get("name").unwrap_or_default();
    calls.find(&asked.directory, name, asked.now).ok_or("no tenant has this name and a secret of get_user.account")
}

/// The answer with the secret, which no cache may keep.
fn told(asked: &Asked, found: &Found<'_>) -> Answer {
    let port = asked.authority.split_once(':').map_or("", |(_, port)| port);
    let colon = if port.is_empty() { "" } else { ":" };
    let address = format!("https://{}{colon}{port}/bigbluebutton/api", found.host);
    tracing::info!(tenant = %found.tenant.id, secret = &*found.secret.label, "getUser answered");
    let mut answer = Answer::xml(Call::GetUser, Outcome::Ok, user(&address, found.secret.secret.reveal()));
    answer.response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The answer to a wrong checksum and to an unknown name, which is the same.
fn refused(gateway: &Gateway, asked: &Asked, reason: &str) -> Answer {
    if let Some(limited) = fails_too_often(gateway, asked, Call::GetUser, RateOf::WrongChecksums) {
        return limited;
    }
    complain(gateway, asked, reason);
    Answer::failure(Call::GetUser, Failure::CHECKSUM)
}

fn complain(gateway: &Gateway, asked: &Asked, reason: &str) {
    if gateway.metrics.tenant(&asked.tenant.id).may_explain(asked.now) {
        tracing::warn!(peer = %asked.connection.peer.ip(), reason, "getUser refused");
    }
}
