//! The recordings calls: which recordings a tenant may name is told by the store's table alone, held in memory; what they
//! are is told by the servers that have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::Verified;
use crate::{
    bbb::{
        answer::Failure,
        client::{Call as ServerCall, CallError},
        meeting_id::{internal_start, to_server},
        params::may_set,
        query::Params,
        recordings::{self, PAGE_MAX, Page, Reader, Recording},
        xml,
    },
    domain::{denial::Denial, ids::ServerId, tenant::Server},
    live::recordings::Recording as Owned,
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer, asked::Asked, last_known::MARK},
};

/// Ids in one question that may be a form: 57 bytes each, far below the 1 MB of a server's nginx.
const IDS_PER_FORM: usize = 2000;
/// Questions of one call that are out at a time.
const AT_ONCE: usize = 4;
/// How long a list may take, however many servers there are and however many questions: a server reads the files of all that it
/// is asked for.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// The states that are listed where none is asked for (docs/reference/bbb-protocol.md, "Recordings calls").
const STATES: &str = "published,unpublished";
/// Ids in one question that must be a GET: below the 8 KB of a request line.
const IDS_PER_QUERY: usize = 100;

impl Gateway {
    /// Answers `getRecordings`: the newest first, from all servers that have some of the tenant. Of a server that does not
    /// answer in time it has what was last known; where that is not known of each, the call fails: a caller would take what
    /// is missing for deleted.
    pub(super) async fn recordings(&self, call: &Verified) -> Answer {
        let name = Call::GetRecordings;
        let found = self.named(&call.asked, &call.params, true);
        let mut passed_on = Params::default();
        for (name, value) in call.params.iter().filter(|(name, _)| *name == "state" || name.starts_with("meta_")) {
            passed_on.set(name, value);
        }
        let shares = by_server(found, IDS_PER_FORM);
        let until = Instant::now() + LIST_TIMEOUT;
        let asked: Vec<_> =
            shares.iter().map(|(server, share)| self.part_of(&call.asked, server, share, &passed_on, until)).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        let answers = match answers.into_iter().collect::<Result<Vec<_>, Denial>>() {
            Ok(answers) => answers,
            Err(denial) => return Answer::denied(name, denial),
        };
        let mut list: Vec<Recording> = answers.into_iter().flatten().collect();
        list.sort_by(|a, b| (b.start_time, &b.record_id).cmp(&(a.start_time, &a.record_id)));
        // Servers that share a storage list the same recording.
        list.dedup_by(|a, b| a.record_id == b.record_id);
        Answer::xml(name, Outcome::Ok, recordings::answer(&list, page(&call.params)))
    }

