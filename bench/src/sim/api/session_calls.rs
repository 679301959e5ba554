//! Calls of the client, which a session token and its cookie admit instead of a checksum.

use aws_lc_rs::hmac;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::answer::{self, Xml};
use super::super::errors::{self, Violation};
use super::super::meeting::Meeting;
use super::super::user::{Role, User};
use super::super::world::{Session, World};
use super::super::{Shared, wall_ms};
use super::Call;
use crate::sign::{self, Algorithm, encode_value, to_hex};

/// How long TURN credentials are good for.
const TURN_TTL_SECONDS: u64 = 86_400;

pub(super) fn stuns(call: &Call, shared: &Shared) -> Response {
    let world = shared.world();
    let Some((_, user)) = world.authorize(token(call), &call.http_sessions) else {
        return answer::json(&json!({
            "returncode": "FAILED",
            "message": "Could not find conference.",
            "logoutURL": shared.config.server_url,
        }));
    };
    let server = &shared.config.server_url;
    let host = server.split_once("://").map_or(server.as_str(), |(_, host)| host).split(':').next().unwrap_or_default();
    let username = format!("{}:{}", wall_ms() / 1000 + TURN_TTL_SECONDS, user.int_id);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"turn secret");
    let turn = json!({
        "username": username,
        "password": to_hex(hmac::sign(&key, username.as_bytes()).as_ref()),
        "url": format!("turns:{host}:443?transport=tcp"),
        "ttl": TURN_TTL_SECONDS,
    });
    answer::json(&json!({
        "stunServers": [{ "url": format!("stun:{host}:3478") }],
        "turnServers": [turn],
        "remoteIceCandidates": [],
    }))
}

/// Ends the session, if there is one; there is no way to fail.
pub(super) fn sign_out(call: &Call, shared: &Shared) -> Response {
    let mut world = shared.world();
    if world.authorize(token(call), &call.http_sessions).is_some() {
        world.close_session(token(call));
    }
    Xml::success().into_response()
}

/// What somebody thought of the meeting, which may be over by then.
pub(super) fn feedback(call: &Call, shared: &Shared) -> Response {
    let world = shared.world();
    let is_known = world.session(token(call)).is_some() || world.ended_session(token(call)).is_some();
    let refusal = if token(call).is_empty() {
        Some(errors::SESSION_MISSING.message)
    } else if !is_known {
        Some(errors::SESSION_UNKNOWN.message)
    } else if serde_json::from_slice::<Value>(&call.body).is_ok_and(|body| body.is_object()) {
        None
    } else {
        Some("Invalid request body")
    };
    match refusal {
        Some(message) => failed(call, message),
        None => answer::json(&json!({ "status": "ok" })),
    }
}

/// What moderators see of everybody's activity: JSON as a string in JSON.
pub(super) fn learning_dashboard(call: &Call, shared: &Shared) -> Response {
    match dashboard_data(call, &shared.world()) {
        Ok(data) => answer::json(&json!({ "response": {
            "returncode": "SUCCESS",
            "data": data.to_string(),
            "sessionToken": token(call),
        } })),
        Err(message) => failed(call, message),
    }
}

fn dashboard_data(call: &Call, world: &World) -> Result<Value, &'static str> {
    let token = call.params.text("sessionToken").ok_or(errors::SESSION_MISSING.message)?;
    if let Some(role) = world.ended_session(token) {
        return Err(if role == Role::Moderator { "Meeting not found" } else { "Access denied" });
    }
    world.session(token).ok_or(errors::SESSION_UNKNOWN.message)?;
    let (meeting, user) = world.authorize(token, &call.http_sessions).ok_or("Invalid Session")?;
    if user.role != Role::Moderator {
        return Err("Access denied");
    }
    if meeting.disables("learningDashboard") || !meeting.params.is_true_or("learningDashboardEnabled", true) {
        return Err("Learning Dashboard disabled for this meeting");
    }
    if !meeting.has_user_joined() {
        return Err("Learning Dashboard data not found");
    }
    Ok(dashboard_of(meeting))
}

