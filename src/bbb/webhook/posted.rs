//! The form that a server posts.

use std::borrow::Cow;

use form_urlencoded::parse;
use http::uri::Authority;
use serde_json::Value;

/// The largest form that is read. Events have some kilobytes, and a chat message 5,000 characters.
pub const FORM_BYTES_MAX: usize = 1024 * 1024;
/// Events of one form: the service puts ten together at the most.
const EVENTS_MAX: usize = 100;
/// Bytes of an escape `\uXXXX`.
const ESCAPE_LEN: usize = 6;
/// Digits of a time in milliseconds.
const TIMESTAMP_DIGITS_MAX: usize = 16;

/// A form that a server has posted, with events that are not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form<'a> {
    /// The form as it was received, which may be signed.
    pub(super) bytes: &'a [u8],
    /// The text of its events, which older releases sign.
    pub(super) event: Cow<'a, str>,
    domain: Cow<'a, str>,
    timestamp: Cow<'a, str>,
}

/// What a server has posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted<'a> {
    /// How the server calls itself: nothing for a tenant.
    pub domain: Cow<'a, str>,
    /// When the server made the call, in milliseconds since 1970. The same for all tries of a call.
    pub timestamp: Cow<'a, str>,
    /// The events, as the server says them.
    pub events: Vec<Value>,
}

impl<'a> Form<'a> {
    /// Reads a form. `None` for one that is too long, misses a field or has one twice.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > FORM_BYTES_MAX {
            return None;
        }
        let (mut event, mut domain, mut timestamp) = (None, None, None);
        for (name, value) in parse(bytes) {
            let field = match &*name {
                "event" => &mut event,
                "domain" => &mut domain,
                "timestamp" => &mut timestamp,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return None;
            }
        }
        let timestamp = timestamp.filter(|text: &Cow<'_, str>| is_timestamp(text))?;
        Some(Self { bytes, event: event?, domain: domain?, timestamp })
    }

    /// What it says. `None` for events that are no JSON, or too many. Half of a pair of surrogates, as Node.js leaves it of a
    /// character that was cut, is replaced (U+FFFD).
    #[must_use]
    pub fn posted(self) -> Option<Posted<'a>> {
        let events = events_of(&self.event).or_else(|| events_of(&without_lone_surrogates(&self.event)))?;
        Some(Posted { domain: self.domain, timestamp: self.timestamp, events })
    }

    /// What releases before 3 sign instead of the form.
    pub(super) fn as_json(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let (event, domain) = (text(&self.event), text(&self.domain));
        format!("{{\"event\":{event},\"timestamp\":{},\"domain\":{domain}}}", self.timestamp)
    }
}

fn is_timestamp(text: &str) -> bool {
    (1..=TIMESTAMP_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// The events of a text: a list of them, or a single one.
fn events_of(text: &str) -> Option<Vec<Value>> {
    match serde_json::from_str(text).ok()? {
        Value::Array(events) => Some(events).filter(|events| events.len() <= EVENTS_MAX),
        event @ Value::Object(_) => Some(vec![event]),
        _ => None,
    }
}

/// JSON whose escapes of lone surrogates are those of U+FFFD.
fn without_lone_surrogates(json: &str) -> String {
    let (mut whole, mut rest) = (String::with_capacity(json.len()), json);
    while let Some((plain, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
        whole.push_str(plain);
        let (kept, length) = match (unit(escape), escape.get(ESCAPE_LEN..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (None, ESCAPE_LEN * 2),
            (Some(0xd800..=0xdfff), _) => (Some("\\ufffd"), ESCAPE_LEN),
            // The character after the backslash, which may be another one.
            _ => (None, escape.chars().take(2).map(char::len_utf8).sum()),
        };
        let (taken, after) = escape.split_at(length);
        whole.push_str(kept.unwrap_or(taken));
        rest = after;
    }
    whole.push_str(rest);
    whole
}

/// The code unit of an escape `\uXXXX` at the start of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

impl Posted<'_> {
    /// The names of the server: those that are known, and the one by which it calls itself here.
    #[must_use]
    pub fn names(&self, known: &[Authority]) -> Vec<Authority> {
        known.iter().cloned().chain(self.domain.parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pair_of_surrogates_is_replaced() {
        for (said, read) in [
            (r"a\ud83d", "a\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\ud83d\ud83d", "\u{fffd}\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\\ud83d \ud83d", "\\ud83d \u{fffd}"),
            (r"\u00e9 \n\ud83d ü", "é \n\u{fffd} ü"),
        ] {
            let json = format!(r#"[{{"name":"{said}"}}]"#);
            let events = events_of(&without_lone_surrogates(&json)).expect("JSON");
            assert_eq!(events[0]["name"], read, "{said}");
        }
        for whole in [r#"["\ud83d\ude00\\"]"#, r#"["\u00e9\""]"#, "\\", r"\u12", r"\ü", ""] {
            assert_eq!(without_lone_surrogates(whole), whole);
        }
    }

    #[test]
    fn what_is_signed_is_what_was_posted() {
        let form = super::super::form("x", r#"[{"name":"\ud83d"}]"#, "1");
        let form = Form::read(form.as_bytes()).expect("a form");
        assert!(form.as_json().contains(r"\\ud83d"), "{}", form.as_json());
        assert_eq!(form.posted().expect("events").events[0]["name"], "\u{fffd}");
    }
}
