//! The JSON that a session gets: its client's settings, its STUN servers, its dashboard. What names the server, by its address,
//! by a path on it or by its id of the meeting, is led to the tenant's host and the tenant's own id.

use http::uri::Authority;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Map, Value};

use super::{
    livekit,
    route::{Route, route},
};
use crate::{bbb::addresses, domain::session::TokenHash};

/// The settings of a client, in what a server tells a session, and in the page of 2.7.
const SETTINGS: [&str; 2] = ["public", "PUBLIC_SETTINGS"];
/// The settings that hold the name of a host by itself, from which the client makes addresses without a prefix. Empty ones stand
/// for the host of the page.
const HOSTS: [(&str, &str); 3] =
    [("app", "ipv4FallbackDomain"), ("media", "sip_ws_host"), ("sharedNotes", "serverHostname")];
/// What Meteor's settings stand behind.
const METEOR_SETTINGS: &str = "decodeURIComponent(\"";

/// For whom an answer is rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite<'a> {
    /// The names under which the server may speak of itself.
    pub(crate) names: &'a [Authority],
    /// The tenant's host, as the caller wrote it.
    pub(crate) authority: &'a str,
    /// Where the server is found there.
    pub(crate) prefix: &'a str,
    /// The server's id of the session's meeting, and the tenant's; `None` where no session is known.
    pub(crate) meeting: Option<(&'a str, &'a str)>,
    /// The session; `None` where none is known.
    pub(crate) session: Option<&'a TokenHash>,
}

