//! Parses and rewrites the XML answers of BBB servers in place: changed parts are spliced, the rest is forwarded byte for
//! byte.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{borrow::Cow, fmt, ops::Range};

use quick_xml::{
    Reader,
    escape::{escape, unescape},
    events::Event,
};

use super::meeting_id;
use crate::domain::ids::TenantId;

/// An answer is no XML answer of BBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer of the server is not a BBB answer")
    }
}

impl std::error::Error for Garbage {}

/// Deeper than any answer of BBB nests (`response/meetings/meeting/attendees/attendee/customdata/*` is 7).
const DEPTH_MAX: usize = 16;

/// One closed element: where it stands and what surrounds it.
pub(super) struct Element<'p, 'x> {
    /// Names from the root to the element itself.
    pub(super) path: &'p [&'x str],
    /// From `<` of its start to `>` of its end.
    pub(super) outer: Range<usize>,
    /// What is between its tags.
    pub(super) inner: Range<usize>,
}

/// Calls `visit` for each element as it closes, children before parents.
pub(super) fn elements<'x>(xml: &'x str, mut visit: impl FnMut(Element<'_, 'x>)) -> Result<(), Garbage> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut path: Vec<&'x str> = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut rooted = false;
    loop {
        let before = position(&reader);
        let event = reader.read_event().map_err(|_| Garbage)?;
        let after = position(&reader);
        match event {
            Event::Start(_) | Event::Empty(_) => {
                let name = name_at(xml, before).ok_or(Garbage)?;
                if path.len() == DEPTH_MAX || (path.is_empty() && (rooted || name != "response")) {
                    return Err(Garbage);
                }
                rooted = true;
                path.push(name);
                if matches!(event, Event::Empty(_)) {
                    visit(Element { path: &path, outer: before..after, inner: after..after });
                    path.pop();
                } else {
                    open.push((before, after));
                }
            }
            Event::End(_) => {
                let (start, content) = open.pop().ok_or(Garbage)?;
                visit(Element { path: &path, outer: start..after, inner: content..before });
                path.pop();
            }
            Event::DocType(_) => return Err(Garbage),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_) => {}
        }
    }
    if rooted && open.is_empty() { Ok(()) } else { Err(Garbage) }
}

pub(super) fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The name of the tag that starts at `at`.
fn name_at(xml: &str, at: usize) -> Option<&str> {
    let rest = xml.get(at..)?.strip_prefix('<')?;
    let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')?;
    Some(&rest[..end])
}

/// The text of an element without children.
pub(super) fn text(raw: &str) -> Cow<'_, str> {
    let raw = raw.trim();
    match raw.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>")) {
        Some(text) => text.into(),
        None => unescape(raw).unwrap_or(Cow::Borrowed(raw)),
    }
}

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

/// One meeting of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// The server's id of the meeting.
    pub server_meeting_id: String,
    /// Its internal id.
    pub internal_id: String,
    /// The people in it, as the server counts them.
    pub people: u32,
    /// It has been ended and is only still held.
    pub ended: bool,
    /// The whole `<meeting>` element, with the tenant's own id.
    pub element: String,
}

/// A breakout room of a meeting, as its server tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakout {
    /// The server's id of the room.
    pub ext_id: String,
    /// Its internal id.
    pub internal_id: String,
    /// The internal id of the meeting that it belongs to.
    pub parent: String,
    /// Whether it may be recorded.
    pub records: bool,
    /// The people in it, as the server counts them.
    pub people: u32,
    /// It has been ended and is only still held.
    pub ended: bool,
}

/// What a server lists.
#[derive(Debug, Default)]
pub struct List {
    /// The meetings for which there is a tenant.
    pub meetings: Vec<Listed>,
    /// The breakout rooms of all of them.
    pub breakouts: Vec<Breakout>,
}

/// What there is to know of one meeting, in a list or in an answer about it.
#[derive(Debug, Default)]
struct Facts {
    ext_id: String,
    internal_id: String,
    people: u32,
    ended: bool,
    records: bool,
    is_breakout: bool,
    parent: String,
}

