//! A socket that answers each text with what was seen of its request, and each binary message with itself.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::close;

/// Serves until either side closes or the meeting ends.
pub(super) async fn run(mut socket: WebSocket, seen: Value, ping: Option<Duration>, mut ended: watch::Receiver<()>) {
    // Without pings, a period that no socket lives to see.
    let period = ping.unwrap_or(Duration::from_secs(365 * 86_400)).max(Duration::from_millis(1));
    let mut pings = tokio::time::interval_at(Instant::now() + period, period);
    loop {
        let answer = tokio::select! {
            _ = ended.changed() => return close(socket, close_code::NORMAL, "meeting ended").await,
            _ = pings.tick() => Some(Message::Ping(Bytes::new())),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_))) | None => return,
                Some(Ok(message)) => answer(message, &seen),
                Some(Err(_)) => return close(socket, close_code::SIZE, "message too big or broken").await,
            },
        };
        if let Some(answer) = answer
            && socket.send(answer).await.is_err()
        {
            return;
        }
    }
}

fn answer(message: Message, seen: &Value) -> Option<Message> {
    let text = match message {
        Message::Text(text) => text,
        Message::Binary(bytes) => return Some(Message::Binary(bytes)),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return None,
    };
    let is_ping = serde_json::from_str::<Value>(&text).is_ok_and(|message| message["id"] == "ping");
    let answer = match is_ping {
        true => json!({ "id": "pong" }),
        false => json!({ "id": "echo", "seen": seen, "received": text.as_str() }),
    };
    Some(Message::text(answer.to_string()))
}
