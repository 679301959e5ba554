//! `create`.

use std::time::Instant;

use axum::response::Response;

use super::super::answer::{self, Xml};
use super::super::errors::{self, Violation};
use super::super::meeting::Meeting;
use super::super::modules::{Modules, pre_uploaded};
use super::super::params::{Params, is_boolean, is_integral, length};
use super::super::world::Created;
use super::super::{Shared, ids, wall_ms};
use super::{Call, FORMS, XML, id_rules};

pub(super) fn create(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS, XML], rules) {
        return answer::failed(&violation);
    }
    // Only a call that went round validation comes here without an id.
    let Some(ext_id) = call.params.text("meetingID") else {
        return answer::exception();
    };
    let mut modules = if XML.contains(&call.mime.as_str()) { Modules::parse(&call.body) } else { Modules::default() };
    modules.documents.extend(pre_uploaded(&call.params));
    let params = call.params.where_name(|name| shared.config.profile.reads(name));
    let mut world = shared.world();
    if call.params.is_true("isBreakout") {
        match call.params.text("parentMeetingID") {
            None => return answer::failed(&errors::PARENT_MISSING),
            Some(parent) if world.find(parent).is_none() => {
                return answer::failed(&errors::PARENT_UNKNOWN);
            }
            Some(_) => {}
        }
    }
    match world.create(ext_id, &params, modules, Instant::now(), wall_ms()) {
        Created::New(meeting) => created(meeting, "", ""),
        Created::Existing(meeting) => created(meeting, errors::DUPLICATE.key, errors::DUPLICATE.message),
        Created::IdNotUnique => answer::failed(&errors::ID_NOT_UNIQUE),
        Created::VoiceBridgeTaken => voice_bridge_taken(),
    }
}

fn rules(params: &Params) -> Vec<Violation> {
    let mut violations = id_rules(params);
    let mut check = |broken: bool, violation| {
        if broken {
            violations.push(violation);
        }
    };
    let is_wrong_password = |name| params.text(name).is_some_and(|value| !(2..=64).contains(&length(value)));
    check(params.first("meetingID").is_none(), errors::ID_MISSING);
    check(params.first("name").is_none(), errors::NAME_MISSING);
    check(params.first("name") == Some(""), errors::NAME_EMPTY);
    check(params.text("name").is_some_and(|name| !(2..=256).contains(&length(name))), errors::NAME_SIZE);
    check(is_wrong_password("attendeePW") || is_wrong_password("moderatorPW"), errors::PASSWORD_SIZE);
    check(params.text("voiceBridge").is_some_and(|value| !is_integral(value)), errors::VOICE_BRIDGE);
    check(params.first("record").is_some_and(|value| !is_boolean(value)), errors::RECORD);
    check(params.first("isBreakout").is_some_and(|value| !is_boolean(value)), errors::BREAKOUT);
    violations
}

fn created(meeting: &Meeting, key: &str, message: &str) -> Response {
    let mut xml = Xml::success();
    xml.leaf("meetingID", &meeting.ext_id);
    xml.leaf("internalMeetingID", &meeting.int_id);
    xml.leaf("parentMeetingID", meeting.parent.as_deref().unwrap_or("bbb-none"));
    xml.leaf("attendeePW", &meeting.attendee_pw);
    xml.leaf("moderatorPW", &meeting.moderator_pw);
    xml.leaf("createTime", meeting.create_time_ms);
    xml.leaf("voiceBridge", &meeting.voice_bridge);
    xml.leaf("dialNumber", &meeting.dial_number);
    xml.leaf("createDate", ids::java_date(meeting.create_time_ms));
    xml.leaf("hasUserJoined", meeting.has_user_joined());
    xml.leaf("duration", meeting.duration_min);
    xml.leaf("hasBeenForciblyEnded", false);
    xml.message(key, message);
    xml.into_response()
}

/// The one refusal that has another envelope.
fn voice_bridge_taken() -> Response {
    let mut xml = Xml::failure();
    xml.nest("errors", |xml| {
        xml.nest("error", |xml| {
            xml.leaf("key", errors::VOICE_BRIDGE_TAKEN.key);
            xml.leaf("message", errors::VOICE_BRIDGE_TAKEN.message);
        });
    });
    xml.into_response()
}
