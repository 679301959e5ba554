//! One recording: what is left of a meeting that was recorded.
//!
//! Plain data; the calls on it are in `api`, the files of its playback in `playback`.

use std::collections::BTreeMap;
use std::time::Instant;

use super::ids;
use super::meeting::Meeting;

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
    pub(crate) processing_since: Option<Instant>,
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

    pub(crate) fn seeded(seed: RecordingSeed, id: String, start_time_ms: u64) -> Self {
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

    /// Published or unpublished: the states that calls can change.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state, RecordingState::Published | RecordingState::Unpublished)
    }
}

/// The metadata of the meeting, and three entries of BBB's own.
fn metadata(ext_id: &str, name: &str, is_breakout: bool, more: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = [("isBreakout", is_breakout.to_string()), ("meetingId", ext_id.into()), ("meetingName", name.into())];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    own.chain(more.clone()).collect()
}