    /// What one server says, or has said last; an error where neither is to be had. A server that was too slow a moment ago is
    /// asked only for what is not known.
    async fn part_of(
        &self,
        asked: &Asked,
        server: &ServerId,
        share: &[Arc<Owned>],
        passed_on: &Params,
        until: Instant,
    ) -> Result<Vec<Recording>, Denial> {
        let server = asked.directory.server(server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let (state, now) = (self.live.servers.of(&server.id), self.clock.now());
        let last = || self.last_of(asked, server, share, passed_on);
        if !state.is_quick(now)
            && let Some(last) = last()
        {
            return Ok(last);
        }
        if state.is_offline() {
            return Err(Denial::ServerUnavailable);
        }
        match self.list_of(asked, server, share, passed_on, until.saturating_duration_since(Instant::now())).await {
            Ok(list) => {
                self.note_said(share, &list, passed_on.iter().next().is_none());
                Ok(list)
            }
            Err(error) => {
                if error == CallError::Timeout {
                    state.listed_in_time(false, now);
                }
                last().ok_or_else(|| error.denial())
            }
        }
    }

    /// Notes what a server has said; where it was asked for all, what it has left out is not there any more.
    fn note_said(&self, share: &[Arc<Owned>], list: &[Recording], all: bool) {
        let (known, said) = (&self.live.recordings, list.iter().map(|recording| &*recording.record_id));
        let said: BTreeSet<&str> = said.collect();
        share.iter().filter(|own| all && !said.contains(&*own.id)).for_each(|own| known.changes(&own.id));
        list.iter().for_each(|recording| known.said(&recording.record_id, &recording.raw));
    }

    async fn list_of(
        &self,
        asked: &Asked,
        server: &Server,
        share: &[Arc<Owned>],
        passed_on: &Params,
        timeout: Duration,
    ) -> Result<Vec<Recording>, CallError> {
        let mut params = passed_on.clone();
        params.set("recordID", ids_of(share));
        let mut to_server = ServerCall::new("getRecordings", &params);
        to_server.caller = asked.caller(server);
        to_server.timeout = timeout;
        let reply = self.call(to_server, server).await?;
        self.read(asked, server, &reply.body).ok_or(CallError::Broken)
    }

    fn read(&self, asked: &Asked, server: &Server, body: &[u8]) -> Option<Vec<Recording>> {
        let reader = Reader { tenant: &asked.tenant.id, names: &server.names, authority: &asked.authority };
        let all = &self.live.recordings;
        let own = |id: &str| all.get(&asked.tenant.id, id).map(|own| own.ext_id.to_string());
        reader.list(body, own).ok()
    }

    /// What a server has said last of each of these, marked so; `None` where it has not of one, or where the question cannot be
    /// answered here.
    fn last_of(
        &self,
        asked: &Asked,
        server: &Server,
        share: &[Arc<Owned>],
        passed_on: &Params,
    ) -> Option<Vec<Recording>> {
        if passed_on.iter().any(|(name, _)| name.starts_with("meta_")) {
            return None;
        }
        let mut answer = String::from("<response><returncode>SUCCESS</returncode><recordings>");
        for recording in share {
            let element = self.live.recordings.last(&recording.id)?;
            answer.push_str(element.strip_suffix("</recording>")?);
            answer.push_str(MARK);
            answer.push_str("</recording>");
        }
        answer.push_str("</recordings></response>");
        let mut list = self.read(asked, server, answer.as_bytes())?;
        let states = passed_on.get("state").filter(|states| !states.is_empty()).unwrap_or(STATES);
        list.retain(|recording| split(states).any(|state| state == "any" || state == recording.state));
        Some(list)
    }

    /// Answers `publishRecordings`, `deleteRecordings` and `updateRecordings`: the tenant's own among those that are named
    /// are changed, and as in BBB it is an error only if there is none.
    pub(super) async fn change_recordings(&self, call: Call, asked: &Verified) -> Answer {
        let found = self.named(&asked.asked, &asked.params, call == Call::UpdateRecordings);
        let mut passed_on = Params::default();
        if let Some(publish) = asked.params.get("publish").filter(|_| call == Call::PublishRecordings) {
            passed_on.set("publish", publish);
        }
        for (name, value) in asked.params.iter().filter(|_| call == Call::UpdateRecordings) {
            if name.starts_with("meta_") && may_set(&asked.asked.tenant.rules, name, value) {
                passed_on.set(name, value);
            }
        }
        let per_question = if call == Call::UpdateRecordings { IDS_PER_FORM } else { IDS_PER_QUERY };
        let shares = by_server(found, per_question);
        let changes: Vec<_> = shares
            .iter()
            .map(|(server, share)| self.change_on(call, &asked.asked, server, share, &passed_on))
            .collect();
        let answers: Vec<_> = stream::iter(changes).buffered(AT_ONCE).collect().await;
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            // Some may be changed: the caller can say it again, which does no harm.
            return Answer::denied(call, error.denial());
        }
        if !answers.iter().flatten().any(|answer| answer.success) {
            return Answer::failure(call, Failure::RECORDINGS_NOT_FOUND);
        }
        let (name, value) = match call {
            Call::PublishRecordings => ("published", asked.params.get("publish").unwrap_or_default()),
            Call::DeleteRecordings => ("deleted", "true"),
            _ => ("updated", "true"),
        };
        Answer::xml(call, Outcome::Ok, recordings::changed(name, value))
    }

