//! One hook of the gateway's at each server whose events a tenant's webhooks need.
//!
//! Each server is asked for its hooks every minute: it drops those whose calls fail for five minutes. The leader makes what is
//! missing; any gateway removes what is not needed. Hooks of others are left alone.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use http::{StatusCode, uri::Authority};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{owner::may_use, read};
use crate::{
    bbb::{
        checksum::{Algorithm, sign_with},
        hooks::{self, Answer},
        query::Params,
    },
    domain::{
        backend_error::BackendError,
        directory::Directory,
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
    /// The server does not take the calls of `hooks/*`: it has no bbb-webhooks, or that has another secret.
    Unsupported {
        /// When it was asked.
        asked_at: Timestamp,
    },
}

/// What an operator should know of a server, as far as this gateway has asked it.
pub(in crate::meetings) fn warning(meetings: &Meetings, server: &Server) -> Option<String> {
    let known = meetings.webhooks.at_servers.get(&server.id)?;
    let is_unsupported = matches!(*known, AtServer::Unsupported { .. });
    is_unsupported.then(|| "takes no webhooks: bbb-webhooks is missing, or has another secret".to_owned())
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
        .map(|server| (Arc::clone(server), hosts(meetings, &directory, server)))
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
        .map(|server| (Arc::clone(server), hosts(meetings, &directory, server)))
        .filter(|(server, hosts)| is_due(meetings, server, leads, !hosts.is_empty()))
        .collect();
    look_at_all(meetings, looks).await;
}

/// The servers that are asked at all.
fn polled<'a>(meetings: &'a Meetings, directory: &'a Directory) -> impl Iterator<Item = &'a Arc<Server>> {
    directory.servers().filter(|server| meetings.live.servers.of(&server.id).mode().is_polled())
}

async fn look_at_all(meetings: &Meetings, looks: Vec<(Arc<Server>, Vec<String>)>) {
    let look = |(server, hosts): (Arc<Server>, Vec<String>)| async move {
        caught("webhook_server", look(meetings, &server, &hosts)).await;
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

/// Whether a tenant with webhooks may use a server.
fn is_needed(meetings: &Meetings, directory: &Directory, server: &Server) -> bool {
    let now = meetings.clock.now();
    let may = |tenant: &Tenant| may_use(meetings, directory, tenant, server, now);
    let registered = meetings.webhooks.registered.load();
    registered.keys().any(|tenant| directory.tenant_at(tenant.as_str(), now).is_some_and(|tenant| may(tenant)))
}

/// The hosts on which a server may call the gateway, those of the oldest webhooks first; none where no webhook needs its events.
fn hosts(meetings: &Meetings, directory: &Directory, server: &Server) -> Vec<String> {
    let now = meetings.clock.now();
    let registered = meetings.webhooks.registered.load();
    let mut hosts: Vec<(Timestamp, String)> = Vec::new();
    for (tenant, webhooks) in registered.iter() {
        let tenant = directory.tenant_at(tenant.as_str(), now);
        let Some(tenant) = tenant.filter(|tenant| may_use(meetings, directory, tenant, server, now)) else { continue };
        hosts.extend(webhooks.iter().map(|webhook| (webhook.created_at, host(tenant, &webhook.authority))));
    }
    hosts.sort_unstable();
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// The host that a tenant's `hooks/create` has called, while the tenant has it; else its main one.
fn host(tenant: &Tenant, authority: &str) -> String {
    let name = authority.parse::<Authority>();
    let is_own = name.is_ok_and(|name| tenant.hosts.iter().any(|host| host.as_str() == name.host()));
    let main = || tenant.hosts.first().map(|host| host.as_str().to_owned()).unwrap_or_default();
    if is_own { authority.to_owned() } else { main() }
}

/// Compares the hooks of a server with what is needed: one on any of these hosts.
async fn look(meetings: &Meetings, server: &Server, hosts: &[String]) {
    let webhooks = &meetings.webhooks;
    let slug = server.slug.as_str();
    let Some(listed) = ask(meetings, server, "hooks/list", Params::default()).await else { return };
    let own: Vec<_> = listed.hooks.iter().filter(|(_, url)| webhooks.codes.is_address(slug, url)).collect();
    let is_good = |url: &str| hosts.iter().any(|host| webhooks.address(host, slug) == url);
    let kept = own.iter().find(|(_, url)| is_good(url)).map(|(id, _)| id);
    // First what is missing: no event is to fall between the two.
    if let (None, Some(host)) = (kept, hosts.first()) {
        let mut params = Params::default();
        params.set("callbackURL", webhooks.address(host, slug));
        let Some(_) = ask(meetings, server, "hooks/create", params).await else { return };
        tracing::info!(server = %server.id, "webhook registered at server");
    }
    for (id, _) in own.iter().filter(|(id, _)| Some(id) != kept) {
        let mut params = Params::default();
        params.set("hookID", id);
        if ask(meetings, server, "hooks/destroy", params).await.is_some() {
            tracing::info!(server = %server.id, "webhook removed from server");
        }
    }
    if !hosts.is_empty() {
        webhooks.at_servers.insert(server.id.clone(), AtServer::Present);
    }
}

/// The answer of a server, where it has done what it was asked for.
async fn ask(meetings: &Meetings, server: &Server, name: &'static str, params: Params) -> Option<Answer> {
    // Releases before 3 know this algorithm only, and later ones take it unless their operator says otherwise.
    let mut refused = String::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha1] {
        match call(meetings, server, (name, algorithm), &params).await.ok()? {
            Some(answer) if answer.success => return Some(answer),
            Some(answer) => refused = answer.message_key,
            None => break,
        }
        if refused != "checksumError" {
            break;
        }
    }
    let at = AtServer::Unsupported { asked_at: meetings.clock.now() };
    let before = meetings.webhooks.at_servers.insert(server.id.clone(), at);
    if !matches!(before, Some(AtServer::Unsupported { .. })) {
        let server = &server.id;
        tracing::warn!(%server, call = name, refused, "server does not take webhooks: tenants get no events of it");
    }
    None
}

/// One call; `None` for an answer that is not that of bbb-webhooks.
async fn call(
    meetings: &Meetings,
    server: &Server,
    (name, algorithm): (&'static str, Algorithm),
    params: &Params,
) -> Result<Option<Answer>, BackendError> {
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
    Ok(hooks::read(&reply.body).ok().filter(|_| reply.status == StatusCode::OK))
}
