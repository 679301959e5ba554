//! Calls that do one thing to a meeting: `end`, `insertDocument` and `sendChatMessage`.

use std::time::Instant;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::answer::{self, Xml};
use super::super::errors;
use super::super::modules::Modules;
use super::super::params::{self, Params};
use super::super::{Shared, ids, wall_ms};
use super::{Call, FORMS, XML, id_rules};

/// Ends a meeting. Its password is not asked for.
pub(super) fn end(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[FORMS], id_rules) {
        return answer::failed(&violation);
    }
    let mut world = shared.world();
    match world.find(call.meeting_id()).map(|meeting| meeting.int_id.clone()) {
        Some(int_id) => world.end(&int_id, Instant::now(), wall_ms()),
        None if world.unstick(call.meeting_id()) => {}
        None => return answer::failed(&errors::NOT_FOUND),
    }
    let mut xml = Xml::success();
    xml.message(
        "sentEndMeetingRequest",
        "A request to end the meeting was sent.  Please wait a few seconds, and then use the getMeetingInfo or \
        isMeetingRunning API calls to verify that it was ended.",
    );
    xml.into_response()
}

/// Takes documents for a meeting; without a body nothing is answered.
pub(super) fn insert_document(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = call.validate(shared, &[XML], id_rules) {
        return answer::failed(&violation);
    }
    if call.body.is_empty() {
        return answer::text(StatusCode::OK, "text/xml;charset=utf-8", Body::empty());
    }
    let id = call.meeting_id();
    let mut world = shared.world();
    let Some(meeting) = world.find_mut(id) else {
        let mut xml = Xml::failure();
        xml.leaf("message", format!("Meeting with id [{id}] not found."));
        return xml.into_response();
    };
    if meeting.disables("presentation") {
        let mut xml = Xml::failure();
        xml.leaf("message", "Presentation feature is disabled, ignoring.");
        return xml.into_response();
    }
    meeting.modules.documents.extend(Modules::parse(&call.body).documents);
    let mut xml = Xml::success();
    xml.leaf("message", "Presentation is being uploaded");
    xml.into_response()
}

pub(super) fn send_chat_message(call: &Call, shared: &Shared) -> Response {
    let rules = |params: &Params| {
        let mut violations = id_rules(params);
        match params.first("message").map(params::length) {
            None => violations.push(errors::MESSAGE_MISSING),
            Some(1..=500) => {}
            Some(_) => violations.push(errors::MESSAGE_SIZE),
        }
        violations
    };
    if let Err(violation) = call.validate(shared, &[], rules) {
        return answer::failed(&violation);
    }
    let world = shared.world();
    let Some(meeting) = world.find(call.meeting_id()) else {
        return answer::failed(&errors::MEETING_NOT_FOUND);
    };
    let sender = json!({ "name": call.params.first("userName"), "time": wall_ms() });
    let message = json!({ "id": ids::uuid(), "message": call.params.first("message"), "sender": sender });
    let more = json!({ "chat-message": message, "chat-id": "MAIN-PUBLIC-GROUP-CHAT" });
    world.tell_of(meeting, "chat-group-message-sent", more);
    let mut xml = Xml::success();
    xml.message("", "");
    xml.into_response()
}
