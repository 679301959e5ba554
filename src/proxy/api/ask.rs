//! The calls that ask about meetings: `end`, `isMeetingRunning`, `getMeetingInfo`, `getMeetings` and `getSessions`.
//!
//! All but `end` are answered from what a server said a moment ago, if nothing has been done through the gateway since:
//! however many ask, a server is asked once. How old an answer is stands in the header `Age`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, StatusCode, header::AGE};
use tokio::time::timeout;

use super::Verified;
use crate::{
    bbb::{
        answer::{self, Failure},
        client::CallError,
        validate::about_a_meeting,
    },
    domain::{denial::Denial, ids::TenantId, tenant::Server},
    live::{
        Meeting,
        fresh::{Fresh, Moment},
        servers::ServerState,
    },
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::{Answer, text},
        end::{End, is_gone},
        last_known,
    },
    upstream::Body,
};

/// How long a list waits for any server, its turn behind other questions included.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// Shows the tenant's meetings, or its sessions, on all its servers: of a server that does not answer, or not in time, what
    /// was last known. A list that would lack something is an error.
    pub(super) async fn list(&self, call: Call, asked: &Verified) -> Answer {
        let (tenant, directory) = (&asked.asked.tenant, &asked.asked.directory);
        let servers = self.live.servers_of(&tenant.id);
        let known = servers.iter().filter_map(|(id, touched)| Some((directory.server(id.as_str())?, *touched)));
        let known = known.map(|(server, touched)| self.own_of(call, server, touched, &tenant.id));
        let answered = join_all(known).await;
        let Some(answered) = answered.into_iter().collect::<Option<Vec<Part>>>() else {
            return Answer::denied(call, Denial::ServerUnavailable);
        };
        let oldest = answered.iter().filter_map(|part| part.asked).min();
        let own: Vec<Bytes> = answered.into_iter().filter_map(|part| part.own).collect();
        let pieces = if call == Call::GetSessions { answer::sessions(own) } else { answer::meetings(own) };
        let response = text(StatusCode::OK, "text/xml;charset=utf-8", Body::Pieces(pieces.into()));
        let mut answer = Answer::new(call, Outcome::Ok, response);
        if let Some(oldest) = oldest {
            state_age(&mut answer, oldest);
        }
        answer
    }

    /// What one server has of a tenant; `None` where that is not known.
    async fn own_of(&self, call: Call, server: &Server, touched: Moment, tenant: &TenantId) -> Option<Part> {
        let state = self.live.servers.of(&server.id);
        if call == Call::GetSessions {
            let ask = || self.sessions_of(server);
            let part = self.fresh_part(&state, &state.sessions, touched, ask, |all| all.get(tenant.as_str()).cloned());
            let last = || self.last_sessions(&state, server, tenant);
            return part.await.or_else(last);
        }
        let ask = || self.meetings_of(server);
        let part =
            self.fresh_part(&state, &state.list, touched, ask, |list| list.by_tenant.get(tenant.as_str()).cloned());
        part.await.or_else(|| Some(self.last_meetings(&state, server, tenant)))
    }

    /// The part of a server that answers in time; one that was too slow a moment ago is not waited for.
    async fn fresh_part<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        state: &ServerState,
        list: &Fresh<T, CallError>,
        touched: Moment,
        ask: impl FnOnce() -> F,
        own: impl FnOnce(&T) -> Option<Bytes>,
    ) -> Option<Part> {
        let now = self.clock.now();
        let held = if state.is_quick(now) {
            let held = timeout(LIST_TIMEOUT, list.get(touched, self.answers_max_age, ask)).await.ok();
            let in_time = held.as_ref().is_some_and(|held| !matches!(held.answer, Err(CallError::Timeout)));
            if !in_time {
                state.listed_in_time(false, now);
            }
            held
        } else {
            list.usable(touched, self.answers_max_age)
        };
        let held = held?;
        let own = own(held.answer.as_ref().ok()?);
        Some(Part { asked: Some(held.asked), own })
    }

    /// What was last known of the meetings of a tenant that run on a server, each marked so.
    fn last_meetings(&self, state: &ServerState, server: &Server, tenant: &TenantId) -> Part {
        let last = state.list.last();
        let listed = last.as_ref().and_then(|held| held.answer.as_ref().ok()?.by_tenant.get(tenant.as_str()));
        let running = self.live.meetings_on(tenant, &server.id);
        let own = last_known::meetings(listed.map_or(&[], |listed| &listed[..]), &running);
        Part { asked: last.map(|held| held.asked), own: Some(own).filter(|own| !own.is_empty()) }
    }

    /// What was last known of the sessions in the meetings of a tenant that run on a server.
    fn last_sessions(&self, state: &ServerState, server: &Server, tenant: &TenantId) -> Option<Part> {
        let last = state.sessions.last()?;
        let listed = last.answer.as_ref().ok()?.get(tenant.as_str());
        let running = self.live.meetings_on(tenant, &server.id);
        let own = last_known::sessions(listed.map_or(&[], |listed| &listed[..]), &running);
        Some(Part { asked: Some(last.asked), own: Some(own).filter(|own| !own.is_empty()) })
    }
}

/// What one server has of a tenant.
struct Part {
    /// When it was asked; `None` where it never was.
    asked: Option<Moment>,
    /// Whole elements.
    own: Option<Bytes>,
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
