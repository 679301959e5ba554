//! Recordings: what is left of meetings that were recorded. They lie on the server's disk, so a restart keeps them.
//!
//! Plain data; the calls on them are in `api`, the files of their playback in `playback`.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::ids;
use super::meeting::{Meeting, Pace};

/// How long after its meeting a recording is published: the work of archiving and processing.
const PROCESSING_TIME: Duration = Duration::from_secs(3 * 60);

/// How long a link to a text track is good for, if nobody uses it before.
const TRACK_LINK_TTL: Duration = Duration::from_secs(60 * 60);

/// Where a recording is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordingState {
    /// Its formats are being made.
    Processing,
    /// They are made, but not in place yet.
    Processed,
    /// Everybody who knows its id can play it.
    #[default]
    Published,
    /// Taken out of the web root.
    Unpublished,
    /// In the bin: still listed, for whoever asks for that state.
    Deleted,
}

impl RecordingState {
    /// The word of BBB.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Processed => "processed",
            Self::Published => "published",
            Self::Unpublished => "unpublished",
            Self::Deleted => "deleted",
        }
    }
}

/// One way to play a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFormat {
    /// Slides, chat and webcams in a player page.
    Presentation,
    /// One video file.
    Video,
    /// Sound only.
    Podcast,
    /// The shared notes.
    Notes,
}

impl RecordingFormat {
    /// The word of BBB.
    pub fn name(self) -> &'static str {
        match self {
            Self::Presentation => "presentation",
            Self::Video => "video",
            Self::Podcast => "podcast",
            Self::Notes => "notes",
        }
    }

    /// Where it is played, below the server's URL.
    pub(crate) fn path(self, record_id: &str) -> String {
        match self {
            Self::Presentation => format!("/playback/presentation/2.3/{record_id}"),
            Self::Video => format!("/playback/video/{record_id}/"),
            Self::Podcast => format!("/podcast/{record_id}/audio.ogg"),
            Self::Notes => format!("/notes/{record_id}/notes.pdf"),
        }
    }

    /// Bytes of a minute of it, more or less.
    fn bytes_per_minute(self) -> u64 {
        match self {
            Self::Presentation => 1_310_720,
            Self::Video => 2_621_440,
            Self::Podcast => 393_216,
            Self::Notes => 1_024,
        }
    }
}

/// Subtitles or captions of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTrack {
    /// `subtitles` or `captions`.
    pub kind: String,
    /// A locale, like `en-US`.
    pub lang: String,
    /// What a player shows in its menu.
    pub label: String,
    /// `live` or `upload`.
    pub source: String,
    /// The file, WebVTT as a rule.
    pub content: Vec<u8>,
}

impl TextTrack {
    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}_{}.vtt", self.kind, self.lang)
    }
}

/// A recording to be put on the server at once, see [`super::Sim::add_recording`]. Only `ext_id` has no useful default.
#[derive(Clone, Debug)]
pub struct RecordingSeed {
    /// The `meetingID` of its meeting.
    pub ext_id: String,
    /// The name of its meeting.
    pub name: String,
    /// Where it is in its life; it stays there.
    pub state: RecordingState,
    /// When its meeting began, in milliseconds since 1970; `None` is now. The record id ends in it.
    pub start_time_ms: Option<u64>,
    /// How long the meeting was.
    pub minutes: u32,
    /// How many were in it.
    pub participants: usize,
    /// Besides what BBB puts there itself: `isBreakout`, `meetingId` and `meetingName`.
    pub metadata: BTreeMap<String, String>,
    /// The ways to play it.
    pub formats: Vec<RecordingFormat>,
    /// The internal id of the parent meeting, if this was a breakout room.
    pub parent: Option<String>,
    /// Its subtitles and captions.
    pub text_tracks: Vec<TextTrack>,
}

