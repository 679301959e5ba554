//! The calls with which a 2.7 client comes in: `guestWait`, polled by the page of the lobby, and `enter`.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::answer;
use super::super::errors;
use super::super::meeting::Meeting;
use super::super::user::{GuestStatus, Presence, User};
use super::super::world::{Session, World};
use super::Call;
use super::session_calls::{session, token};

/// Whether a guest may come in: the way to the client, or why not yet.
pub(super) fn guest_wait(call: &Call, shared: &Shared) -> Response {
    let server = &shared.config.server_url;
    if !shared.config.profile.is_meteor() {
        // The mapping was left behind, what it led to was not.
        return answer::page(StatusCode::NOT_FOUND);
    }
    let world = shared.world();
    let (session, meeting, user) = match session(call, &world) {
        Ok(found) => found,
        Err(violation) => {
            return answer::json(&json!({ "response": {
                "returncode": "FAILED",
                "messageKey": "guestInvalid",
                "message": violation.message,
                "session_token": token(call),
                "url": server,
            } }));
        }
    };
    let client = format!("{server}{}?sessionToken={}", shared.config.client_path(), token(call));
    let is_full = user.presence == Presence::Registered && meeting.is_full_for(&user.ext_id, user.bot);
    let (code, key, message, url) = match user.guest_status {
        GuestStatus::Deny => {
            ("FAILED", "guestDeny", "Guest denied of joining the meeting.", logout_url(meeting, shared))
        }
        GuestStatus::Wait => ("SUCCESS", "guestWait", "Guest waiting for approval to join meeting.", client),
        GuestStatus::Allow if is_full => ("SUCCESS", "seatWait", "Guest waiting for a seat in the meeting.", client),
        GuestStatus::Allow if call.params.is_true_or("redirect", true) => {
            return answer::redirect(StatusCode::FOUND, &client);
        }
        GuestStatus::Allow => ("SUCCESS", "guestAllowed", "Guest is allowed to join the meeting.", client),
    };
    answer::json(&json!({ "response": {
        "returncode": code,
        "messageKey": key,
        "message": message,
        "meeting_id": meeting.int_id,
        "user_id": user.int_id,
        "auth_token": session.auth_token,
        "session_token": token(call),
        "guestStatus": user.guest_status.name(),
        "lobbyMessage": "",
        "url": url,
        "positionInWaitingQueue": position(meeting, user, &world),
    } }))
}

/// The place of a guest among those who wait, by arrival; nothing for others.
fn position(meeting: &Meeting, user: &User, world: &World) -> String {
    let arrived = meeting.tokens.iter().filter_map(|token| world.session(token).map(|(_, user)| user));
    let mut waiting = arrived.filter(|other| other.guest_status == GuestStatus::Wait);
    waiting.position(|other| other.int_id == user.int_id).map_or_else(String::new, |place| (place + 1).to_string())
}

/// All that the 2.7 client has to know of a session.
pub(super) fn enter(call: &Call, shared: &Shared) -> Response {
    let world = shared.world();
    let response = match session(call, &world) {
        Err(violation) => refusal(violation.message, &shared.config.server_url, call),
        Ok((_, meeting, user)) if user.guest_status != GuestStatus::Allow => {
            refusal(errors::SESSION_DENIED.message, &logout_url(meeting, shared), call)
        }
        Ok((_, meeting, user))
            if user.presence == Presence::Registered && meeting.is_full_for(&user.ext_id, user.bot) =>
        {
            let message = "The maximum number of participants allowed for this meeting has been reached.";
            refusal(message, &logout_url(meeting, shared), call)
        }
        Ok((session, meeting, user)) => entered(session, meeting, user, shared),
    };
    answer::json(&json!({ "response": response }))
}

fn refusal(message: &str, logout_url: &str, call: &Call) -> Value {
    json!({ "returncode": "FAILED", "message": message, "sessionToken": token(call), "logoutURL": logout_url })
}

fn entered(session: &Session, meeting: &Meeting, user: &User, shared: &Shared) -> Value {
    let param = |name| meeting.params.first(name).unwrap_or_default();
    let pairs = |prefix: &str, params: &mut dyn Iterator<Item = (&str, &str)>| -> Vec<Value> {
        params.filter_map(|(name, value)| Some(json!({ name.strip_prefix(prefix)?: value }))).collect()
    };
    let breakout_rooms = match &meeting.parent {
        Some(parent) => json!({ "parentMeetingID": parent, "sequence": meeting.params.int_or("sequence", 0) }),
        None => json!({}),
    };
    let mut response = json!({
        "returncode": "SUCCESS",
        "fullname": user.full_name,
        "confname": meeting.name,
        "meetingID": meeting.int_id,
        "externMeetingID": meeting.ext_id,
        "externUserID": user.ext_id,
        "internalUserID": user.int_id,
        "authToken": session.auth_token,
        "role": user.role.name(),
        "guest": user.params.is_true("guest"),
        "guestStatus": user.guest_status.name(),
        "conference": meeting.int_id,
        "room": meeting.int_id,
        "voicebridge": meeting.voice_bridge,
        "dialnumber": meeting.dial_number,
        "webvoiceconf": meeting.voice_bridge,
        "mode": "LIVE",
        "record": meeting.record.to_string(),
        "isBreakout": meeting.is_breakout,
        "logoutTimer": meeting.params.int_or("logoutTimer", 0),
        "allowStartStopRecording": meeting.params.is_true_or("allowStartStopRecording", true),
        "welcome": param("welcome"),
        "customLogoURL": param("logo"),
        "customCopyright": param("copyright"),
        "muteOnStart": meeting.params.is_true("muteOnStart"),
        "allowModsToUnmuteUsers": meeting.params.is_true("allowModsToUnmuteUsers"),
        "logoutUrl": logout_url(meeting, shared),
        "defaultLayout": meeting.layout(&shared.config.profile),
        "avatarURL": user.params.first("avatarURL").unwrap_or_default(),
        "breakoutRooms": breakout_rooms,
        "customdata": pairs("userdata-", &mut user.params.iter()),
        "metadata": meeting.metadata.iter().map(|(key, value)| json!({ key: value })).collect::<Vec<_>>(),
    });
    let is_moderator = user.role.name() == "MODERATOR";
    for (name, value) in [
        ("modOnlyMessage", meeting.params.text("moderatorOnlyMessage").filter(|_| is_moderator)),
        ("bannerText", meeting.params.text("bannerText")),
        ("bannerColor", meeting.params.text("bannerColor")),
    ] {
        if let Some(value) = value {
            response[name] = value.into();
        }
    }
    response
}

fn logout_url(meeting: &Meeting, shared: &Shared) -> String {
    meeting.logout_url.as_ref().unwrap_or(&shared.config.server_url).clone()
}
