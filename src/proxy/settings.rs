//! The JSON that a session gets: its client's settings, its STUN servers, its dashboard. What names the server, by its address,
//! by a path on it or by its id of the meeting, is led to the tenant's host and the tenant's own id.

use http::uri::Authority;
use serde_json::Value;

use super::route::{Route, route};
use crate::bbb::addresses;

/// For whom an answer is rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite<'a> {
    /// The names under which the server may speak of itself.
    pub(crate) names: &'a [Authority],
    /// The tenant's host, as the caller wrote it.
    pub(crate) authority: &'a str,
    /// Where the server is found there.
    pub(crate) prefix: &'a str,
    /// The server's id of the session's meeting, and the tenant's.
    pub(crate) meeting: (&'a str, &'a str),
}

impl Rewrite<'_> {
    /// Rewrites an answer, walked whole: the nesting of settings differs by version (bbb.md 3.17).
    ///
    /// * an absolute address of the server (`https://bbb-01/pad`, `wss://bbb-01/bbb-webrtc-sfu`) becomes one of the
    ///   tenant's host with the server's prefix;
    /// * a path that the server serves (`/bigbluebutton`, `/html5client`) gets the prefix;
    /// * the server's id of the meeting becomes the tenant's;
    /// * a text that is a JSON object (the dashboard's data) is walked as well.
    ///
    /// `None` for what is no JSON.
    pub(crate) fn apply(self, body: &[u8]) -> Option<Vec<u8>> {
        let mut json: Value = serde_json::from_slice(body).ok()?;
        self.walk(&mut json, true);
        serde_json::to_vec(&json).ok()
    }

    fn walk(self, value: &mut Value, nested: bool) {
        match value {
            Value::String(text) => {
                if let Some(new) = self.text(text, nested) {
                    *text = new;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, nested)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.walk(field, nested)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(self, text: &str, nested: bool) -> Option<String> {
        let (server_id, own_id) = self.meeting;
        if text == server_id {
            return Some(own_id.to_owned());
        }
        if text.starts_with('/') {
            return is_servers(text).then(|| format!("{}{text}", self.prefix));
        }
        if nested
            && text.starts_with('{')
            && let Ok(mut json) = serde_json::from_str(text)
        {
            self.walk(&mut json, false);
            return Some(json.to_string());
        }
        addresses::rewritten(text, self.names, self.authority, self.prefix)
    }
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
        let meeting = ("t.w.room", "room");
        let rewrite = Rewrite { names: &names, authority: "meet.w", prefix: "/s/x1", meeting };
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
            ("t.w.room", "room"),
            ("t.w.room2", "t.w.room2"),
            (
                "{\"a\":[\"t.w.room\",\"https://bbb-01.internal.test/x\"]}",
                "{\"a\":[\"room\",\"https://meet.w/s/x1/x\"]}",
            ),
            ("{no json", "{no json"),
        ] {
            let body = serde_json::to_vec(&serde_json::json!({"a": [{"b": text}], "n": 1})).expect("JSON");
            let out = rewrite.apply(&body).expect("JSON");
            let out: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(out["a"][0]["b"], expected, "{text}");
            assert_eq!(out["n"], 1);
        }
    }

    #[test]
    fn what_is_no_json_is_told() {
        let rewrite = Rewrite { names: &[], authority: "meet.w", prefix: "/s/x1", meeting: ("", "") };
        assert!(rewrite.apply(b"<html>").is_none());
    }
}
