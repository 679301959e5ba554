//! Questions to a server about one of its meetings.

use super::Meetings;
use crate::{
    bbb::{answer::Failure, query::Params, xml},
    domain::{backend_error::BackendError, tenant::Server},
    live::Meeting,
    upstream::{ApiCall, Caller},
};

/// Asks a server about one of its meetings, for the gateway itself or for many.
pub(super) async fn about(
    meetings: &Meetings,
    name: &'static str,
    meeting: &Meeting,
    server: &Server,
) -> Result<xml::Answer, BackendError> {
    about_for(meetings, name, meeting, server, Caller::default()).await
}

/// The same for one caller.
pub(super) async fn about_for(
    meetings: &Meetings,
    name: &'static str,
    meeting: &Meeting,
    server: &Server,
    caller: Caller,
) -> Result<xml::Answer, BackendError> {
    let mut params = Params::default();
    params.set("meetingID", meeting.server_meeting_id.as_str());
    let call = ApiCall { caller, ..ApiCall::new(name, &params) };
    meetings.backends.call_xml(call, server, &meeting.tenant, Some(meeting.ext_id.as_str())).await
}

/// Whether a server says that it knows no such meeting.
pub(super) fn is_gone(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::NOT_FOUND.key
}
