//! Events of servers, at the gateway's own addresses: verified here, written down by `meetings::webhooks`.

use http::{Method, StatusCode, header::AUTHORIZATION};

use super::{
    answer::{Answer, text},
    api::spec::wrong_method,
    asked::Asked,
    gateway::Gateway,
    held::Whole,
    path::merge_slashes,
    refusal::{refuse, unsent},
    route::{Route, route},
};
use crate::{
    bbb::{
        query::Params,
        webhook::{FORM_BYTES_MAX, Form, is_bearer},
    },
    domain::{backend_error::BodyFault, denial::Denial, tenant::Server, webhook},
    meetings::webhooks::{receive::receive, servers, unknown},
    metrics::{Call, Outcome},
    net::rates::RateOf,
    upstream::Incoming,
};

const PLAIN: &str = "text/plain;charset=utf-8";

/// Answers a server that calls with events.
///
/// Its service takes 401 for a success, and all other refusals for a reason to call again, for five minutes, and to drop the
/// gateway's hook then. What will not change is therefore answered with 401.
pub(super) async fn webhook(gateway: &Gateway, asked: Asked, slug: &str, code: &str, body: Incoming) -> Answer {
    let is_code = gateway.meetings.webhooks.is_code(slug, code);
    let Some(server) = asked.directory.server_of_slug(slug).filter(|_| is_code) else {
        return refuse(gateway, &asked, Call::Webhook, Denial::NotFound);
    };
    if asked.head.method != Method::POST {
        return wrong_method(Call::Webhook, "POST");
    }
    // Only the server knows the code.
    let Whole { bytes, charge } = match gateway.bodies.read_of(&server.id, body, FORM_BYTES_MAX).await {
        Ok(whole) => whole,
        Err(BodyFault::TooLarge) => return unsigned(gateway, &asked, server, "it is too large"),
        Err(fault) => return unsent(gateway, &asked, Call::Webhook, fault.into(), None),
    };
    let form = Form::read(&bytes).filter(|form| is_signed(gateway, &asked, server, form));
    let Some(form) = form else { return unsigned(gateway, &asked, server, "its server has not signed it") };
    let Some(posted) = form.posted() else { return unsigned(gateway, &asked, server, "its events cannot be read") };
    servers::note_signed(&gateway.meetings, server);
    let received = receive(&gateway.meetings, (&asked.directory, server), &posted).await;
    drop(charge);
    match received {
        Ok(()) if unknown::is_elsewhere(&gateway.meetings, &asked.directory, &posted) => {
            refuse(gateway, &asked, Call::Webhook, Denial::Overloaded)
        }
        Ok(()) => Answer::new(Call::Webhook, Outcome::Ok, text(StatusCode::OK, PLAIN, "received\n")).by(&server.id),
        Err(_) => refuse(gateway, &asked, Call::Webhook, Denial::StoreUnavailable),
    }
}

/// Whether the server has signed what it has posted, over the address that it was given for this host.
fn is_signed(gateway: &Gateway, asked: &Asked, server: &Server, form: &Form<'_>) -> bool {
    let bearer = asked.head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer.is_some_and(|bearer| is_bearer(bearer, &server.secret)) {
        return true;
    }
    let Ok(query) = Params::parse(asked.query().as_bytes()) else { return false };
    let address = gateway.meetings.webhooks.address(&asked.authority.to_ascii_lowercase(), server.slug.as_str());
    query.get("checksum").is_some_and(|checksum| form.is_signed(&address, checksum, &server.secret))
}

/// What will not change when the server calls again. Beyond the rate of wrong checksums it is no longer logged: its answer stays,
/// since the server would call again for any other.
fn unsigned(gateway: &Gateway, asked: &Asked, server: &Server, why: &'static str) -> Answer {
    if gateway.net.rates.allow(RateOf::WrongChecksums, asked.connection.served.peer()) {
        tracing::warn!(server = %server.id, "webhook event refused: {why}");
    }
    let response = text(StatusCode::UNAUTHORIZED, PLAIN, "The server has not signed this.\n");
    let mut answer = Answer::new(Call::Webhook, Outcome::Refused, response);
    answer.reason = "unsigned";
    answer
}

/// Whether a request is a call of a server with events.
pub(super) fn is_of_a_server(gateway: &Gateway, asked: &Asked) -> bool {
    let path = asked.head.uri.path();
    path.starts_with(webhook::PATH)
        && matches!(route(&merge_slashes(path)), Route::Webhook { slug, code } if gateway.meetings.webhooks.is_code(slug, code))
}
