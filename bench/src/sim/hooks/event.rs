//! Events, as the service tells them.

use serde_json::{Map, Value, json};

use super::super::meeting::Meeting;
use super::super::recording::Recording;
use super::super::user::User;
use super::super::wall_ms;
use super::Webhooks;

/// An event of a meeting.
pub(super) struct Event {
    /// Its type.
    pub(super) id: String,
    /// The external id of the meeting.
    pub(super) ext_id: String,
    /// All of it, in JSON.
    pub(super) json: String,
}

impl Event {
    /// `ids` are the internal id and the external one of the meeting, `more` are attributes beside it, `ts` is the time as
    /// the service has it.
    fn new(id: &str, (int_id, ext_id): (&str, &str), more: Map<String, Value>, ts: u64) -> Self {
        let mut attributes = Map::from_iter([(
            "meeting".to_owned(),
            json!({ "internal-meeting-id": int_id, "external-meeting-id": ext_id }),
        )]);
        for (name, value) in more {
            match (attributes.get_mut(&name).and_then(Value::as_object_mut), value) {
                (Some(known), Value::Object(more)) => known.extend(more),
                (_, value) => drop(attributes.insert(name, value)),
            }
        }
        let event = json!({ "data": { "type": "event", "id": id, "attributes": attributes, "event": { "ts": ts } } });
        Self { id: id.to_owned(), ext_id: ext_id.to_owned(), json: event.to_string() }
    }

    /// An event with attributes beside those that name the meeting, or in them.
    pub(super) fn of(meeting: &Meeting, id: &str, more: Value) -> Self {
        Self::new(id, (&meeting.int_id, &meeting.ext_id), fields(more), wall_ms())
    }

    pub(super) fn created(meeting: &Meeting, service: Webhooks) -> Self {
        let mut about = json!({
            "name": meeting.name,
            "is-breakout": meeting.is_breakout,
            "duration": meeting.duration_min,
            "create-time": meeting.create_time_ms,
            "create-date": super::super::ids::java_date(meeting.create_time_ms),
            "moderator-pass": meeting.moderator_pw,
            "viewer-pass": meeting.attendee_pw,
            "record": meeting.record,
            "voice-conf": meeting.voice_bridge,
            "dial-number": meeting.dial_number,
            "max-users": meeting.max_users,
            "metadata": meeting.metadata,
        });
        if !service.signs_json {
            about["parent-id"] = meeting.parent.as_deref().unwrap_or("bbb-none").into();
            ["audioBridge", "cameraBridge", "screenShareBridge"].iter().for_each(|name| {
                about[*name] = "bbb-webrtc-sfu".into();
            });
        }
        Self::of(meeting, "meeting-created", json!({ "meeting": about }))
    }

    /// An event that names somebody, and says no more of them than `more`.
    pub(super) fn of_user(meeting: &Meeting, user: &User, id: &str, more: Value) -> Self {
        let mut about = ids_of(user);
        about.extend(fields(more));
        Self::of(meeting, id, json!({ "user": about }))
    }

    pub(super) fn joined(meeting: &Meeting, user: &User, token: Option<&str>, service: Webhooks) -> Self {
        Self::of(meeting, "user-joined", json!({ "user": described(user, token, service) }))
    }

    /// That somebody has left with the end of the meeting: with all that was known of them.
    pub(super) fn left_at_end(meeting: &Meeting, user: &User, token: Option<&str>, service: Webhooks) -> Self {
        Self::of(meeting, "user-left", json!({ "user": described(user, token, service) }))
    }

    /// A step of the making of a recording.
    pub(super) fn step(recording: &Recording, id: &str, more: Value) -> Self {
        let mut about = Map::from_iter([("record-id".to_owned(), recording.id.as_str().into())]);
        about.extend(fields(more));
        Self::new(id, (&recording.id, &recording.ext_id), about, wall_ms() / 1000)
    }

    /// A change of a recording by a call.
    pub(super) fn changed(recording: &Recording, id: &str) -> Self {
        let about = fields(json!({ "record-id": recording.id }));
        Self::new(id, (&recording.id, &recording.ext_id), about, wall_ms())
    }
}

/// What an event says of a recording that is published: the contents of its `metadata.xml`.
pub(super) fn published(recording: &Recording, server_url: &str) -> Vec<Value> {
    let of = |format: super::super::recording::RecordingFormat| {
        let image = format!(
            "{server_url}/presentation/{}/presentation/{}/thumbnails/thumb-1.png",
            recording.id,
            recording.presentation_id()
        );
        json!({
            "workflow": format.name(),
            "success": true,
            "step-time": recording.processing_ms(),
            "recording": {
                "name": recording.name,
                "is-breakout": recording.metadata.get("isBreakout"),
                "start-time": recording.start_time_ms,
                "end-time": recording.end_time_ms,
                "size": recording.bytes(format),
                "raw-size": recording.raw_bytes(),
                "metadata": recording.metadata,
                "playback": {
                    "format": format.name(),
                    "link": format!("{server_url}{}", format.path(&recording.id)),
                    "processing_time": recording.processing_ms(),
                    "duration": recording.duration_ms(),
                    "size": recording.bytes(format),
                    "extensions": { "preview": { "images": { "image": [image] } } },
                },
                "download": {},
            },
        })
    };
    recording.formats.iter().copied().map(of).collect()
}

fn ids_of(user: &User) -> Map<String, Value> {
    fields(json!({ "internal-user-id": user.int_id, "external-user-id": user.ext_id }))
}

fn described(user: &User, token: Option<&str>, service: Webhooks) -> Map<String, Value> {
    let mut about = ids_of(user);
    about.extend(fields(json!({ "name": user.full_name, "role": user.role.name(), "presenter": false })));
    if !service.signs_json {
        let userdata = user.params.iter().filter_map(|(name, value)| Some((name.strip_prefix("userdata-")?, value)));
        let userdata: Map<String, Value> = userdata.map(|(name, value)| (name.to_owned(), value.into())).collect();
        about.extend(fields(json!({ "guest": user.params.is_true("guest"), "userdata": userdata })));
    }
    if service.tells_of_joins {
        let origin = &user.origin;
        about.extend(fields(json!({
            "ip-address": origin.ip_address,
            "user-agent": origin.user_agent,
            "referer": origin.referer,
            "session-token": token,
        })));
    }
    about
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
