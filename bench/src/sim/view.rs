//! What tests see of meetings and recordings.

use std::collections::BTreeMap;

use super::meeting::Meeting;
use super::params::Params;
use super::recording::{Recording, RecordingFormat, RecordingState, TextTrack};

/// A meeting that the server has now.
#[derive(Clone, Debug)]
pub struct MeetingView {
    /// The `meetingID` of the `create`.
    pub ext_id: String,
    /// `internalMeetingID`.
    pub int_id: String,
    /// The decoded parameters of the `create` that the release reads, without the checksum; the first of a repeated name.
    pub params: BTreeMap<String, String>,
    /// The limit of participants; 0 is none.
    pub max_users: u32,
    /// Minutes from creation; 0 is no limit.
    pub duration_min: u32,
    /// The `record` flag.
    pub recording: bool,
    /// Users in the meeting: with a GraphQL socket, or with none for less than a minute.
    pub users_joined: usize,
    /// Users with a GraphQL socket now.
    pub users_online: usize,
    /// The decoded parameters of each `join` that was let in, in no certain order.
    pub joins: Vec<BTreeMap<String, String>>,
    /// Time of creation, in milliseconds since 1970.
    pub create_time_ms: u64,
    /// Names of the documents: those in the body of the `create`, the one it names, and those inserted later.
    pub documents: Vec<String>,
    /// The settings override in the body of the `create`, which a stock server ignores.
    pub settings_override_ignored: Option<String>,
    /// The first text of the notes, by the names of the modules in the body of the `create`.
    pub notes: BTreeMap<String, String>,
}

impl MeetingView {
    pub(crate) fn new(meeting: &Meeting) -> Self {
        let decoded = |params: &Params| {
            let mut decoded = BTreeMap::new();
            for (name, value) in params.iter().filter(|(name, _)| *name != "checksum") {
                decoded.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
            decoded
        };
        Self {
            ext_id: meeting.ext_id.clone(),
            int_id: meeting.int_id.clone(),
            params: decoded(&meeting.params),
            max_users: meeting.max_users,
            duration_min: meeting.duration_min,
            recording: meeting.record,
            users_joined: meeting.users.values().filter(|user| user.is_joined()).count(),
            users_online: meeting.users.values().filter(|user| user.is_online()).count(),
            joins: meeting.users.values().map(|user| decoded(&user.params)).filter(|join| !join.is_empty()).collect(),
            create_time_ms: meeting.create_time_ms,
            documents: meeting.modules.documents.clone(),
            settings_override_ignored: meeting.modules.texts.get("clientSettingsOverride").cloned(),
            notes: meeting
                .modules
                .texts
                .iter()
                .filter(|(name, _)| name.starts_with("sharedNotesInitialContent"))
                .map(|(name, text)| (name.clone(), text.clone()))
                .collect(),
        }
    }
}

/// A recording that the server has now.
#[derive(Clone, Debug)]
pub struct RecordingView {
    /// The internal id of its meeting.
    pub record_id: String,
    /// The `meetingID` of its meeting.
    pub ext_id: String,
    /// The name of its meeting.
    pub name: String,
    /// Where it is in its life.
    pub state: RecordingState,
    /// In milliseconds since 1970.
    pub start_time_ms: u64,
    /// In milliseconds since 1970.
    pub end_time_ms: u64,
    /// How many were in the meeting.
    pub participants: usize,
    /// All metadata, with what BBB puts there itself.
    pub metadata: BTreeMap<String, String>,
    /// The ways to play it.
    pub formats: Vec<RecordingFormat>,
    /// Its subtitles and captions.
    pub text_tracks: Vec<TextTrack>,
}

impl RecordingView {
    pub(crate) fn new(recording: &Recording) -> Self {
        Self {
            record_id: recording.id.clone(),
            ext_id: recording.ext_id.clone(),
            name: recording.name.clone(),
            state: recording.state,
            start_time_ms: recording.start_time_ms,
            end_time_ms: recording.end_time_ms,
            participants: recording.participants,
            metadata: recording.metadata.clone(),
            formats: recording.formats.clone(),
            text_tracks: recording.text_tracks.clone(),
        }
    }
}
