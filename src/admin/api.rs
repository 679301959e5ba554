//! The admin API: lists and changes at run time. JSON, with a bearer token in each call.
//!
//! Changes run on the runtime of the gateway, and are finished even if the caller disconnects.

mod answer;
mod callbacks;
mod domains;
mod extract;
mod meetings;
mod refused;
mod servers;
mod tenants;
mod usage;
mod webhooks;

use std::sync::{Mutex, PoisonError};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, header::AUTHORIZATION};

use super::{state::Admin, token::Scope};
use crate::domain::time::Timestamp;
use extract::Operator;

/// The calls, below `/api`.
pub(super) fn router(admin: &Admin) -> Router<Admin> {
    Router::new()
        .route("/servers", get(servers::list))
        .route("/servers/{id}/mode", post(servers::set_mode))
        .route("/meetings", get(meetings::list))
        .route("/meetings/end", post(meetings::end))
        .route("/tenants", get(tenants::list))
        .route("/tenants/{id}/suspend", post(tenants::suspend))
        .route("/tenants/{id}/resume", post(tenants::resume))
        .route("/callbacks", get(callbacks::list))
        .route("/callbacks/{id}/retry", post(callbacks::retry_one))
        .route("/webhooks", get(webhooks::list))
        .route("/webhooks/{id}/retry", post(webhooks::retry_one))
        .route("/webhooks/{id}/remove", post(webhooks::remove_one))
        .route("/domains", get(domains::list))
        .route("/domains/import", post(domains::import))
        .route("/domains/{host}", get(domains::show))
        .route("/domains/{host}/retry", post(domains::retry_one))
        .route("/domains/{host}/revoke", post(domains::revoke_one))
        .route("/usage", get(usage::list))
        .fallback(async || refused::not_found())
        .method_not_allowed_fallback(async || refused::method())
        // Around everything, so that without a token there is nothing to be learned.
        .layer(from_fn_with_state(admin.clone(), guard))
}

async fn guard(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let needed = if looks { Scope::Read } else { Scope::Operate };
    let Some(bearer) = token_of(request.headers()).and_then(|token| admin.tokens.verify(token)) else {
        REFUSALS.tell(admin.meetings.clock.now(), "", "admin API call refused: missing or invalid token");
        return refused::no_token().into_response();
    };
    if bearer.scope < needed {
        REFUSALS.tell(admin.meetings.clock.now(), &bearer.name, "admin API call refused: the token lacks the scope");
        return refused::scope().into_response();
    }
    request.extensions_mut().insert(Operator(bearer.name));
    next.run(request).await
}

/// Refusals that are logged per second: anybody who reaches the listener can cause them.
const LISTED_MAX: u32 = 10;

static REFUSALS: Refusals = Refusals(Mutex::new((0, 0, 0)));

/// Current second, refusals logged in it, and refusals that were not logged since the last one.
struct Refusals(Mutex<(i64, u32, u64)>);

impl Refusals {
    /// Logs a refusal, or counts it for the next logged one.
    fn tell(&self, now: Timestamp, operator: &str, what: &str) {
        if let Some(unlisted) = self.listed(now) {
            tracing::warn!(target: "audit::refused", operator, unlisted, "{what}");
        }
    }

    /// Number of refusals not logged before this one; `None` if this one is not logged either.
    fn listed(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, listed, unlisted) = &mut *state;
        if *second != now.as_secs() {
            (*second, *listed) = (now.as_secs(), 0);
        }
        if LISTED_MAX <= *listed {
            *unlisted = unlisted.saturating_add(1);
            return None;
        }
        *listed = listed.saturating_add(1);
        Some(std::mem::take(unlisted))
    }
}

/// The token of `Authorization: Bearer` (RFC 6750, 2.1).
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refusals_some_are_listed_and_all_are_counted() {
        let refusals = Refusals(Mutex::new((0, 0, 0)));
        let listed: Vec<_> = (0..15).filter_map(|n| refusals.listed(Timestamp::from_ms(1_000 + n))).collect();
        assert_eq!(listed, [0; 10]);
        assert_eq!(refusals.listed(Timestamp::from_ms(2_000)), Some(5), "with the next one");
        assert_eq!(refusals.listed(Timestamp::from_ms(2_000)), Some(0));
    }
}
