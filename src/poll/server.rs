//! One server: asked what runs on it, and what that says of its meetings.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{backend_error::BackendError, health::State, tenant::Server},
    live::{Meeting, fresh::Moment},
    meetings::{Meetings, lists, reconcile},
};

pub(super) async fn poll(meetings: &Meetings, server: &Server, running: &[Arc<Meeting>]) {
    let begun = meetings.clock.now();
    let state = meetings.live.servers.of(&server.id);
    let held = state.list.get(Moment::now(), Duration::ZERO, || lists::meetings_of(meetings, server)).await;
    if held.answer.as_ref().is_err_and(|error| *error == BackendError::Exhausted) {
        // It was not asked.
        tracing::error!(server = %server.id, "health check skipped: no file handle, port or memory left");
        return;
    }
    let (before, now) = state.health.polled(held.answer.is_ok());
    if before != now {
        tell(server, now, running.len());
    }
    let Ok(listed) = &held.answer else { return };
    state.health.listed_in_time(true, begun);
    if before != State::Ready || state.reported.plugin_sdk().is_none() {
        let version = meetings.backends.version(server).await;
        if version.as_ref().is_some_and(|version| version.before_3 != server.is_meteor) {
            tracing::warn!(server = %server.id, "BBB version differs from the configuration: joins fail");
        }
        state.reported.set(version.unwrap_or_default());
        if let Some(release) = state.reported.release().filter(|release| release.is_outdated()) {
            tracing::warn!(server = %server.id, %release, "BBB release with published flaws: upgrade the server");
        }
    }
    reconcile::reconcile(meetings, server, running, listed, begun).await;
}

/// What news of a server means.
fn tell(server: &Server, state: State, meetings: usize) {
    let server = &server.id;
    match state {
        State::Ready => tracing::info!(%server, meetings, "server is ready"),
        State::Unstable => tracing::warn!(%server, "server is unstable: no new meetings"),
        State::Offline => tracing::error!(%server, meetings, "server is offline: its meetings are detached"),
    }
}