impl Rewrite<'_> {
    /// Rewrites an answer, walked whole: the nesting of settings differs by version
    /// (docs/reference/bbb-protocol.md, "Client settings").
    ///
    /// * an absolute address of the server (`https://bbb-01/pad`, `wss://bbb-01/bbb-webrtc-sfu`) becomes one of the
    ///   tenant's host with the server's prefix;
    /// * a path that the server serves (`/bigbluebutton`, `/html5client`) gets the prefix;
    /// * the server's id of the meeting becomes the tenant's;
    /// * a text that is a JSON object (the dashboard's data) is walked as well;
    /// * a client's settings lead to no other host ([`Self::settle`]).
    ///
    /// `None` for what is no JSON.
    pub(crate) fn apply(self, body: &[u8]) -> Option<Vec<u8>> {
        let mut json: Value = serde_json::from_slice(body).ok()?;
        self.walk(&mut json, true);
        serde_json::to_vec(&json).ok()
    }

    /// Rewrites the page of the 2.7 client: what stands in it plainly, and the settings that Meteor writes into it as encoded
    /// JSON (docs/reference/bbb-protocol.md, "Page load of 2.7"). `None` for what is no text.
    pub(crate) fn page(self, body: &[u8]) -> Option<Vec<u8>> {
        let html = std::str::from_utf8(body).ok()?;
        let plain = |text: &str| {
            addresses::rewritten(text, self.names, self.authority, self.prefix).unwrap_or_else(|| text.to_owned())
        };
        let Some((before, rest)) = html.split_once(METEOR_SETTINGS) else { return Some(plain(html).into()) };
        let (settings, after) = rest.split_once('"')?;
        let settings = self.apply(&percent_decode_str(settings).collect::<Vec<u8>>())?;
        let settings = percent_encode(&settings, NON_ALPHANUMERIC);
        Some(format!("{}{METEOR_SETTINGS}{settings}\"{}", plain(before), plain(after)).into())
    }

    fn walk(self, value: &mut Value, nested: bool) {
        match value {
            Value::String(text) => {
                if let Some(new) = self.text(text, nested) {
                    *text = new;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, nested)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| self.walk(field, nested));
                for name in SETTINGS {
                    if let Some(Value::Object(settings)) = fields.get_mut(name)
                        && settings.contains_key("app")
                    {
                        self.settle(settings);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Names the tenant's host where a client's settings have a host by itself, and as LiveKit's, whatever its address was: what
    /// the client of 4.0 makes of an empty one is no address, and of a missing one an address that names no server. LiveKit's
    /// names the session, too: nothing else that its client sends does.
    fn settle(self, settings: &mut Map<String, Value>) {
        settings.values_mut().for_each(|value| self.lead_hosts(value));
        for (group, name) in HOSTS {
            let host = settings.get_mut(group).and_then(|group| group.get_mut(name));
            if let Some(Value::String(host)) = host
                && !host.is_empty()
            {
                self.authority.clone_into(host);
            }
        }
        // 2.7 has no prefix, and no LiveKit.
        if !self.prefix.is_empty()
            && let Some(media) = object(settings, "media")
            && let Some(livekit) = object(media, "livekit")
        {
            let path = livekit::path_for(self.session);
            livekit.insert("url".to_owned(), format!("wss://{}{}{path}", self.authority, self.prefix).into());
        }
    }

    /// Names the tenant's host for each text that is the name of the server. A name without a dot may be any word.
    fn lead_hosts(self, value: &mut Value) {
        match value {
            Value::String(text) if text.contains(['.', ':']) && addresses::is_one_of(text, self.names) => {
                self.authority.clone_into(text);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.lead_hosts(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.lead_hosts(field)),
            _ => {}
        }
    }

    fn text(self, text: &str, nested: bool) -> Option<String> {
        if let Some((server_id, own_id)) = self.meeting
            && text == server_id
        {
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

/// The object of this name, which is made where there is nothing; `None` where there is something else.
fn object<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let value = fields.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_names_the_server_is_led_to_the_tenants_host() {
        let names = ["bbb-01.internal.test".parse().expect("legal")];
        let meeting = Some(("t.w.room", "room"));
        let rewrite = Rewrite { names: &names, authority: "meet.w", prefix: "/s/x1", meeting, session: None };
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
    fn a_clients_settings_lead_to_no_other_host() {
        let names = ["bbb-01.internal.test".parse().expect("legal"), "bbb".parse().expect("legal")];
        let rewrite = Rewrite { names: &names, authority: "meet.w", prefix: "/s/x1", meeting: None, session: None };
        let own = json!("wss://meet.w/s/x1/livekit");
        for (given, path, expected) in [
            (json!({ "media": { "livekit": { "url": "" } } }), "/media/livekit/url", own.clone()),
            (json!({ "media": { "livekit": { "url": null } } }), "/media/livekit/url", own.clone()),
            (
                json!({ "media": { "livekit": { "url": "wss://bbb-01.internal.test/livekit" } } }),
                "/media/livekit/url",
                own.clone(),
            ),
            (
                json!({ "media": { "livekit": { "url": "wss://elsewhere.example/x" } } }),
                "/media/livekit/url",
                own.clone(),
            ),
            (json!({ "media": { "livekit": { "forceRelay": true } } }), "/media/livekit/url", own.clone()),
            (json!({ "media": { "livekit": { "forceRelay": true } } }), "/media/livekit/forceRelay", json!(true)),
            (json!({ "media": { "livekit": null } }), "/media/livekit/url", own.clone()),
            (json!({ "media": {} }), "/media/livekit/url", own.clone()),
            (json!({}), "/media/livekit/url", own.clone()),
            (json!({ "media": "odd" }), "/media", json!("odd")),
            (json!({ "media": { "livekit": "odd" } }), "/media/livekit", json!("odd")),
            (json!({ "media": { "sip_ws_host": "bbb-01.internal.test" } }), "/media/sip_ws_host", json!("meet.w")),
            (json!({ "media": { "sip_ws_host": "was.elsewhere.example" } }), "/media/sip_ws_host", json!("meet.w")),
            (json!({ "media": { "sip_ws_host": "" } }), "/media/sip_ws_host", json!("")),
            (json!({ "sharedNotes": { "serverHostname": "bbb" } }), "/sharedNotes/serverHostname", json!("meet.w")),
            (json!({ "sharedNotes": { "serverHostname": null } }), "/sharedNotes/serverHostname", json!(null)),
            (json!({ "app": { "ipv4FallbackDomain": "v4.bbb.example" } }), "/app/ipv4FallbackDomain", json!("meet.w")),
            (json!({ "x": [{ "host": "BBB-01.internal.test:443" }] }), "/x/0/host", json!("meet.w")),
            (json!({ "x": "bbb" }), "/x", json!("bbb")),
            (json!({ "x": "on bbb-01.internal.test" }), "/x", json!("on bbb-01.internal.test")),
        ] {
            let mut settings = given.clone();
            if settings.get("app").is_none() {
                settings["app"] = json!({});
            }
            let body = json!({ "meeting": [{ "clientSettings": { "clientSettingsJson": { "public": settings } } }] });
            let out = rewrite.apply(body.to_string().as_bytes()).expect("JSON");
            let out: Value = serde_json::from_slice(&out).expect("JSON");
            let out = &out["meeting"][0]["clientSettings"]["clientSettingsJson"]["public"];
            assert_eq!(out.pointer(path), Some(&expected), "{given}: {out}");
        }
        let other = br#"{"public":{"chat":1}}"#;
        assert_eq!(rewrite.apply(other).as_deref(), Some(&other[..]), "what are no settings");
    }

    #[test]
    fn the_page_of_meteor_names_the_tenants_host_only() {
        let names = ["bbb-01.internal.test".parse().expect("legal")];
        let rewrite = Rewrite { names: &names, authority: "meet.w", prefix: "", meeting: None, session: None };
        let settings = json!({ "PUBLIC_SETTINGS": { "app": {}, "media": { "sip_ws_host": "old.example" } } });
        let settings = settings.to_string();
        let settings = percent_encode(settings.as_bytes(), NON_ALPHANUMERIC);
        let page = rewrite.page(format!("{METEOR_SETTINGS}{settings}\"").as_bytes()).expect("a page");
        let page = percent_decode_str(std::str::from_utf8(&page).expect("a text")).decode_utf8().expect("a text");
        assert!(page.contains(r#""media":{"sip_ws_host":"meet.w"}"#), "{page}");
        let page = "<link href=\"https://bbb-01.internal.test/x.css\"><script>c = JSON.parse(decodeURIComponent(\"%7B%22a%22%3A\
                    %22https%3A%2F%2Fbbb-01.internal.test%2Fpad%22%2C%22b%22%3A%22%2Fbigbluebutton%22%7D\"))</script>";
        let page = String::from_utf8(rewrite.page(page.as_bytes()).expect("a page")).expect("a text");
        assert_eq!(
            percent_decode_str(&page).decode_utf8().expect("a text"),
            "<link href=\"https://meet.w/x.css\"><script>c = JSON.parse(decodeURIComponent(\"{\"a\":\"https://meet.w/pad\",\
             \"b\":\"/bigbluebutton\"}\"))</script>"
        );
        assert!(rewrite.page(b"decodeURIComponent(\"%7B").is_none() && rewrite.page(b"\xff").is_none());
    }

    #[test]
    fn what_is_no_json_is_told() {
        let rewrite = Rewrite { names: &[], authority: "meet.w", prefix: "/s/x1", meeting: None, session: None };
        assert!(rewrite.apply(b"<html>").is_none());
    }
}
