//! The admin API: lists and changes at run time. JSON, with a bearer token in each call.
//!
//! Changes run on the runtime of the gateway, and are finished even if the caller disconnects.

mod meetings;
mod refused;
mod servers;
mod tenants;
mod usage;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{FromRequest, FromRequestParts, Path, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::{Admin, token::Scope};
use crate::{live::clock::now_ms, upstream::whole};
use refused::Refused;

/// Maximum of a body.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// Time limit of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

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
        .route("/usage", get(usage::list))
        .fallback(async || Refused::NotFound)
        .method_not_allowed_fallback(async || Refused::Method)
        // Around everything, so that without a token there is nothing to be learned.
        .layer(from_fn_with_state(admin.clone(), guard))
}

/// The caller: the name of the token.
#[derive(Debug, Clone)]
struct Operator(String);

async fn guard(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let needed = if looks { Scope::Read } else { Scope::Operate };
    let Some(bearer) = token_of(request.headers()).and_then(|token| admin.tokens.verify(token)) else {
        REFUSALS.tell(now_ms(), "", "admin API call refused: missing or invalid token");
        return Refused::NoToken.into_response();
    };
    if bearer.scope < needed {
        REFUSALS.tell(now_ms(), &bearer.name, "admin API call refused: the token lacks the scope");
        return Refused::Scope.into_response();
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
    fn tell(&self, now: i64, operator: &str, what: &str) {
        if let Some(unlisted) = self.listed(now) {
            tracing::warn!(target: "audit::refused", operator, unlisted, "{what}");
        }
    }

    /// Number of refusals not logged before this one; `None` if this one is not logged either.
    fn listed(&self, now: i64) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, listed, unlisted) = &mut *state;
        if *second != now.div_euclid(1000) {
            (*second, *listed) = (now.div_euclid(1000), 0);
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

/// An answer to the operator.
struct Answer(Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        (headers, self.0.to_string()).into_response()
    }
}

/// The name in a path.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Path(name) = Path::from_request_parts(parts, state).await.map_err(|_| Refused::NotFound)?;
        Ok(Self(name))
    }
}

/// What a body asks for.
struct Wanted<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Wanted<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let body = timeout(BODY_TIMEOUT, whole(request.into_body(), BODY_BYTES_MAX)).await;
        let body = body.map_err(|_| Refused::Slow)?.ok_or(Refused::TooLarge)?;
        let wanted = serde_json::from_slice(&body).map_err(|error| Refused::Invalid(error.to_string()))?;
        Ok(Self(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refusals_some_are_listed_and_all_are_counted() {
        let refusals = Refusals(Mutex::new((0, 0, 0)));
        let listed: Vec<_> = (0..15).filter_map(|n| refusals.listed(1_000 + n)).collect();
        assert_eq!(listed, [0; 10]);
        assert_eq!(refusals.listed(2_000), Some(5), "with the next one");
        assert_eq!(refusals.listed(2_000), Some(0));
    }
}
