//! One server: asked what runs on it, and what that says of its meetings.

use std::{sync::Arc, time::Duration};

use crate::{
    bbb::{client::CallError, xml::Listed},
    domain::{health::State, tenant::Server},
    live::{
        Meeting,
        clock::now_ms,
        fresh::Moment,
        servers::{ServerList, Version},
    },
    proxy::Gateway,
    store::writer::Note,
    upstream::{Body, Pool, whole},
};

use super::settle::{ORPHAN_MS, UNANSWERED_MS, end, end_leftovers, end_unanswered};

/// A server that takes longer than this to tell its version tells it later.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A meeting younger than this may not be listed yet.
const YOUNG_MS: i64 = 5_000;
/// Polls in a row without it that end a meeting.
const MISSES: u32 = 2;
/// BBB counts a user who has left for up to a minute (docs/reference/bbb-protocol.md, "Life of a meeting"), and a
/// seat is held for a while after the last socket.
const LEFT_MS: i64 = 75_000;

pub(super) async fn poll(gateway: &Gateway, server: &Server, meetings: &[Arc<Meeting>]) {
    let begun = now_ms();
    let state = gateway.live.servers.of(&server.id);
    let held = state.list.get(Moment::now(), Duration::ZERO, || gateway.meetings_of(server)).await;
    if held.answer.as_ref().is_err_and(|error| *error == CallError::Exhausted) {
        // It was not asked.
        tracing::error!(server = %server.id, "health check skipped: no file handle, port or memory left");
        return;
    }
    let (before, now) = state.polled(held.answer.is_ok());
    if before != now {
        tell(server, now, meetings.len());
    }
    let Ok(listed) = &held.answer else { return };
    state.listed_in_time(true, begun);
    if before != State::Ready || state.plugin_sdk().is_none() {
        let version = version(&gateway.pool, server).await;
        if version.as_ref().is_some_and(|version| version.before_3 != server.is_meteor) {
            tracing::warn!(server = %server.id, "BBB version differs from the configuration: joins fail");
        }
        state.set_version(version.unwrap_or_default());
    }
    end_leftovers(gateway, server, listed).await;
    gateway.live.weigh(&server.id, listed, now_ms());
    gateway.live.list_breakouts(&server.id, listed, meetings);
    compare(gateway, meetings, listed, begun).await;
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

/// Compares what was promised with what the server lists.
async fn compare(gateway: &Gateway, meetings: &[Arc<Meeting>], listed: &ServerList, begun: i64) {
    for meeting in meetings {
        gateway.rounds.poll.beat();
        let found = listed.meetings.get(&*meeting.server_id).filter(|found| !found.ended);
        // Another run of the room is not this one.
        let found = found.filter(|found| meeting.internal_id().is_none_or(|known| known == found.internal_id));
        if let Some(found) = found {
            if meeting.internal_id().is_none() {
                learn(gateway, meeting, found);
            }
            count_strangers(gateway, meeting, found.people).await;
        }
        let wait = match meeting.internal_id() {
            Some(_) => YOUNG_MS,
            None if meeting.orphan_of.is_some() => ORPHAN_MS,
            None => UNANSWERED_MS,
        };
        if meeting.created_at.saturating_add(wait) < begun && gateway.live.listed(meeting, found.is_some()) >= MISSES {
            match meeting.internal_id() {
                Some(_) => end(gateway, meeting, "no longer listed by its server").await,
                None => end_unanswered(gateway, meeting).await,
            }
        }
    }
}

/// A meeting whose `create` was answered, but not noted any more: the gateway stopped in between.
fn learn(gateway: &Gateway, meeting: &Arc<Meeting>, found: &Listed) {
    gateway.live.name_meeting(meeting, &found.internal_id);
    if !meeting.may_be_called(&found.internal_id) {
        return;
    }
    gateway.notes.leave(Note::Created {
        meeting: meeting.id,
        internal_id: found.internal_id.as_str().into(),
        create_time: found.create_time,
    });
}

/// People whom the server counts and who have come by no join of ours take seats too. BBB's count lags: what two polls in a
/// row have found is believed.
async fn count_strangers(gateway: &Gateway, meeting: &Meeting, people: u32) {
    let mut strangers = 0;
    if people > 0 {
        let Ok(ours) = gateway.store.recent_sessions(meeting.id, now_ms().saturating_sub(LEFT_MS)).await else {
            return;
        };
        strangers = people.saturating_sub(ours);
    }
    let Some(strangers) = meeting.strangers_found(strangers) else { return };
    if strangers > 0 {
        let (tenant, server) = (&meeting.tenant, &meeting.server);
        tracing::warn!(%tenant, %server, strangers, "meeting has participants who did not join through a gateway");
    }
    if let Err(error) = gateway.store.set_strangers(meeting.id, strangers).await {
        tracing::warn!(%error, "failed to correct the seats of a meeting: retrying");
        meeting.strangers_untold();
    }
}

/// The answer of a server's version call (docs/reference/bbb-protocol.md, "Version call").
pub(crate) async fn version(pool: &Pool, server: &Server) -> Option<Version> {
    let uri = http::Uri::builder()
        .scheme(server.upstream.scheme.clone())
        .authority(server.upstream.authority.clone())
        .path_and_query("/bigbluebutton/api")
        .build()
        .ok()?;
    let request =
        http::Request::get(uri).header(http::header::CONTENT_TYPE, "application/json").body(Body::empty()).ok()?;
    let answered = async {
        let response = pool.send(request).await.ok()?;
        whole(response.into_body(), 64 * 1024).await
    };
    let body = tokio::time::timeout(TIMEOUT, answered).await.ok()??;
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body) else {
        // What knows no JSON here is old, if it is a BBB server at all.
        let text = String::from_utf8_lossy(&body);
        let success = text.contains("<returncode>SUCCESS</returncode>");
        return success.then(|| Version { before_3: !text.contains("<graphql"), ..Version::default() });
    };
    let answer = &json["response"];
    answer["returncode"].as_str()?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Some(Version {
        bbb: text("bbbVersion"),
        plugin_sdk: text("html5PluginSdkVersion"),
        before_3: answer["graphqlWebsocketUrl"].as_str().is_none(),
    })
}
