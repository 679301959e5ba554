//! The poller: asks each server now and then what runs on it, and settles what has ended without our noticing.
//!
//! One bad poll ends nothing: a meeting is ended when its server has answered twice in a row without listing it.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::{
    bbb::xml::Listed,
    domain::{limits::Limit, tenant::Server},
    live::{Meeting, clock::now_ms, fresh::Moment},
    proxy::Gateway,
    store::writer::Note,
    upstream::{Body, whole},
};

/// Between two rounds. A meeting that has ended by itself frees its room after two of them.
const INTERVAL: Duration = Duration::from_secs(5);
/// A server that takes longer than this to tell its version tells it later.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// A meeting younger than this may not be listed yet.
const YOUNG_MS: i64 = 5_000;
/// A meeting that no server has answered for yet: longer than a `create` may take with all its tries.
const UNANSWERED_MS: i64 = 120_000;
/// How long a meeting may outlive its duration on a server that is not heard of: BBB ends it by itself.
const OUTLIVED_MS: i64 = 10 * 60_000;
/// Polls in a row without it that end a meeting.
const MISSES: u32 = 2;
/// How long an ended meeting's row is kept.
const KEEP_ENDED_MS: i64 = 7 * 24 * 3600 * 1000;
/// Rounds between two clean-ups of the store.
const PURGE_EVERY: u32 = 720;

/// Polls until told to stop. `round` counts the rounds that are done: the first one makes the gateway ready.
pub async fn run(gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>, round: watch::Sender<u32>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        poll_all(&gateway).await;
        settle(&gateway).await;
        gateway.settle_drained().await;
        gateway.live.forget_ended(now_ms());
        let done = *round.borrow() + 1;
        round.send_replace(done);
        if done.is_multiple_of(PURGE_EVERY)
            && let Err(error) = gateway.store.purge(now_ms() - KEEP_ENDED_MS).await
        {
            tracing::warn!(%error, "old meetings are not cleaned up");
        }
    }
}

async fn poll_all(gateway: &Gateway) {
    let wanted = |server: &&Arc<Server>| gateway.live.servers.of(&server.id).mode().is_polled();
    let servers: Vec<Arc<Server>> = gateway.directory.load().servers().filter(wanted).cloned().collect();
    stream::iter(servers).for_each_concurrent(CONCURRENCY, |server| async move { poll(gateway, &server).await }).await;
}

async fn poll(gateway: &Gateway, server: &Server) {
    let begun = now_ms();
    let state = gateway.live.servers.of(&server.id);
    let held = state.list.get(Moment::now(), Duration::ZERO, gateway.meetings_of(server)).await;
    let news = state.set_up(held.answer.is_ok());
    let Ok(listed) = &held.answer else {
        if news {
            tracing::warn!(server = %server.id, "the server does not answer");
        }
        return;
    };
    if news {
        tracing::info!(server = %server.id, "the server answers again");
    }
    if news || state.plugin_sdk().is_none() {
        let (plugin_sdk, before_3) = version(gateway, server).await.unwrap_or_default();
        state.set_version(plugin_sdk, before_3);
    }
    for meeting in gateway.live.meetings().into_iter().filter(|meeting| meeting.server == server.id) {
        let found = listed.meetings.get(&*meeting.server_id).filter(|found| !found.ended);
        if let Some(found) = found
            && meeting.internal_id().is_none()
        {
            learn(gateway, &meeting, found);
        }
        let wait = if meeting.internal_id().is_some() { YOUNG_MS } else { UNANSWERED_MS };
        if meeting.created_at + wait < begun && gateway.live.listed(&meeting, found.is_some()) >= MISSES {
            end(gateway, &meeting, "its server does not list it").await;
        }
    }
}

/// A meeting whose `create` was answered, but not noted any more: the gateway stopped in between.
fn learn(gateway: &Gateway, meeting: &Arc<Meeting>, found: &Listed) {
    gateway.live.name_meeting(meeting, &found.internal_id);
    gateway.notes.leave(Note::Created {
        meeting: meeting.id,
        internal_id: found.internal_id.as_str().into(),
        create_time: found.create_time,
        is_own: meeting.may_be_called(&found.internal_id),
    });
}

/// Ends what no server will ever be heard of again: meetings of a server that is no longer in the configuration, and
/// those that have outlived their level's duration by far.
async fn settle(gateway: &Gateway) {
    let (directory, now) = (gateway.directory.load_full(), now_ms());
    for meeting in gateway.live.meetings() {
        let outlived = directory.tenant(meeting.tenant.as_str()).is_some_and(|tenant| match tenant.limits.duration {
            Limit::AtMost(duration) => {
                let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                meeting.created_at.saturating_add(duration).saturating_add(OUTLIVED_MS) < now
            }
            Limit::Unlimited => false,
        });
        if directory.server(meeting.server.as_str()).is_none() {
            end(gateway, &meeting, "its server is not in the configuration").await;
        } else if outlived && !gateway.live.servers.of(&meeting.server).is_up() {
            end(gateway, &meeting, "its time is over, and its server does not answer").await;
        }
    }
}

async fn end(gateway: &Gateway, meeting: &Arc<Meeting>, reason: &'static str) {
    tracing::info!(tenant = %meeting.tenant, server = %meeting.server, reason, "a meeting has ended");
    if let Err(error) = gateway.end_record(meeting).await {
        tracing::warn!(%error, "an end is not written yet");
    }
}

/// What a server's version call tells: `html5PluginSdkVersion`, which clients are told, and whether it is older than 3.0,
/// which has no GraphQL (bbb.md 3.1).
async fn version(gateway: &Gateway, server: &Server) -> Option<(String, bool)> {
    let uri = http::Uri::builder()
        .scheme(server.upstream.scheme.clone())
        .authority(server.upstream.authority.clone())
        .path_and_query("/bigbluebutton/api")
        .build()
        .ok()?;
    let request =
        http::Request::get(uri).header(http::header::CONTENT_TYPE, "application/json").body(Body::empty()).ok()?;
    let answered = async {
        let response = gateway.pool.send(request).await.ok()?;
        whole(response.into_body(), 64 * 1024).await
    };
    let body = tokio::time::timeout(TIMEOUT, answered).await.ok()??;
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body) else {
        // What knows no JSON here is old, if it is a BBB server at all.
        let text = String::from_utf8_lossy(&body);
        return text.contains("<returncode>SUCCESS</returncode>").then(|| (String::new(), !text.contains("<graphql")));
    };
    let answer = &json["response"];
    answer["returncode"].as_str()?;
    let plugin_sdk = answer["html5PluginSdkVersion"].as_str().unwrap_or_default();
    Some((plugin_sdk.to_owned(), answer["graphqlWebsocketUrl"].as_str().is_none()))
}
