//! `getRecordings`, `publishRecordings`, `deleteRecordings` and `updateRecordings`.
//!
//! They are older than the other calls: presence of the parameters comes before the value of the checksum.

use std::collections::BTreeMap;

use axum::response::Response;

use super::super::answer::{self, Xml};
use super::super::errors::{self, Violation};
use super::super::params::Params;
use super::super::recording::{Recording, RecordingFormat, RecordingState};
use super::super::{Shared, checksum, ids};
use super::{Call, FORMS};

/// How many recordings a page can have.
const LIMIT_MAX: usize = 100;

pub(super) fn list(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = given(call).and_then(|()| fits(call, shared)) {
        return answer::failed(&violation);
    }
    let query = Query::new(&call.params);
    let mut xml = Xml::success();
    if query.asks_for_all() && !shared.config.fetches_all_recordings {
        xml.message("noRecordings", "No recordings found. This may occur if you attempt to retrieve all recordings.");
        return xml.into_response();
    }
    let world = shared.world();
    let found: Vec<&Recording> = world.recordings.iter().filter(|recording| query.fits(recording)).collect();
    let shown: Vec<&Recording> = match &query.page {
        Some(page) => found.iter().copied().skip(page.offset).take(page.limit).collect(),
        None => found.clone(),
    };
    xml.nest("recordings", |xml| shown.iter().for_each(|recording| describe(xml, recording, shared)));
    if shown.is_empty() {
        xml.message("noRecordings", "There are no recordings for the meeting(s).");
    }
    if let Some(page) = &query.page {
        xml.nest("pagination", |xml| {
            xml.nest("pageable", |xml| {
                xml.leaf("offset", page.offset);
                xml.leaf("limit", page.limit);
                xml.leaf("paged", true);
                xml.leaf("unpaged", false);
            });
            xml.leaf("totalElements", found.len());
            xml.leaf("empty", shown.is_empty());
        });
    }
    xml.into_response()
}

pub(super) fn publish(call: &Call, shared: &Shared) -> Response {
    let present = || call.params.text("publish").ok_or(errors::PUBLISH);
    let checked = ids(call).and_then(|ids| Ok((ids, present()?))).and_then(|found| {
        fits(call, shared)?;
        Ok(found)
    });
    let (ids, publish) = match checked {
        Ok(found) => found,
        Err(violation) => return answer::failed(&violation),
    };
    let state = if call.params.is_true("publish") { RecordingState::Published } else { RecordingState::Unpublished };
    done(shared.world().set_recordings(&ids, state), "published", publish)
}

pub(super) fn delete(call: &Call, shared: &Shared) -> Response {
    match checked_ids(call, shared) {
        Ok(ids) => done(shared.world().set_recordings(&ids, RecordingState::Deleted), "deleted", "true"),
        Err(violation) => answer::failed(&violation),
    }
}

pub(super) fn update(call: &Call, shared: &Shared) -> Response {
    match checked_ids(call, shared) {
        Ok(ids) => done(shared.world().recordings.update(&ids, &call.params.metadata()), "updated", "true"),
        Err(violation) => answer::failed(&violation),
    }
}

/// The one element that a change is answered with.
fn done(found: bool, name: &str, value: &str) -> Response {
    if !found {
        return answer::failed(&errors::NO_SUCH_RECORDING);
    }
    let mut xml = Xml::success();
    xml.leaf(name, value);
    xml.into_response()
}

fn checked_ids(call: &Call, shared: &Shared) -> Result<Vec<String>, Violation> {
    let ids = ids(call)?;
    fits(call, shared)?;
    Ok(ids)
}

/// The `recordID`s of a call that has a checksum, right or wrong.
fn ids(call: &Call) -> Result<Vec<String>, Violation> {
    given(call)?;
    call.params.text("recordID").ok_or(errors::RECORD_ID)?;
    Ok(call.params.list("recordID"))
}

pub(super) fn given(call: &Call) -> Result<(), Violation> {
    call.params.text("checksum").map(|_| ()).ok_or(errors::RECORDINGS_CHECKSUM)
}

/// Whether the checksum fits, and the body is of a kind that is read.
pub(super) fn fits(call: &Call, shared: &Shared) -> Result<(), Violation> {
    let given = call.params.first("checksum");
    checksum::check(&call.name, &call.query, given, &shared.config.secret).map_err(|_| errors::RECORDINGS_CHECKSUM)?;
    call.content_type(&[FORMS], &shared.config.profile)
}

/// What `getRecordings` asks for.
struct Query {
    /// Beginnings of record ids; none is all.
    prefixes: Vec<String>,
    states: Vec<String>,
    metadata: BTreeMap<String, String>,
    page: Option<Page>,
}

struct Page {
    offset: usize,
    limit: usize,
}

