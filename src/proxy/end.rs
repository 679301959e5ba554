//! The end of a meeting, asked for or noticed: by the tenant's call, by the operator, in what its server answers.

use std::{sync::Arc, time::Duration};

use super::Gateway;
use crate::{
    bbb::{
        answer::Failure,
        client::{Call, CallError},
        query::Params,
        xml,
    },
    domain::{denial::Denial, tenant::Server},
    live::Meeting,
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

impl Gateway {
    /// Has its server end a meeting, and ends its record.
    pub(crate) async fn end(&self, meeting: &Arc<Meeting>, server: &Server) -> Result<End, Denial> {
        // A server that has not answered its `create` yet may not know the meeting: that is not its end.
        let made = meeting.internal_id().is_some();
        let answer = self.about("end", meeting, server).await.map_err(CallError::denial)?;
        let over = answer.success || (made && is_gone(&answer));
        if over {
            self.end_noted(meeting).await;
        }
        Ok(End { answer, over })
    }

    /// Whether a meeting has ended without our noticing. If so its record is ended.
    pub(super) async fn is_over(&self, meeting: &Arc<Meeting>, server: &Server) -> Result<bool, Denial> {
        let made = meeting.internal_id().is_some();
        let info = self.about("getMeetingInfo", meeting, server).await.map_err(CallError::denial)?;
        let over = made && is_gone(&info);
        if over {
            self.end_noted(meeting).await;
        }
        Ok(over)
    }

    /// Tells a server to end what it may have under an id. Returns whether it has answered: it ends it, or does not know it.
    pub(crate) async fn tell_to_end(&self, server: &Server, server_id: &str) -> bool {
        let mut params = Params::default();
        params.set("meetingID", server_id);
        let mut call = Call::new("end", &params);
        call.timeout = TELL_TIMEOUT;
        self.call(call, server).await.is_ok()
    }

    /// Asks a server about one of its meetings.
    pub(super) async fn about(
        &self,
        name: &'static str,
        meeting: &Meeting,
        server: &Server,
    ) -> Result<xml::Answer, CallError> {
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        self.call_xml(Call::new(name, &params), server, &meeting.tenant, Some(&meeting.ext_id)).await
    }

    /// Ends the record of a meeting that is over on its server. Where that cannot be written it is over all the same, and a poll
    /// writes it later.
    pub(super) async fn end_noted(&self, meeting: &Arc<Meeting>) {
        if let Err(error) = self.end_record(meeting).await {
            tracing::error!(%error, "failed to record the end of a meeting: retrying");
        }
    }
}

/// Whether a server says that it knows no such meeting.
pub(super) fn is_gone(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::NOT_FOUND.key
}
