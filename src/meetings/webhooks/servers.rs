//! One hook of the gateway's at each server whose events a tenant's webhooks need.
//!
//! Each server is asked for its hooks every minute: it drops those whose calls fail for five minutes. The leader makes what is
//! missing, and removes what is not needed: gateways may have different configurations for a while. Hooks of others are left
//! alone.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    at_server::{AtServer, Found},
    calls::ask,
    hosts::{Need, hosts, need},
    owner::may_use,
    read, unknown,
};
use crate::{
    domain::{
        directory::Directory,
        host::Host,
        tenant::{Server, Tenant},
    },
    meetings::Meetings,
    supervise::caught,
};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two rounds at least, however many webhooks come and go.
const PAUSE: Duration = Duration::from_secs(1);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// How long a tenant's call waits for the hooks of its servers.
const ENSURED_WITHIN: Duration = Duration::from_secs(2);
/// What an operator should know of a server: the gateway that polls knows it.
pub(in crate::meetings) fn warning(meetings: &Meetings, server: &Server) -> Option<String> {
    let known = meetings.webhooks.at_servers.get(&server.id)?;
    known.warning().map(|warning| format!("tells no events for webhooks: {warning}"))
}

/// A server has called, with its signature.
pub(crate) fn note_signed(meetings: &Meetings, server: &Server) {
    let at_servers = &meetings.webhooks.at_servers;
    // Most calls are not the first one.
    if at_servers.get(&server.id).is_some_and(|known| known.waits_for_call())
        && let Some(mut known) = at_servers.get_mut(&server.id)
    {
        known.has_called();
    }
}

/// A server has called with nothing for anybody: where no webhook needs its events at all, its hook is to be removed.
pub(super) fn note_call(meetings: &Meetings, directory: &Directory, server: &Server) {
    if need(meetings, directory, server) == Need::None && meetings.webhooks.leftover.insert(server.id.clone()) {
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
    let _ = timeout(ENSURED_WITHIN, look_at_all(meetings, looks, false)).await;
}

/// Looks after the hooks until told to stop. `leads` says whether this gateway is the leader.
pub async fn run(meetings: Arc<Meetings>, mut leads: watch::Receiver<Option<bool>>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let scope = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => Scope::All,
            Ok(()) = leads.changed() => Scope::All,
            () = meetings.webhooks.changed.notified() => Scope::Changed,
        };
        let leads = *leads.borrow_and_update() == Some(true);
        round(&meetings, leads, scope).await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(PAUSE) => {}
        }
    }
}

/// Which servers are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// Those that need a hook now and did not before, or the other way round.
    Changed,
}

/// Looks at each server once.
async fn round(meetings: &Meetings, leads: bool, scope: Scope) {
    // What is not needed is removed: what this gateway knows has to be new.
    if let Err(error) = read(meetings).await {
        tracing::debug!(%error, "failed to read webhooks from the store: retrying");
        return;
    }
    let directory = meetings.directory.load_full();
    unknown::note(meetings, &directory);
    if !leads {
        // It would not learn what the leader changes.
        meetings.webhooks.at_servers.clear();
        meetings.webhooks.leftover.clear();
        return;
    }
    let looks: Vec<_> = polled(meetings, &directory)
        .filter(|server| is_due(meetings, server, need(meetings, &directory, server), scope))
        .map(Arc::clone)
        .collect();
    look_at_all(meetings, looks, true).await;
}

/// The servers that are asked at all.
fn polled<'a>(meetings: &'a Meetings, directory: &'a Directory) -> impl Iterator<Item = &'a Arc<Server>> {
    directory.servers().filter(|server| meetings.live.servers.of(&server.id).mode().is_polled())
}

async fn look_at_all(meetings: &Meetings, looks: Vec<Arc<Server>>, leads: bool) {
    let look = |server: Arc<Server>| async move {
        caught("webhook_server", look(meetings, &server, leads)).await;
    };
    stream::iter(looks).for_each_concurrent(CONCURRENCY, look).await;
}

