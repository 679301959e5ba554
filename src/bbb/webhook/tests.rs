//! All types of events, as the service makes them, with what is left of each for the tenant.

use std::collections::BTreeSet;

use http::uri::Authority;
use serde_json::{Value, json};

use super::{rules::EVENTS, *};
use crate::domain::ids::TenantId;

mod arbitrary;

const INTERNAL: &str = "183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000";
const OTHER: &str = "283f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000";
const SERVER_ID: &str = "t.wagtail.room";
const DOMAIN: &str = "bbb-01.internal.test";

/// The types that `bbb-webhooks` 3.5.0 lists (`OUTPUT_EVENTS` of `src/process/event.js`).
const LISTED: [&str; 43] = [
    "meeting-created",
    "meeting-ended",
    "meeting-recording-started",
    "meeting-recording-stopped",
    "meeting-recording-unhandled",
    "meeting-screenshare-started",
    "meeting-screenshare-stopped",
    "meeting-presentation-changed",
    "user-joined",
    "user-left",
    "user-audio-voice-enabled",
    "user-audio-voice-disabled",
    "user-audio-muted",
    "user-audio-unmuted",
    "user-audio-unhandled",
    "user-cam-broadcast-start",
    "user-cam-broadcast-end",
    "user-presenter-assigned",
    "user-presenter-unassigned",
    "user-emoji-changed",
    "user-raise-hand-changed",
    "transcript-updated",
    "chat-group-message-sent",
    "rap-published",
    "rap-unpublished",
    "rap-deleted",
    "pad-content",
    "rap-archive-started",
    "rap-archive-ended",
    "rap-sanity-started",
    "rap-sanity-ended",
    "rap-post-archive-started",
    "rap-post-archive-ended",
    "rap-process-started",
    "rap-process-ended",
    "rap-post-process-started",
    "rap-post-process-ended",
    "rap-publish-started",
    "rap-publish-ended",
    "rap-post-publish-started",
    "rap-post-publish-ended",
    "poll-started",
    "poll-responded",
];
/// What 2.6.1 makes besides (`messageMapping.js`, the list that BBB's documentation refers to).
const OLDER: [&str; 2] = ["user-audio-listen-only-enabled", "user-audio-listen-only-disabled"];
/// What 3.7.0 makes besides (PR 25789 of BBB).
const NEWER: [&str; 2] = ["rap-post-events-started", "rap-post-events-ended"];

fn event(id: &str, meeting: Value, more: &Value) -> Value {
    let mut attributes = json!({ "meeting": meeting });
    let more = more.as_object().expect("an object").clone();
    attributes.as_object_mut().expect("an object").extend(more);
    json!({ "data": { "type": "event", "id": id, "attributes": attributes, "event": { "ts": 1_700_000_000_001_u64 } } })
}

/// An event as a server says it: its meeting, and more attributes.
fn said(id: &str, more: &Value) -> Value {
    event(id, json!({ "internal-meeting-id": INTERNAL, "external-meeting-id": SERVER_ID }), more)
}

/// The same as the tenant gets it.
fn left(id: &str, more: &Value) -> Value {
    event(id, json!({ "internal-meeting-id": INTERNAL, "external-meeting-id": "room" }), more)
}

fn names() -> [Authority; 1] {
    [DOMAIN.parse().expect("legal")]
}

fn read_at(authority: &str, names: &[Authority], allowed: Allowed, event: &Value) -> Option<Value> {
    let tenant: TenantId = "wagtail".parse().expect("an id");
    let reader = Reader { tenant: &tenant, meeting_id: "room", internal_id: INTERNAL, names, authority, allowed };
    reader.event(event)
}

fn read_with(allowed: Allowed, event: &Value) -> Option<Value> {
    read_at("meet.w", &names(), allowed, event)
}

fn for_tenant(event: &Value) -> Option<Value> {
    read_with(Allowed { addresses: false, content: true }, event)
}

/// Somebody as the service describes them, with all that it may know of them at any event.
fn person(more: &Value) -> Value {
    let mut user = json!({
        "internal-user-id": "w_x", "external-user-id": "u1", "name": "Ann", "role": "MODERATOR", "presenter": false,
        "ip-address": "203.0.113.7", "user-agent": "Firefox", "referer": "https://lms.example/course?key=1",
        "session-token": "token-of-ann", "userdata": { "bbb_skip_check_audio": "true" }
    });
    user.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({ "user": user })
}

/// What is left of it.
fn person_left(more: &Value) -> Value {
    let mut user = person(more);
    let fields = user["user"].as_object_mut().expect("an object");
    ["ip-address", "user-agent", "referer", "session-token"].iter().for_each(|name| drop(fields.remove(*name)));
    user
}

