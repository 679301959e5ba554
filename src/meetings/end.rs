//! The end of a meeting, asked for or noticed: by the tenant's call, by the operator, in what its server answers.

use std::{sync::Arc, time::Duration};

use super::{
    Meetings,
    about::{about, about_for, is_gone},
};
use crate::{
    bbb::{query::Params, xml},
    domain::{backend_error::BackendError, denial::Denial, tenant::Server},
    live::Meeting,
    store,
    upstream::{ApiCall, Caller},
};

/// A caller may wait for it, and the server may just have been slow.
const TELL_TIMEOUT: Duration = Duration::from_secs(3);

/// What became of an end that was asked for.
#[derive(Debug)]
pub(crate) struct End {
    /// What the server said.
    pub(crate) answer: xml::Answer,
    /// Whether the meeting is over: the server has ended it, or did not know it any more.
    pub(crate) over: bool,
}

/// Has its server end a meeting, and ends its record.
///
/// # Errors
/// The server does not answer. A refusal of the server is an answer.
pub(crate) async fn end(
    meetings: &Meetings,
    meeting: &Arc<Meeting>,
    server: &Server,
    caller: Caller,
) -> Result<End, Denial> {
    // A server that has not answered its `create` yet may not know the meeting: that is not its end.
    let made = meeting.internal_id().is_some();
    let answer = about_for(meetings, "end", meeting, server, caller).await.map_err(BackendError::denial)?;
    let over = answer.success || (made && is_gone(&answer));
    if over {
        end_noted(meetings, meeting).await;
    }
    Ok(End { answer, over })
}

/// Whether a meeting has ended without our noticing. If so its record is ended.
pub(super) async fn is_over(meetings: &Meetings, meeting: &Arc<Meeting>, server: &Server) -> Result<bool, Denial> {
    let made = meeting.internal_id().is_some();
    let info = about(meetings, "getMeetingInfo", meeting, server).await.map_err(BackendError::denial)?;
    let over = made && is_gone(&info);
    if over {
        end_noted(meetings, meeting).await;
    }
    Ok(over)
}

/// Tells a server to end what it may have under an id. Returns whether it has answered: it ends it, or does not know it.
pub(crate) async fn tell_to_end(meetings: &Meetings, server: &Server, server_meeting_id: &str) -> bool {
    let mut params = Params::default();
    params.set("meetingID", server_meeting_id);
    let mut call = ApiCall::new("end", &params);
    call.timeout = TELL_TIMEOUT;
    meetings.backends.call(call, server).await.is_ok()
}

/// Ends the record of a meeting that is over on its server. Where that cannot be written it is over all the same, and a poll
/// writes it later.
pub(super) async fn end_noted(meetings: &Meetings, meeting: &Arc<Meeting>) {
    if let Err(error) = end_record(meetings, meeting).await {
        tracing::error!(%error, "failed to record the end of a meeting: retrying");
    }
}

/// Ends the record of a meeting: its room is free at once, its traffic is carried a while longer.
///
/// # Errors
/// When the store fails: the record stays, and the next poll tries again.
pub(crate) async fn end_record(meetings: &Meetings, meeting: &Arc<Meeting>) -> Result<(), store::Error> {
    let now = meetings.clock.now();
    if !meetings.store.meetings().end(meeting.id, now).await? {
        meetings.live.forget_recording(meeting);
    }
    meetings.live.remove_meeting(meeting, now);
    Ok(())
}
