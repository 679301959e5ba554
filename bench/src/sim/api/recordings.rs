//! The recordings calls of a server that has no recordings yet.

use axum::response::Response;
use serde_json::json;

use super::super::answer::{self, Xml};
use super::super::errors::{self, Violation};
use super::super::{Shared, checksum};
use super::Call;

pub(super) fn list(call: &Call, shared: &Shared) -> Response {
    if let Err(violation) = given(call).and_then(|()| fits(call, shared)) {
        return answer::failed(&violation);
    }
    let mut xml = Xml::success();
    xml.nest("recordings", |_| {});
    xml.message("noRecordings", "There are no recordings for the meeting(s).");
    xml.into_response()
}

/// `publishRecordings`, `deleteRecordings` and `updateRecordings`: presence of the parameters is checked before the value
/// of the checksum.
pub(super) fn change(call: &Call, shared: &Shared) -> Response {
    let present = |name, violation| call.params.text(name).map(|_| ()).ok_or(violation);
    let checked = given(call)
        .and_then(|()| present("recordID", errors::RECORD_ID))
        .and_then(|()| match call.name.as_str() {
            "publishRecordings" => present("publish", errors::PUBLISH),
            _ => Ok(()),
        })
        .and_then(|()| fits(call, shared));
    answer::failed(&checked.err().unwrap_or(errors::NO_SUCH_RECORDING))
}

pub(super) fn text_tracks(call: &Call, shared: &Shared) -> Response {
    let record_id = call.params.text("recordID");
    let checked = given(call).and_then(|()| record_id.ok_or(errors::RECORD_ID)).and_then(|record_id| {
        fits(call, shared)?;
        Ok(record_id)
    });
    let (key, message) = match checked {
        Ok(record_id) => ("noRecordings", format!("No recording found for {record_id}")),
        Err(violation) => (violation.key, violation.message.to_owned()),
    };
    let response = json!({ "returncode": "FAILED", "messageKey": key, "message": message });
    answer::json(&json!({ "response": response }))
}

fn given(call: &Call) -> Result<(), Violation> {
    call.params.text("checksum").map(|_| ()).ok_or(errors::RECORDINGS_CHECKSUM)
}

fn fits(call: &Call, shared: &Shared) -> Result<(), Violation> {
    let given = call.params.first("checksum");
    checksum::check(&call.name, &call.query, given, &shared.config.secret).map_err(|_| errors::RECORDINGS_CHECKSUM)
}
