//! What holds for the forms with events that servers post. Shared by the random tests (`tests/checks/arbitrary.rs`) and the
//! fuzz targets (`fuzz/`), as `passing` is. It takes any input and panics where its property does not hold.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "shared by test programs")]

use anteroom::{
    bbb::{
        checksum::Algorithm,
        webhook::{Allowed, Form, Posted, Reader, about, form, is_wanted, name, signed_address},
    },
    domain::secret::Secret,
};
use serde_json::Value;

use super::passing::worded;

const HOOK: &str = "https://meet.example/.anteroom/hooks/x1/code";
const DOMAIN: &str = "bbb-01.internal.test";
const TIMESTAMP: &str = "1700000000000";
const AUTHORITY: &str = "meet.example";
const INTERNAL: &str = "183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000";
const SERVER_ID: &str = "t.wagtail.room";
/// What one form has at the most.
const EVENTS_MAX: usize = 100;

const FORM_WORDS: [&str; 18] = [
    "event=",
    "&",
    "domain=bbb-01.internal.test",
    "&timestamp=1700000000000",
    "=",
    "%5B",
    "%7B",
    "%7D",
    "%5D",
    "%22",
    "%",
    "+",
    "domain=",
    "timestamp=",
    "17",
    "%5Cud83d",
    "%C3%BC",
    "event=%7B%22data%22%3A%7B%22id%22%3A%22user-left%22%7D%7D",
];

const EVENT_WORDS: [&str; 32] = [
    "{\"data\":{\"type\":\"event\",\"id\":\"user-joined\",\"attributes\":{",
    "\"meeting\":{\"internal-meeting-id\":\"183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000\",\"external-meeting-id\":\"t.wagtail.room\"}",
    "},\"event\":{\"ts\":1700000000001}}}",
    "\"",
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "\"user\":{\"internal-user-id\":\"w_1\",\"external-user-id\":\"u\"}",
    "\"user\":",
    "\"external-user-id\":",
    "\"t.wagtail.room\"",
    "t.wagtail.room",
    "https://bbb-01.internal.test/x",
    "bbb-01.internal.test",
    "BBB-01.Internal.test",
    "meet.example",
    "\\ud83d",
    "\\ude00",
    "\\",
    "\\/",
    "\\u00e9",
    "\"metadata\":{",
    "\"name\":",
    "\"record-id\":",
    "\"internal-meeting-id\":",
    "null",
    "true",
    "1e400",
    "/.anteroom/callback/",
];

const TYPES: [&str; 8] = [
    "meeting-created",
    "user-joined",
    "user-left",
    "chat-group-message-sent",
    "rap-published",
    "poll-started",
    "pad-content",
    "user-cam-broadcast-start",
];

/// Three kinds of forms by the first byte, the rest of each in [words](worded): the form itself, its list of events, and
/// attributes of one event.
pub fn webhook(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    if kind % 3 == 0 {
        any_form(&worded(rest, &FORM_WORDS));
        return;
    }
    let Ok(text) = String::from_utf8(worded(rest, &EVENT_WORDS)) else { return };
    let events = match kind % 3 {
        1 => text,
        _ => {
            let id = TYPES[usize::from(kind / 3) % TYPES.len()];
            format!(
                "[{{\"data\":{{\"id\":\"{id}\",\"attributes\":{{{},{text}}},\"event\":{{\"ts\":1}}}}}}]",
                EVENT_WORDS[1]
            )
        }
    };
    signed_events(&events);
}

/// Any bytes are a form or refused. What is read has a time, and few events; what a tenant gets of them names no server.
fn any_form(bytes: &[u8]) {
    let Some(form) = Form::read(bytes) else { return };
    let secret = Secret::new("server-secret");
    for wrong in ["", "ab", &"0".repeat(40), &"0".repeat(64)] {
        assert!(!form.is_signed(HOOK, wrong, &secret), "{wrong}");
    }
    let Some(posted) = form.posted() else { return };
    assert!((1..=16).contains(&posted.timestamp.len()) && posted.timestamp.bytes().all(|b| b.is_ascii_digit()));
    assert!(posted.events.len() <= EVENTS_MAX);
    posted.events.iter().for_each(|event| drop(of_tenant(&posted, event)));
}

