//! The client page and its files. Those of 3.0 are addressed relative to the page, as the real client's are; the steps that
//! page takes are those of 3.0.30. The page of 2.7 only carries the settings that Meteor writes into it.

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::meeting::Pace;
use super::version::Version;
use super::{Config, answer, rest};
use crate::sign::{Algorithm, encode_value};

const METEOR_PAGE: &str = include_str!("client/meteor.html");
const GUEST_PAGE: &str = include_str!("client/guest-wait.html");
const PAGE: &str = include_str!("client/index.html");
const BUNDLE: &str = include_str!("client/bundle.js");
const STYLES: &str = include_str!("client/styles.css");
const ICON: &str = include_str!("client/favicon.svg");

/// The files as one server hands them out.
pub(crate) struct Assets {
    page: String,
    guest_page: String,
    bundle_name: String,
    version: Version,
}

impl Assets {
    pub(crate) fn new(config: &Config, pace: Pace) -> Self {
        let hash = &Algorithm::Sha1.hex(BUNDLE.as_bytes())[..20];
        let bundle_name = format!("bundle.{hash}.js");
        let retry = pace.scale(std::time::Duration::from_secs(10)).as_millis().to_string();
        let page = if config.version.is_meteor() {
            METEOR_PAGE.replace("%RUNTIME_CONFIG%", &runtime_config(config))
        } else {
            PAGE.replace("bundle.js", &bundle_name)
                .replace("%HOST%", if config.client_uses_port { "host" } else { "hostname" })
                .replace("%RETRY_MS%", &retry)
        };
        let guest_page = GUEST_PAGE.replace("%RETRY_MS%", &retry);
        Self { page, guest_page, bundle_name, version: config.version }
    }
}

/// Meteor's settings, encoded as in the page.
fn runtime_config(config: &Config) -> String {
    let config = json!({
        "meteorRelease": "METEOR@2.13",
        "ROOT_URL": format!("{}/html5client", config.server_url),
        "ROOT_URL_PATH_PREFIX": "/html5client",
        "DDP_DEFAULT_CONNECTION_URL": "",
        "PUBLIC_SETTINGS": rest::settings(config)["public"],
    });
    encode_value(&config.to_string()).replace('+', "%20")
}

/// A file below `/html5client/`.
pub(crate) fn file(name: &str, assets: &Assets) -> Response {
    let is_page =
        name.is_empty() || name == "index.html" || format!("/html5client/{name}") == assets.version.client_path();
    let (content_type, body, cache) = match name {
        _ if is_page => ("text/html;charset=utf-8", assets.page.clone(), "no-store"),
        "guestWait" if assets.version.is_meteor() => ("text/html;charset=utf-8", assets.guest_page.clone(), "no-store"),
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
