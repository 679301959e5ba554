//! Callbacks of servers, at the gateway's own addresses: read here, verified and written down by `meetings::callbacks`.

use bytes::Bytes;
use http::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::{
    answer::{Answer, text},
    api::spec::wrong_method,
    asked::Asked,
    gateway::Gateway,
    held::Whole,
    refusal::{refuse, unsent},
};
use crate::{
    bbb::{callback::parameters_of, query::Params},
    domain::{
        callback::{BODY_BYTES_MAX, is_ended},
        denial::Denial,
    },
    meetings::callbacks::receive::{Refused, Said, receive},
    metrics::{Call, Outcome},
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
    let said = if is_ended(kind) {
        drop(body);
        ended(&asked)
    } else {
        // Whoever has the code has been told it by the gateway.
        match gateway.bodies.read(&asked, body, BODY_BYTES_MAX, true).await {
            // Charged until it is answered.
            Ok(Whole { bytes, charge: _charge }) => signed(&asked, bytes),
            Err(fault) => return unsent(gateway, &asked, Call::Callback, fault.into(), None),
        }
    };
    let received = match &said {
        Some(said) => receive(&gateway.meetings, (&asked.directory, &asked.tenant), (kind, code), said).await,
        None => Err(Refused::Unsigned),
    };
    match received {
        Ok(()) => Answer::new(Call::Callback, Outcome::Ok, text(StatusCode::OK, PLAIN, "received\n")),
        Err(Refused::Unknown) => refuse(gateway, &asked, Call::Callback, Denial::NotFound),
        Err(Refused::Full) => refuse(gateway, &asked, Call::Callback, Denial::Overloaded),
        Err(Refused::Store) => refuse(gateway, &asked, Call::Callback, Denial::StoreUnavailable),
        Err(Refused::Unsigned) => {
            tracing::warn!(tenant = %asked.tenant.id, kind, "callback refused: its server has not signed it");
            let response = text(StatusCode::UNAUTHORIZED, PLAIN, "The server of the meeting has not signed this.\n");
            let mut answer = Answer::new(Call::Callback, Outcome::Refused, response);
            answer.reason = "unsigned";
            answer
        }
    }
}

fn ended(asked: &Asked) -> Option<Said> {
    let query = Params::parse(asked.query().as_bytes()).ok()?;
    let marks = query.get("recordingmarks") == Some("true");
    Some(Said::Ended { meeting_id: query.get("meetingID")?.to_owned(), marks })
}

fn signed(asked: &Asked, body: Bytes) -> Option<Said> {
    let header = |name| asked.head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_form =
        header(CONTENT_TYPE).is_some_and(|mime| mime.split(';').next().is_some_and(|mime| mime.trim() == FORM));
    if is_form {
        return parameters_of(&body).map(Said::Parameters);
    }
    let (scheme, token) = header(AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Said::Json { bearer: token.trim().to_owned(), body })
}
