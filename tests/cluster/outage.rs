//! What happens while something is away, and when it is back: the rows of `docs/failures.md`.
//!
//! Servers are stopped and started again on their port, a [`Line`](line::Line) stops passing things on without closing,
//! PostgreSQL is stopped for real, disks are full for real.

mod disk;
mod line;
mod network;
mod servers;
mod store;

use std::time::{Duration, Instant};

use anteroom_bench::sign;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::support::{DEADLINE, Joined, Plan, Reply, Socket, Stage, eventually_within, host, secret, store::written};

/// Three polls that fail make a server offline, two that succeed make it ready: each is five seconds after the one before,
/// and may take as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What does not wait for a time-out: those for connections, polls and statements are five seconds, for calls 30.
const AT_ONCE: Duration = Duration::from_millis(3_500);

/// Who is in the room, and who is on the way there, when the store goes away.
struct People {
    ada: Socket,
    bo: Joined,
    cy: Socket,
}

/// Waits until a condition holds, for as long as servers are given.
async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// An answer that nothing may have been waited for.
async fn at_once<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, Box::pin(answer)).await.unwrap_or_else(|_| panic!("{what}: not within {AT_ONCE:?}"))
}

async fn server_is(stage: &Stage, up: u8) {
    let line = format!("anteroom_server_up{{server=\"bbb-01\"}} {up}");
    eventually(&line, async || stage.metrics().await.contains(&line)).await;
}

/// While a server is known to be offline, calls about its meeting are refused at once, and lists are answered without it.
async fn calls_do_not_wait(stage: &Stage) {
    for call in ["getMeetingInfo", "isMeetingRunning", "end", "create"] {
        let refused = at_once(call, stage.api("tiny", call, &[("meetingID", "room"), ("name", "room")])).await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{call}: {}", refused.body);
    }
    let list = at_once("a list", stage.api("tiny", "getMeetings", &[])).await;
    assert_eq!(list.xml("returncode"), "SUCCESS", "{}", list.body);
}

/// A person follows a link to the room.
async fn follows_a_link(stage: &Stage, tenant: &str, name: &str) -> Reply {
    let params = [("meetingID", "room"), ("fullName", name), ("role", "VIEWER")];
    let path = sign::path("join", &params, &secret(tenant));
    stage.client().get_with(&host(tenant), &path, &[("accept", "text/html")]).await
}

/// Sends something to a meeting and waits for what comes back.
async fn echo(socket: &mut Socket) -> Result<(), String> {
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.map_err(|error| error.to_string())?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if text.contains("pong") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Waits until a socket is closed from the other side, with or without a word.
async fn closed(socket: &mut Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// How the gateway closes the GraphQL socket of somebody who comes back.
async fn turned_away(stage: &Stage, tenant: &str, joined: &Joined) -> (u16, String) {
    let origin = format!("https://{}", host(tenant));
    let headers =
        [("cookie", &*joined.cookies), ("origin", &*origin), ("sec-websocket-protocol", "graphql-transport-ws")];
    let path = format!("{}/graphql", joined.prefix);
    let mut socket = stage.client().socket(&host(tenant), &path, &headers).await.unwrap();
    let init =
        format!(r#"{{"type":"connection_init","payload":{{"headers":{{"X-Session-Token":"{}"}}}}}}"#, joined.token);
    socket.send(Message::text(init)).await.unwrap();
    match socket.next().await {
        Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => (code.into(), reason.to_string()),
        other => panic!("{other:?}"),
    }
}