/// A form with these events is signed by its server alone, and says what it was given, but for halves of pairs of surrogates.
fn signed_events(events: &str) {
    let bytes = form(DOMAIN, events, TIMESTAMP);
    let read = Form::read(bytes.as_bytes()).expect("all fields once");
    let secret = Secret::new("server-secret");
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let address = signed_address(HOOK, &bytes, &secret, algorithm);
        let (_, checksum) = address.split_once("?checksum=").unwrap();
        assert!(read.is_signed(HOOK, checksum, &secret), "{algorithm:?}");
        assert!(!read.is_signed(HOOK, checksum, &Secret::new("other")), "with another secret");
        assert!(!read.is_signed("https://meet.example/.anteroom/hooks/x2/code", checksum, &secret), "elsewhere");
    }
    let plain = serde_json::from_str::<Value>(events);
    let posted = read.posted();
    match (&plain, &posted) {
        (Ok(Value::Array(values)), posted) if values.len() <= EVENTS_MAX => {
            assert_eq!(posted.as_ref().map(|posted| &posted.events), Some(values));
        }
        (Ok(event @ Value::Object(_)), posted) => {
            assert_eq!(&posted.as_ref().unwrap().events[..], std::slice::from_ref(event));
        }
        (Ok(_), posted) => assert_eq!(*posted, None),
        (Err(_), Some(_)) => assert!(events.to_ascii_lowercase().contains("\\ud"), "read with a fault: {events}"),
        (Err(_), None) => {}
    }
    let Some(posted) = posted else { return };
    assert_eq!((&*posted.domain, &*posted.timestamp), (DOMAIN, TIMESTAMP));
    for event in &posted.events {
        if let Some(own) = of_tenant(&posted, event) {
            let again = reader(&posted.names(&[])).event(&own).expect("it is of the same meeting");
            assert_eq!(again, own, "read again, read otherwise");
        }
    }
}

fn reader<'a>(names: &'a [http::uri::Authority]) -> Reader<'a> {
    static TENANT: std::sync::LazyLock<anteroom::domain::ids::TenantId> =
        std::sync::LazyLock::new(|| "wagtail".parse().unwrap());
    Reader {
        tenant: &TENANT,
        meeting_id: "room",
        internal_id: INTERNAL,
        names,
        authority: AUTHORITY,
        allowed: Allowed { addresses: true, content: true },
    }
}

/// What a tenant gets of an event: of its own meeting alone, without the server's name and without its id of the meeting.
fn of_tenant(posted: &Posted<'_>, event: &Value) -> Option<Value> {
    let names = posted.names(&[DOMAIN.parse().unwrap()]);
    let (about, name) = (about(event), name(event));
    let _ = name.map(|name| is_wanted(Some("user-joined,rap-published"), name));
    let own = reader(&names).event(event)?;
    assert_eq!(about.internal, Some(INTERNAL), "of another meeting");
    let is_usual = about.external.is_none_or(|id| id == SERVER_ID);
    each_text(&own, &mut |text| {
        assert!(!is_named(text), "{own}");
        assert!(!is_usual || text != SERVER_ID, "{own}");
    });
    Some(own)
}

/// All texts of a value, and the names of its fields.
fn each_text(value: &Value, check: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => check(text),
        Value::Array(values) => values.iter().for_each(|value| each_text(value, check)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            check(name);
            each_text(value, check);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text names the server, as a word.
fn is_named(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices(DOMAIN).any(|(at, _)| {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + DOMAIN.len()..].chars().next())
    })
}
