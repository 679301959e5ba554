//! The form that a server posts.

use form_urlencoded::parse;
use http::uri::Authority;
use serde_json::Value;

/// The largest form that is read. Events have some kilobytes, and a chat message 5,000 characters.
pub const FORM_BYTES_MAX: usize = 1024 * 1024;
/// Events of one form: the service puts ten together at the most.
const EVENTS_MAX: usize = 100;
/// Digits of a time in milliseconds.
const TIMESTAMP_DIGITS_MAX: usize = 16;

/// What a server has posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted<'a> {
    /// The form as it was received, which may be signed.
    pub(super) form: &'a [u8],
    /// The text of its events, which older releases sign.
    pub(super) event: String,
    /// How the server calls itself: nothing for a tenant.
    pub domain: String,
    /// When the server made the call, in milliseconds since 1970. The same for all tries of a call.
    pub timestamp: String,
    /// The events, as the server says them.
    pub events: Vec<Value>,
}

/// Reads a form. `None` for one that is too long, misses a field or has one twice, or whose events are no JSON.
#[must_use]
pub fn read(form: &[u8]) -> Option<Posted<'_>> {
    if form.len() > FORM_BYTES_MAX {
        return None;
    }
    let (mut event, mut domain, mut timestamp) = (None, None, None);
    for (name, value) in parse(form) {
        let field = match &*name {
            "event" => &mut event,
            "domain" => &mut domain,
            "timestamp" => &mut timestamp,
            _ => continue,
        };
        if field.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    let (event, timestamp) = (event?, timestamp.filter(|text: &String| is_timestamp(text))?);
    Some(Posted { form, events: events_of(&event)?, event, domain: domain?, timestamp })
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

impl Posted<'_> {
    /// The names of the server: those that are known, and the one by which it calls itself here.
    #[must_use]
    pub fn names(&self, known: &[Authority]) -> Vec<Authority> {
        known.iter().cloned().chain(self.domain.parse()).collect()
    }

    /// What releases before 3 sign instead of the form.
    pub(super) fn as_json(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let (event, domain) = (text(&self.event), text(&self.domain));
        format!("{{\"event\":{event},\"timestamp\":{},\"domain\":{domain}}}", self.timestamp)
    }
}
