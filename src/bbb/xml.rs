//! Parses and rewrites the XML answers of BBB servers in place: changed parts are spliced, the rest is forwarded byte for
//! byte.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod elements;
mod lists;

use quick_xml::escape::escape;

pub use elements::Garbage;
pub(super) use elements::{Splice, elements, position, text};
pub use lists::{Breakout, List, Listed, breakout, list, meetings_apart, rooms, sessions};

use super::meeting_id;
use crate::domain::ids::TenantId;

/// An answer about one meeting, or to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The answer for the tenant: with its own meeting ids.
    pub body: String,
    /// `returncode` is `SUCCESS`.
    pub success: bool,
    /// `messageKey`, or empty.
    pub message_key: String,
    /// `message`, or empty.
    pub message: String,
    /// `internalMeetingID` or `meeting_id`, or empty.
    pub internal_id: String,
    /// `running` is `true`.
    pub running: bool,
    /// `session_token` of a join, or empty.
    pub session_token: String,
    /// `guestStatus` of a join is `WAIT`: the guest is not let in yet.
    pub waits: bool,
    /// `url` of a join: where in [`Self::body`] it stands, already unescaped.
    pub url: String,
}

/// Reads an answer and gives the tenant its own ids back.
///
/// `known` is the tenant's id of the meeting that was asked about: it stands in for the server's, however that was made.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB.
pub fn answer(body: &[u8], tenant: &TenantId, known: Option<&str>) -> Result<Answer, Garbage> {
    let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
    let mut answer = Answer::default();
    let mut splice = Splice::new(xml);
    elements(xml, |element| {
        let raw = &xml[element.inner.clone()];
        if let ["response", name] = element.path {
            match *name {
                "returncode" => answer.success = raw == "SUCCESS",
                "messageKey" => answer.message_key = text(raw).into_owned(),
                "message" => answer.message = text(raw).into_owned(),
                "internalMeetingID" | "meeting_id" => answer.internal_id = text(raw).into_owned(),
                "running" => answer.running = raw == "true",
                "session_token" => answer.session_token = text(raw).into_owned(),
                "guestStatus" => answer.waits = raw == "WAIT",
                "url" => answer.url = text(raw).into_owned(),
                "meetingID" => {
                    let id = text(raw);
                    if let Some(own) = meeting_id::from_server(tenant, &id) {
                        splice.replace(element.inner, &escape(known.unwrap_or(own)));
                    }
                }
                _ => {}
            }
        }
    })?;
    answer.body = splice.finish();
    Ok(answer)
}

/// Replaces the text of one element below `response`.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB.
pub fn replace_text(xml: &str, name: &str, value: &str) -> Result<String, Garbage> {
    let mut splice = Splice::new(xml);
    elements(xml, |element| {
        if element.path == ["response", name] {
            splice.replace(element.inner, &escape(value));
        }
    })?;
    Ok(splice.finish())
}

/// Whether an answer is a success, and what it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `returncode` is `SUCCESS`.
    pub success: bool,
    /// `messageKey`, or empty.
    pub message_key: String,
    /// `message`, or empty.
    pub message: String,
}

/// Reads what any answer has; `None` for what is no XML answer of BBB.
#[must_use]
pub fn outcome(body: &[u8]) -> Option<Outcome> {
    let xml = std::str::from_utf8(body).ok()?;
    let (mut outcome, mut is_answer) = (Outcome::default(), false);
    let read = elements(xml, |element| {
        let raw = &xml[element.inner.clone()];
        match element.path {
            ["response", "returncode"] => (is_answer, outcome.success) = (true, raw == "SUCCESS"),
            ["response", "messageKey"] => outcome.message_key = text(raw).into_owned(),
            ["response", "message"] => outcome.message = text(raw).into_owned(),
            _ => {}
        }
    });
    (read.is_ok() && is_answer).then_some(outcome)
}

/// The text of the element of this name below `response`.
#[must_use]
pub fn text_of(body: &[u8], name: &str) -> Option<String> {
    let xml = std::str::from_utf8(body).ok()?;
    let mut found = None;
    let read = elements(xml, |element| {
        if element.path == ["response", name] {
            found = Some(text(&xml[element.inner]).into_owned());
        }
    });
    read.is_ok().then_some(found).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wagtail() -> TenantId {
        "wagtail".parse().expect("an id")
    }

    #[test]
    fn a_create_answer_gets_the_tenants_id_back() {
        let body = b"<?xml version=\"1.0\"?>\n<response><returncode>SUCCESS</returncode>\
            <meetingID>t.wagtail.a&amp;b</meetingID><internalMeetingID>int-1</internalMeetingID>\
            <createTime>1700000000000</createTime><messageKey/><message></message></response>";
        let answer = answer(body, &wagtail(), None).expect("an answer");
        assert!(answer.success);
        assert_eq!(answer.internal_id, "int-1");
        assert!(answer.body.contains("<meetingID>a&amp;b</meetingID>"), "{}", answer.body);
        assert!(answer.body.starts_with("<?xml"));
    }

    #[test]
    fn garbage_is_told_from_an_answer() {
        for body in [
            &b"<html><body>500</body></html>"[..],
            b"",
            b"not xml",
            b"<response><returncode>SUCCESS</returncode>",
            b"<response></response><response></response>",
            b"<!DOCTYPE x [<!ENTITY a 'b'>]><response>&a;</response>",
            b"<response>\xff</response>",
            b"<response><a></b></response>",
        ] {
            assert_eq!(answer(body, &wagtail(), None), Err(Garbage), "{body:?}");
        }
        let deep = format!("<response>{}{}</response>", "<a>".repeat(100), "</a>".repeat(100));
        assert_eq!(answer(deep.as_bytes(), &wagtail(), None), Err(Garbage));
    }
}
