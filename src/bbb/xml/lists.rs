//! What servers list: meetings, breakout rooms, sessions.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use quick_xml::escape::escape;

use super::elements::{Garbage, elements, text};

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

/// Counts the breakout rooms in a `getMeetingInfo` answer about their meeting.
///
/// # Errors
/// [`Garbage`] for what is no XML answer of BBB.
pub fn rooms(xml: &str) -> Result<usize, Garbage> {
    let mut rooms: usize = 0;
    elements(xml, |element| {
        rooms = rooms.saturating_add(usize::from(element.path == ["response", "breakoutRooms", "breakout"]));
    })?;
    Ok(rooms)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bbb::meeting_id, domain::ids::TenantId};

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
        let tenant: TenantId = "wagtail".parse().expect("an id");
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
    fn the_breakout_rooms_of_a_meeting_are_counted() {
        for (inner, count) in [
            ("", 0),
            ("<breakoutRooms></breakoutRooms>", 0),
            ("<breakoutRooms><breakout>a</breakout><breakout>b</breakout></breakoutRooms>", 2),
            ("<metadata><breakout>a</breakout></metadata>", 0),
        ] {
            assert_eq!(rooms(&format!("<response>{inner}</response>")), Ok(count), "{inner}");
        }
        assert_eq!(rooms("<html>"), Err(Garbage));
    }
}
