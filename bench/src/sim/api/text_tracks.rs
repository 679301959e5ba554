//! `getRecordingTextTracks` and `putRecordingTextTrack`: subtitles and captions of recordings, answered in JSON.

use std::time::Instant;

use axum::response::Response;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::answer;
use super::super::errors::{self, Violation};
use super::super::params::multipart_file;
use super::super::recording::TextTrack;
use super::{Call, recordings};

/// A `messageKey` and its message.
type Failure = (&'static str, String);

pub(super) fn list(call: &Call, shared: &Shared) -> Response {
    respond(tracks(call, shared))
}

pub(super) fn put(call: &Call, shared: &Shared) -> Response {
    respond(add(call, shared))
}

fn tracks(call: &Call, shared: &Shared) -> Result<Value, Failure> {
    recordings::given(call).map_err(failure)?;
    let id = call.params.text("recordID").ok_or(errors::RECORD_ID).map_err(failure)?;
    recordings::fits(call, shared).map_err(failure)?;
    let mut world = shared.world();
    let Some(recording) = world.recordings.get(id) else {
        return Err(("noRecordings", format!("No recording found for {id}")));
    };
    let tracks = recording.text_tracks.clone();
    if tracks.is_empty() {
        return Err(("noCaptionsFound", format!("No captions found for {id}")));
    }
    let mut told = Vec::new();
    for track in tracks {
        let token = world.recordings.link_track(id, track.file(), Instant::now());
        told.push(json!({
            "href": format!("{}/bigbluebutton/textTrack/{token}/{id}/{}", shared.config.server_url, track.file()),
            "kind": track.kind,
            "label": track.label,
            "lang": track.lang,
            "source": track.source,
        }));
    }
    Ok(json!({ "returncode": "SUCCESS", "tracks": told }))
}

fn add(call: &Call, shared: &Shared) -> Result<Value, Failure> {
    let param = |name| call.params.text(name).ok_or_else(|| ("paramError", format!("Missing param {name}.")));
    recordings::given(call).map_err(failure)?;
    let (id, kind, lang) = (param("recordID")?, param("kind")?, param("lang")?);
    recordings::fits(call, shared).map_err(failure)?;
    let mut world = shared.world();
    let Some(recording) = world.recordings.get_mut(id) else {
        return Err(("noRecordings", format!("No recording was found for {id}")));
    };
    if !["subtitles", "captions"].contains(&kind) {
        return Err(("invalidKind", format!("Invalid kind parameter, expected='subtitles|captions' actual={kind}")));
    }
    if !is_locale(lang) {
        return Err(("invalidLang", format!("Malformed lang param, received={lang}")));
    }
    let content = multipart_file(&call.body, &call.content_type, "file").filter(|content| !content.is_empty());
    let Some(content) = content else {
        return Err(("empty_uploaded_text_track", "Empty uploaded text track.".to_owned()));
    };
    let track = TextTrack {
        kind: kind.to_owned(),
        lang: lang.to_owned(),
        label: call.params.text("label").unwrap_or(lang).to_owned(),
        source: "upload".to_owned(),
        content,
    };
    // One file for each kind and language: a new one takes the place of the old.
    recording.text_tracks.retain(|other| other.file() != track.file());
    recording.text_tracks.push(track);
    Ok(json!({
        "returncode": "SUCCESS",
        "messageKey": "upload_text_track_success",
        "message": "Text track uploaded successfully",
        "recordId": id,
    }))
}

/// Whether this has the shape of a Java locale: a language and perhaps more, all short words.
fn is_locale(text: &str) -> bool {
    let mut words = text.split(['-', '_']);
    let is_language = |word: &str| (2..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_word = |word: &str| (1..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    words.next().is_some_and(is_language) && words.all(is_word)
}

fn failure(violation: Violation) -> Failure {
    (violation.key, violation.message.to_owned())
}

fn respond(outcome: Result<Value, Failure>) -> Response {
    let response = outcome
        .unwrap_or_else(|(key, message)| json!({ "returncode": "FAILED", "messageKey": key, "message": message }));
    answer::json(&json!({ "response": response }))
}
