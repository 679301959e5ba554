//! Calls that tell of meetings: `isMeetingRunning`, `getMeetingInfo`, `getMeetings` and `getSessions`.

use axum::response::Response;

use super::super::answer::{self, Xml};
use super::super::errors;
use super::super::meeting::Meeting;
use super::super::user::{Role, User};
use super::super::{Shared, ids};
use super::{Call, FORMS, id_rules};

pub(super) fn is_meeting_running(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS], id_rules) {
        return answer::failed(&violation);
    }
    let Some(id) = call.params.first("meetingID") else {
        return answer::exception();
    };
    let mut xml = Xml::success();
    xml.leaf("running", shared.world().find(id).is_some_and(Meeting::is_running));
    xml.into_response()
}

pub(super) fn meeting_info(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS], id_rules) {
        return answer::failed(&violation);
    }
    let world = shared.world();
    let Some(meeting) = world.find(call.meeting_id()) else {
        return answer::failed(&errors::NOT_FOUND);
    };
    let breakouts: Vec<&str> = world.meetings().filter(|other| other.is_breakout_of(meeting)).map(int_id).collect();
    let mut xml = Xml::success();
    describe(&mut xml, meeting, Style { online_only: true, groups_digits: false }, &breakouts);
    xml.into_response()
}

/// All meetings of the server, whosever they are.
pub(super) fn meetings(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS], |_| Vec::new()) {
        return answer::failed(&violation);
    }
    let world = shared.world();
    let mut xml = Xml::success();
    let breakouts: Vec<&Meeting> = world.meetings().filter(|meeting| meeting.is_breakout).collect();
    xml.nest("meetings", |xml| {
        for meeting in world.meetings() {
            let own = breakouts.iter().copied().filter(|other| other.is_breakout_of(meeting)).map(int_id);
            let style = Style { online_only: false, groups_digits: shared.config.groups_digits };
            xml.nest("meeting", |xml| describe(xml, meeting, style, &own.collect::<Vec<_>>()));
        }
    });
    if world.meetings().next().is_none() {
        xml.message("noMeetings", "no meetings were found on this server");
    }
    xml.into_response()
}

/// All sessions of the server, with internal meeting ids.
pub(super) fn sessions(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS], |_| Vec::new()) {
        return answer::failed(&violation);
    }
    let world = shared.world();
    let mut xml = Xml::success();
    xml.nest("sessions", |xml| {
        for (_, meeting, user) in world.sessions() {
            xml.nest("meeting", |xml| {
                xml.leaf("meetingID", &meeting.int_id);
                xml.leaf("meetingName", &meeting.name);
                xml.leaf("userName", &user.full_name);
            });
        }
    });
    if world.sessions().next().is_none() {
        xml.message("noSessions", "no sessions were found on this serverr");
    }
    xml.into_response()
}

fn int_id(meeting: &Meeting) -> &str {
    &meeting.int_id
}

/// How the answers of the two calls that describe meetings differ.
#[derive(Clone, Copy)]
struct Style {
    online_only: bool,
    groups_digits: bool,
}

impl Style {
    fn number(self, number: usize) -> String {
        let digits = number.to_string();
        if !self.groups_digits {
            return digits;
        }
        let comma = |(index, digit): (usize, char)| {
            let is_group = 0 < index && (digits.len() - index).is_multiple_of(3);
            is_group.then_some(',').into_iter().chain([digit])
        };
        digits.chars().enumerate().flat_map(comma).collect()
    }
}

fn describe(xml: &mut Xml, meeting: &Meeting, style: Style, breakouts: &[&str]) {
    let is_listed = |user: &&User| {
        if style.online_only { user.is_online() } else { user.is_joined() }
    };
    let users: Vec<&User> = meeting.users.values().filter(is_listed).collect();
    xml.leaf("meetingName", &meeting.name);
    xml.leaf("meetingID", &meeting.ext_id);
    xml.leaf("internalMeetingID", &meeting.int_id);
    xml.leaf("createTime", meeting.create_time_ms);
    xml.leaf("createDate", ids::java_date(meeting.create_time_ms));
    xml.leaf("voiceBridge", &meeting.voice_bridge);
    xml.leaf("dialNumber", &meeting.dial_number);
    xml.leaf("attendeePW", &meeting.attendee_pw);
    xml.leaf("moderatorPW", &meeting.moderator_pw);
    xml.leaf("running", meeting.is_running());
    xml.leaf("duration", style.number(meeting.duration_min as usize));
    xml.leaf("hasUserJoined", meeting.has_user_joined());
    xml.leaf("recording", meeting.record);
    xml.leaf("hasBeenForciblyEnded", false);
    xml.leaf("startTime", meeting.start_time_ms);
    xml.leaf("endTime", 0);
    xml.leaf("participantCount", style.number(users.len()));
    for count in ["listenerCount", "voiceParticipantCount", "videoCount"] {
        xml.leaf(count, 0);
    }
    xml.leaf("maxUsers", style.number(meeting.max_users as usize));
    xml.leaf("moderatorCount", style.number(users.iter().filter(|user| user.role == Role::Moderator).count()));
    xml.nest("attendees", |xml| users.iter().for_each(|user| attendee(xml, user)));
    xml.nest("metadata", |xml| meeting.metadata.iter().for_each(|(key, value)| xml.leaf(key, value)));
    xml.leaf("isBreakout", meeting.is_breakout);
    if let Some(parent) = &meeting.parent {
        xml.leaf("parentMeetingID", parent);
        xml.leaf("sequence", meeting.params.int_or("sequence", 0));
        xml.leaf("freeJoin", meeting.params.is_true("freeJoin"));
    }
    if !breakouts.is_empty() {
        xml.nest("breakoutRooms", |xml| breakouts.iter().for_each(|id| xml.leaf("breakout", id)));
    }
}

fn attendee(xml: &mut Xml, user: &User) {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    };
    xml.nest("attendee", |xml| {
        xml.leaf("userID", &user.ext_id);
        xml.leaf("fullName", &user.full_name);
        xml.leaf("role", user.role.name());
        xml.leaf("isPresenter", false);
        xml.leaf("isListeningOnly", false);
        xml.leaf("hasJoinedVoice", false);
        xml.leaf("hasVideo", false);
        xml.leaf("clientType", "HTML5");
        xml.nest("customdata", |xml| {
            for (name, value) in user.params.iter() {
                if let Some(name) = name.strip_prefix("userdata-").filter(|name| is_name(name)) {
                    xml.leaf(name, value);
                }
            }
        });
    });
}
