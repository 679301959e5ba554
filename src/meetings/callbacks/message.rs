//! The request that a tenant gets for a callback: as BBB would send it, signed with the tenant's secret.

use http::{
    HeaderValue, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};

use super::frontend_of;
use crate::{
    bbb::callback::{Claims, bearer, ended_query, form_of, sign},
    domain::{
        callback::Form,
        secret::Secret,
        tenant::{ApiSecret, Tenant, Upstream},
        time::Timestamp,
    },
    store::CallbackRow,
    upstream::Body,
};

const AGENT: &str = "Anteroom";

/// The message of a callback, and the frontend that it goes to; `None` where its host is of the public network.
///
/// # Errors
/// In words, what there is not.
pub(super) fn message<'a>(
    callback: &CallbackRow,
    tenant: &'a Tenant,
    now: Timestamp,
) -> Result<(Request<Body>, Option<&'a Upstream>), &'static str> {
    let mut request = request(callback, tenant, now)?;
    let frontend = frontend_of(tenant, request.uri());
    let host =
        request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()).ok_or(NO_ADDRESS)?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(HOST, host.clone());
    if frontend.is_some() {
        headers.insert("x-forwarded-host", host);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    }
    Ok((request, frontend))
}

const NO_ADDRESS: &str = "its address cannot be read";
const NO_SECRET: &str = "the secret of its create is not configured any more";
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

/// The secret that signed the `create`, or the newest of its credential where that one is not good any more.
fn secret_of<'a>(tenant: &'a Tenant, label: &str, now: Timestamp) -> Option<&'a Secret> {
    let is_of = |name: &str| label.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let credential = tenant.credentials.iter().find(|credential| is_of(&credential.name))?;
    let good = |secret: &&ApiSecret| secret.is_good(now);
    let same = credential.secrets.iter().filter(good).find(|secret| &*secret.label == label);
    same.or_else(|| credential.secrets.iter().find(good)).map(|secret| &secret.secret)
}
