//! Calls of the client, which a session token and its cookie admit instead of a checksum.

use aws_lc_rs::hmac;
use axum::response::Response;
use serde_json::json;

use super::super::answer::{self, Xml};
use super::super::meeting::{Meeting, User};
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

pub(super) fn join_url(call: &Call, shared: &Shared) -> Response {
    let world = shared.world();
    let token = token(call);
    let response = match world.authorize(token, &call.http_sessions) {
        Some((meeting, user)) => json!({
            "returncode": "SUCCESS",
            "message": "Join URL provided successfully.",
            "url": signed_join(call, meeting, user, shared),
        }),
        None => {
            json!({ "returncode": "FAILED", "message": "Invalid session token", "sessionToken": token })
        }
    };
    answer::json(&json!({ "response": response }))
}

/// A join URL for one more session of a user, as bbb-web makes it: the query begins with `&`, the name is encoded twice, and
/// the checksum is SHA-1.
fn signed_join(call: &Call, meeting: &Meeting, user: &User, shared: &Shared) -> String {
    let mut query = String::new();
    let full_name = encode_value(&user.full_name);
    for (name, value) in [
        ("fullName", full_name.as_str()),
        ("meetingID", &meeting.ext_id),
        ("role", user.role.name()),
        ("redirect", "true"),
        ("existingUserID", &user.int_id),
    ] {
        query.push_str(&format!("&{name}={}", encode_value(value)));
    }
    let passed_on = |name: &str| matches!(name, "sessionName" | "enforceLayout") || name.starts_with("userdata-");
    for (name, value) in call.params.iter().filter(|(name, _)| passed_on(name)) {
        query.push_str(&format!("&{}={}", encode_value(name), encode_value(value)));
    }
    let checksum = sign::checksum("join", &query, &shared.config.secret, Algorithm::Sha1);
    format!("{}/bigbluebutton/api/join?{query}&checksum={checksum}", shared.config.server_url)
}

fn token(call: &Call) -> &str {
    call.params.first("sessionToken").unwrap_or_default()
}
