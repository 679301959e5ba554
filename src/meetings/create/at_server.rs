//! What a `create` asks of a server, and what it takes over from the answer.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderValue;

use super::order::Order;
use crate::{
    bbb::{answer::Failure, params, release, xml},
    domain::{
        admission::duration_left, backend_error::BackendError, ids::InternalId, limits::Limit, rules::Of,
        tenant::Server,
    },
    live::Meeting,
    meetings::{Meetings, end::tell_to_end},
    store::Note,
    upstream::{ApiCall, Body},
};

/// Asks a server for the meeting, which may last as long as its room has left after running for `used`.
pub(super) async fn create(
    meetings: &Meetings,
    order: &Order,
    server: &Server,
    used: Duration,
) -> Result<xml::Answer, BackendError> {
    let mut params = Cow::Borrowed(&order.params);
    if !used.is_zero() {
        // A meeting that is over already does no harm for a minute.
        let left = duration_left(&order.tenant.limits, used).unwrap_or(Limit::AtMost(Duration::ZERO));
        params.to_mut().set("duration", params::duration(&order.given, left));
    }
    let release = meetings.live.servers.of(&server.id).reported.release();
    let params = release::fit(Of::Create, &params, release);
    let mut call = ApiCall::new("create", &params);
    call.body = order.modules.clone().map(|xml| (HeaderValue::from_static("application/xml"), Body::from(xml)));
    call.caller = order.caller.clone();
    meetings.backends.call_xml(call, server, &order.tenant.id, Some(&order.ext_id)).await
}

/// Asks a server for a meeting whose id is free as far as we know. One that has a former run which has not quite ended is
/// told to end it, and asked again (docs/reference/bbb-protocol.md, "Answer of create").
pub(super) async fn create_new(
    meetings: &Meetings,
    order: &Order,
    server: &Server,
    used: Duration,
) -> Result<xml::Answer, BackendError> {
    let answer = create(meetings, order, server, used).await?;
    if !is_stuck(&answer) {
        return Ok(answer);
    }
    undo(meetings, order, server).await;
    create(meetings, order, server, used).await
}

/// Has a server end what a `create` without a readable answer may have made, before another one may go elsewhere.
pub(super) async fn undo(meetings: &Meetings, order: &Order, server: &Server) {
    let _ = tell_to_end(meetings, server, &order.server_meeting_id).await;
}

/// Notes what the server has made.
pub(super) async fn note_created(meetings: &Meetings, meeting: &Arc<Meeting>, answer: &xml::Answer) {
    meeting.touch();
    if meeting.internal_id().is_none() && !answer.internal_id.is_empty() {
        meetings.live.name_meeting(meeting, &answer.internal_id);
        // An id of another form is not written down: it may harm its readers.
        if !meeting.may_be_called(&answer.internal_id) {
            return;
        }
        let internal_id = InternalId::new(&answer.internal_id);
        meetings.notes.leave(Note::Created { meeting: meeting.id, internal_id });
        meetings.flush_notes().await;
    }
}

/// Whether a server says that an id is taken which is free as far as we know.
fn is_stuck(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::ID_NOT_UNIQUE.key
}
