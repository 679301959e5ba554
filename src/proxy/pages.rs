//! Pages that people see: the landing page, and refusals that say what to do.

use aws_lc_rs::rand;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        REFERRER_POLICY, REFRESH, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::asked::Asked;
use crate::{
    domain::{
        branding::Source,
        pages::{Look, Mention, Page},
    },
    upstream::Body,
};

/// A page for a person. `key` is the key that they can mention to support, or empty.
pub(crate) fn page(asked: &Asked, status: StatusCode, page: &Page, key: &str) -> Response<Body> {
    let tenant = &asked.tenant;
    let branding = &tenant.branding;
    // A picture from elsewhere is not shown: a page asks nobody but its own host.
    let own = |source: &Option<Source>| match source {
        Some(source @ Source::Asset(_)) if tenant.limits.branding => Some(source.address(&asked.authority)),
        _ => None,
    };
    let (logo, dark_logo) = (own(&branding.logo), own(&branding.dark_logo));
    let look = Look {
        tenant: &tenant.name,
        logo: logo.as_deref(),
        dark_logo: dark_logo.as_deref(),
        color: branding.banner_color.as_deref().filter(|_| tenant.limits.branding),
    };
    let mut random = [0; 20];
    // Without chance the style is not shown, and nothing worse.
    let _ = rand::fill(&mut random);
    let nonce = BASE64.encode(&random[..16]);
    let chance = u32::from_be_bytes([random[16], random[17], random[18], random[19]]);
    let request = asked.request_id.to_string();
    let mention = Mention { key, request: &request };
    let rendered =
        asked.directory.pages().render(page, &languages(&asked.head.headers), &look, mention, &nonce, chance);
    let mut response = Response::new(Body::from(Bytes::from(rendered.html)));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
    );
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (CONTENT_LANGUAGE, rendered.language),
        (
            REFRESH,
            rendered.retry.filter(|_| asked.head.method == Method::GET).map_or_else(String::new, |n| n.to_string()),
        ),
    ] {
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-language"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn languages(headers: &HeaderMap) -> String {
    let all = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    all.collect::<Vec<_>>().join(",")
}

/// Whether whoever asks reads pages: a browser that goes to an address, not a program.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|accept| accept.contains("text/html"))
}
