//! `[branding]` of a tenant: texts, and files that are read with the configuration and served from memory.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{convert::Convert, keypath::KeyPath, raw, sources, values};
use crate::domain::branding::{Asset, Branding, Source};

/// Maximum size of a logo or style sheet, and of slides.
const SLIDES_BYTES_MAX: u64 = 20 << 20;
const PICTURE_BYTES_MAX: u64 = 1 << 20;

/// File extensions and their content types.
type Types = &'static [(&'static str, &'static str)];

const PICTURES: Types = &[
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
];
const STYLES: Types = &[("css", "text/css; charset=utf-8")];
const SLIDES: Types = &[
    ("pdf", "application/pdf"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
];

/// Reads a tenant's branding with its files.
pub(super) fn read(raw: raw::Branding, cx: &mut Convert<'_>) -> Branding {
    let mut source =
        |key, text: Option<String>, types, most| text.and_then(|text| source(&path(key), &text, types, most, cx));
    let logo = source("logo", raw.logo, PICTURES, PICTURE_BYTES_MAX);
    let dark_logo = source("dark_logo", raw.dark_logo, PICTURES, PICTURE_BYTES_MAX);
    let style = source("style", raw.style, STYLES, PICTURE_BYTES_MAX);
    let slides = source("slides", raw.slides, SLIDES, SLIDES_BYTES_MAX);
    let banner_color = raw.banner_color.and_then(|text| {
        let legal =
            text.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if !legal {
            cx.fault(&path("banner_color"), "must be a colour such as \"#0a4b78\"");
        }
        legal.then(|| text.into())
    });
    let logout_url = raw.logout_url.and_then(|text| {
        let legal = is_address(&text);
        if !legal {
            cx.fault(&path("logout_url"), "must be an https:// or http:// address");
        }
        legal.then(|| text.into())
    });
    let mut text = |key, text: Option<String>| text.map(|text| values::title(&path(key), Some(text), cx).into());
    Branding {
        logo,
        dark_logo,
        banner_text: text("banner_text", raw.banner_text),
        banner_color,
        welcome: text("welcome", raw.welcome),
        logout_url,
        client_title: text("client_title", raw.client_title),
        style,
        slides,
        copyright: text("copyright", raw.copyright),
    }
}

fn path(key: &str) -> KeyPath {
    KeyPath::from("branding").key(key)
}

fn source(path: &KeyPath, text: &str, types: Types, most: u64, cx: &mut Convert<'_>) -> Option<Source> {
    if text.contains("://") {
        if !is_address(text) {
            cx.fault(path, "must be a file, or an https:// address");
            return None;
        }
        return Some(Source::Address(text.into()));
    }
    let file = Path::new(text);
    let name = file.file_name().and_then(|name| name.to_str()).filter(|name| is_plain(name));
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("").to_ascii_lowercase();
    let content_type = types.iter().find(|(known, _)| *known == ending).map(|(_, content_type)| *content_type);
    let (Some(name), Some(content_type)) = (name, content_type) else {
        let endings: Vec<_> = types.iter().map(|(ending, _)| *ending).collect();
        cx.fault(
            path,
            format!(
                "must be a file whose name is of letters, digits, dots, hyphens and underscores and ends in {}",
                endings.join(", ")
            ),
        );
        return None;
    };
    let bytes = sources::file_up_to(path, text, most, cx)?;
    let digest = HEXLOWER.encode(&digest(&SHA256, &bytes).as_ref()[..16]).into();
    Some(Source::Asset(Asset { name: name.into(), digest, content_type, bytes: bytes.into() }.into()))
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && !name.starts_with('.')
}

fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some())
}
