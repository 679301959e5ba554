//! Playing recordings: the player page, and the files of what is published. Who knows the id may have them.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::params::Params;
use super::presentation::DEFAULT_PDF;
use super::recording::{Recording, RecordingFormat, RecordingState};
use super::static_file::{File, ranged};
use super::{Shared, answer};

const PLAYER: &str = include_str!("playback/index.html");
const PLAYER_SCRIPT: &str = include_str!("playback/main.js");

/// How long a simulated media file is, whatever the recording says of its size.
const MEDIA_BYTES: usize = 256 * 1024;

/// The answer for a path of a recording; `None` for other paths.
pub(crate) fn serve(path: &str, parts: &Parts, shared: &Shared) -> Option<Response> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let file = match segments[..] {
        ["playback", "presentation", "2.0", "playback.html"] => return Some(old_page(parts.uri.query(), shared)),
        ["playback", "presentation", "2.3", ref rest @ ..] => Some(player(rest)),
        ["playback", "video", id, ref rest @ ..] => video(id, rest, shared),
        ["playback", ..] => None,
        ["presentation", id, ref rest @ ..] => presentation(id, &rest.join("/"), shared),
        ["podcast", id, "audio.ogg"] => of_published(id, RecordingFormat::Podcast, shared, |_| media("audio/ogg")),
        ["notes", id, "notes.pdf"] => {
            of_published(id, RecordingFormat::Notes, shared, |_| Some(File::new("application/pdf", DEFAULT_PDF)))
        }
        ["podcast" | "notes", ..] => None,
        ["bigbluebutton", "textTrack", token, id, track] => {
            let Some(file) = text_track(token, id, track, shared) else {
                return Some(answer::page(StatusCode::UNAUTHORIZED));
            };
            Some(file)
        }
        _ => return None,
    };
    Some(match file {
        _ if !matches!(parts.method, Method::GET | Method::HEAD) => answer::page(StatusCode::METHOD_NOT_ALLOWED),
        Some(file) => ranged(file, &parts.headers),
        None => answer::page(StatusCode::NOT_FOUND),
    })
}

/// The place of a recording in links of the time before 2.3.
fn old_page(query: Option<&str>, shared: &Shared) -> Response {
    match Params::parse(query.unwrap_or_default()).text("meetingId") {
        Some(id) => {
            let target = format!("{}{}", shared.config.server_url, RecordingFormat::Presentation.path(id));
            answer::redirect(StatusCode::MOVED_PERMANENTLY, &target)
        }
        None => answer::page(StatusCode::NOT_FOUND),
    }
}

/// A file of the player, else its page, whatever the id: the page finds out whether there is such a recording.
fn player(path: &[&str]) -> File {
    match path {
        ["static", "js", "main.js"] => File::new("application/javascript", PLAYER_SCRIPT),
        _ => File::new("text/html", PLAYER),
    }
}

fn video(id: &str, path: &[&str], shared: &Shared) -> Option<File> {
    of_published(id, RecordingFormat::Video, shared, |recording| match path {
        ["" | "index.html"] => {
            let name = answer::escape(&recording.name);
            let page = format!("<!doctype html><title>{name}</title><video controls src=\"video-0.m4v\"></video>\n");
            Some(File::new("text/html", page))
        }
        ["video-0.m4v"] => media("video/mp4"),
        _ => None,
    })
}

/// A file of the format that the player shows.
fn presentation(id: &str, path: &str, shared: &Shared) -> Option<File> {
    of_published(id, RecordingFormat::Presentation, shared, |recording| {
        let pages = format!("presentation/{}", recording.presentation_id());
        match path {
            "metadata.xml" => Some(File::new("text/xml", metadata(recording, shared))),
            "events.xml" => Some(File::new("text/xml", "<recording><event/></recording>\n")),
            "shapes.svg" => Some(File::new("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n")),
            "slides_new.xml" => Some(File::new("text/xml", "<popcorn/>\n")),
            "captions.json" => Some(File::new("application/json", "[]")),
            "presentation_text.json" => Some(File::new("application/json", "{}")),
            "audio/audio.ogg" => Some(File::new("audio/wav", tone())),
            "video/webcams.webm" | "deskshare/deskshare.webm" => media("video/webm"),
            "video/webcams.mp4" => media("video/mp4"),
            _ if path.strip_prefix(&pages) == Some("/slide-1.png") => Some(File::new("image/png", PNG)),
            _ if path.strip_prefix(&pages) == Some("/thumbnails/thumb-1.png") => Some(File::new("image/png", PNG)),
            _ => None,
        }
    })
}

/// A file of a recording that has the format and is published; the others are not in the web root.
fn of_published(
    id: &str,
    format: RecordingFormat,
    shared: &Shared,
    file: impl FnOnce(&Recording) -> Option<File>,
) -> Option<File> {
    let world = shared.world();
    let recording = world.recordings.get(id)?;
    (recording.state == RecordingState::Published && recording.formats.contains(&format)).then(|| file(recording))?
}

fn text_track(token: &str, id: &str, track: &str, shared: &Shared) -> Option<File> {
    let mut world = shared.world();
    world.recordings.open_track(token, id, track).map(|track| File::new("text/vtt", track.content.clone()))
}

/// The file that the player reads first.
fn metadata(recording: &Recording, shared: &Shared) -> String {
    let link = format!("{}{}", shared.config.server_url, RecordingFormat::Presentation.path(&recording.id));
    let meta = recording.metadata.iter().map(|(key, value)| format!("<{key}>{}</{key}>", answer::escape(value)));
    format!(
        "<recording><id>{}</id><state>{}</state><published>true</published><start_time>{}</start_time>\
        <end_time>{}</end_time><participants>{}</participants><meta>{}</meta><playback><format>presentation</format>\
        <link>{link}</link><processing_time>{}</processing_time><duration>{}</duration><size>{}</size></playback>\
        </recording>\n",
        recording.id,
        recording.state.name(),
        recording.start_time_ms,
        recording.end_time_ms,
        recording.participants,
        meta.collect::<String>(),
        recording.processing_ms(),
        recording.duration_ms(),
        recording.bytes(RecordingFormat::Presentation),
    )
}

/// A minute of a tone that can be played and sought: a stand-in for the sound of a recording without cameras.
fn tone() -> Vec<u8> {
    const RATE: u32 = 8000;
    let samples = RATE * 60;
    let mut wav = Vec::from(*b"RIFF");
    wav.extend((36 + samples).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for (number, bytes) in [(16, 4), (1, 2), (1, 2), (RATE, 4), (RATE, 4), (1, 2), (8, 2), (0, 0)] {
        wav.extend(&u32::to_le_bytes(number)[..bytes]);
    }
    wav.extend(b"data");
    wav.extend(samples.to_le_bytes());
    wav.extend((0..samples).map(|n| if n / 20 % 2 == 0 { 120 } else { 136 }));
    wav
}

/// Bytes that tell their place: no media, but good enough to see whether a range is the right one.
fn media(content_type: &'static str) -> Option<File> {
    let bytes: Vec<u8> = (0..MEDIA_BYTES / 8).flat_map(|word| format!("{word:07}\n").into_bytes()).collect();
    Some(File::new(content_type, bytes))
}

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x60, 0x60, 0x60,
    0x60, 0, 0, 0, 5, 0, 1, 0xa5, 0xf6, 0x45, 0x40, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
