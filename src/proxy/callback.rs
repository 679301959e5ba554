//! Callbacks of servers, at the gateway's own addresses: read here, verified and written down by `meetings::callbacks`.

use http::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
};

use super::{
    answer::{Answer, text},
    api::spec::wrong_method,
    asked::Asked,
    gateway::Gateway,
    held::{Charge, Whole},
    refusal::{fails_too_often, refuse, unsent},
};
use crate::{
    bbb::{callback::parameters_of, query::Params},
    domain::{
        backend_error::BodyFault,
        callback::{BODY_BYTES_MAX, FORM_BYTES_MAX, is_ended},
        denial::Denial,
    },
    meetings::callbacks::receive::{Said, is_of_a_server, receive},
    metrics::{Call, CallbackEvent, Outcome},
    net::rates::RateOf,
    upstream::Incoming,
};

const FORM: &str = "application/x-www-form-urlencoded";
const PLAIN: &str = "text/plain;charset=utf-8";

/// Answers a callback.
pub(super) async fn callback(gateway: &Gateway, asked: Asked, kind: &str, code: &str, body: Incoming) -> Answer {
    let Some(code) = gateway.meetings.callbacks.code(&asked.tenant.id, kind, code) else {
        return refuse(gateway, &asked, Call::Callback, Denial::NotFound);
    };
    let (method, name) = if is_ended(kind) { (Method::GET, "GET") } else { (Method::POST, "POST") };
    if asked.head.method != method {
        return wrong_method(Call::Callback, name);
    }
    let to = (&*asked.directory, &*asked.tenant, asked.peer());
    let is_signed = match said(gateway, &asked, kind, body).await {
        // The charge for its body, until it is received.
        Ok(Some((said, _charge))) => receive(&gateway.meetings, to, (kind, code), &said).await,
        Ok(None) => Ok(false),
        Err(fault) => return unsent(gateway, &asked, Call::Callback, fault.into(), None),
    };
    let refused = match is_signed {
        Ok(true) => return Answer::new(Call::Callback, Outcome::Ok, text(StatusCode::OK, PLAIN, "received\n")),
        Ok(false) => unsigned(gateway, &asked, kind),
        Err(denial) => refuse(gateway, &asked, Call::Callback, denial),
    };
    gateway.metrics.tenant(&asked.tenant.id).callbacks.count(CallbackEvent::Refused);
    refused
}

/// Reads a call. Participants see the metadata of a meeting, and with it all addresses but that of its end: these vouch for
/// nothing, the signature of a server does. `None` where no server has signed it, or it is nothing that can be read.
async fn said(
    gateway: &Gateway,
    asked: &Asked,
    kind: &str,
    body: Incoming,
) -> Result<Option<(Said, Option<Charge>)>, BodyFault> {
    let is_signed = |token: &String| is_of_a_server(&asked.directory, token);
    if is_ended(kind) {
        return Ok(ended(asked).map(|said| (said, None)));
    }
    if is_form(asked) {
        let Whole { bytes, charge } = gateway.bodies.read(asked, body, FORM_BYTES_MAX, false).await?;
        let token = parameters_of(&bytes).filter(is_signed);
        return Ok(token.map(|token| (Said::Parameters(token), charge)));
    }
    let Some(bearer) = bearer_of(asked).filter(is_signed) else { return Ok(None) };
    let Whole { bytes, charge } = gateway.bodies.read(asked, body, BODY_BYTES_MAX, true).await?;
    Ok(Some((Said::Json { bearer, body: bytes }, charge)))
}

fn ended(asked: &Asked) -> Option<Said> {
    let query = Params::parse(asked.query().as_bytes()).ok()?;
    let marks = query.get("recordingmarks") == Some("true");
    Some(Said::Ended { meeting_id: query.get("meetingID")?.to_owned(), marks })
}

fn is_form(asked: &Asked) -> bool {
    let mime = header(asked, &CONTENT_TYPE).and_then(|mime| mime.split(';').next());
    mime.is_some_and(|mime| mime.trim() == FORM)
}

fn bearer_of(asked: &Asked) -> Option<String> {
    let (scheme, token) = header(asked, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn header<'a>(asked: &'a Asked, name: &HeaderName) -> Option<&'a str> {
    asked.head.headers.get(name).and_then(|value| value.to_str().ok())
}

fn unsigned(gateway: &Gateway, asked: &Asked, kind: &str) -> Answer {
    if let Some(limited) = fails_too_often(gateway, asked, Call::Callback, RateOf::WrongChecksums) {
        return limited;
    }
    tracing::warn!(tenant = %asked.tenant.id, kind, "callback refused: its server has not signed it");
    let response = text(StatusCode::UNAUTHORIZED, PLAIN, "The server of the meeting has not signed this.\n");
    let mut answer = Answer::new(Call::Callback, Outcome::Refused, response);
    answer.reason = "unsigned";
    answer
}
