//! The calls of the client, which a session admits: carried to its server, or refused as BBB refuses a session that is none.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode, header::ACCEPT_ENCODING};
use serde_json::{Value, json};

use super::{
    answer::{Answer, text},
    api::{
        safe::{is_prefetch, not_ahead},
        spec::wrong_method,
    },
    asked::Asked,
    carry, forward,
    gateway::Gateway,
    grant::GRANT,
    held::FIRST_BYTES_TIMEOUT,
    refusal,
    route::{Kind, SessionCall},
    target::Target,
};
use crate::{
    bbb::{
        answer::{Failure, success},
        query::Params,
    },
    domain::{backend_error::BackendError, denial::Denial},
    live::{Meeting, sessions::Session},
    meetings::seats,
    metrics::{Call, Outcome},
    net::rates::RateOf,
    upstream::{Body, Incoming, whole},
};

/// As BBB's nginx waits for bbb-web.
const TIMEOUT: Duration = Duration::from_secs(60);
/// An address with some parameters.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl SessionCall {
    fn allowed(self) -> &'static str {
        match self {
            Self::Feedback => "POST",
            Self::Enter | Self::GuestWait => "GET, HEAD",
            Self::Stuns | Self::GetJoinUrl | Self::LearningDashboard | Self::SignOut => "GET, HEAD, POST",
        }
    }

    /// Whether it changes something though it may be asked for by a safe method: it ends a session, makes an address, or takes
    /// a seat.
    fn has_effects(self) -> bool {
        match self {
            Self::SignOut | Self::GetJoinUrl | Self::Enter => true,
            Self::Stuns | Self::LearningDashboard | Self::GuestWait | Self::Feedback => false,
        }
    }
}

/// Answers a call of the client; `target` is where its session is, if it has one of this tenant.
pub(crate) async fn session_call(
    gateway: &Arc<Gateway>,
    asked: Asked,
    mut body: Incoming,
    target: Result<Target, Denial>,
    path: &str,
    call: SessionCall,
) -> Answer {
    let allowed = call.allowed();
    let fits = match asked.head.method {
        Method::GET | Method::HEAD => allowed.starts_with("GET"),
        Method::POST => allowed.ends_with("POST"),
        _ => false,
    };
    if !fits {
        return wrong_method(Call::Session, allowed);
    }
    if let Err(refused) = forward::check_length(gateway, &asked, &body, Kind::Call(call)) {
        return refused;
    }
    if call.has_effects() && is_prefetch(&asked.head.headers) {
        return not_ahead(Call::Session);
    }
    if call.has_effects() && asked.head.method == Method::HEAD {
        let mut answer = Answer::xml(Call::Session, Outcome::Ok, success());
        answer.reason = "preview";
        return answer;
    }
    if call != SessionCall::Feedback {
        // A server reads the parameters of a form as those of a query, a session token too; BBB's client sends none.
        match body.has_any(FIRST_BYTES_TIMEOUT).await {
            Ok(false) => {}
            Ok(true) => return takes_no_body(),
            Err(fault) => return refusal::unsent(gateway, &asked, Call::Session, fault.into(), None),
        }
    }
    let session = target.as_ref().ok().and_then(|target| target.session.clone());
    match (target, session) {
        (Ok(target), Some(session)) if call == SessionCall::GetJoinUrl => {
            join_url(gateway, &asked, body, &target, &session, path).await.by(&target.server.id)
        }
        (Ok(target), Some(session))
            if call == SessionCall::Enter && target.server.is_meteor && session.is_waiting() =>
        {
            enter(gateway, asked, body, target, &session, path).await
        }
        (Ok(target), Some(_)) => carry::carry(gateway, asked, body, target, path, Kind::Call(call)).await,
        // That the gateway could not look for a session does not say that there is none.
        (Err(denial), _) if denial.status().is_server_error() => {
            refusal::refuse(gateway, &asked, Call::Session, denial)
        }
        _ => {
            let limited = refusal::fails_too_often(gateway, &asked, Call::Session, RateOf::UnknownSessions);
            limited.unwrap_or_else(|| no_session(&asked, call))
        }
    }
}

/// `getJoinUrl`: what the server has signed for itself becomes an address of the tenant's host that the gateway grants.
async fn join_url(
    gateway: &Gateway,
    asked: &Asked,
    body: Incoming,
    target: &Target,
    session: &Session,
    path: &str,
) -> Answer {
    let plain = |headers: &mut HeaderMap| drop(headers.remove(ACCEPT_ENCODING));
    let answered = async {
        let response = forward::forward(gateway, asked, (body, None), target, path, TIMEOUT, plain).await?;
        let body = whole(response.into_body(), ANSWER_BYTES_MAX).await;
        Ok::<_, BackendError>(body.and_then(|body| serde_json::from_slice::<Value>(&body).ok()))
    };
    let json = match tokio::time::timeout(TIMEOUT, answered).await {
        Ok(Ok(json)) => json,
        Ok(Err(why)) => return refusal::unsent(gateway, asked, Call::Session, why, None),
        Err(_) => None,
    };
    let Some(mut json) = json.filter(|json| json["response"]["returncode"].is_string()) else {
        return refusal::refuse(gateway, asked, Call::Session, Denial::ServerUnavailable);
    };
    let answer = &mut json["response"];
    if answer["returncode"] != json!("SUCCESS") {
        return Answer::json(Call::Session, Outcome::Refused, &json);
    }
    match answer["url"].as_str().and_then(|url| granted_url(gateway, asked, &session.meeting, url)) {
        Some(url) => answer["url"] = url.into(),
        None => return refusal::refuse(gateway, asked, Call::Session, Denial::ServerUnavailable),
    }
    Answer::json(Call::Session, Outcome::Ok, &json)
}

