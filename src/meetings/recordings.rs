//! Recordings. Which of them a tenant may name is in the store's table alone, which is held in memory; what they are comes from
//! the servers that have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{Meetings, last_known::MARK};
use crate::{
    bbb::{
        meeting_id::{internal_start, to_server},
        query::Params,
        recordings::{Reader, Recording},
        xml,
    },
    domain::{
        backend_error::BackendError,
        denial::Denial,
        directory::Directory,
        ids::{InternalId, ServerId, TenantId},
        tenant::Server,
    },
    live::recordings::Recording as Owned,
    upstream::{ApiCall, Caller},
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

/// Whose recordings they are, and for whom a server is asked.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) meetings: &'a Meetings,
    pub(crate) directory: &'a Directory,
    pub(crate) tenant: &'a TenantId,
    /// The tenant's host, as the caller wrote it.
    pub(crate) authority: &'a str,
    pub(crate) caller: &'a Caller,
}

/// The recordings that are named, by their ids.
pub(crate) type Named = BTreeMap<InternalId, Arc<Owned>>;

/// A change of recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Publish,
    Delete,
    Update,
}

/// The tenant's recordings that a call names, by `recordID`, else by `meetingID`, else all. In BBB ids are beginnings of
/// ids in some calls: here, of the tenant's own.
pub(crate) fn named(of: &Scope<'_>, params: &Params, by_beginning: bool) -> Named {
    let (tenant, all) = (of.tenant, &of.meetings.live.recordings);
    let listed = |name| params.get(name).filter(|ids| !ids.is_empty());
    let mut found = BTreeMap::new();
    let mut add = |recording: Arc<Owned>| drop(found.insert(recording.id.clone(), recording));
    match (listed("recordID"), listed("meetingID")) {
        (Some(ids), _) if by_beginning => {
            beginnings(ids).into_iter().for_each(|id| all.beginning_with(tenant, id).into_iter().for_each(&mut add));
        }
        (Some(ids), _) => split(ids).filter_map(|id| all.get(tenant, id)).for_each(&mut add),
        (None, Some(ids)) => {
            let meetings: BTreeSet<&str> = split(ids).collect();
            let starts = meetings.into_iter().map(|id| internal_start(&to_server(tenant, id)));
            starts.for_each(|start| all.beginning_with(tenant, &start).into_iter().for_each(&mut add));
        }
        (None, None) => all.beginning_with(tenant, "").into_iter().for_each(&mut add),
    }
    // A server that is only missing in the configuration: the state of its recordings is unknown, and the call fails.
    found.retain(|_, recording| !of.directory.is_retired(&recording.server));
    found
}
/// Lists recordings, the newest first, from all servers that have some. Of a server that does not answer in time the list has
/// what was last known.
///
/// # Errors
/// [`Denial::ServerUnavailable`] where that is not known of each: a caller would take what is missing for deleted.
pub(crate) async fn list(of: &Scope<'_>, named: Named, passed_on: &Params) -> Result<Vec<Recording>, Denial> {
    let shares = by_server(named, IDS_PER_FORM);
    let until = Instant::now() + LIST_TIMEOUT;
    let parts: Vec<_> = shares.iter().map(|(server, share)| part_of(of, server, share, passed_on, until)).collect();
    let parts: Vec<_> = stream::iter(parts).buffered(AT_ONCE).collect().await;
    let parts = parts.into_iter().collect::<Result<Vec<_>, Denial>>()?;
    let mut list: Vec<Recording> = parts.into_iter().flatten().collect();
    list.sort_by(|a, b| (b.start_time, &b.record_id).cmp(&(a.start_time, &a.record_id)));
    // Servers that share a storage list the same recording.
    list.dedup_by(|a, b| a.record_id == b.record_id);
    Ok(list)
}

/// Changes recordings on all servers that have some. Returns whether any server has changed one.
///
/// # Errors
/// The denial for a server that did not answer. Some may be changed: the caller can say it again, which does no harm.
pub(crate) async fn change(of: &Scope<'_>, what: Change, named: Named, passed_on: &Params) -> Result<bool, Denial> {
    let (name, per_question) = match what {
        Change::Publish => ("publishRecordings", IDS_PER_QUERY),
        Change::Delete => ("deleteRecordings", IDS_PER_QUERY),
        Change::Update => ("updateRecordings", IDS_PER_FORM),
    };
    let shares = by_server(named, per_question);
    let changes: Vec<_> = shares.iter().map(|(server, share)| change_on(of, name, server, share, passed_on)).collect();
    let answers: Vec<_> = stream::iter(changes).buffered(AT_ONCE).collect().await;
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        return Err(error.denial());
    }
    Ok(answers.iter().flatten().any(|answer| answer.success))
}

