//! `/api/rest/*`: what Hasura answers about a meeting, behind nginx's check of token and cookie.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::meeting::Meeting;
use super::profile::Notes;
use super::user::User;
use super::{Config, Shared, answer, breakout, session};

pub(crate) fn query(name: &str, parts: &Parts, shared: &Shared) -> Response {
    let token = parts.headers.get("x-session-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let world = shared.world();
    let Some((meeting, user)) = world.authorize(token, &session::http_sessions(&parts.headers)) else {
        return answer::page(StatusCode::UNAUTHORIZED);
    };
    if !shared.config.profile.rest_queries.contains(&name) {
        return answer::page(StatusCode::NOT_FOUND);
    }
    match name {
        "meetingStaticData" => answer::json(&static_data(meeting, user, &shared.config)),
        "clientSettings" => answer::json(&json!({
            "meeting_clientSettings": [{ "clientSettingsJson": settings(&shared.config) }],
        })),
        "userMetadata" => answer::json(&json!({ "user_metadata": user_metadata(user) })),
        _ => answer::page(StatusCode::NOT_FOUND),
    }
}

fn static_data(meeting: &Meeting, user: &User, config: &Config) -> Value {
    json!({
        "meeting": [{
            "meetingId": meeting.int_id,
            "extId": meeting.ext_id,
            "name": meeting.name,
            "logoutUrl": meeting.logout_url.as_ref().unwrap_or(&config.server_url),
            "isBreakout": meeting.is_breakout,
            "breakoutsAllowed": breakout::allowed(meeting),
            "layout": { "currentLayoutType": meeting.layout(&config.profile) },
            "bannerText": meeting.params.first("bannerText"),
            "bannerColor": meeting.params.first("bannerColor"),
            "customLogoUrl": meeting.params.first("logo"),
            "clientSettings": { "clientSettingsJson": settings(config) },
        }],
        "user_current": [{
            "userId": user.int_id,
            "extId": user.ext_id,
            "name": user.full_name,
            "role": user.role.name(),
            "guestStatus": user.guest_status.name(),
        }],
    })
}

/// The settings with every key that holds an address, as the administrator wants them. A stock install makes two of them
/// absolute.
pub(crate) fn settings(config: &Config) -> Value {
    let server = &config.server_url;
    let mut settings = json!({ "public": {
        "app": {
            "basename": "/html5client",
            "bbbWebBase": "/bigbluebutton",
            "learningDashboardBase": "/learning-analytics-dashboard",
            "clientTitle": "BigBlueButton",
            "customStyleUrl": null,
        },
        "kurento": { "wsUrl": format!("{}/bbb-webrtc-sfu", websocket_base(server)) },
        "media": {
            "stunTurnServersFetchAddress": "/bigbluebutton/api/stuns",
            "sip_ws_host": "",
            "livekit": { "url": "" },
        },
        "sharedNotes": { "serverHostname": "" },
        "presentation": { "uploadEndpoint": "/bigbluebutton/presentation/upload" },
        "clientLog": { "external": { "enabled": false, "url": "/html5log" } },
        "stats": { "rttPollIntervalMs": 10_000 },
    } });
    if config.profile.notes == Notes::Etherpad {
        settings["public"]["pads"] = json!({ "url": format!("{server}/pad") });
    }
    merge(&mut settings, &config.client_settings);
    settings
}

/// Puts what is set over what there is, and takes away what is null (RFC 7396).
fn merge(settings: &mut Value, set: &Value) {
    let Some(set) = set.as_object() else { return };
    for (name, value) in set {
        if value.is_object() {
            merge(&mut settings[name], value);
        } else if value.is_null() {
            settings.as_object_mut().map(|settings| settings.remove(name));
        } else {
            settings[name] = value.clone();
        }
    }
}

fn user_metadata(user: &User) -> Vec<Value> {
    let userdata = user.params.iter().filter_map(|(name, value)| Some((name.strip_prefix("userdata-")?, value)));
    userdata.map(|(name, value)| json!({ "parameter": name, "value": value })).collect()
}

/// The server's URL with the scheme of WebSockets.
pub(crate) fn websocket_base(server_url: &str) -> String {
    match server_url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => server_url.to_owned(),
    }
}