/// The types that have the same attributes, with what a server says and what is left of it, besides the meeting.
fn rows() -> Vec<(&'static [&'static str], Value, Value)> {
    let ids = json!({ "user": { "internal-user-id": "w_x", "external-user-id": "u1" } });
    let same = |value: Value| (value.clone(), value);
    let mut rows = Vec::new();
    let mut add = |ids: &'static [&'static str], (said, left): (Value, Value)| rows.push((ids, said, left));
    let people = |more: Value| (person(&more), person_left(&more));
    add(
        &["meeting-ended", "meeting-recording-started", "meeting-recording-stopped", "meeting-recording-unhandled"],
        same(json!({})),
    );
    add(&["meeting-screenshare-started", "meeting-screenshare-stopped"], same(ids.clone()));
    add(&["user-joined", "user-left"], people(json!({ "guest": true })));
    add(
        &["user-audio-voice-enabled", "user-audio-voice-disabled"],
        people(json!({ "listening-only": false, "sharing-mic": true, "muted": false })),
    );
    add(&["user-audio-muted", "user-audio-unmuted", "user-audio-unhandled"], people(json!({ "muted": true })));
    add(
        &["user-audio-listen-only-enabled", "user-audio-listen-only-disabled"],
        people(json!({ "listening-only": true })),
    );
    add(&["user-cam-broadcast-start", "user-cam-broadcast-end"], people(json!({ "stream": "w_x_0e23" })));
    add(&["user-presenter-assigned", "user-presenter-unassigned"], people(json!({})));
    add(&["user-emoji-changed"], people(json!({ "emoji": "🙁" })));
    add(&["user-raise-hand-changed"], people(json!({ "raise-hand": true })));
    add(
        &["chat-group-message-sent"],
        same(json!({
            "chat-message": {
                "id": "1-x", "message": "Hello, see https://lms.example/",
                "sender": { "internal-user-id": "w_x", "external-user-id": "u1", "name": "Ann", "time": 1 }
            },
            "chat-id": "MAIN-PUBLIC-GROUP-CHAT"
        })),
    );
    add(
        &["pad-content"],
        same(json!({
            "pad": { "id": "g.x$notes", "external-pad-id": "notes", "rev": "1", "start": 0, "end": 2, "text": "ab" }
        })),
    );
    let poll = |poll| json!({ "user": ids["user"], "poll": poll });
    let answers = json!([{ "id": 0, "key": "A" }, { "id": 1, "key": "B" }]);
    add(&["poll-started"], same(poll(json!({ "id": "x/1/1", "question": "Why?", "answers": answers }))));
    add(&["poll-responded"], same(poll(json!({ "id": "x/1/1", "answerIds": [0, 1] }))));
    let transcript = json!({ "id": "x", "transcript": "so it is", "locale": "en-US", "final": true });
    add(&["transcript-updated"], same(json!({ "user": ids["user"], "transcript": transcript })));
    let step = |more: Value| {
        let mut step = json!({ "record-id": INTERNAL });
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        step
    };
    add(&["rap-published", "rap-unpublished", "rap-deleted"], same(step(json!({ "format": "video" }))));
    add(
        &[
            "rap-archive-started",
            "rap-sanity-started",
            "rap-post-archive-started",
            "rap-process-started",
            "rap-post-process-started",
            "rap-publish-started",
            "rap-post-publish-started",
            "rap-post-events-started",
        ],
        same(step(json!({ "workflow": "presentation" }))),
    );
    add(
        &["rap-archive-ended"],
        same(step(json!({ "success": true, "step-time": 9, "recorded": true, "duration": 5 }))),
    );
    add(
        &[
            "rap-sanity-ended",
            "rap-post-archive-ended",
            "rap-process-ended",
            "rap-post-process-ended",
            "rap-post-publish-ended",
            "rap-post-events-ended",
        ],
        same(step(json!({ "success": true, "step-time": 9, "workflow": "presentation" }))),
    );
    let published = |meeting_id: &str, host: &str, more: Value| {
        let mut metadata = json!({ "isBreakout": "false", "meetingId": meeting_id, "meetingName": "A room" });
        metadata.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let image = format!("https://{host}/presentation/{INTERNAL}/t-1.png");
        step(json!({
            "success": true, "step-time": 9, "workflow": "presentation",
            "recording": {
                "name": "A room", "is-breakout": "false", "start-time": 1, "end-time": 2, "size": 3, "raw-size": 4,
                "metadata": metadata,
                "playback": {
                    "format": "presentation", "link": format!("https://{host}/playback/presentation/2.3/{INTERNAL}"),
                    "processing_time": 5, "duration": 6, "size": 3,
                    "extensions": { "preview": { "images": { "image": [
                        image, { "attributes": { "width": 176, "height": 136, "alt": "" }, "value": image }
                    ] } } }
                },
                "download": {}
            }
        }))
    };
    let own = format!("https://meet.w{}bbb-recording-ready-url/secret-code", crate::domain::callback::PATH);
    let more = json!({ "bbb-recording-ready-url": own, "origin": DOMAIN });
    add(&["rap-publish-ended"], (published(SERVER_ID, DOMAIN, more), published("room", "meet.w", json!({}))));
    rows
}

