//! `join`: who may come in, as whom, and where the browser goes.

use std::time::Instant;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::sync::watch;

use super::super::answer::{self, Xml};
use super::super::errors::{self, Violation};
use super::super::meeting::Meeting;
use super::super::params::{Params, is_boolean, is_integral};
use super::super::profile::{Profile, Refusal};
use super::super::user::{GuestStatus, Presence, Role, User};
use super::super::world::World;
use super::super::{Shared, ids};
use super::{Call, FORMS, id_rules};
use crate::sign::encode_value;

pub(super) fn join(call: &Call, shared: &Shared) -> Response {
    let mut world = shared.world();
    if let Err(violation) = call.validate(shared, &[FORMS], |params| rules(params, &world, &shared.config.profile)) {
        return refuse_early(call, shared, &violation);
    }
    if let Some(server) = shared.faults.joins_elsewhere() {
        return answer::redirect(StatusCode::FOUND, &format!("{server}/bigbluebutton/api/join?{}", call.query));
    }
    if let Some((meeting, user)) = existing_user(&call.params, &world) {
        if let Some(replaced) = call.params.text("replaceSessionToken") {
            world.close_session(replaced);
        }
        return enter(call, shared, &mut world, &meeting, &user);
    }
    let (Some(meeting), Some(full_name)) = (world.find_mut(call.meeting_id()), call.params.first("fullName")) else {
        return answer::exception();
    };
    if call.params.text("createTime").is_some_and(|time| time != meeting.create_time_ms.to_string()) {
        return refuse(call, shared, &errors::CREATE_TIME);
    }
    let role = match role(&call.params, meeting) {
        Ok(role) => role,
        Err(violation) => return answer::failed(&violation),
    };
    let int_id = ids::user_id();
    let ext_id = call.params.text("userID").unwrap_or(&int_id).to_owned();
    let bot = call.params.is_true("bot");
    if meeting.is_full_for(&ext_id, bot) {
        return refuse(call, shared, &errors::FULL);
    }
    let guest_status = meeting.guest_status(role, call.params.is_true("guest"), call.params.is_true("auth"));
    let user = User {
        int_id,
        ext_id,
        full_name: full_name.to_owned(),
        role,
        bot,
        guest_status,
        is_outside: guest_status == GuestStatus::Wait,
        was_refused: false,
        presence: Presence::Registered,
        params: call.params.clone(),
        origin: call.origin.clone(),
        alive: watch::Sender::new(()),
    };
    let meeting = meeting.int_id.clone();
    world.register(&meeting, user.clone(), shared.config.user_accesses_max, Instant::now());
    enter(call, shared, &mut world, &meeting, &user)
}

fn rules(params: &Params, world: &World, profile: &Profile) -> Vec<Violation> {
    let mut violations = id_rules(params);
    let mut check = |broken: bool, violation| {
        if broken {
            violations.push(violation);
        }
    };
    let meeting = params.first("meetingID").and_then(|id| world.find(id));
    // A meeting that is not there counts as ended as well, and that is what gets told.
    check(meeting.is_none(), errors::JOIN_UNKNOWN);
    check(meeting.is_none(), errors::JOIN_ENDED);
    check(params.first("fullName") == Some(""), errors::FULL_NAME);
    check(params.first("guest").is_some_and(|value| !is_boolean(value)), errors::GUEST);
    check(params.first("auth").is_some_and(|value| !is_boolean(value)), errors::AUTH);
    check(params.text("createTime").is_some_and(|value| !is_integral(value)), errors::INTEGRAL);
    let role_given = params.text("role").and_then(Role::parse).is_some();
    let compared = params.text("password").filter(|_| profile.compares_password && !role_given);
    if let (Some(meeting), Some(password)) = (meeting, compared) {
        check(password != meeting.moderator_pw && password != meeting.attendee_pw, errors::PASSWORD_WRONG);
    }
    violations
}

/// The role given, else the one that the password stands for.
fn role(params: &Params, meeting: &Meeting) -> Result<Role, Violation> {
    if let Some(role) = params.text("role").and_then(Role::parse) {
        return Ok(role);
    }
    match params.text("password") {
        Some(password) if password == meeting.moderator_pw => Ok(Role::Moderator),
        Some(password) if password == meeting.attendee_pw => Ok(Role::Viewer),
        None => Err(errors::ROLE_OR_PASSWORD),
        Some(_) => Err(errors::PASSWORD_NEEDED),
    }
}

/// Whoever has the `existingUserID`, in whichever meeting: BBB does not look.
fn existing_user(params: &Params, world: &World) -> Option<(String, User)> {
    let (meeting, user) = world.user_anywhere(params.text("existingUserID")?)?;
    Some((meeting.int_id.clone(), user.clone()))
}

/// Opens a session for a registered user. One whom the guest policy denies is turned away only after that.
fn enter(call: &Call, shared: &Shared, world: &mut World, meeting: &str, user: &User) -> Response {
    let session = world.open_session(meeting, &user.int_id, &call.http_sessions);
    let profile = &shared.config.profile;
    let waits_in_lobby = profile.is_meteor() && user.guest_status == GuestStatus::Wait;
    let path = if waits_in_lobby { "/html5client/guestWait" } else { shared.config.client_path() };
    let mut url = format!("{}{path}?sessionToken={}", shared.config.server_url, session.token);
    if profile.tells_of_layout {
        url.push_str(&format!("&shouldWaitForLayout={}", call.params.text("enforceLayout").is_some()));
    }
    let mut response = if user.guest_status == GuestStatus::Deny {
        refuse(call, shared, &errors::GUEST_DENIED)
    } else if wants_redirect(call) {
        answer::redirect(StatusCode::FOUND, &url)
    } else {
        let mut xml = Xml::success();
        xml.message("successfullyJoined", "You have joined successfully.");
        xml.leaf("meeting_id", meeting);
        xml.leaf("user_id", &user.int_id);
        xml.leaf("auth_token", session.auth_token);
        xml.leaf("session_token", session.token);
        xml.leaf("guestStatus", user.guest_status.name());
        xml.leaf("url", url);
        xml.into_response()
    };
    if session.is_new {
        let cookie = format!("JSESSIONID={}; Path=/; Secure; HttpOnly", session.http_session);
        let cookie = HeaderValue::from_str(&cookie).expect("hex digits are fit for a header");
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// A breach of the rules.
fn refuse_early(call: &Call, shared: &Shared, violation: &Violation) -> Response {
    refuse_as(shared.config.profile.early_refusal, call, shared, violation)
}

/// A refusal after validation.
fn refuse(call: &Call, shared: &Shared, violation: &Violation) -> Response {
    refuse_as(shared.config.profile.late_refusal, call, shared, violation)
}

fn refuse_as(refusal: Refusal, call: &Call, shared: &Shared, violation: &Violation) -> Response {
    if refusal.may_be_xml && !wants_redirect(call) {
        return answer::failed(violation);
    }
    redirect_with_errors(call, shared, violation, refusal.pages)
}

fn wants_redirect(call: &Call) -> bool {
    call.params.is_true_or("redirect", true)
}

/// Sends the browser to the first of these parameters that is given, else to the server's own page.
fn redirect_with_errors(call: &Call, shared: &Shared, violation: &Violation, targets: &[&str]) -> Response {
    let target = targets.iter().find_map(|name| call.params.text(name)).unwrap_or(&shared.config.server_url);
    let separator = if target.contains('?') { '&' } else { '?' };
    let errors = json!([{ "key": violation.key, "message": violation.message }]).to_string();
    answer::redirect(StatusCode::FOUND, &format!("{target}{separator}errors={}", encode_value(&errors)))
}