impl Facts {
    fn note(&mut self, name: &str, raw: &str) {
        // BBB formats numbers by its locale: thousands may come as `1,234`
        // (docs/reference/bbb-protocol.md, "Calls about a meeting").
        let digits = || text(raw).replace(',', "");
        match name {
            "meetingID" => self.ext_id = text(raw).into_owned(),
            "internalMeetingID" => self.internal_id = text(raw).into_owned(),
            "participantCount" => self.people = digits().parse().unwrap_or(0),
            "hasBeenForciblyEnded" => self.ended = raw == "true",
            // The flag, not whether it is being recorded (docs/reference/bbb-protocol.md, "Recording flags").
            "recording" => self.records = raw == "true",
            "isBreakout" => self.is_breakout = raw == "true",
            "parentMeetingID" => self.parent = text(raw).into_owned(),
            _ => {}
        }
    }

    fn breakout(self) -> Breakout {
        let Self { ext_id, internal_id, parent, records, people, ended, .. } = self;
        Breakout { ext_id, internal_id, parent, records, people, ended }
    }
}

/// Reads a `getMeetingInfo` answer about what may be a breakout room; `None` where it is none.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB.
pub fn breakout(body: &[u8]) -> Result<Option<Breakout>, Garbage> {
    let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
    let (mut success, mut facts) = (false, Facts::default());
    elements(xml, |element| match element.path {
        ["response", "returncode"] => success = &xml[element.inner] == "SUCCESS",
        ["response", name] => facts.note(name, &xml[element.inner]),
        _ => {}
    })?;
    Ok((success && facts.is_breakout).then(|| facts.breakout()))
}

/// Reads a `getMeetings` answer: the breakout rooms, and the meetings for which `own_id` says their tenant's own id, with that.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB, and for one that is not `SUCCESS`.
pub fn list(body: &[u8], mut own_id: impl FnMut(&str) -> Option<String>) -> Result<List, Garbage> {
    let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
    let mut success = false;
    let mut list = List::default();
    let mut current = Facts::default();
    let mut id_at = None;
    elements(xml, |element| match element.path {
        ["response", "returncode"] => success = &xml[element.inner] == "SUCCESS",
        ["response", "meetings", "meeting", name] => {
            current.note(name, &xml[element.inner.clone()]);
            if *name == "meetingID" {
                id_at = Some(element.inner);
            }
        }
        ["response", "meetings", "meeting"] => {
            let facts = std::mem::take(&mut current);
            let Some(id_at) = id_at.take() else { return };
            if facts.is_breakout {
                list.breakouts.push(facts.breakout());
            } else if let Some(own) = own_id(&facts.ext_id) {
                let element = format!(
                    "{}{}{}",
                    &xml[element.outer.start..id_at.start],
                    escape(&*own),
                    &xml[id_at.end..element.outer.end]
                );
                let Facts { ext_id: server_meeting_id, internal_id, people, ended, .. } = facts;
                list.meetings.push(Listed { server_meeting_id, internal_id, people, ended, element });
            }
        }
        _ => {}
    })?;
    if success { Ok(list) } else { Err(Garbage) }
}

