//! The calls that ask about meetings: `end`, `isMeetingRunning`, `getMeetingInfo`, `getMeetings` and `getSessions`.
//!
//! All but `end` are answered from what a server said a moment ago, if nothing has been done through the gateway since:
//! however many ask, a server is asked once. How old an answer is stands in the header `Age`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, StatusCode, header::AGE};

use super::Verified;
use crate::{
    bbb::{
        answer::{self, Failure},
        validate::about_a_meeting,
    },
    domain::{denial::Denial, ids::TenantId, tenant::Server},
    live::{Meeting, fresh::Moment},
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::{Answer, text},
        end::{End, is_gone},
    },
    upstream::Body,
};

impl Gateway {
    /// Answers for one meeting, and for one that is not there as BBB does.
    pub(super) async fn ask(&self, call: Call, asked: &Verified) -> Answer {
        let directory = &asked.asked.directory;
        let missing = if call == Call::IsMeetingRunning { Failure::MEETING_ID_MISSING } else { Failure::NOT_FOUND };
        let ext_id = match about_a_meeting(&asked.params, missing) {
            Ok(id) => id,
            Err(failure) => return Answer::failure(call, failure),
        };
        let meeting = match self.meeting(asked.asked.account(), ext_id).await {
            Ok(Some(meeting)) => meeting,
            Ok(None) => return not_there(call),
            Err(denial) => return Answer::denied(call, denial),
        };
        let Some(server) = directory.server(meeting.server.as_str()) else {
            return Answer::denied(call, Denial::ServerUnavailable);
        };
        let answered = match call {
            Call::End => self.end(&meeting, server).await.map(ended),
            _ => self.info(call, &meeting, server).await,
        };
        let mut answer = answered.unwrap_or_else(|denial| Answer::denied(call, denial));
        answer.server = Some(server.id.clone());
        answer
    }

    /// `getMeetingInfo`, and `isMeetingRunning`, which tells one thing of it.
    async fn info(&self, call: Call, meeting: &Arc<Meeting>, server: &Server) -> Result<Answer, Denial> {
        let made = meeting.internal_id().is_some();
        let question = || self.about("getMeetingInfo", meeting, server);
        let held = meeting.info.get(meeting.touched(), self.answers_max_age, question).await;
        let info = held.answer.as_ref().map_err(|error| error.denial())?;
        if made && is_gone(info) {
            self.end_noted(meeting).await;
        }
        let mut answer = match call {
            Call::IsMeetingRunning => Answer::xml(call, Outcome::Ok, answer::running(info.success && info.running)),
            _ if info.success => Answer::xml(call, Outcome::Ok, info.body.clone()),
            _ => Answer::xml(call, Outcome::Refused, info.body.clone()),
        };
        state_age(&mut answer, held.asked);
        Ok(answer)
    }

    /// Shows the tenant's meetings, or its sessions, on all its servers. A server that does not answer makes the list
    /// shorter, never an error.
    pub(super) async fn list(&self, call: Call, asked: &Verified) -> Answer {
        let (tenant, directory) = (&asked.asked.tenant, &asked.asked.directory);
        let servers = self.live.servers_of(&tenant.id);
        let known = servers.iter().filter_map(|(id, touched)| Some((directory.server(id.as_str())?, *touched)));
        let known = known.map(|(server, touched)| self.own_of(call, server, touched, &tenant.id));
        let answered = join_all(known).await;
        let oldest = answered.iter().flatten().map(|(asked, _)| *asked).min();
        let own: Vec<Bytes> = answered.into_iter().flatten().filter_map(|(_, own)| own).collect();
        let pieces = if call == Call::GetSessions { answer::sessions(own) } else { answer::meetings(own) };
        let response = text(StatusCode::OK, "text/xml;charset=utf-8", Body::Pieces(pieces.into()));
        let mut answer = Answer::new(call, Outcome::Ok, response);
        if let Some(oldest) = oldest {
            state_age(&mut answer, oldest);
        }
        answer
    }

    /// What one server lists of a tenant, and when it was asked; `None` for a server that does not answer.
    async fn own_of(
        &self,
        call: Call,
        server: &Server,
        touched: Moment,
        tenant: &TenantId,
    ) -> Option<(Moment, Option<Bytes>)> {
        let state = self.live.servers.of(&server.id);
        if state.is_offline() {
            return None;
        }
        if call == Call::GetSessions {
            let held = state.sessions.get(touched, self.answers_max_age, || self.sessions_of(server)).await;
            let list = held.answer.as_ref().ok()?;
            return Some((held.asked, list.get(tenant.as_str()).cloned()));
        }
        let held = state.list.get(touched, self.answers_max_age, || self.meetings_of(server)).await;
        let list = held.answer.as_ref().ok()?;
        Some((held.asked, list.by_tenant.get(tenant.as_str()).cloned()))
    }
}

fn state_age(answer: &mut Answer, asked: Moment) {
    answer.response.headers_mut().insert(AGE, HeaderValue::from(asked.age().as_secs()));
}

fn ended(end: End) -> Answer {
    let outcome = if end.answer.success { Outcome::Ok } else { Outcome::Refused };
    Answer::xml(Call::End, outcome, end.answer.body)
}

fn not_there(call: Call) -> Answer {
    if call == Call::IsMeetingRunning {
        Answer::xml(call, Outcome::Ok, answer::running(false))
    } else {
        Answer::failure(call, Failure::NOT_FOUND)
    }
}
