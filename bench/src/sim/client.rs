//! The client page and its files, all of them addressed relative to the page as the real client's are.

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::meeting::Pace;
use super::{Config, answer};
use crate::sign::Algorithm;

const PAGE: &str = include_str!("client/index.html");
const BUNDLE: &str = include_str!("client/bundle.js");
const STYLES: &str = include_str!("client/styles.css");
const ICON: &str = include_str!("client/favicon.svg");

/// The files as one server hands them out.
pub(crate) struct Assets {
    page: String,
    bundle_name: String,
}

impl Assets {
    pub(crate) fn new(config: &Config, pace: Pace) -> Self {
        let hash = &Algorithm::Sha1.hex(BUNDLE.as_bytes())[..20];
        let bundle_name = format!("bundle.{hash}.js");
        let retry = pace.scale(std::time::Duration::from_secs(10));
        let page = PAGE
            .replace("bundle.js", &bundle_name)
            .replace("%HOST%", if config.client_uses_port { "host" } else { "hostname" })
            .replace("%RETRY_MS%", &retry.as_millis().to_string());
        Self { page, bundle_name }
    }
}

/// A file below `/html5client/`.
pub(crate) fn file(name: &str, assets: &Assets) -> Response {
    let (content_type, body, cache) = match name {
        "" | "index.html" => ("text/html;charset=utf-8", assets.page.clone(), "no-store"),
        "styles.css" => ("text/css", STYLES.to_owned(), "no-cache"),
        "resources/images/favicon.svg" => ("image/svg+xml", ICON.to_owned(), "no-cache"),
        name if name == assets.bundle_name => {
            ("text/javascript;charset=utf-8", BUNDLE.to_owned(), "public, max-age=31536000, immutable")
        }
        _ => return answer::page(StatusCode::NOT_FOUND),
    };
    let mut response = answer::text(StatusCode::OK, content_type, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
