//! The pages that people see: the landing page, and refusals that say what to do.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use minijinja::{AutoEscape, Environment, context};

use crate::upstream::Body;

/// Nothing from outside, no script; the one style sheet stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors *";

/// The templates, compiled once.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

impl Pages {
    /// # Panics
    /// Never: the template is part of the program and a test renders it.
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_template("page", include_str!("pages/page.html")).expect("the shipped template is well-formed");
        Self(environment)
    }

    /// A page with one message. `tenant` is the tenant's name, `detail` a second sentence or empty, `key` the message
    /// key for support or empty.
    pub(crate) fn render(
        &self,
        status: StatusCode,
        tenant: &str,
        title: &str,
        detail: &str,
        key: &str,
    ) -> Response<Body> {
        let html = self
            .0
            .get_template("page")
            .and_then(|page| page.render(context! { tenant, title, detail, key }))
            .unwrap_or_else(|_| title.to_owned());
        let mut response = Response::new(Body::from(Bytes::from(html)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// Whether whoever asks reads pages: a browser that goes to an address, not a program.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_says_is_escaped() {
        let response = Pages::new().render(StatusCode::FORBIDDEN, "<b>Co-op</b>", "Full & closed", "", "k");
        let Body::Held(html) = response.into_body() else { panic!("held in memory") };
        let html = String::from_utf8_lossy(&html);
        assert!(html.contains("&lt;b&gt;Co-op&lt;") && html.contains("Full &amp; closed"), "{html}");
        assert!(!html.contains("<b>Co-op"));
    }
}