/// The address on the tenant's host that does what a server's own would; `None` for one that leads to another meeting.
fn granted_url(gateway: &Gateway, asked: &Asked, meeting: &Meeting, url: &str) -> Option<String> {
    let (_, query) = url.split_once("/bigbluebutton/api/join?")?;
    let mut params = Params::parse(query.as_bytes()).ok()?;
    params.remove("checksum")?;
    if params.get("meetingID")? != meeting.server_meeting_id.as_str() {
        return None;
    }
    params.set("meetingID", meeting.ext_id.as_str());
    let query = params.encode();
    let grant = gateway.grants.sign(&meeting.tenant, meeting.internal_id()?.as_str(), &query);
    Some(format!("https://{}/bigbluebutton/api/join?{query}&{GRANT}={grant}", asked.authority))
}

/// `enter` of a guest who waits, before BBB 3.0: one whom the server lets in takes a seat before the client learns of it. The
/// call changes nothing at the server, so that there is nothing to undo where the meeting is full.
async fn enter(
    gateway: &Arc<Gateway>,
    asked: Asked,
    body: Incoming,
    target: Target,
    session: &Session,
    path: &str,
) -> Answer {
    let server = target.server.id.clone();
    let (authority, query) = (asked.authority.clone(), asked.query().to_owned());
    let answer = carry::carry(gateway, asked, body, target, path, Kind::Call(SessionCall::Enter)).await;
    if is_let_in(&answer)
        && let Err(denial) = seats::take(&gateway.meetings, session).await
    {
        return not_entered(&authority, &query, denial).by(&server);
    }
    answer
}

/// Whether a server has let a guest in; an answer to `enter` is held, as it names the server.
fn is_let_in(answer: &Answer) -> bool {
    let is_refused = match answer.response.body() {
        Body::Held(body) => {
            serde_json::from_slice::<Value>(body).is_ok_and(|json| json["response"]["returncode"] == "FAILED")
        }
        _ => false,
    };
    answer.outcome == Outcome::Ok && answer.response.status().is_success() && !is_refused
}

/// What BBB says to one who is one too many (docs/reference/bbb-protocol.md, "Session calls").
fn not_entered(authority: &str, query: &str, denial: Denial) -> Answer {
    let token = Params::parse(query.as_bytes()).ok();
    let token = token.and_then(|params| params.get("sessionToken").map(str::to_owned)).unwrap_or_default();
    let json = json!({ "response": {
        "returncode": "FAILED", "message": denial.message(), "sessionToken": token,
        "logoutURL": format!("https://{authority}/"),
    } });
    Answer::json(Call::Session, Outcome::Refused, &json).because(denial)
}

fn takes_no_body() -> Answer {
    let response = text(StatusCode::BAD_REQUEST, "text/plain;charset=utf-8", "This call takes no body.\n");
    Answer::new(Call::Session, Outcome::Refused, response)
}

/// What BBB says to a session that is none (docs/reference/bbb-protocol.md, "Session calls").
fn no_session(asked: &Asked, call: SessionCall) -> Answer {
    let token = Params::parse(asked.query().as_bytes())
        .ok()
        .and_then(|params| params.get("sessionToken").map(str::to_owned))
        .unwrap_or_default();
    let failure = if token.is_empty() { Failure::TOKEN_MISSING } else { Failure::SESSION_INVALID };
    let home = format!("https://{}/", asked.authority);
    let json = match call {
        SessionCall::SignOut => return Answer::xml(Call::Session, Outcome::Ok, success()),
        SessionCall::Stuns => {
            json!({ "returncode": "FAILED", "message": "Could not find conference.", "logoutURL": home })
        }
        SessionCall::GetJoinUrl | SessionCall::LearningDashboard | SessionCall::Feedback => {
            json!({ "response": { "returncode": "FAILED", "message": failure.message, "sessionToken": token } })
        }
        SessionCall::Enter | SessionCall::GuestWait => json!({ "response": {
            "returncode": "FAILED", "message": failure.message, "sessionToken": token, "logoutURL": home,
        } }),
    };
    let mut answer = Answer::json(Call::Session, Outcome::Refused, &json);
    answer.reason = failure.known_key();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_let_in_by_a_success_alone() {
        let (success, failed) = (r#"{"response":{"returncode":"SUCCESS"}}"#, r#"{"response":{"returncode":"FAILED"}}"#);
        for (status, body, is_in) in
            [(200, success, true), (200, failed, false), (302, "", false), (403, "", false), (429, "", false)]
        {
            let response = text(StatusCode::from_u16(status).expect("a status"), "application/json", body);
            assert_eq!(is_let_in(&Answer::new(Call::Session, Outcome::Ok, response)), is_in, "{status} {body}");
        }
    }
}