impl Query {
    fn new(params: &Params) -> Self {
        let mut prefixes = params.list("recordID");
        if prefixes.is_empty() {
            prefixes = params.list("meetingID").iter().map(|ext_id| ids::meeting_hash(ext_id)).collect();
        }
        // A limit out of range is none, and without a limit there are no pages.
        let limit = params.text("limit").and_then(|limit| limit.parse().ok());
        let offset = params.text("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let page = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit)).map(|limit| Page { offset, limit });
        Self { prefixes, states: params.list("state"), metadata: params.metadata(), page }
    }

    fn asks_for_all(&self) -> bool {
        self.prefixes.is_empty() && self.page.is_none()
    }

    fn fits(&self, recording: &Recording) -> bool {
        let named = self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| recording.id.starts_with(prefix));
        named && self.fits_state(recording.state) && self.fits_metadata(&recording.metadata)
    }

    fn fits_state(&self, state: RecordingState) -> bool {
        match self.states.is_empty() {
            true => matches!(state, RecordingState::Published | RecordingState::Unpublished),
            false => self.states.iter().any(|wanted| wanted == "any" || wanted == state.name()),
        }
    }

    fn fits_metadata(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.metadata.iter().all(|(key, pattern)| metadata.get(key).is_some_and(|value| is_like(value, pattern)))
    }
}

/// Whether a value fits a pattern with `%` for anything at its start, its end or both.
fn is_like(value: &str, pattern: &str) -> bool {
    let (pattern, open_start) = pattern.strip_prefix('%').map_or((pattern, false), |rest| (rest, true));
    let (pattern, open_end) = pattern.strip_suffix('%').map_or((pattern, false), |rest| (rest, true));
    match (open_start, open_end) {
        (false, false) => value == pattern,
        (true, false) => value.ends_with(pattern),
        (false, true) => value.starts_with(pattern),
        (true, true) => value.contains(pattern),
    }
}

fn describe(xml: &mut Xml, recording: &Recording, shared: &Shared) {
    let formats = recording.playable();
    xml.nest("recording", |xml| {
        xml.leaf("recordID", &recording.id);
        xml.leaf("meetingID", &recording.ext_id);
        xml.leaf("internalMeetingID", &recording.id);
        xml.leaf("name", &recording.name);
        xml.leaf("isBreakout", recording.breakout.is_some());
        xml.leaf("published", recording.state == RecordingState::Published);
        xml.leaf("state", recording.state.name());
        xml.leaf("startTime", recording.start_time_ms);
        xml.leaf("endTime", recording.end_time_ms);
        xml.leaf("participants", recording.participants);
        xml.leaf("rawSize", recording.raw_bytes());
        xml.nest("metadata", |xml| recording.metadata.iter().for_each(|(key, value)| xml.leaf(key, value)));
        if let Some(breakout) = &recording.breakout {
            xml.nest("breakout", |xml| {
                xml.leaf("parentId", &breakout.parent);
                xml.leaf("sequence", breakout.sequence);
                xml.leaf("freeJoin", breakout.free_join);
            });
        }
        if !recording.breakout_rooms.is_empty() {
            xml.nest("breakoutRooms", |xml| {
                recording.breakout_rooms.iter().for_each(|room| xml.leaf("breakoutRoom", room));
            });
        }
        xml.leaf("size", formats.iter().map(|format| recording.bytes(*format)).sum::<u64>());
        xml.nest("playback", |xml| formats.iter().for_each(|format| playback(xml, recording, *format, shared)));
        xml.nest("data", |xml| {
            if formats.contains(&RecordingFormat::Presentation) {
                xml.nest("format", |xml| {
                    xml.leaf("type", "events");
                    xml.leaf("url", format!("{}/presentation/{}/events.xml", shared.config.server_url, recording.id));
                });
            }
        });
    });
}

fn playback(xml: &mut Xml, recording: &Recording, format: RecordingFormat, shared: &Shared) {
    let server = &shared.config.server_url;
    xml.nest("format", |xml| {
        xml.leaf("type", format.name());
        xml.leaf("url", format!("{server}{}", format.path(&recording.id)));
        xml.leaf("processingTime", recording.processing_ms());
        xml.leaf("length", recording.duration_ms() / 60_000);
        xml.leaf("size", recording.bytes(format));
        if format == RecordingFormat::Presentation {
            let url = format!(
                "{server}/presentation/{}/presentation/{}/thumbnails/thumb-1.png",
                recording.id,
                recording.presentation_id()
            );
            let attributes = [("width", "176"), ("height", "136"), ("alt", recording.name.as_str())];
            xml.nest("preview", |xml| {
                xml.nest("images", |xml| xml.leaf_with("image", &attributes, url));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_stands_for_anything_at_either_end() {
        for (pattern, fits) in [
            ("Algebra II", true),
            ("Algebra", false),
            ("Algebra%", true),
            ("%II", true),
            ("%gebra%", true),
            ("%Algebra II%", true),
            ("%", true),
            ("gebra%", false),
            ("A%II", false),
            ("algebra ii", false),
            ("", false),
        ] {
            assert_eq!(is_like("Algebra II", pattern), fits, "{pattern}");
        }
    }
}
