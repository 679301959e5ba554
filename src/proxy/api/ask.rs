//! The calls that ask about meetings: `end`, `isMeetingRunning`, `getMeetingInfo`, and `getMeetings`.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Verified, meeting_id};
use crate::{
    bbb::{
        answer::{self, Failure},
        client::{Call as ServerCall, CallError},
        meeting_id as ids,
        query::Params,
        xml,
    },
    domain::{denial::Denial, ids::ServerId, tenant::Server},
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer},
};

/// A list waits for the slowest server no longer than this: the others' meetings are shown.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

impl Gateway {
    /// Asks the meeting's server, and answers for a meeting that is not there as BBB does.
    pub(super) async fn ask(&self, call: Call, name: &'static str, asked: &Verified) -> Answer {
        let (tenant, directory) = (&asked.asked.tenant, &asked.asked.directory);
        let missing = if call == Call::IsMeetingRunning { Failure::MEETING_ID_MISSING } else { Failure::NOT_FOUND };
        let ext_id = match meeting_id(&asked.params, missing) {
            Ok(id) => id,
            Err(failure) => return Answer::failure(call, failure),
        };
        let Some(meeting) = self.live.meeting(&tenant.id, ext_id) else {
            return not_there(call);
        };
        let Some(server) = directory.server(meeting.server.as_str()) else {
            return Answer::denied_xml(call, Denial::ServerUnavailable);
        };
        // A server that has not answered its `create` yet may not know the meeting: that is not its end.
        let made = meeting.internal_id().is_some();
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let reply = match ServerCall::new(name, &params).send(&self.pool, server).await {
            Ok(reply) => xml::answer(&reply.body, &tenant.id, Some(ext_id)).map_err(|_| CallError::Broken),
            Err(error) => Err(error),
        };
        let answer = match reply {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(server = %server.id, call = name, %error, "a call came to nothing");
                if error == CallError::Connect {
                    self.unreachable(server);
                }
                return Answer::denied_xml(call, Denial::ServerUnavailable).by(&server.id);
            }
        };
        let gone = made && !answer.success && answer.message_key == Failure::NOT_FOUND.key;
        if ((call == Call::End && answer.success) || gone)
            && let Err(error) = self.end_record(&meeting).await
        {
            tracing::error!(%error, "an end is not written yet");
            return Answer::denied_xml(call, Denial::StoreUnavailable).by(&server.id);
        }
        let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
        Answer::xml(call, outcome, answer.body).by(&server.id)
    }

    /// Asks the servers that the tenant has meetings on, all at once, and shows the tenant's own meetings. A server that
    /// does not answer makes the list shorter, never an error.
    pub(super) async fn list(&self, asked: &Verified) -> Answer {
        let (tenant, directory) = (&asked.asked.tenant, &asked.asked.directory);
        let servers = self.live.servers_of(&tenant.id);
        let lists = servers.iter().filter_map(|id: &ServerId| directory.server(id.as_str())).map(
            async |server: &std::sync::Arc<Server>| {
                let params = Params::default();
                let mut call = ServerCall::new("getMeetings", &params);
                call.timeout = LIST_TIMEOUT;
                let reply = call.send(&self.pool, server).await.ok()?;
                let own = |id: &str| {
                    let own = ids::from_server(&tenant.id, id)?;
                    let known = self.live.meeting_on_server(id).map(|m| m.ext_id.to_string());
                    Some(known.unwrap_or_else(|| own.to_owned()))
                };
                xml::list(&reply.body, own).ok()
            },
        );
        let elements: Vec<String> =
            join_all(lists).await.into_iter().flatten().flatten().map(|meeting| meeting.element).collect();
        Answer::xml(Call::GetMeetings, Outcome::Ok, answer::meetings(&elements))
    }

    /// Notes that a server could not be reached: it is not chosen until it has answered a poll.
    pub(crate) fn unreachable(&self, server: &Server) {
        if self.live.servers.of(&server.id).set_up(false) {
            tracing::warn!(server = %server.id, "the server cannot be reached");
        }
    }
}

fn not_there(call: Call) -> Answer {
    if call == Call::IsMeetingRunning {
        Answer::xml(call, Outcome::Ok, answer::running(false))
    } else {
        Answer::failure(call, Failure::NOT_FOUND)
    }
}