/// Reads a `getSessions` answer: the internal id of the meeting of each session, and its whole element.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB, and for one that is not `SUCCESS`.
pub fn sessions(body: &[u8]) -> Result<Vec<(String, &str)>, Garbage> {
    let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
    let mut success = false;
    let mut sessions = Vec::new();
    let mut internal_id = String::new();
    elements(xml, |element| match element.path {
        ["response", "returncode"] => success = &xml[element.inner] == "SUCCESS",
        ["response", "sessions", "meeting", "meetingID"] => internal_id = text(&xml[element.inner]).into_owned(),
        ["response", "sessions", "meeting"] => sessions.push((std::mem::take(&mut internal_id), &xml[element.outer])),
        _ => {}
    })?;
    if success { Ok(sessions) } else { Err(Garbage) }
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

/// Takes `<meeting>` elements that stand one behind the other apart: the text of the child of this name, and the whole element.
#[must_use]
pub fn meetings_apart(list: &[u8], id: &str) -> Vec<(String, String)> {
    let Ok(list) = std::str::from_utf8(list) else { return Vec::new() };
    let xml = format!("<response>{list}</response>");
    let (mut apart, mut found) = (Vec::new(), String::new());
    let read = elements(&xml, |element| match element.path {
        ["response", "meeting", name] if *name == id => found = text(&xml[element.inner]).into_owned(),
        ["response", "meeting"] => apart.push((std::mem::take(&mut found), xml[element.outer].to_owned())),
        _ => {}
    });
    // They were read before.
    if read.is_ok() { apart } else { Vec::new() }
}

/// A copy of a text with some ranges replaced, given in order.
pub(super) struct Splice<'x> {
    from: &'x str,
    done: usize,
    out: String,
}

impl<'x> Splice<'x> {
    pub(super) fn new(from: &'x str) -> Self {
        Self { from, done: 0, out: String::with_capacity(from.len()) }
    }

    pub(super) fn replace(&mut self, range: Range<usize>, with: &str) {
        // What lies in something that is replaced is gone with it.
        if range.start < self.done {
            return;
        }
        self.out.push_str(&self.from[self.done..range.start]);
        self.out.push_str(with);
        self.done = range.end;
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str(&self.from[self.done..]);
        self.out
    }
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
    fn a_list_has_the_tenants_own_meetings_only() {
        let body = b"<response><returncode>SUCCESS</returncode><meetings>\
            <meeting><meetingName>One</meetingName><meetingID><![CDATA[t.wagtail.one]]></meetingID>\
            <internalMeetingID>i1</internalMeetingID><createTime>1,234</createTime>\
            <participantCount>1,001</participantCount>\
            <hasBeenForciblyEnded>false</hasBeenForciblyEnded>\
            <attendees><attendee><userID>u</userID></attendee></attendees></meeting>\
            <meeting><meetingID>t.heron.two</meetingID><internalMeetingID>i2</internalMeetingID></meeting>\
            <meeting><meetingID>unknown</meetingID></meeting>\
            <meeting><meetingID>t.wagtail.room</meetingID><internalMeetingID>i3</internalMeetingID>\
            <participantCount>1,002</participantCount><recording>true</recording><isBreakout>true</isBreakout>\
            <parentMeetingID>i1</parentMeetingID></meeting>\
            </meetings></response>";
        let tenant = wagtail();
        let own = |id: &str| meeting_id::from_server(&tenant, id).map(str::to_owned);
        let List { meetings: list, breakouts } = list(body, own).expect("a list");
        assert_eq!(list.len(), 1, "a breakout room is none of them, whatever it is called");
        let room = Breakout {
            ext_id: "t.wagtail.room".into(),
            internal_id: "i3".into(),
            parent: "i1".into(),
            records: true,
            people: 1002,
            ended: false,
        };
        assert_eq!(breakouts, [room]);
        assert_eq!(list[0].people, 1001);
        assert!(list[0].element.contains("<meetingID>one</meetingID>"), "{}", list[0].element);
        assert!(!list[0].element.contains("t.wagtail"));
    }

    #[test]
    fn a_breakout_room_is_told_from_a_meeting() {
        let about = |flag: &str, code: &str| {
            let body = format!(
                "<response><returncode>{code}</returncode><meetingID>x</meetingID><internalMeetingID>i</internalMeetingID>\
                 <attendees><attendee><isBreakout>true</isBreakout></attendee></attendees>\
                 <metadata><isbreakout>true</isbreakout></metadata>\
                 <isBreakout>{flag}</isBreakout><parentMeetingID>p</parentMeetingID></response>"
            );
            breakout(body.as_bytes()).expect("an answer")
        };
        assert_eq!(about("true", "SUCCESS").map(|room| room.parent), Some("p".into()));
        assert_eq!(about("false", "SUCCESS"), None);
        assert_eq!(about("true", "FAILED"), None);
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