    async fn change_on(
        &self,
        call: Call,
        asked: &Asked,
        server: &ServerId,
        share: &[Arc<Owned>],
        passed_on: &Params,
    ) -> Result<xml::Answer, CallError> {
        let server = asked.directory.server(server.as_str()).ok_or(CallError::Connect)?;
        let mut params = passed_on.clone();
        params.set("recordID", ids_of(share));
        let mut to_server = ServerCall::new(call.as_str(), &params);
        to_server.caller = asked.caller(server);
        let changed = self.call_xml(to_server, server, &asked.tenant.id, None).await;
        // Whatever came of it.
        share.iter().for_each(|recording| self.live.recordings.changes(&recording.id));
        changed
    }

    /// The tenant's recordings that a call names, by `recordID`, else by `meetingID`, else all. In BBB ids are beginnings of
    /// ids in some calls: here, of the tenant's own.
    fn named(&self, asked: &Asked, params: &Params, by_beginning: bool) -> BTreeMap<Box<str>, Arc<Owned>> {
        let (tenant, all) = (&asked.tenant.id, &self.live.recordings);
        let listed = |name| params.get(name).filter(|ids| !ids.is_empty());
        let mut found = BTreeMap::new();
        let mut add = |recording: Arc<Owned>| drop(found.insert(recording.id.clone(), recording));
        match (listed("recordID"), listed("meetingID")) {
            (Some(ids), _) if by_beginning => {
                beginnings(ids)
                    .into_iter()
                    .for_each(|id| all.beginning_with(tenant, id).into_iter().for_each(&mut add));
            }
            (Some(ids), _) => split(ids).filter_map(|id| all.get(tenant, id)).for_each(&mut add),
            (None, Some(ids)) => {
                let meetings: BTreeSet<&str> = split(ids).collect();
                let starts = meetings.into_iter().map(|id| internal_start(&to_server(tenant, id)));
                starts.for_each(|start| all.beginning_with(tenant, &start).into_iter().for_each(&mut add));
            }
            (None, None) => all.beginning_with(tenant, "").into_iter().for_each(&mut add),
        }
        // Of a server that is no longer in the configuration nothing is to be had.
        found.retain(|_, recording| asked.directory.server(recording.server.as_str()).is_some());
        found
    }
}

/// The items of a list with commas. An empty one is none: in BBB it would be the beginning of every id.
fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// The items of a list that are no longer than they need be: one that begins as another names nothing besides.
fn beginnings(list: &str) -> Vec<&str> {
    let items: BTreeSet<&str> = split(list).collect();
    let mut kept: Vec<&str> = Vec::new();
    for item in items {
        // In order, what begins as another comes right behind it.
        if kept.last().is_none_or(|last| !item.starts_with(last)) {
            kept.push(item);
        }
    }
    kept
}

/// Who is asked for what: by server, so many at a time.
fn by_server(found: BTreeMap<Box<str>, Arc<Owned>>, most: usize) -> Vec<(ServerId, Vec<Arc<Owned>>)> {
    let mut shares: BTreeMap<ServerId, Vec<Arc<Owned>>> = BTreeMap::new();
    for recording in found.into_values() {
        shares.entry(recording.server.clone()).or_default().push(recording);
    }
    let portions =
        shares.iter().flat_map(|(server, share)| share.chunks(most).map(|ids| (server.clone(), ids.to_vec())));
    portions.collect()
}

fn ids_of(share: &[Arc<Owned>]) -> String {
    share.iter().map(|recording| &*recording.id).collect::<Vec<_>>().join(",")
}

/// The page that a call asks for: a limit out of range is none, and without a limit there are no pages.
fn page(params: &Params) -> Option<Page> {
    let number = |name| params.get(name).and_then(|value| value.parse::<usize>().ok());
    let limit = number("limit").filter(|limit| (1..=PAGE_MAX).contains(limit))?;
    Some(Page { offset: number("offset").unwrap_or(0), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_another_is_named_already() {
        for (list, kept) in [
            ("", &[][..]),
            (",, ,", &[]),
            ("b,a,b", &["a", "b"]),
            ("7,7,71,712,8", &["7", "8"]),
            ("71,72,7", &["7"]),
            ("ab,a-b,abc", &["a-b", "ab"]),
        ] {
            assert_eq!(beginnings(list), kept, "{list}");
        }
    }
}
