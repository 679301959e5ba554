//! The client's settings JSON: what names the server, by its address or by a path on it, is led to the tenant's host.

use http::uri::Authority;
use serde_json::Value;

use super::route::{Route, route};
use crate::bbb::addresses;

/// Rewrites settings, walked whole: their nesting differs by version (bbb.md 3.17).
///
/// * an absolute address of the server (`https://bbb-01/pad`, `wss://bbb-01/bbb-webrtc-sfu`) becomes one of the
///   tenant's host with the server's prefix;
/// * a path that the server serves (`/bigbluebutton`, `/html5client`) gets the prefix.
///
/// `None` for what is no JSON.
pub(crate) fn rewrite(body: &[u8], names: &[Authority], authority: &str, prefix: &str) -> Option<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(body).ok()?;
    walk(&mut json, &|text| rewrite_text(text, names, authority, prefix));
    serde_json::to_vec(&json).ok()
}

fn walk(value: &mut Value, rewrite: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = rewrite(text) {
                *text = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, rewrite)),
        Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, rewrite)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn rewrite_text(text: &str, names: &[Authority], authority: &str, prefix: &str) -> Option<String> {
    if text.starts_with('/') {
        return is_servers(text).then(|| format!("{prefix}{text}"));
    }
    addresses::rewritten(text, names, authority, prefix)
}

/// Whether a path is one of a meeting: it, or what lies below it.
fn is_servers(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let carried =
        |path: &str| matches!(route(path), Route::RootMeeting { .. } | Route::Version { .. } | Route::Refused);
    carried(path) || carried(&format!("{}/x", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_server_is_led_to_the_tenants_host() {
        let names = ["bbb-01.internal.test".parse().expect("legal")];
        for (text, expected) in [
            ("wss://bbb-01.internal.test/bbb-webrtc-sfu", "wss://meet.w/s/x1/bbb-webrtc-sfu"),
            ("https://bbb-01.internal.test/pad", "https://meet.w/s/x1/pad"),
            ("https://bbb-01.internal.test", "https://meet.w/s/x1"),
            ("http://BBB-01.internal.test:443/x?y", "https://meet.w/s/x1/x?y"),
            ("/bigbluebutton", "/s/x1/bigbluebutton"),
            ("/html5client", "/s/x1/html5client"),
            ("/learning-analytics-dashboard", "/s/x1/learning-analytics-dashboard"),
            ("/bigbluebutton/api/stuns", "/s/x1/bigbluebutton/api/stuns"),
            ("/pad", "/s/x1/pad"),
            ("/my/own/path", "/my/own/path"),
            ("https://bbb-01.internal.test.evil.example/", "https://bbb-01.internal.test.evil.example/"),
            ("https://elsewhere.example/logo.png", "https://elsewhere.example/logo.png"),
            (
                "see <a href=\"https://bbb-01.internal.test/a\">here</a> or https://x.example",
                "see <a href=\"https://meet.w/s/x1/a\">here</a> or https://x.example",
            ),
            ("„https://bbb-01.internal.test/x“ ü", "„https://meet.w/s/x1/x“ ü"),
            ("ü://bbb-01.internal.test/x", "ü://bbb-01.internal.test/x"),
            ("plain text", "plain text"),
        ] {
            let body = serde_json::to_vec(&serde_json::json!({"a": [{"b": text}], "n": 1})).expect("JSON");
            let out = rewrite(&body, &names, "meet.w", "/s/x1").expect("JSON");
            let out: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(out["a"][0]["b"], expected, "{text}");
            assert_eq!(out["n"], 1);
        }
    }

    #[test]
    fn what_is_no_json_is_told() {
        assert!(rewrite(b"<html>", &[], "meet.w", "/s/x1").is_none());
    }
}
