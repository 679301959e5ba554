//! The poller: asks each server now and then what runs on it, and settles what has ended without our noticing.
//!
//! One bad poll ends nothing: a meeting is ended when its server has answered twice in a row without listing it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::{
    bbb::{client::Call, query::Params, xml},
    domain::tenant::Server,
    live::{Meeting, clock::now_ms},
    proxy::Gateway,
    upstream::Body,
};

/// Between two rounds. A meeting that has ended by itself frees its room after two of them.
const INTERVAL: Duration = Duration::from_secs(5);
/// A server that takes longer than this for its list is taken as away.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Servers that are asked at a time.
const CONCURRENCY: usize = 16;
/// A meeting younger than this may not be listed yet.
const YOUNG_MS: i64 = 5_000;
/// A meeting that no server has answered for yet: longer than a `create` may take with all its tries.
const UNANSWERED_MS: i64 = 120_000;
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
    let servers: Vec<Arc<Server>> = gateway.directory.load().servers().cloned().collect();
    stream::iter(servers).for_each_concurrent(CONCURRENCY, |server| async move { poll(gateway, &server).await }).await;
}

async fn poll(gateway: &Gateway, server: &Server) {
    let begun = now_ms();
    let state = gateway.live.servers.of(&server.id);
    let listed = list(gateway, server).await;
    let news = state.set_up(listed.is_some());
    let Some(listed) = listed else {
        if news {
            tracing::warn!(server = %server.id, "the server does not answer");
        }
        return;
    };
    if news {
        tracing::info!(server = %server.id, "the server answers again");
    }
    if news || state.plugin_sdk().is_none() {
        state.set_plugin_sdk(plugin_sdk(gateway, server).await.unwrap_or_default());
    }
    let due = |meeting: &Arc<Meeting>| {
        let wait = if meeting.internal_id().is_some() { YOUNG_MS } else { UNANSWERED_MS };
        meeting.server == server.id && meeting.created_at + wait < begun
    };
    for meeting in gateway.live.meetings().into_iter().filter(due) {
        let missed = gateway.live.listed(&meeting, listed.contains(&*meeting.server_id));
        if missed >= MISSES {
            tracing::info!(tenant = %meeting.tenant, server = %server.id, "a meeting has ended");
            if let Err(error) = gateway.end_record(&meeting).await {
                tracing::warn!(%error, "an end is not written yet");
            }
        }
    }
}

/// The ids of all meetings that run on a server; `None` when it gives no answer.
async fn list(gateway: &Gateway, server: &Server) -> Option<HashSet<String>> {
    let params = Params::default();
    let mut call = Call::new("getMeetings", &params);
    call.timeout = TIMEOUT;
    let reply = call.send(&gateway.pool, server).await.ok()?;
    let meetings = xml::list(&reply.body, |id| Some(id.to_owned())).ok()?;
    Some(meetings.into_iter().filter(|meeting| !meeting.ended).map(|meeting| meeting.server_id).collect())
}

/// `html5PluginSdkVersion` of a server's version call, which clients are told.
async fn plugin_sdk(gateway: &Gateway, server: &Server) -> Option<String> {
    use http_body_util::{BodyExt, Limited};
    let uri = http::Uri::builder()
        .scheme(server.upstream.scheme.clone())
        .authority(server.upstream.authority.clone())
        .path_and_query("/bigbluebutton/api")
        .build()
        .ok()?;
    let request =
        http::Request::get(uri).header(http::header::CONTENT_TYPE, "application/json").body(Body::empty()).ok()?;
    let response = tokio::time::timeout(TIMEOUT, gateway.pool.send(request)).await.ok()?.ok()?;
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await.ok()?.to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
    json["response"]["html5PluginSdkVersion"].as_str().map(str::to_owned)
}
