//! `sendChatMessage`.

use super::{addressed::Addressed, verified::Verified};
use crate::{
    bbb::{
        answer::Failure,
        query::Params,
        validate::{about_a_meeting, chat_message},
    },
    domain::denial::Denial,
    metrics::{Call, Outcome},
    proxy::{answer::Answer, gateway::Gateway},
    upstream::ApiCall,
};

/// Answers `sendChatMessage`.
pub(super) async fn send_chat_message(gateway: &Gateway, call: &Verified) -> Answer {
    let name = Call::SendChatMessage;
    let (tenant, directory) = (&call.asked.tenant, &call.asked.directory);
    let checked = chat_message(&call.params);
    let ext_id = match checked.and_then(|()| about_a_meeting(&call.params, Failure::MEETING_NOT_FOUND)) {
        Ok(id) => id,
        Err(failure) => return Answer::failure(name, failure),
    };
    let to = match Addressed::find(gateway, &call.asked, ext_id).await {
        Ok(Some(to)) => to,
        Ok(None) => return Answer::failure(name, Failure::MEETING_NOT_FOUND),
        Err(denial) => return Answer::denied(name, denial),
    };
    let Some(server) = directory.server(to.meeting.server.as_str()) else {
        return Answer::denied(name, Denial::ServerUnavailable);
    };
    let mut params = Params::default();
    params.set("meetingID", to.server_id());
    for known in ["message", "userName"] {
        if let Some(value) = call.params.get(known) {
            params.set(known, value);
        }
    }
    let mut to_server = ApiCall::new("sendChatMessage", &params);
    to_server.caller = call.asked.caller();
    let answer = match gateway.meetings.backends.call_xml(to_server, server, &tenant.id, Some(ext_id)).await {
        Ok(answer) if answer.success => Answer::xml(name, Outcome::Ok, answer.body),
        Ok(answer) => Answer::xml(name, Outcome::Refused, answer.body),
        Err(error) => Answer::denied(name, error.denial()),
    };
    answer.by(&server.id)
}
