//! The recordings calls: which recordings a tenant may name is told by the store's table alone, held in memory; what they
//! are is told by the servers that have them.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use serde_json::json;

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
    proxy::{Gateway, answer::Answer, asked::Asked},
};

/// Ids in one question that may be a form: 57 bytes each, far below the 1 MB of a server's nginx.
const IDS_PER_FORM: usize = 2000;
/// Ids in one question that must be a GET: below the 8 KB of a request line.
const IDS_PER_QUERY: usize = 100;

impl Gateway {
    /// Answers `getRecordings`: the newest first, from all servers that have some of the tenant.
    pub(super) async fn recordings(&self, call: &Verified) -> Answer {
        let name = Call::GetRecordings;
        let found = self.named(&call.asked, &call.params, true);
        let mut passed_on = Params::default();
        for (name, value) in call.params.iter().filter(|(name, _)| *name == "state" || name.starts_with("meta_")) {
            passed_on.set(name, value);
        }
        let shares = by_server(found, IDS_PER_FORM);
        let asked =
            shares.iter().map(async |(server, share)| self.list_of(&call.asked, server, share, &passed_on).await);
        let answers = join_all(asked).await;
        if !answers.is_empty() && answers.iter().all(Result::is_err) {
            return Answer::denied(name, Denial::ServerUnavailable);
        }
        let mut list: Vec<Recording> = answers.into_iter().flatten().flatten().collect();
        list.sort_by(|a, b| (b.start_time, &b.record_id).cmp(&(a.start_time, &a.record_id)));
        // Servers that share a storage list the same recording.
        list.dedup_by(|a, b| a.record_id == b.record_id);
        Answer::xml(name, Outcome::Ok, recordings::answer(&list, page(&call.params)))
    }

    async fn list_of(
        &self,
        asked: &Asked,
        server: &ServerId,
        share: &[Arc<Owned>],
        passed_on: &Params,
    ) -> Result<Vec<Recording>, CallError> {
        let server = asked.directory.server(server.as_str()).ok_or(CallError::Connect)?;
        let mut params = passed_on.clone();
        params.set("recordID", ids_of(share));
        let reply = self.ask_recordings("getRecordings", &params, server).await?;
        let reader = Reader { tenant: &asked.tenant.id, names: &server.names, authority: &asked.authority };
        let own = |id: &str| share.iter().find(|own| &*own.id == id).map(|own| own.ext_id.to_string());
        reader.list(&reply, own).map_err(|_| CallError::Broken)
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
            if may_set(&asked.asked.tenant.rules, name) && name.starts_with("meta_") {
                passed_on.set(name, value);
            }
        }
        let per_question = if call == Call::UpdateRecordings { IDS_PER_FORM } else { IDS_PER_QUERY };
        let shares = by_server(found, per_question);
        let changes = shares.iter().map(async |(server, share)| {
            let server = asked.asked.directory.server(server.as_str()).ok_or(CallError::Connect)?;
            let mut params = passed_on.clone();
            params.set("recordID", ids_of(share));
            let reply = self.ask_recordings(call.as_str(), &params, server).await?;
            xml::answer(&reply, &asked.asked.tenant.id, None).map_err(|_| CallError::Broken)
        });
        let answers = join_all(changes).await;
        if answers.iter().flatten().any(|answer| answer.success) {
            let (name, value) = match call {
                Call::PublishRecordings => ("published", asked.params.get("publish").unwrap_or_default()),
                Call::DeleteRecordings => ("deleted", "true"),
                _ => ("updated", "true"),
            };
            return Answer::xml(call, Outcome::Ok, recordings::changed(name, value));
        }
        match answers.iter().any(Result::is_err) {
            true => Answer::denied(call, Denial::ServerUnavailable),
            false => Answer::failure(call, Failure::RECORDINGS_NOT_FOUND),
        }
    }

    /// Answers `getRecordingTextTracks`.
    pub(super) async fn text_tracks(&self, call: &Verified) -> Answer {
        let name = Call::GetRecordingTextTracks;
        let asked = &call.asked;
        let record_id = call.params.get("recordID").unwrap_or_default();
        let Some(recording) = self.live.recordings.get(&asked.tenant.id, record_id) else {
            let message = format!("No recording found for {record_id}");
            return Answer::failed(name, Outcome::Refused, "noRecordings", &message);
        };
        let Some(server) = asked.directory.server(recording.server.as_str()) else {
            return Answer::denied(name, Denial::ServerUnavailable);
        };
        let mut params = Params::default();
        params.set("recordID", &*recording.id);
        let reader = Reader { tenant: &asked.tenant.id, names: &server.names, authority: &asked.authority };
        let reply = self.ask_recordings("getRecordingTextTracks", &params, server).await;
        let answer = match reply.ok().and_then(|reply| reader.text_tracks(&reply)) {
            Some(json) if json["response"]["returncode"] == json!("SUCCESS") => Answer::json(name, Outcome::Ok, &json),
            Some(json) if json["response"]["returncode"].is_string() => Answer::json(name, Outcome::Refused, &json),
            _ => Answer::denied(name, Denial::ServerUnavailable),
        };
        answer.by(&server.id)
    }

    /// The tenant's recordings that a call names, by `recordID`, else by `meetingID`, else all. In BBB ids are beginnings of
    /// ids in some calls: here, of the tenant's own.
    fn named(&self, asked: &Asked, params: &Params, by_beginning: bool) -> BTreeMap<Box<str>, Arc<Owned>> {
        let (tenant, all) = (&asked.tenant.id, &self.live.recordings);
        let listed = |name| params.get(name).filter(|ids| !ids.is_empty());
        let found: Vec<Arc<Owned>> = match (listed("recordID"), listed("meetingID")) {
            (Some(ids), _) => split(ids)
                .flat_map(|id| match by_beginning {
                    true => all.beginning_with(tenant, id),
                    false => all.get(tenant, id).into_iter().collect(),
                })
                .collect(),
            (None, Some(ids)) => {
                split(ids).flat_map(|id| all.beginning_with(tenant, &internal_start(&to_server(tenant, id)))).collect()
            }
            (None, None) => all.beginning_with(tenant, ""),
        };
        found.into_iter().map(|recording| (recording.id.clone(), recording)).collect()
    }

    async fn ask_recordings(
        &self,
        name: &'static str,
        params: &Params,
        server: &Server,
    ) -> Result<bytes::Bytes, CallError> {
        let reply = ServerCall::new(name, params).send(&self.pool, server).await;
        if let Err(error) = &reply {
            tracing::warn!(server = %server.id, call = name, %error, "a call came to nothing");
            if *error == CallError::Connect {
                self.unreachable(server);
            }
        }
        Ok(reply?.body)
    }
}

/// The items of a list with commas. An empty one is none: in BBB it would be the beginning of every id.
fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
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