#[test]
fn each_event_is_left_with_what_is_for_the_tenant() {
    let mut seen = BTreeSet::from(["meeting-created", "meeting-presentation-changed"]);
    for (ids, attributes, expected) in rows() {
        for id in ids {
            assert_eq!(for_tenant(&said(id, &attributes)), Some(left(id, &expected)), "{id}");
            assert!(seen.insert(id), "{id} is there twice");
        }
    }
    let known: BTreeSet<&str> = LISTED.into_iter().chain(OLDER).chain(NEWER).collect();
    assert_eq!(seen, known, "the rows above");
    let ruled: Vec<&str> = EVENTS.iter().flat_map(|events| events.ids).copied().collect();
    assert_eq!(ruled.len(), known.len());
    assert_eq!(ruled.into_iter().collect::<BTreeSet<_>>(), known, "the table of rules");
}

#[test]
fn a_meeting_is_told_without_what_stands_for_it_at_its_server() {
    let callback = format!("https://meet.w{}analytics-callback-url/secret-code", crate::domain::callback::PATH);
    let said = json!({
        "internal-meeting-id": INTERNAL, "external-meeting-id": SERVER_ID, "name": "A room", "is-breakout": false,
        "parent-id": "bbb-none", "duration": 60, "create-time": 1, "create-date": "Tue Oct 31", "moderator-pass": "mp-1",
        "viewer-pass": "ap-1", "record": false, "voice-conf": "71347", "dial-number": "613-555-1234", "max-users": 5,
        "metadata": { "course": "42", "analytics-callback-url": callback, "origin": format!("https://{DOMAIN}/b") },
        "audioBridge": "livekit", "cameraBridge": "livekit", "screenShareBridge": "livekit"
    });
    let mut expected = said.clone();
    let fields = expected.as_object_mut().expect("an object");
    ["moderator-pass", "viewer-pass", "voice-conf", "dial-number"].iter().for_each(|name| drop(fields.remove(*name)));
    fields.insert("external-meeting-id".into(), "room".into());
    fields.insert("metadata".into(), json!({ "course": "42", "origin": "https://meet.w/b" }));
    let got = for_tenant(&event("meeting-created", said, &json!({})));
    assert_eq!(got, Some(event("meeting-created", expected, &json!({}))));
    let slides = |id| json!({ "internal-meeting-id": INTERNAL, "external-meeting-id": id, "presentation-id": "a-1" });
    let changed = |id| event("meeting-presentation-changed", slides(id), &json!({}));
    assert_eq!(for_tenant(&changed(SERVER_ID)), Some(changed("room")));
}

#[test]
fn addresses_and_content_are_for_those_who_may() {
    for addresses in [false, true] {
        let got = read_with(Allowed { addresses, content: false }, &said("user-joined", &person(&json!({}))));
        let user = &got.expect("an event")["data"]["attributes"]["user"];
        assert_eq!((user["ip-address"].is_string(), user["user-agent"].is_string()), (addresses, addresses));
        assert!(user["session-token"].is_null() && user["referer"].is_null());
    }
    for (ids, attributes, _) in rows() {
        for id in ids {
            let is_content = ["chat", "pad", "poll", "transcript"].iter().any(|kind| id.starts_with(kind));
            let got = read_with(Allowed::default(), &said(id, &attributes));
            assert_eq!(got.is_none(), is_content, "{id}");
        }
    }
}

#[test]
fn an_event_of_another_meeting_or_recording_is_not_for_the_tenant() {
    let of = |internal: Value| {
        let meeting = json!({ "internal-meeting-id": internal, "external-meeting-id": SERVER_ID });
        event("user-left", meeting, &json!({}))
    };
    assert!(for_tenant(&of(INTERNAL.into())).is_some());
    for other in [json!(OTHER), Value::Null, json!(7), json!([INTERNAL])] {
        assert_eq!(for_tenant(&of(other.clone())), None, "{other}");
    }
    assert_eq!(for_tenant(&said("rap-deleted", &json!({ "record-id": OTHER }))), None);
    for unknown in ["breakout-opened", "User-Left", ""] {
        assert_eq!(for_tenant(&said(unknown, &json!({}))), None, "{unknown}");
    }
}

