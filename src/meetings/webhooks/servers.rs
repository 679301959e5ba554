//! One hook of the gateway's at each server whose events a tenant's webhooks need.
//!
//! Each server is asked for its hooks every minute: it drops those whose calls fail for five minutes. The leader makes what is
//! missing; any gateway removes what is not needed. Hooks of others are left alone.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use http::StatusCode;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    hosts::{hosts, is_needed},
    owner::may_use,
    read,
};
use crate::{
    bbb::{
        answer::Failure,
        checksum::{Algorithm, sign_with},
        hooks::{self, Answer},
        query::Params,
    },
    domain::{
        backend_error::BackendError,
        directory::Directory,
        host::Host,
        tenant::{Server, Tenant},
        time::Timestamp,
    },
    meetings::Meetings,
    supervise::caught,
    upstream::ApiCall,
};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two rounds at least, however many webhooks come and go.
const PAUSE: Duration = Duration::from_secs(1);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// How long a server has for one call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a tenant's call waits for the hooks of its servers.
const ENSURED_WITHIN: Duration = Duration::from_secs(2);
/// When a server without bbb-webhooks is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(600);

/// What is known of the gateway's hook at a server that needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtServer {
    /// It is there.
    Present,
    /// It is not there: no host of a tenant is below a domain of the operator's.
    Absent,
    /// The server does not take the calls of `hooks/*`.
    Unsupported {
        /// When it was asked.
        asked_at: Timestamp,
    },
}

impl AtServer {
    /// What an operator should know.
    fn warning(self) -> Option<&'static str> {
        match self {
            Self::Present => None,
            Self::Absent => Some("no tenant has a host below base_domains that it could call"),
            Self::Unsupported { .. } => Some("it has no bbb-webhooks, or that has another secret"),
        }
    }
}

/// What an operator should know of a server, as far as this gateway has asked it.
pub(in crate::meetings) fn warning(meetings: &Meetings, server: &Server) -> Option<String> {
    let known = meetings.webhooks.at_servers.get(&server.id)?;
    known.warning().map(|warning| format!("tells no events for webhooks: {warning}"))
}

/// A server has called with nothing for anybody: where no webhook needs its events at all, its hook is to be removed.
pub(super) fn note_call(meetings: &Meetings, directory: &Directory, server: &Server) {
    if !is_needed(meetings, directory, server) && meetings.webhooks.leftover.insert(server.id.clone()) {
        meetings.webhooks.changed.notify_one();
    }
}

/// Makes the hooks that a tenant's first webhook needs, as far as servers answer in time: the next meeting may begin at once.
pub(super) async fn ensure(meetings: &Meetings, tenant: &Tenant) {
    let directory = meetings.directory.load_full();
    let is_unknown = |server: &&Arc<Server>| !meetings.webhooks.at_servers.contains_key(&server.id);
    let now = meetings.clock.now();
    let looks: Vec<_> = polled(meetings, &directory)
        .filter(|server| may_use(meetings, &directory, tenant, server, now))
        .filter(is_unknown)
        .map(Arc::clone)
        .collect();
    let _ = timeout(ENSURED_WITHIN, look_at_all(meetings, looks)).await;
}

/// Looks after the hooks until told to stop. `leads` says whether this gateway is the leader.
pub async fn run(meetings: Arc<Meetings>, mut leads: watch::Receiver<Option<bool>>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
            Ok(()) = leads.changed() => {}
            () = meetings.webhooks.changed.notified() => {}
        }
        let leads = *leads.borrow_and_update() == Some(true);
        round(&meetings, leads).await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(PAUSE) => {}
        }
    }
}

/// Looks at each server once.
async fn round(meetings: &Meetings, leads: bool) {
    // What is not needed is removed: what this gateway knows has to be new.
    if let Err(error) = read(meetings).await {
        tracing::debug!(%error, "failed to read webhooks from the store: retrying");
        return;
    }
    let directory = meetings.directory.load_full();
    let looks: Vec<_> = polled(meetings, &directory)
        .filter(|server| is_due(meetings, server, leads, is_needed(meetings, &directory, server)))
        .map(Arc::clone)
        .collect();
    look_at_all(meetings, looks).await;
}

/// The servers that are asked at all.
fn polled<'a>(meetings: &'a Meetings, directory: &'a Directory) -> impl Iterator<Item = &'a Arc<Server>> {
    directory.servers().filter(|server| meetings.live.servers.of(&server.id).mode().is_polled())
}

async fn look_at_all(meetings: &Meetings, looks: Vec<Arc<Server>>) {
    let look = |server: Arc<Server>| async move {
        caught("webhook_server", look(meetings, &server)).await;
    };
    stream::iter(looks).for_each_concurrent(CONCURRENCY, look).await;
}

