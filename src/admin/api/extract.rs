//! What a call of the operator says: who calls, the name in its path, its body.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{answer::Answer, refused};
use crate::upstream::whole;

/// Most of what is sent here is a few words.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// And it comes at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Who calls: the name of the token.
#[derive(Debug, Clone)]
pub(super) struct Operator(pub(super) String);

/// The name in a path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let Path(name) = Path::from_request_parts(parts, state).await.map_err(|_| refused::not_found())?;
        Ok(Self(name))
    }
}

/// What a body of so many bytes at most asks for.
pub(super) struct Wanted<T, const MAX: usize = BODY_BYTES_MAX>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Wanted<T, MAX> {
    type Rejection = Answer;

    async fn from_request(request: Request, _: &S) -> Result<Self, Answer> {
        let body = timeout(BODY_TIMEOUT, whole(request.into_body(), MAX)).await;
        let body = body.map_err(|_| refused::slow())?.ok_or_else(refused::too_large)?;
        let wanted = serde_json::from_slice(&body).map_err(|error| refused::invalid(&error.to_string()))?;
        Ok(Self(wanted))
    }
}