#[test]
fn what_has_no_rule_goes_no_further() {
    let more = json!({
        "user": { "internal-user-id": "w_x", "name": { "first": "Ann" }, "unheard-of": 1, "stream": ["a", ["b"], {}] },
        "unheard-of": "x", "chat-message": { "message": "x" }
    });
    let expected = json!({ "user": { "internal-user-id": "w_x", "stream": ["a"] } });
    assert_eq!(for_tenant(&said("user-joined", &more)), Some(left("user-joined", &expected)));
    let no_object = json!({ "user": "token-of-ann" });
    assert_eq!(for_tenant(&said("user-joined", &no_object)), Some(left("user-joined", &json!({}))));
}

#[test]
fn a_text_that_names_the_server_is_changed_or_goes() {
    for (text, expected) in [
        (format!("https://{DOMAIN}/b"), Some("https://meet.w/b")),
        (format!("see {}", DOMAIN.to_uppercase()), None),
        (format!("x.{DOMAIN}"), None),
        (format!("x{DOMAIN}x"), Some("xbbb-01.internal.testx")),
        ("bbb-01".to_owned(), Some("bbb-01")),
        (SERVER_ID.to_owned(), Some("room")),
    ] {
        let got = for_tenant(&said("user-left", &json!({ "user": { "name": text } }))).expect("an event");
        assert_eq!(got.pointer("/data/attributes/user/name").and_then(Value::as_str), expected, "{text}");
    }
}

#[test]
fn the_tenants_host_may_have_that_of_the_server_in_its_name() {
    let link = |host| json!({ "recording": { "playback": { "link": format!("https://{host}/playback/x") } } });
    let got = read_at(
        "Wagtail.meet.example",
        &["meet.example".parse().expect("legal")],
        Allowed::default(),
        &said("rap-publish-ended", &link("meet.example")),
    );
    assert_eq!(got, Some(left("rap-publish-ended", &link("Wagtail.meet.example"))));
}

#[test]
fn the_meeting_of_an_event_is_read() {
    let event = said("rap-deleted", &json!({ "record-id": OTHER }));
    let expected = About { internal: Some(INTERNAL), external: Some(SERVER_ID), record: Some(OTHER) };
    assert_eq!((about(&event), name(&event)), (expected, Some("rap-deleted")));
    assert_eq!((about(&json!([])), name(&json!({ "data": 1 }))), (About::default(), None));
}

#[test]
fn a_hook_gets_the_events_that_it_asks_for() {
    for (list, wanted) in [
        (None, true),
        (Some("user-left"), true),
        (Some("meeting-ended,User-Left"), true),
        (Some("meeting-ended, user-left"), false),
        (Some("user"), false),
        (Some(""), false),
    ] {
        assert_eq!(is_wanted(list, "user-left"), wanted, "{list:?}");
    }
}

fn read(form: &[u8]) -> Option<Posted<'_>> {
    Form::read(form).and_then(Form::posted)
}

#[test]
fn a_form_is_read_as_a_whole_or_not_at_all() {
    let event = "%7B%22data%22%3A%7B%7D%7D";
    for (form, events) in [
        (format!("domain=a&event=%5B{event}%5D&timestamp=1"), Some(1)),
        (format!("timestamp=1&domain=a&x=y&event=%5B{event},{event}%5D"), Some(2)),
        (format!("event={event}&timestamp=1&domain=a"), Some(1)),
        (format!("event={event}&timestamp=1"), None),
        (format!("event={event}&timestamp=1x&domain=a"), None),
        (format!("event={event}&timestamp=&domain=a"), None),
        (format!("event={event}&event={event}&timestamp=1&domain=a"), None),
        (format!("event=%5B{}%5D&timestamp=1&domain=a", vec!["1"; 101].join(",")), None),
        (format!("event={}&timestamp=1&domain=a", "%5B".repeat(200)), None),
        (format!("event=1&timestamp=1&domain={}", "a".repeat(FORM_BYTES_MAX)), None),
        ("event=1&timestamp=1&domain=a".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(read(form.as_bytes()).map(|posted| posted.events.len()), events, "{form:.80}");
    }
    let posted = read(b"domain=BBB.example%3A8443&event=%5B%5D&timestamp=1").expect("a form");
    let hosts: Vec<String> = posted.names(&names()).iter().map(|name| name.host().to_owned()).collect();
    assert_eq!(hosts, [DOMAIN, "BBB.example"]);
}
