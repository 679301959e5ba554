//! The meetings and sessions of a tenant, on all its servers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Meetings, last_known, lists};
use crate::{
    domain::{backend_error::BackendError, directory::Directory, ids::TenantId, tenant::Server, time::Timestamp},
    live::{
        fresh::{Fresh, Held, Moment},
        servers::ServerState,
    },
};

/// How long a list waits for any server, its turn behind other questions included.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Meetings,
    Sessions,
}

/// What the servers have of a tenant.
pub(crate) struct Listing {
    /// When the server was asked whose part is the oldest; `None` where none was.
    pub(crate) oldest: Option<Moment>,
    /// Whole elements, by server.
    pub(crate) elements: Vec<Bytes>,
}

/// Lists the meetings or the sessions of a tenant on all its servers, none asked longer than `max_age` ago: of a server that
/// does not answer, or not in time, what was last known. `None` for a list that would lack something.
pub(crate) async fn list(
    meetings: &Meetings,
    wanted: Wanted,
    directory: &Directory,
    tenant: &TenantId,
    max_age: Duration,
) -> Option<Listing> {
    let servers = meetings.live.presence.servers_of(tenant);
    let known = servers.iter().filter_map(|(id, touched)| Some((directory.server(id.as_str())?, *touched)));
    let parts = known.map(|(server, touched)| part_of(meetings, wanted, server, touched, tenant, max_age));
    let parts = join_all(parts).await.into_iter().collect::<Option<Vec<Part>>>()?;
    let oldest = parts.iter().filter_map(|part| part.asked).min();
    Some(Listing { oldest, elements: parts.into_iter().filter_map(|part| part.own).collect() })
}

/// What one server has of a tenant; `None` where that is not known.
async fn part_of(
    meetings: &Meetings,
    wanted: Wanted,
    server: &Server,
    touched: Moment,
    tenant: &TenantId,
    max_age: Duration,
) -> Option<Part> {
    let (state, now) = (meetings.live.servers.of(&server.id), meetings.clock.now());
    if wanted == Wanted::Sessions {
        let ask = || lists::sessions_of(meetings, server);
        let part =
            fresh_part((now, max_age), &state, &state.sessions, touched, ask, |all| all.get(tenant.as_str()).cloned());
        let last = || last_sessions(meetings, &state, server, tenant);
        return part.await.or_else(last);
    }
    let ask = || lists::meetings_of(meetings, server);
    let part = fresh_part((now, max_age), &state, &state.list, touched, ask, |list| {
        list.by_tenant.get(tenant.as_str()).cloned()
    });
    part.await.or_else(|| Some(last_meetings(meetings, &state, server, tenant)))
}

/// The part of a server that answers in time.
async fn fresh_part<T, F: Future<Output = Result<T, BackendError>>>(
    moment: (Timestamp, Duration),
    state: &ServerState,
    list: &Fresh<T, BackendError>,
    touched: Moment,
    ask: impl FnOnce() -> F,
    own: impl FnOnce(&T) -> Option<Bytes>,
) -> Option<Part> {
    let held = fresh(moment, state, list, touched, ask).await?;
    let own = own(held.answer.as_ref().ok()?);
    Some(Part { asked: Some(held.asked), own })
}

/// The list of a server that answers in time; one that is offline or was too slow a moment ago is not waited for.
pub(super) async fn fresh<T, F: Future<Output = Result<T, BackendError>>>(
    (now, max_age): (Timestamp, Duration),
    state: &ServerState,
    list: &Fresh<T, BackendError>,
    touched: Moment,
    ask: impl FnOnce() -> F,
) -> Option<Arc<Held<T, BackendError>>> {
    if !state.health.is_offline() && state.health.is_quick(now) {
        let held = timeout(LIST_TIMEOUT, list.get(touched, max_age, ask)).await.ok();
        let in_time = held.as_ref().is_some_and(|held| !matches!(held.answer, Err(BackendError::Timeout)));
        if !in_time {
            state.health.listed_in_time(false, now);
        }
        held
    } else {
        list.usable(touched, max_age)
    }
}

/// What was last known of the meetings of a tenant that run on a server, each marked so.
fn last_meetings(meetings: &Meetings, state: &ServerState, server: &Server, tenant: &TenantId) -> Part {
    let last = state.list.last();
    let listed = last.as_ref().and_then(|held| held.answer.as_ref().ok()?.by_tenant.get(tenant.as_str()));
    let running = meetings.live.meetings.of_tenant_on(tenant, &server.id);
    let own = last_known::meetings(listed.map_or(&[], |listed| &listed[..]), &running);
    Part { asked: last.map(|held| held.asked), own: Some(own).filter(|own| !own.is_empty()) }
}

/// What was last known of the sessions in the meetings of a tenant that run on a server.
fn last_sessions(meetings: &Meetings, state: &ServerState, server: &Server, tenant: &TenantId) -> Option<Part> {
    let last = state.sessions.last()?;
    let listed = last.answer.as_ref().ok()?.get(tenant.as_str());
    let running = meetings.live.meetings.of_tenant_on(tenant, &server.id);
    let own = last_known::sessions(listed.map_or(&[], |listed| &listed[..]), &running);
    Some(Part { asked: Some(last.asked), own: Some(own).filter(|own| !own.is_empty()) })
}

/// What one server has of a tenant.
struct Part {
    /// When it was asked; `None` where it never was.
    asked: Option<Moment>,
    /// Whole elements.
    own: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_waits_for_a_slow_server_once_and_no_longer_than_it_may() {
        let (state, kept, asked) = (ServerState::default(), Fresh::default(), Cell::new(0));
        let now = Timestamp::from_secs(1_800_000_000);
        let list = async |now| {
            let ask = || {
                asked.set(asked.get() + 1);
                future::pending::<Result<(), BackendError>>()
            };
            let begun = Instant::now();
            assert!(fresh((now, Duration::ZERO), &state, &kept, Moment::now(), ask).await.is_none());
            begun.elapsed().as_secs()
        };
        assert_eq!((list(now).await, asked.get()), (LIST_TIMEOUT.as_secs(), 1));
        assert_eq!((list(now).await, asked.get()), (0, 1), "it was too slow a moment ago");
        let later = now.saturating_add(Duration::from_secs(60));
        assert_eq!((list(later).await, asked.get()), (LIST_TIMEOUT.as_secs(), 2), "it may be quick again");
    }
}
