//! What comes too fast, and how it is told so: in the form of what was asked for, with `Retry-After`.

use http::{
    HeaderValue, Response,
    header::{CONNECTION, RETRY_AFTER},
};

use super::{
    Gateway,
    answer::{Answer, text},
    api::spec::Spec,
    asked::Asked,
    pages::wants_page,
    path::merge_slashes,
    route::{Route, call_of, route},
};
use crate::{
    domain::denial::Denial,
    metrics::{Call, TenantMetrics},
    net::rates::{self, RateOf},
    upstream::Body,
};

impl Gateway {
    /// The refusal of a request that is one too many for its tenant; `None` for one that may come.
    pub(crate) fn too_many(&self, asked: &Asked, metrics: &TenantMetrics) -> Option<Answer> {
        let (bucket, peer) = (&metrics.rate_of_requests, asked.connection.served.peer());
        let may = self.net.rates.allow_request(bucket, &asked.tenant.id, peer, asked.now);
        (!may).then(|| self.limited(asked, call_asked(asked)))
    }

    /// The refusal of a join, whose checksum fits, that is one too many for its tenant; `None` for one that may come.
    pub(crate) fn too_many_joins(&self, asked: &Asked) -> Option<Answer> {
        let metrics = self.metrics.tenant(&asked.tenant.id);
        let may = self.net.rates.allow_join(&metrics.rate_of_joins, asked.now);
        (!may).then(|| self.limited(asked, Call::Join))
    }

    /// The refusal of something that has failed, where an address has had too many of that kind; `None` where it is to be told
    /// why. The connection ends with it.
    pub(crate) fn fails_too_often(&self, asked: &Asked, call: Call, kind: RateOf) -> Option<Answer> {
        if self.net.rates.allow(kind, asked.connection.served.peer()) {
            return None;
        }
        let mut answer = self.limited(asked, call);
        close(&mut answer.response);
        Some(answer)
    }

    /// A refusal in the form of what was asked for: BBB's below its API, a page for people, a line for all others.
    fn limited(&self, asked: &Asked, call: Call) -> Answer {
        let denial = Denial::RateLimited;
        let is_api = matches!(route(&merge_slashes(asked.head.uri.path())), Route::Api(_));
        let mut answer = if is_api && !(call == Call::Join && wants_page(&asked.head.headers)) {
            Answer::denied(call, denial)
        } else {
            self.refuse(asked, call, denial)
        };
        answer.response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rates::RETRY_AFTER));
        answer
    }
}

fn call_asked(asked: &Asked) -> Call {
    match route(&merge_slashes(asked.head.uri.path())) {
        Route::Version { .. } => Call::Version,
        Route::Api(name) => Spec::find(name).map_or(Call::Unsupported, |spec| spec.call),
        Route::BreakoutJoin { .. } => Call::Join,
        Route::Client { .. } => Call::Meeting,
        Route::Meeting { kind, .. } | Route::RootMeeting { kind, .. } => call_of(kind),
        Route::Recording { .. } => Call::Playback,
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
