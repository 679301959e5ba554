//! Refusals in HTTP's own terms: of requests that come too fast, that have no right, or that got no answer of their server. In
//! the form of what was asked for, with `Retry-After` where it is a matter of time.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, RETRY_AFTER},
};

use super::{
    answer::{Answer, outcome_of, text},
    api::spec::Spec,
    asked::Asked,
    gateway::Gateway,
    images, livekit,
    pages::{page, wants_page},
    path::merge_slashes,
    route::{Route, call_of, route},
};
use crate::{
    domain::{
        backend_error::{BackendError, BodyFault},
        denial::Denial,
        ids::ServerId,
        pages::Page,
    },
    metrics::{Call, Outcome, TenantMetrics},
    net::rates::{self, RateOf},
    upstream::Body,
};

/// A refusal of ours in HTTP's own terms: a page for people, a line for programs.
pub(crate) fn refuse(gateway: &Gateway, asked: &Asked, call: Call, denial: Denial) -> Answer {
    if denial == Denial::UnknownSession
        && let Some(limited) = fails_too_often(gateway, asked, call, RateOf::UnknownSessions)
    {
        return limited;
    }
    let path = merge_slashes(asked.head.uri.path());
    let status = livekit::status(&path, denial.status());
    let response = if let Some(refused) = images::refused(&path, denial) {
        refused
    } else if wants_page(&asked.head.headers) {
        page(asked, status, &Page::Refused(denial), denial.key())
    } else {
        text(status, "text/plain;charset=utf-8", format!("{}: {}\n", denial.key(), denial.message()))
    };
    Answer::new(call, outcome_of(denial), response).because(denial)
}

/// What is answered to a request that got no answer of this server. Where its body is the reason, the server has no part in
/// it.
pub(crate) fn unsent(
    gateway: &Gateway,
    asked: &Asked,
    call: Call,
    why: BackendError,
    server: Option<&ServerId>,
) -> Answer {
    let (status, reason, message) = match why {
        BackendError::Body(BodyFault::Slow) => {
            (StatusCode::REQUEST_TIMEOUT, "bodySlow", "The body of the request came too slowly.\n")
        }
        BackendError::Body(BodyFault::Broken) => {
            (StatusCode::BAD_REQUEST, "bodyBroken", "The body of the request did not come whole.\n")
        }
        BackendError::Body(BodyFault::Refused | BodyFault::TooLarge | BodyFault::NoRoom) => {
            return refuse(gateway, asked, call, why.denial());
        }
        error => {
            let answer = refuse(gateway, asked, call, error.denial());
            return if let Some(server) = server { answer.by(server) } else { answer };
        }
    };
    let mut answer = Answer::new(call, Outcome::Refused, text(status, "text/plain;charset=utf-8", message));
    answer.reason = reason;
    answer
}

/// The refusal of a request that is one too many for its tenant; `None` for one that may come.
pub(crate) fn too_many(gateway: &Gateway, asked: &Asked, metrics: &TenantMetrics) -> Option<Answer> {
    let (bucket, peer) = (&metrics.rate_of_requests, asked.connection.served.peer());
    let may = gateway.net.rates.allow_request(bucket, &asked.tenant.id, peer, asked.now);
    (!may).then(|| limited(gateway, asked, call_asked(asked)))
}

/// The refusal of a join, whose checksum fits, that is one too many for its tenant; `None` for one that may come.
pub(crate) fn too_many_joins(gateway: &Gateway, asked: &Asked) -> Option<Answer> {
    let metrics = gateway.metrics.tenant(&asked.tenant.id);
    let may = gateway.net.rates.allow_join(&metrics.rate_of_joins, asked.now);
    (!may).then(|| limited(gateway, asked, Call::Join))
}

/// The refusal of something that has failed, where an address has had too many of that kind; `None` where it is to be told
/// why. The connection ends with it.
pub(crate) fn fails_too_often(gateway: &Gateway, asked: &Asked, call: Call, kind: RateOf) -> Option<Answer> {
    if gateway.net.rates.allow(kind, asked.connection.served.peer()) {
        return None;
    }
    let mut answer = limited(gateway, asked, call);
    close(&mut answer.response);
    Some(answer)
}

/// A refusal in the form of what was asked for: BBB's below its API, a page for people, a line for all others.
fn limited(gateway: &Gateway, asked: &Asked, call: Call) -> Answer {
    let denial = Denial::RateLimited;
    let is_api = matches!(route(&merge_slashes(asked.head.uri.path())), Route::Api(_));
    let mut answer = if is_api && !(call == Call::Join && wants_page(&asked.head.headers)) {
        Answer::denied(call, denial)
    } else {
        refuse(gateway, asked, call, denial)
    };
    answer.response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rates::RETRY_AFTER));
    answer
}

fn call_asked(asked: &Asked) -> Call {
    match route(&merge_slashes(asked.head.uri.path())) {
        Route::Version { .. } => Call::Version,
        Route::Api(name) => Spec::find(name).map_or(Call::Unsupported, |spec| spec.call),
        Route::BreakoutJoin { .. } => Call::Join,
        Route::Client { .. } => Call::Meeting,
        Route::Meeting { kind, .. } | Route::RootMeeting { kind, .. } => call_of(kind),
        Route::Recording { .. } => Call::Playback,
        Route::Callback { .. } => Call::Callback,
        Route::Webhook { .. } => Call::Webhook,
        Route::OfPage { .. } | Route::Other => Call::Frontend,
        Route::Asset { .. } | Route::Refused => Call::Page,
    }
}

/// The refusal of a request that has no tenant, from an address that had too many of those.
pub(super) fn too_fast() -> Response<Body> {
    let denial = Denial::RateLimited;
    let mut response = text(denial.status(), "text/plain", format!("{}: {}\n", denial.key(), denial.message()));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rates::RETRY_AFTER));
    close(&mut response);
    response
}

/// HTTP/2 has no such header, and hyper leaves it out there.
fn close(response: &mut Response<Body>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
