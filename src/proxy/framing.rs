//! Who may show an answer of a server in a frame: the sites that the tenant has named (`embedded_by`), whatever the server says,
//! which speaks of its own site. Where the tenant has named none, what the server says stays.
//!
//! A browser asks all ancestors of a frame (CSP Level 3, 7.7.1), so that this holds for a picture or a document within the
//! client's own frame as it does for the client's page.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, LOCATION, X_FRAME_OPTIONS},
};

use super::answer::is_page;
use crate::domain::tenant::Tenant;

const ANCESTORS: &[u8] = b"frame-ancestors";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");

/// What an answer is to a browser that navigates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// A page.
    Page,
    /// It leads on, to a page perhaps.
    Redirect,
    /// A part of a page, as a rule.
    Other,
}

impl Sort {
    fn of<B>(response: &Response<B>) -> Self {
        match response.headers() {
            headers if is_page(headers) => Self::Page,
            headers if headers.contains_key(LOCATION) => Self::Redirect,
            _ => Self::Other,
        }
    }
}

/// Says which sites' pages may show this answer in a frame, where the tenant has named them, in the place of what the server
/// says of that. A page says so always, any other answer where the server has said something.
pub(crate) fn set_framing<B>(response: &mut Response<B>, tenant: &Tenant) {
    if tenant.embedded_by.is_empty() {
        return;
    }
    let sort = Sort::of(response);
    let headers = response.headers_mut();
    // The older header knows one site at the most.
    let had_options = headers.remove(X_FRAME_OPTIONS).is_some();
    let had_ancestors = remove_ancestors(headers, &CONTENT_SECURITY_POLICY);
    remove_ancestors(headers, &CONTENT_SECURITY_POLICY_REPORT_ONLY);
    if sort == Sort::Page || had_options || had_ancestors {
        let policy = format!("frame-ancestors 'self' {}", tenant.embedded_by.join(" "));
        if let Ok(value) = HeaderValue::from_str(&policy) {
            headers.append(CONTENT_SECURITY_POLICY, value);
        }
    }
    // A page with `Cross-Origin-Embedder-Policy` shows only what is for other origins, and each redirect on the way has to say so
    // (HTML, "create navigation params by fetching"; Fetch, "cross-origin resource policy check"). Files stay those of their own
    // origin: the frame itself has it.
    if sort != Sort::Other {
        headers.insert(RESOURCE_POLICY, CROSS_ORIGIN);
    }
}

/// Takes a directive out of all policies of a header, and those out that had nothing else. Returns whether it was there.
fn remove_ancestors(headers: &mut HeaderMap, name: &HeaderName) -> bool {
    let values = headers.get_all(name);
    if !values.iter().any(|value| policies(value).any(has_ancestors)) {
        return false;
    }
    let kept: Vec<HeaderValue> = values.iter().filter_map(without_ancestors).collect();
    headers.remove(name);
    for value in kept {
        headers.append(name, value);
    }
    true
}

/// A value without the directive; `None` where nothing is left.
fn without_ancestors(value: &HeaderValue) -> Option<HeaderValue> {
    if !policies(value).any(has_ancestors) {
        return Some(value.clone());
    }
    let mut kept = Vec::with_capacity(value.len());
    for policy in policies(value) {
        let rest: Vec<&[u8]> = directives(policy)
            .filter(|directive| !is_ancestors(directive) && !directive.trim_ascii().is_empty())
            .collect();
        let rest = rest.join(&b';');
        let rest = rest.trim_ascii();
        if !rest.is_empty() {
            kept.extend_from_slice(if kept.is_empty() { b"" } else { b", " });
            kept.extend_from_slice(rest);
        }
    }
    HeaderValue::from_bytes(&kept).ok().filter(|value| !value.is_empty())
}

/// The policies of a value (CSP Level 3, 2.2.2).
fn policies(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|b| *b == b',')
}

/// The directives of a policy, with the blanks around them.
fn directives(policy: &[u8]) -> impl Iterator<Item = &[u8]> {
    policy.split(|b| *b == b';')
}

fn has_ancestors(policy: &[u8]) -> bool {
    directives(policy).any(is_ancestors)
}

fn is_ancestors(directive: &[u8]) -> bool {
    let directive = directive.trim_ascii_start();
    let name = directive.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    name.eq_ignore_ascii_case(ANCESTORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_keeps_all_but_its_ancestors() {
        for (value, kept) in [
            ("frame-ancestors 'self'", None),
            ("frame-ancestors", None),
            (" ; frame-ancestors 'none' ; ", None),
            ("frame-ancestors 'none', frame-ancestors https://a.example", None),
            ("FRAME-Ancestors 'none';object-src 'none'", Some("object-src 'none'")),
            ("default-src 'self';\tframe-ancestors\t*; img-src *", Some("default-src 'self'; img-src *")),
            ("img-src *, frame-ancestors 'self', object-src 'none'", Some("img-src *, object-src 'none'")),
            ("frame-ancestors 'self'; frame-ancestors *; sandbox", Some("sandbox")),
            // As helmet sends it.
            (
                "default-src 'self';base-uri 'self';form-action 'self';frame-ancestors 'self';img-src 'self' data:;object-src 'none'",
                Some("default-src 'self';base-uri 'self';form-action 'self';img-src 'self' data:;object-src 'none'"),
            ),
            ("frame-src 'self'; report-uri /frame-ancestors", Some("frame-src 'self'; report-uri /frame-ancestors")),
            ("frame-ancestors-of 'self'", Some("frame-ancestors-of 'self'")),
            ("", Some("")),
        ] {
            let value = HeaderValue::from_static(value);
            let got = without_ancestors(&value);
            assert_eq!(got.as_ref().map(|value| value.to_str().expect("text")), kept, "{value:?}");
        }
        let bytes = HeaderValue::from_bytes(b"report-uri /\xc3\xbc; frame-ancestors 'none'").expect("legal");
        assert_eq!(without_ancestors(&bytes).expect("something").as_bytes(), b"report-uri /\xc3\xbc");
    }
}
