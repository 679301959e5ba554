//! All recordings of a server, and the links to their text tracks. They lie on its disk, so a restart keeps them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::ids;
use super::meeting::Pace;
use super::recording::{Recording, RecordingSeed, RecordingState, TextTrack};

/// How long after its meeting a recording is published: the work of archiving and processing.
const PROCESSING_TIME: Duration = Duration::from_secs(3 * 60);

/// How long a link to a text track is good for, if nobody uses it before.
const TRACK_LINK_TTL: Duration = Duration::from_secs(60 * 60);

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

    /// Publishes what has been processed by now, and returns its ids.
    pub(crate) fn tick(&mut self, now: Instant, pace: Pace) -> Vec<String> {
        let time = pace.scale(PROCESSING_TIME);
        let mut published = Vec::new();
        for recording in self.by_id.values_mut() {
            if recording.processing_since.is_some_and(|since| time <= now.duration_since(since)) {
                recording.processing_since = None;
                recording.state = RecordingState::Published;
                published.push(recording.id.clone());
            }
        }
        let ttl = pace.scale(TRACK_LINK_TTL);
        self.track_links.retain(|_, link| now.duration_since(link.made) < ttl);
        published
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
