//! Lists of a server that does not answer: from what it said last, and from what the gateway knows of the meetings that run
//! there. Callers delete or release what is missing from a list, so nothing that runs may be missing.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use quick_xml::escape::escape;

use crate::{bbb::xml, live::Meeting};

/// Marks what was last known, in an element of its own: clients pass over elements that they do not know.
pub(super) const MARK: &str = "<lastKnown>true</lastKnown>";

/// The meetings that run, from the `<meeting>` elements that the server has sent last; of one that is not among them what the
/// gateway knows itself.
pub(super) fn meetings(listed: &[u8], running: &[Arc<Meeting>]) -> Bytes {
    let listed = xml::meetings_apart(listed, "internalMeetingID");
    let listed: HashMap<&str, &str> = listed.iter().map(|(id, element)| (&**id, &**element)).collect();
    let mut out = String::new();
    for meeting in running {
        // One without is just being made.
        let Some(internal_id) = meeting.internal_id() else { continue };
        match listed.get(internal_id.as_str()).and_then(|element| element.strip_suffix("</meeting>")) {
            Some(start) => out.push_str(start),
            None => out.push_str(&known(meeting, internal_id.as_str())),
        }
        out.push_str(MARK);
        out.push_str("</meeting>");
    }
    out.into()
}

/// The sessions of meetings that run.
pub(super) fn sessions(listed: &[u8], running: &[Arc<Meeting>]) -> Bytes {
    let listed = xml::meetings_apart(listed, "meetingID");
    let runs = |id: &str| running.iter().any(|meeting| meeting.internal_id().is_some_and(|known| known.as_str() == id));
    listed.into_iter().filter(|(id, _)| runs(id)).map(|(_, element)| element).collect::<String>().into()
}

/// The beginning of a `<meeting>` element of what is known without its server: names and passwords are not.
fn known(meeting: &Meeting, internal_id: &str) -> String {
    let people = meeting.present();
    let ext_id = escape(meeting.ext_id.as_str());
    let created = internal_id.rsplit('-').next().unwrap_or_default();
    format!(
        "<meeting><meetingName>{ext_id}</meetingName><meetingID>{ext_id}</meetingID>\
         <internalMeetingID>{internal_id}</internalMeetingID><createTime>{created}</createTime>\
         <running>{}</running><hasUserJoined>{}</hasUserJoined><recording>{}</recording>\
         <hasBeenForciblyEnded>false</hasBeenForciblyEnded><startTime>{created}</startTime><endTime>0</endTime>\
         <participantCount>{people}</participantCount><listenerCount>0</listenerCount>\
         <voiceParticipantCount>0</voiceParticipantCount><videoCount>0</videoCount><maxUsers>{}</maxUsers>\
         <moderatorCount>0</moderatorCount><attendees></attendees><metadata></metadata><isBreakout>false</isBreakout>",
        people > 0,
        people > 0,
        meeting.records,
        meeting.participants.unwrap_or(0),
    )
}
