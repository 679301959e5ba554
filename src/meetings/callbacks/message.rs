//! The request that a tenant gets for a callback: as BBB would send it, signed with the tenant's secret.

use http::{
    HeaderValue, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::{
    bbb::callback::{Claims, bearer, ended_query, form_of, sign},
    domain::{
        callback::Form,
        tenant::{Tenant, Upstream},
        time::Timestamp,
    },
    meetings::receivers::{NO_ADDRESS, NO_SECRET, addressed, secret_of},
    store::CallbackRow,
    upstream::Body,
};

/// The message of a callback, and the frontend that it goes to; `None` where its host is of the public network.
///
/// # Errors
/// In words, what there is not.
pub(super) fn message<'a>(
    callback: &CallbackRow,
    tenant: &'a Tenant,
    now: Timestamp,
) -> Result<(Request<Body>, Option<&'a Upstream>), &'static str> {
    addressed(request(callback, tenant, now)?, tenant)
}

const NO_SIGNATURE: &str = "it cannot be signed";

fn request(callback: &CallbackRow, tenant: &Tenant, now: Timestamp) -> Result<Request<Body>, &'static str> {
    let secret = || secret_of(tenant, &callback.secret, now).ok_or(NO_SECRET);
    let signed = |claims: &Claims| sign(&callback.algorithm, claims, secret()?).ok_or(NO_SIGNATURE);
    match callback.form {
        Form::Ended => {
            let query = ended_query(callback.body == "true", callback.ext_id.as_str());
            let (url, _) = callback.url.split_once('#').unwrap_or((&callback.url, ""));
            let joint = if url.contains('?') { '&' } else { '?' };
            built(Method::GET, &format!("{url}{joint}{query}"), Body::empty())
        }
        Form::Parameters => {
            let claims: Claims = serde_json::from_str(&callback.body).map_err(|_| NO_SIGNATURE)?;
            let body = form_of(&signed(&claims)?);
            let mut request = built(Method::POST, &callback.url, body.into())?;
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            Ok(request)
        }
        Form::Json => {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", signed(&bearer(now))?)).map_err(|_| NO_SIGNATURE)?;
            bearer.set_sensitive(true);
            let mut request = built(Method::POST, &callback.url, callback.body.clone().into())?;
            request.headers_mut().insert(AUTHORIZATION, bearer);
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(request)
        }
    }
}

fn built(method: Method, address: &str, body: Body) -> Result<Request<Body>, &'static str> {
    Request::builder().method(method).uri(address).body(body).map_err(|_| NO_ADDRESS)
}