fn is_due(meetings: &Meetings, server: &Server, leads: bool, is_needed: bool) -> bool {
    let is_leftover = meetings.webhooks.leftover.remove(&server.id).is_some();
    let known = meetings.webhooks.at_servers.get(&server.id).map(|known| *known);
    if !is_needed {
        // Whether it is there is looked for once more when it is needed.
        meetings.webhooks.at_servers.remove(&server.id);
        return is_leftover || (leads && known == Some(AtServer::Present));
    }
    match known {
        Some(AtServer::Unsupported { asked_at }) => {
            leads && asked_at.saturating_add(ASKED_AGAIN) <= meetings.clock.now()
        }
        _ => leads,
    }
}

/// Compares the hooks of a server with what is needed.
async fn look(meetings: &Meetings, server: &Server) {
    let directory = meetings.directory.load_full();
    let is_needed = is_needed(meetings, &directory, server);
    let hosts = if is_needed { hosts(meetings, &directory, server) } else { Vec::new() };
    let found = compare(meetings, server, &hosts).await;
    if let Some(found) = found.filter(|_| is_needed) {
        note(meetings, server, found);
    }
}

/// Makes what is missing, and removes what is not needed: there is to be one hook on any of these hosts, or none. Returns what
/// there is then; nothing where the server does not answer.
async fn compare(meetings: &Meetings, server: &Server, hosts: &[&Host]) -> Option<AtServer> {
    let (webhooks, slug) = (&meetings.webhooks, server.slug.as_str());
    let unsupported = Some(AtServer::Unsupported { asked_at: meetings.clock.now() });
    let listed = ask(meetings, server, "hooks/list", ("", "")).await?;
    if !listed.success {
        return unsupported;
    }
    let own: Vec<_> = listed.hooks.iter().filter(|(_, url)| webhooks.codes.is_address(slug, url)).collect();
    let is_good = |url: &str| hosts.iter().any(|host| webhooks.address(host.as_str(), slug) == url);
    let kept = own.iter().find(|(_, url)| is_good(url)).map(|(id, _)| id);
    // First what is missing: no event is to fall between the two.
    if let (None, Some(host)) = (kept, hosts.first()) {
        let address = webhooks.address(host.as_str(), slug);
        if !ask(meetings, server, "hooks/create", ("callbackURL", &address)).await?.success {
            return unsupported;
        }
        tracing::info!(server = %server.id, "webhook registered at server");
    }
    for (id, _) in own.iter().filter(|(id, _)| Some(id) != kept) {
        if ask(meetings, server, "hooks/destroy", ("hookID", id)).await?.success {
            tracing::info!(server = %server.id, "webhook removed from server");
        }
    }
    Some(if hosts.is_empty() { AtServer::Absent } else { AtServer::Present })
}

/// Keeps what is known of a server, and tells the operator of what is wrong with it, once.
fn note(meetings: &Meetings, server: &Server, found: AtServer) {
    let before = meetings.webhooks.at_servers.insert(server.id.clone(), found);
    let is_new = before.is_none_or(|before| before.warning() != found.warning());
    if let Some(warning) = found.warning().filter(|_| is_new) {
        tracing::warn!(server = %server.id, "server tells no events for webhooks: {warning}");
    }
}

/// The answer of a server; `None` where there is none in time.
async fn ask(meetings: &Meetings, server: &Server, name: &'static str, (param, value): (&str, &str)) -> Option<Answer> {
    let mut params = Params::default();
    if !param.is_empty() {
        params.set(param, value);
    }
    let answer = call(meetings, server, (name, Algorithm::Sha256), &params).await.ok()?;
    if answer.message_key != Failure::HOOKS_CHECKSUM.key {
        return Some(answer);
    }
    // Releases before 3 know this algorithm only.
    call(meetings, server, (name, Algorithm::Sha1), &params).await.ok()
}

/// One call. What is no answer of bbb-webhooks is taken for a refusal.
async fn call(
    meetings: &Meetings,
    server: &Server,
    (name, algorithm): (&'static str, Algorithm),
    params: &Params,
) -> Result<Answer, BackendError> {
    let mut query = params.encode();
    let checksum = sign_with(algorithm, name, &query, &server.secret);
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str("checksum=");
    query.push_str(&checksum);
    let call = ApiCall { signed: Some(&query), timeout: TIMEOUT, ..ApiCall::new(name, params) };
    let reply = meetings.backends.call(call, server).await?;
    // Its front has no answer of the service: it is about to start.
    if reply.status.is_server_error() {
        return Err(BackendError::Broken);
    }
    Ok(hooks::read(&reply.body).ok().filter(|_| reply.status == StatusCode::OK).unwrap_or_default())
}
