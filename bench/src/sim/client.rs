//! The client page and its files. Those of 3.0 are addressed relative to the page, as the real client's are, and served as
//! nginx serves files; the steps that page takes are those of 3.0.30, or of 3.0.0. The page of 2.7 has the settings that
//! Meteor writes into it, and takes the few steps of its client that differ.

use std::collections::BTreeMap;

use axum::http::header::{HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use super::meeting::Pace;
use super::profile::Client;
use super::static_file::{File, ranged};
use super::{Config, answer, rest};
use crate::sign::{Algorithm, encode_value};

const METEOR_PAGE: &str = include_str!("client/meteor.html");
const METEOR: &str = include_str!("client/meteor.js");
const GUEST_PAGE: &str = include_str!("client/guest-wait.html");
const PAGE: &str = include_str!("client/index.html");
const BUNDLE: &str = include_str!("client/bundle.js");
const STYLES: &str = include_str!("client/styles.css");
const ICON: &str = include_str!("client/favicon.svg");

/// When all files were installed: their contents change with a release, and nginx takes the time from the disk.
const INSTALLED: &str = "Fri, 29 May 2026 12:00:00 GMT";
/// 64 KB of no picture in particular.
pub(crate) const PHOTO: &str = match std::str::from_utf8(&[b'P'; 64 * 1024]) {
    Ok(photo) => photo,
    Err(_) => "",
};
/// The first of them has so many bytes, the n-th n * n times as many.
const CHUNK_BYTES: usize = 256;
/// What makes the weight of a client: libraries in a file of their own.
const VENDOR_LINES: usize = 30_000;

/// Scripts and pictures that only a whole client asks for, besides those that its page names.
pub(crate) const CHUNKS: usize = 25;

/// The files of one release, by their names below `/html5client/`.
pub(crate) struct Assets {
    files: BTreeMap<String, (&'static str, Bytes)>,
    page: Bytes,
    client_path: &'static str,
}

impl Assets {
    /// The files of a release: each has other contents, and other names for those with a digest in them.
    pub(crate) fn new(config: &Config, pace: Pace, release: u32) -> Self {
        let mut files = BTreeMap::new();
        let mut hashed = |name: &str, ending: &str, kind, text: String| {
            let text = format!("{text}\n// release {release}\n");
            let name = format!("{name}.{}.{ending}", &Algorithm::Sha1.hex(text.as_bytes())[..20]);
            files.insert(name.clone(), (kind, Bytes::from(text)));
            name
        };
        let script = "application/javascript";
        let bundle = hashed("bundle", "js", script, BUNDLE.to_owned());
        let vendor = hashed("vendor", "js", script, vendor());
        let retry = pace.scale(std::time::Duration::from_secs(10)).as_millis().to_string();
        let page = if config.profile.is_meteor() {
            METEOR_PAGE.replace("%RUNTIME_CONFIG%", &runtime_config(config))
        } else {
            PAGE.replace("bundle.js", &bundle)
                .replace("vendor.js", &vendor)
                .replace("%VERSION%", if config.profile.client == Client::Early { "3.0.0" } else { "3.0.30" })
                .replace("%HOST%", if config.client_uses_port { "host" } else { "hostname" })
                .replace("%EMPTY%", if config.profile.takes_empty_address { "taken" } else { "passed-over" })
                .replace("%RETRY_MS%", &retry)
        };
        for (name, kind, text) in [
            ("styles.css", "text/css", STYLES),
            ("resources/images/favicon.svg", "image/svg+xml", ICON),
            ("resources/images/photo.jpg", "image/jpeg", PHOTO),
            ("locales/en.json", "application/json", "{\"app.title\":\"Meeting\"}"),
            ("locales/de.json", "application/json", "{\"app.title\":\"Besprechung\"}"),
        ] {
            files.insert(name.to_owned(), (kind, Bytes::from_static(text.as_bytes())));
        }
        for n in 1..=CHUNKS {
            let chunk = Bytes::from(vec![b'/'; n * n * CHUNK_BYTES]);
            files.insert(format!("chunks/{n}.js"), (script, chunk));
        }
        if config.profile.is_meteor() {
            files.insert("meteor.js".to_owned(), (script, Bytes::from_static(METEOR.as_bytes())));
            let guest_page = GUEST_PAGE.replace("%RETRY_MS%", &retry);
            files.insert("guestWait".to_owned(), ("text/html", guest_page.into()));
        }
        Self { files, page: page.into(), client_path: config.client_path() }
    }
}

/// Two megabytes of a script that does nothing.
fn vendor() -> String {
    let line = |n: usize| format!("var v{n:05} = '{}';\n", &Algorithm::Sha1.hex(&n.to_le_bytes())[..40]);
    format!("(function () {{\n{}}})();", (0..VENDOR_LINES).map(line).collect::<String>())
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

/// What is in a folder, as nginx tells it (`autoindex_format json`): the client looks there for its languages.
fn listing(assets: &Assets, folder: &str) -> Response {
    let files = assets.files.iter().filter_map(|(path, (_, bytes))| Some((path.strip_prefix(folder)?, bytes)));
    let files: Vec<_> = files
        .map(|(name, bytes)| json!({ "name": name, "type": "file", "mtime": INSTALLED, "size": bytes.len() }))
        .collect();
    answer::json(&files.into())
}

/// A file below `/html5client/`.
pub(crate) fn file(name: &str, headers: &HeaderMap, assets: &Assets) -> Response {
    let is_page =
        name.is_empty() || name == "index.html" || assets.client_path.strip_prefix("/html5client/") == Some(name);
    if name == "locales/" {
        return listing(assets, name);
    }
    let (content_type, bytes) = match assets.files.get(name) {
        _ if is_page => ("text/html", assets.page.clone()),
        Some((content_type, bytes)) => (*content_type, bytes.clone()),
        None => return answer::page(StatusCode::NOT_FOUND),
    };
    let mut response = ranged(File::new(content_type, bytes), headers);
    let is_known = match headers.get(IF_NONE_MATCH) {
        Some(known) => response.headers().get("etag") == Some(known),
        None => headers.get(IF_MODIFIED_SINCE).is_some_and(|since| since == INSTALLED),
    };
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = axum::body::Body::empty();
    }
    response.headers_mut().insert(LAST_MODIFIED, HeaderValue::from_static(INSTALLED));
    response
}