/// What one server says, or has said last; an error where neither is to be had, and for a server that is not in the configuration,
/// of which no address is known that could be rewritten. A server that was too slow a moment ago is
/// asked only for what is not known.
async fn part_of(
    of: &Scope<'_>,
    server: &ServerId,
    share: &[Arc<Owned>],
    passed_on: &Params,
    until: Instant,
) -> Result<Vec<Recording>, Denial> {
    let server = of.directory.server(server.as_str()).ok_or(Denial::ServerUnavailable)?;
    let (state, now) = (of.meetings.live.servers.of(&server.id), of.meetings.clock.now());
    let last = || last_of(of, server, share, passed_on);
    if !state.health.is_quick(now)
        && let Some(last) = last()
    {
        return Ok(last);
    }
    if state.health.is_offline() {
        return Err(Denial::ServerUnavailable);
    }
    match list_of(of, server, share, passed_on, until.saturating_duration_since(Instant::now())).await {
        Ok(list) => {
            note_said(of, share, &list, passed_on.iter().next().is_none());
            Ok(list)
        }
        Err(error) => {
            if error == BackendError::Timeout {
                state.health.listed_in_time(false, now);
            }
            last().ok_or_else(|| error.denial())
        }
    }
}

/// Notes what a server has said; where it was asked for all, what it has left out is not there any more.
fn note_said(of: &Scope<'_>, share: &[Arc<Owned>], list: &[Recording], all: bool) {
    let (known, said) = (&of.meetings.live.recordings, list.iter().map(|recording| &*recording.record_id));
    let said: BTreeSet<&str> = said.collect();
    share.iter().filter(|own| all && !said.contains(own.id.as_str())).for_each(|own| known.changes(own.id.as_str()));
    list.iter().for_each(|recording| known.said(&recording.record_id, &recording.raw));
}

async fn list_of(
    of: &Scope<'_>,
    server: &Server,
    share: &[Arc<Owned>],
    passed_on: &Params,
    timeout: Duration,
) -> Result<Vec<Recording>, BackendError> {
    let mut params = passed_on.clone();
    params.set("recordID", ids_of(share));
    let mut to_server = ApiCall::new("getRecordings", &params);
    to_server.caller = of.caller.clone();
    to_server.timeout = timeout;
    let reply = of.meetings.backends.call(to_server, server).await?;
    read(of, server, &reply.body).ok_or(BackendError::Broken)
}

fn read(of: &Scope<'_>, server: &Server, body: &[u8]) -> Option<Vec<Recording>> {
    let reader = Reader { tenant: of.tenant, names: &server.names, authority: of.authority };
    let all = &of.meetings.live.recordings;
    let own = |id: &str| all.get(of.tenant, id).map(|own| own.ext_id.to_string());
    reader.list(body, own).ok()
}

/// What a server has said last of each of these, marked so; `None` where it has not of one, or where the question cannot be
/// answered here.
fn last_of(of: &Scope<'_>, server: &Server, share: &[Arc<Owned>], passed_on: &Params) -> Option<Vec<Recording>> {
    if passed_on.iter().any(|(name, _)| name.starts_with("meta_")) {
        return None;
    }
    let mut answer = String::from("<response><returncode>SUCCESS</returncode><recordings>");
    for recording in share {
        let element = of.meetings.live.recordings.last(recording.id.as_str())?;
        answer.push_str(element.strip_suffix("</recording>")?);
        answer.push_str(MARK);
        answer.push_str("</recording>");
    }
    answer.push_str("</recordings></response>");
    let mut list = read(of, server, answer.as_bytes())?;
    let states = passed_on.get("state").filter(|states| !states.is_empty()).unwrap_or(STATES);
    list.retain(|recording| split(states).any(|state| state == "any" || state == recording.state));
    Some(list)
}

async fn change_on(
    of: &Scope<'_>,
    name: &'static str,
    server: &ServerId,
    share: &[Arc<Owned>],
    passed_on: &Params,
) -> Result<xml::Answer, BackendError> {
    let server = of.directory.server(server.as_str()).ok_or(BackendError::Connect)?;
    let mut params = passed_on.clone();
    params.set("recordID", ids_of(share));
    let mut to_server = ApiCall::new(name, &params);
    to_server.caller = of.caller.clone();
    let changed = of.meetings.backends.call_xml(to_server, server, of.tenant, None).await;
    // Whatever came of it.
    share.iter().for_each(|recording| of.meetings.live.recordings.changes(recording.id.as_str()));
    changed
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
fn by_server(found: Named, most: usize) -> Vec<(ServerId, Vec<Arc<Owned>>)> {
    let mut shares: BTreeMap<ServerId, Vec<Arc<Owned>>> = BTreeMap::new();
    for recording in found.into_values() {
        shares.entry(recording.server.clone()).or_default().push(recording);
    }
    let portions =
        shares.iter().flat_map(|(server, share)| share.chunks(most).map(|ids| (server.clone(), ids.to_vec())));
    portions.collect()
}

fn ids_of(share: &[Arc<Owned>]) -> String {
    share.iter().map(|recording| recording.id.as_str()).collect::<Vec<_>>().join(",")
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
