//! The files of a tenant's branding, from memory.

use http::{
    HeaderName, HeaderValue, Method, Response,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};

use super::{answer::Answer, api::spec::wrong_method, asked::Asked, gateway::Gateway, refusal};
use crate::{
    domain::denial::Denial,
    metrics::{Call, Outcome},
    upstream::Body,
};

const HEADERS: [(HeaderName, &str); 3] = [
    // Its digest is part of its address.
    (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // A picture may be a document with scripts in it.
    (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
];

/// Answers with a file of the tenant's own.
pub(crate) fn asset(gateway: &Gateway, asked: &Asked, digest: &str, name: &str) -> Answer {
    if !matches!(asked.head.method, Method::GET | Method::HEAD) {
        return wrong_method(Call::Page, "GET, HEAD");
    }
    let tenant = &asked.tenant;
    let Some(asset) = tenant.branding.asset(digest, name).filter(|_| tenant.limits.branding) else {
        return refusal::refuse(gateway, asked, Call::Page, Denial::NotFound);
    };
    let mut response = Response::new(Body::Held(asset.bytes.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Answer::new(Call::Page, Outcome::Ok, response)
}
