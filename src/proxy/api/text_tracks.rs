//! Subtitles and captions of recordings: `getRecordingTextTracks` and `putRecordingTextTrack`, which answer in JSON.

use bytes::Bytes;
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    read::{BODY_BYTES_MAX, files_of},
    verified::Verified,
};
use crate::{
    bbb::{answer::Failure, query::Params, recordings::Reader},
    domain::denial::Denial,
    metrics::{Call, Outcome},
    proxy::{answer::Answer, asked::Asked, gateway::Gateway, held::Whole},
    upstream::{ApiCall, Incoming},
};

/// What `putRecordingTextTrack` needs, in the order in which BBB misses it.
const OF_A_TRACK: [&str; 4] = ["recordID", "kind", "lang", "label"];
/// Divides the one part of a body that the gateway writes itself; a track that has it in it is refused.
const BOUNDARY: &str = "anteroom-7d2f0c1b9a4e4c6f8e35";

/// Answers `getRecordingTextTracks`.
pub(super) async fn text_tracks(gateway: &Gateway, call: &Verified) -> Answer {
    let name = Call::GetRecordingTextTracks;
    let asked = &call.asked;
    let record_id = call.params.get("recordID").unwrap_or_default();
    let Some(recording) = gateway.meetings.live.recordings.get(&asked.tenant.id, record_id) else {
        let message = format!("No recording found for {record_id}");
        return Answer::failed(name, "noRecordings", &message);
    };
    let Some(server) = asked.directory.server(recording.server.as_str()) else {
        return Answer::denied(name, Denial::ServerUnavailable);
    };
    let mut params = Params::default();
    params.set("recordID", recording.id.as_str());
    let reader = Reader { tenant: &asked.tenant.id, names: &server.names, authority: &asked.authority };
    let mut to_server = ApiCall::new(name.as_str(), &params);
    to_server.caller = asked.caller();
    let reply = gateway.meetings.backends.call(to_server, server).await;
    told(name, reply.ok().and_then(|reply| reader.text_tracks(&reply.body))).by(&server.id)
}

/// Answers `putRecordingTextTrack`, whose parameters stand in the query
/// (docs/reference/bbb-protocol.md, "Recordings calls"). Of the body only the file is forwarded: the other
/// parts are not signed, and a server might read them.
pub(super) async fn put_text_track(
    gateway: &Gateway,
    asked: &Asked,
    query: &Params,
    body: Incoming,
) -> Result<Answer, Failure> {
    let call = Call::PutRecordingTextTrack;
    let refuse = |key: &str, message: String| Ok(Answer::failed(call, key, &message));
    if let Some(name) = OF_A_TRACK.iter().find(|name| query.get(name).is_none_or(str::is_empty)) {
        return refuse("paramError", format!("Missing param {name}."));
    }
    let record_id = query.get("recordID").unwrap_or_default();
    let Some(recording) = gateway.meetings.live.recordings.get(&asked.tenant.id, record_id) else {
        return refuse("noRecordings", format!("No recording was found for {record_id}"));
    };
    let server = asked.directory.server(recording.server.as_str()).ok_or(Denial::ServerUnavailable)?;
    // Charged until it is answered.
    let Whole { bytes: whole, charge: _charge } = gateway.bodies.read(asked, body, BODY_BYTES_MAX, true).await?;
    let mut params = Params::default();
    for name in OF_A_TRACK {
        params.set(name, query.get(name).unwrap_or_default());
    }
    let mut to_server = ApiCall::new("putRecordingTextTrack", &params);
    to_server.method = Method::POST;
    to_server.caller = asked.caller();
    if !whole.is_empty() {
        let mut files = files_of(asked, whole).await?;
        let (Some(file), true) = (files.remove("file"), files.is_empty()) else {
            return Err(Failure::QUERY);
        };
        let form = form(&file).ok_or(Failure::QUERY)?;
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        to_server.body = Some((HeaderValue::from_str(&content_type).map_err(|_| Failure::QUERY)?, form.into()));
    }
    let reply = gateway.meetings.backends.call(to_server, server).await;
    let json = reply.ok().and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
    Ok(told(call, json).by(&server.id))
}

/// A form of one file. `None` where the file has the boundary in it.
fn form(file: &[u8]) -> Option<Bytes> {
    if file.windows(BOUNDARY.len()).any(|window| window == BOUNDARY.as_bytes()) {
        return None;
    }
    let mut form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"track\"\r\n{CONTENT_TYPE}: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(file);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    Some(form.into())
}

/// What a server said, if it was an answer.
fn told(call: Call, json: Option<Value>) -> Answer {
    match json {
        Some(json) if json["response"]["returncode"] == json!("SUCCESS") => Answer::json(call, Outcome::Ok, &json),
        Some(json) if json["response"]["returncode"].is_string() => Answer::json(call, Outcome::Refused, &json),
        _ => Answer::denied(call, Denial::ServerUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_does_not_end_its_own_part() {
        assert!(form(format!("1\r\n--{BOUNDARY}\r\n").as_bytes()).is_none());
        assert!(form(b"WEBVTT").is_some_and(|form| form.ends_with(format!("WEBVTT\r\n--{BOUNDARY}--\r\n").as_bytes())));
    }
}