fn is_due(meetings: &Meetings, server: &Server, need: Need, scope: Scope) -> bool {
    let webhooks = &meetings.webhooks;
    let is_leftover = webhooks.leftover.remove(&server.id).is_some();
    match need {
        Need::Hook => {
            let known = webhooks.at_servers.get(&server.id);
            known.is_none_or(|known| scope == Scope::All && known.is_due(meetings.clock.now()))
        }
        // What other gateways have made there stays.
        Need::Unknown => false,
        Need::None => {
            // Whether it is there is looked for once more when it is needed.
            let known = webhooks.at_servers.remove(&server.id);
            is_leftover || known.is_some_and(|(_, known)| known.is_present())
        }
    }
}

/// Compares the hooks of a server with what is needed. The leader alone removes what is not.
async fn look(meetings: &Meetings, server: &Server, leads: bool) {
    let directory = meetings.directory.load_full();
    let is_needed = need(meetings, &directory, server) == Need::Hook;
    let hosts = if is_needed { hosts(meetings, &directory, server) } else { Vec::new() };
    let removes = leads && !unknown::has_any(meetings, &directory);
    let found = compare(meetings, server, &hosts, removes).await;
    if is_needed {
        note(meetings, server, found);
    } else if need(meetings, &meetings.directory.load(), server) == Need::Hook {
        // It is needed again: what a call of a tenant has found there meanwhile may be removed now.
        meetings.webhooks.at_servers.remove(&server.id);
        meetings.webhooks.changed.notify_one();
    } else if leads && matches!(found, Found::Silence) {
        // The next round tries again.
        meetings.webhooks.leftover.insert(server.id.clone());
    }
}

/// Makes what is missing, and removes what is not needed: there is to be one hook on any of these hosts, or none.
async fn compare(meetings: &Meetings, server: &Server, hosts: &[&Host], removes: bool) -> Found {
    let (webhooks, slug) = (&meetings.webhooks, server.slug.as_str());
    let listed = match ask(meetings, server, "hooks/list", ("", "")).await {
        Some(listed) if listed.success => listed,
        Some(_) => return Found::Refusal,
        None => return Found::Silence,
    };
    let own: Vec<_> = listed.hooks.iter().filter(|(_, url)| webhooks.codes.is_address(slug, url)).collect();
    let host_of = |url: &str| hosts.iter().copied().find(|host| webhooks.address(host.as_str(), slug) == url);
    let kept = own.iter().find_map(|(id, url)| Some((id, host_of(url)?)));
    let mut found = kept.map(|(_, host)| Found::Hook { host: host.clone(), is_new: false });
    // First what is missing: no event is to fall between the two.
    if kept.is_none() && !hosts.is_empty() {
        found = Some(make(meetings, server, hosts).await);
    }
    for (id, _) in own.iter().filter(|(id, _)| removes && kept.is_none_or(|(kept, _)| kept != id)) {
        if ask(meetings, server, "hooks/destroy", ("hookID", id)).await.is_some_and(|answer| answer.success) {
            tracing::info!(server = %server.id, "webhook removed from server");
        }
    }
    found.unwrap_or(Found::NoHost)
}

/// Makes the hook on one of these hosts.
async fn make(meetings: &Meetings, server: &Server, hosts: &[&Host]) -> Found {
    let before = meetings.webhooks.at_servers.get(&server.id).map(|known| known.clone());
    let Some(host) = AtServer::host(before.as_ref(), hosts, meetings.clock.now()) else { return Found::NoHost };
    let address = meetings.webhooks.address(host.as_str(), server.slug.as_str());
    match ask(meetings, server, "hooks/create", ("callbackURL", &address)).await {
        Some(answer) if answer.success => {
            tracing::info!(server = %server.id, %host, "webhook registered at server");
            Found::Hook { host: host.clone(), is_new: true }
        }
        Some(_) => Found::Refusal,
        None => Found::Silence,
    }
}

/// Keeps what is known of a server, and tells the operator of what is wrong with it, once.
fn note(meetings: &Meetings, server: &Server, found: Found) {
    let at_servers = &meetings.webhooks.at_servers;
    let before = at_servers.get(&server.id).map(|known| known.clone());
    let after = AtServer::after(before.as_ref(), found, meetings.clock.now());
    let warning = after.warning();
    at_servers.insert(server.id.clone(), after);
    if let Some(warning) =
        warning.filter(|warning| before.and_then(|before| before.warning()).as_ref() != Some(warning))
    {
        tracing::warn!(server = %server.id, "server tells no events for webhooks: {warning}");
    }
}

#[cfg(test)]
mod tests;