impl Default for RecordingSeed {
    fn default() -> Self {
        Self {
            ext_id: "room".to_owned(),
            name: "A room".to_owned(),
            state: RecordingState::default(),
            start_time_ms: None,
            minutes: 10,
            participants: 3,
            metadata: BTreeMap::new(),
            formats: vec![RecordingFormat::Presentation],
            parent: None,
            text_tracks: Vec::new(),
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

/// What is told of a recording that was a breakout room.
#[derive(Clone, Debug)]
pub(crate) struct Breakout {
    pub(crate) parent: String,
    pub(crate) sequence: i32,
    pub(crate) free_join: bool,
}

pub(crate) struct Recording {
    pub(crate) id: String,
    pub(crate) ext_id: String,
    pub(crate) name: String,
    pub(crate) state: RecordingState,
    pub(crate) start_time_ms: u64,
    pub(crate) end_time_ms: u64,
    pub(crate) participants: usize,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) formats: Vec<RecordingFormat>,
    pub(crate) breakout: Option<Breakout>,
    /// Internal ids of the breakout rooms that its meeting had.
    pub(crate) breakout_rooms: Vec<String>,
    pub(crate) text_tracks: Vec<TextTrack>,
    /// When its meeting ended, while it is being processed.
    processing_since: Option<Instant>,
}

impl Recording {
    /// What a recorded meeting leaves behind when it ends.
    pub(crate) fn of(meeting: &Meeting, breakout_rooms: Vec<String>, now: Instant, wall_ms: u64) -> Self {
        let breakout = meeting.parent.as_ref().map(|parent| Breakout {
            parent: parent.clone(),
            sequence: meeting.params.int_or("sequence", 0),
            free_join: meeting.params.is_true("freeJoin"),
        });
        Self {
            id: meeting.int_id.clone(),
            ext_id: meeting.ext_id.clone(),
            name: meeting.name.clone(),
            state: RecordingState::Processing,
            start_time_ms: if meeting.start_time_ms == 0 { meeting.create_time_ms } else { meeting.start_time_ms },
            end_time_ms: wall_ms,
            participants: meeting.participants.len(),
            metadata: metadata(&meeting.ext_id, &meeting.name, meeting.is_breakout, &meeting.metadata),
            formats: vec![RecordingFormat::Presentation],
            breakout,
            breakout_rooms,
            text_tracks: Vec::new(),
            processing_since: Some(now),
        }
    }

    fn seeded(seed: RecordingSeed, id: String, start_time_ms: u64) -> Self {
        let breakout = seed.parent.map(|parent| Breakout { parent, sequence: 1, free_join: false });
        Self {
            metadata: metadata(&seed.ext_id, &seed.name, breakout.is_some(), &seed.metadata),
            id,
            ext_id: seed.ext_id,
            name: seed.name,
            state: seed.state,
            start_time_ms,
            end_time_ms: start_time_ms + u64::from(seed.minutes) * 60_000,
            participants: seed.participants,
            formats: seed.formats,
            breakout,
            breakout_rooms: Vec::new(),
            text_tracks: seed.text_tracks,
            processing_since: None,
        }
    }

    /// The formats that exist: none while it is being processed.
    pub(crate) fn playable(&self) -> &[RecordingFormat] {
        match self.state {
            RecordingState::Processing | RecordingState::Processed => &[],
            RecordingState::Published | RecordingState::Unpublished | RecordingState::Deleted => &self.formats,
        }
    }

    pub(crate) fn duration_ms(&self) -> u64 {
        self.end_time_ms.saturating_sub(self.start_time_ms)
    }

    /// The size of a format in bytes.
    pub(crate) fn bytes(&self, format: RecordingFormat) -> u64 {
        4096 + format.bytes_per_minute() * self.duration_ms() / 60_000
    }

    /// The size of what was archived, in bytes.
    pub(crate) fn raw_bytes(&self) -> u64 {
        8192 + 3_145_728 * self.duration_ms() / 60_000
    }

    /// How long the making of a format took, in milliseconds.
    pub(crate) fn processing_ms(&self) -> u64 {
        5000 + self.duration_ms() / 10
    }

    /// The id of the document that was shown, part of the paths of its pages.
    pub(crate) fn presentation_id(&self) -> String {
        format!("{}-{}", ids::meeting_hash("default.pdf"), self.start_time_ms)
    }

    fn is_settled(&self) -> bool {
        matches!(self.state, RecordingState::Published | RecordingState::Unpublished)
    }
}

/// The metadata of the meeting, and three entries of BBB's own.
fn metadata(ext_id: &str, name: &str, is_breakout: bool, more: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = [("isBreakout", is_breakout.to_string()), ("meetingId", ext_id.into()), ("meetingName", name.into())];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    own.chain(more.clone()).collect()
}

/// All recordings of a server by id, which is the order of their directories too.
#[derive(Default)]
pub(crate) struct Recordings {
    by_id: BTreeMap<String, Recording>,
    /// Tokens of links to text tracks.
    track_links: HashMap<String, TrackLink>,
}

struct TrackLink {
    record_id: String,
    file: String,
    made: Instant,
}

impl Recordings {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Recording> {
        self.by_id.values()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Recording> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Recording> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn add(&mut self, recording: Recording) {
        self.by_id.insert(recording.id.clone(), recording);
    }

    /// Puts a recording there and returns its id. A start that another of the same meeting has is moved on.
    pub(crate) fn seed(&mut self, seed: RecordingSeed, wall_ms: u64) -> String {
        let mut start_time_ms = seed.start_time_ms.unwrap_or(wall_ms);
        let id_at = |start: u64| format!("{}-{start}", ids::meeting_hash(&seed.ext_id));
        while self.by_id.contains_key(&id_at(start_time_ms)) {
            start_time_ms += 1;
        }
        let id = id_at(start_time_ms);
        self.add(Recording::seeded(seed, id.clone(), start_time_ms));
        id
    }

    /// Publishes what has been processed by now.
    pub(crate) fn tick(&mut self, now: Instant, pace: Pace) {
        let time = pace.scale(PROCESSING_TIME);
        for recording in self.by_id.values_mut() {
            if recording.processing_since.is_some_and(|since| time <= now.duration_since(since)) {
                recording.processing_since = None;
                recording.state = RecordingState::Published;
            }
        }
        let ttl = pace.scale(TRACK_LINK_TTL);
        self.track_links.retain(|_, link| now.duration_since(link.made) < ttl);
    }

    /// Moves those of these whole ids that are published or unpublished. Tells whether there was any.
    pub(crate) fn set_state(&mut self, ids: &[String], state: RecordingState) -> bool {
        let mut found = false;
        for id in ids {
            if let Some(recording) = self.by_id.get_mut(id).filter(|recording| recording.is_settled()) {
                recording.state = state;
                found = true;
            }
        }
        found
    }

    /// Changes the metadata of all whose ids **begin** with one of these and that are published or unpublished; an empty
    /// value deletes its key. Tells whether there was any.
    pub(crate) fn update(&mut self, ids: &[String], changes: &BTreeMap<String, String>) -> bool {
        let is_meant = |recording: &&mut Recording| {
            recording.is_settled() && ids.iter().any(|id| recording.id.starts_with(id.as_str()))
        };
        let mut found = false;
        for recording in self.by_id.values_mut().filter(is_meant) {
            found = true;
            for (key, value) in changes {
                if value.is_empty() {
                    recording.metadata.remove(key);
                } else {
                    recording.metadata.insert(key.clone(), value.clone());
                }
            }
        }
        found
    }

    /// A token that opens a text track once.
    pub(crate) fn link_track(&mut self, record_id: &str, file: String, now: Instant) -> String {
        let token = ids::track_token();
        self.track_links.insert(token.clone(), TrackLink { record_id: record_id.to_owned(), file, made: now });
        token
    }

    /// The text track that a token was made for. The token is used up, whichever file it was shown for.
    pub(crate) fn open_track(&mut self, token: &str, record_id: &str, file: &str) -> Option<&TextTrack> {
        let link = self.track_links.remove(token)?;
        let recording = self.by_id.get(record_id).filter(|_| link.record_id == record_id && link.file == file)?;
        recording.text_tracks.iter().find(|track| track.file() == file)
    }
}
