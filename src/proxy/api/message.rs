//! `sendChatMessage`.

use super::Verified;
use crate::{
    bbb::{
        answer::Failure,
        client::Call as ServerCall,
        query::Params,
        validate::{about_a_meeting, chat_message},
        xml,
    },
    domain::denial::Denial,
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer},
};

impl Gateway {
    /// Answers `sendChatMessage`.
    pub(super) async fn send_chat_message(&self, call: &Verified) -> Answer {
        let name = Call::SendChatMessage;
        let (tenant, directory) = (&call.asked.tenant, &call.asked.directory);
        let checked = chat_message(&call.params);
        let ext_id = match checked.and_then(|()| about_a_meeting(&call.params, Failure::MEETING_NOT_FOUND)) {
            Ok(id) => id,
            Err(failure) => return Answer::failure(name, failure),
        };
        let Some(meeting) = self.live.meeting(&tenant.id, ext_id) else {
            return Answer::failure(name, Failure::MEETING_NOT_FOUND);
        };
        let Some(server) = directory.server(meeting.server.as_str()) else {
            return Answer::denied(name, Denial::ServerUnavailable);
        };
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        for known in ["message", "userName"] {
            if let Some(value) = call.params.get(known) {
                params.set(known, value);
            }
        }
        let reply = ServerCall::new("sendChatMessage", &params).send(&self.pool, server).await;
        let answer = reply.ok().and_then(|reply| xml::answer(&reply.body, &tenant.id, Some(ext_id)).ok());
        let answer = match answer {
            Some(answer) if answer.success => Answer::xml(name, Outcome::Ok, answer.body),
            Some(answer) => Answer::xml(name, Outcome::Refused, answer.body),
            None => Answer::denied(name, Denial::ServerUnavailable),
        };
        answer.by(&server.id)
    }
}
