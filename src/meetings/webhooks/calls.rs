//! Calls of `hooks/*` to a server.

use std::time::Duration;

use http::StatusCode;

use crate::{
    bbb::{
        answer::Failure,
        checksum::{Algorithm, sign_with},
        hooks::{self, Answer},
        query::Params,
    },
    domain::{backend_error::BackendError, tenant::Server},
    meetings::Meetings,
    upstream::ApiCall,
};

/// How long a server has for one call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The answer of a server; `None` where there is none in time.
pub(super) async fn ask(
    meetings: &Meetings,
    server: &Server,
    name: &'static str,
    (param, value): (&str, &str),
) -> Option<Answer> {
    let mut params = Params::default();
    if !param.is_empty() {
        params.set(param, value);
    }
    let answer = call(meetings, server, (name, Algorithm::Sha256), &params).await.ok()?;
    if answer.message_key != Failure::HOOKS_CHECKSUM.key {
        return Some(answer);
    }
    // Releases before 3 know this algorithm only.
    call(meetings, server, (name, Algorithm::Sha1), &params).await.ok()
}

/// One call. What is no answer of bbb-webhooks is taken for a refusal.
async fn call(
    meetings: &Meetings,
    server: &Server,
    (name, algorithm): (&'static str, Algorithm),
    params: &Params,
) -> Result<Answer, BackendError> {
    let mut query = params.encode();
    let checksum = sign_with(algorithm, name, &query, &server.secret);
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str("checksum=");
    query.push_str(&checksum);
    let call = ApiCall { signed: Some(&query), timeout: TIMEOUT, ..ApiCall::new(name, params) };
    let reply = meetings.backends.call(call, server).await?;
    // Its front has no answer of the service: it is about to start.
    if reply.status.is_server_error() {
        return Err(BackendError::Broken);
    }
    Ok(hooks::read(&reply.body).ok().filter(|_| reply.status == StatusCode::OK).unwrap_or_default())
}