/// What the learning dashboard shows of a meeting.
pub(crate) fn dashboard_of(meeting: &Meeting) -> Value {
    let is_shown =
        |user: &&User| meeting.participants.contains(&user.int_id) && !user.params.is_true("excludeFromDashboard");
    let users = meeting.users.values().filter(is_shown).map(|user| {
        let told = json!({
            "userKey": user.int_id,
            "extId": user.ext_id,
            "name": user.full_name,
            "isModerator": user.role == Role::Moderator,
            "isDialIn": false,
        });
        (user.int_id.clone(), told)
    });
    json!({
        "intId": meeting.int_id,
        "extId": meeting.ext_id,
        "name": meeting.name,
        "users": users.collect::<serde_json::Map<_, _>>(),
        "polls": {},
        "screenshares": [],
        "presentationSlides": [],
        "createdOn": meeting.create_time_ms,
        "endedOn": 0,
    })
}

pub(super) fn join_url(call: &Call, shared: &Shared) -> Response {
    let world = shared.world();
    match world.authorize(token(call), &call.http_sessions) {
        Some((meeting, user)) => answer::json(&json!({ "response": {
            "returncode": "SUCCESS",
            "message": "Join URL provided successfully.",
            "url": signed_join(call, meeting, user, shared),
        } })),
        None if token(call).is_empty() => failed(call, errors::SESSION_MISSING.message),
        None => failed(call, errors::SESSION_UNKNOWN.message),
    }
}

/// A join URL for one more session of a user, as bbb-web makes it: the query begins with `&`, the name is encoded twice, and
/// the checksum is SHA-1.
fn signed_join(call: &Call, meeting: &Meeting, user: &User, shared: &Shared) -> String {
    let is_moderator = user.role == Role::Moderator;
    let may_mint = is_moderator && shared.config.profile.mints_join_urls;
    let minted = |name| call.params.text(name).filter(|_| may_mint);
    let is_minted = ["role", "fullName", "userID", "avatarURL"].into_iter().any(|name| minted(name).is_some());
    let full_name = encode_value(minted("fullName").unwrap_or(&user.full_name));
    let mut params = vec![
        ("fullName", full_name.as_str()),
        ("meetingID", &meeting.ext_id),
        ("role", minted("role").unwrap_or(user.role.name())),
        ("redirect", "true"),
    ];
    if is_minted {
        params.extend(["userID", "avatarURL"].into_iter().filter_map(|name| Some((name, minted(name)?))));
    } else {
        params.push(("existingUserID", &user.int_id));
        if call.params.is_true("replaceSession") {
            params.push(("replaceSessionToken", token(call)));
        }
    }
    let is_passed_on = |name: &str| match name {
        "sessionName" | "enforceLayout" => true,
        _ if name.starts_with("userdata-") => {
            is_moderator || !shared.config.join_url_userdata_blocklist.iter().any(|blocked| blocked == name)
        }
        _ => false,
    };
    params.extend(call.params.iter().filter(|(name, _)| is_passed_on(name)));
    let query: String =
        params.iter().map(|(name, value)| format!("&{}={}", encode_value(name), encode_value(value))).collect();
    let checksum = sign::checksum("join", &query, &shared.config.secret, Algorithm::Sha1);
    format!("{}/bigbluebutton/api/join?{query}&checksum={checksum}", shared.config.server_url)
}

fn failed(call: &Call, message: &str) -> Response {
    answer::json(&json!({ "response": {
        "returncode": "FAILED",
        "message": message,
        "sessionToken": token(call),
    } }))
}

/// The session that the token and cookie of a call stand for.
pub(super) fn session<'a>(call: &Call, world: &'a World) -> Result<(&'a Session, &'a Meeting, &'a User), Violation> {
    let token = call.params.text("sessionToken").ok_or(errors::SESSION_MISSING)?;
    world.authorized_session(token, &call.http_sessions).ok_or(errors::SESSION_UNKNOWN)
}

pub(super) fn token(call: &Call) -> &str {
    call.params.first("sessionToken").unwrap_or_default()
}
