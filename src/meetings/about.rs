//! Questions to a server about one of its meetings.

use super::Meetings;
use crate::{
    bbb::{answer::Failure, query::Params, xml},
    domain::{backend_error::BackendError, tenant::Server},
    live::Meeting,
    upstream::ApiCall,
};

/// Asks a server about one of its meetings.
pub(super) async fn about(
    meetings: &Meetings,
    name: &'static str,
    meeting: &Meeting,
    server: &Server,
) -> Result<xml::Answer, BackendError> {
    let mut params = Params::default();
    params.set("meetingID", meeting.server_meeting_id.as_str());
    meetings
        .backends
        .call_xml(ApiCall::new(name, &params), server, &meeting.tenant, Some(meeting.ext_id.as_str()))
        .await
}

/// Whether a server says that it knows no such meeting.
pub(super) fn is_gone(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::NOT_FOUND.key
}
