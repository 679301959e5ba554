//! The socket of shared notes: a text that one sends is everybody's, and a text that is no note is echoed.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::Shared;
use super::close;

/// Serves until either side closes or the meeting ends.
pub(super) async fn run(
    mut socket: WebSocket,
    shared: Arc<Shared>,
    meeting: String,
    seen: Value,
    mut ended: watch::Receiver<()>,
) {
    let Some(mut changes) = shared.world().by_int_id(&meeting).map(|meeting| meeting.changes.subscribe()) else {
        return close(socket, close_code::NORMAL, "meeting ended").await;
    };
    let mut told = String::new();
    loop {
        let answer = tokio::select! {
            _ = ended.changed() => return close(socket, close_code::NORMAL, "meeting ended").await,
            Ok(()) = changes.changed() => None,
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => match serde_json::from_str::<Value>(&text) {
                    Ok(message) if message["notes"].is_string() => {
                        let mut world = shared.world();
                        if let Some(meeting) = world.meeting_mut(&meeting) {
                            meeting.notes = message["notes"].as_str().unwrap_or_default().to_owned();
                        }
                        world.changed(&meeting);
                        None
                    }
                    _ => Some(json!({ "id": "echo", "seen": seen, "received": text.as_str() })),
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => None,
            },
        };
        let notes = shared.world().by_int_id(&meeting).map(|meeting| meeting.notes.clone()).unwrap_or_default();
        let news = (notes != told).then(|| json!({ "notes": notes }));
        told = notes;
        for message in [answer, news].into_iter().flatten() {
            if socket.send(Message::text(message.to_string())).await.is_err() {
                return;
            }
        }
    }
}
