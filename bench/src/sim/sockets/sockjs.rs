//! The socket of a 2.7 client: Meteor's DDP inside the frames of sockjs. A method call proves who the user is, and with it
//! the user is in the meeting; all other methods get an echo.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};

use super::super::{Shared, ids};
use super::member::{Member, ended};

/// Serves until either side closes or the meeting ends.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>, seen: Value) {
    let mut link = Link { shared, seen, member: None };
    if socket.send(Message::text("o")).await.is_err() {
        return;
    }
    loop {
        let received = tokio::select! {
            () = ended(&mut link.member) => break,
            received = socket.recv() => received,
        };
        let text = match received {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
        };
        // A frame of a client is an array of messages, each of them JSON in a string.
        let Ok(messages) = serde_json::from_str::<Vec<String>>(&text) else {
            return;
        };
        for message in messages {
            for answer in link.receive(&message) {
                if socket.send(frame(&answer)).await.is_err() {
                    return;
                }
            }
        }
    }
    // Whoever is gone needs not be told.
    let _ = socket.send(Message::text("c[3000,\"Go away!\"]")).await;
}

/// One message as sockjs frames it.
fn frame(message: &Value) -> Message {
    Message::text(format!("a{}", json!([message.to_string()])))
}

/// One socket's state.
struct Link {
    shared: Arc<Shared>,
    seen: Value,
    member: Option<Member>,
}

impl Link {
    fn receive(&mut self, text: &str) -> Vec<Value> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["msg"].as_str() {
            Some("connect") => vec![json!({ "msg": "connected", "session": ids::session_token() })],
            Some("ping") => {
                let mut pong = json!({ "msg": "pong" });
                if let Some(id) = message.get("id") {
                    pong["id"] = id.clone();
                }
                vec![pong]
            }
            Some("sub") => vec![json!({ "msg": "ready", "subs": [message["id"]] })],
            Some("method") => {
                let result = match message["method"].as_str() {
                    Some("validateAuthToken") => self.authenticate(&message["params"]),
                    _ => json!({ "seen": self.seen, "received": message["params"] }),
                };
                vec![
                    json!({ "msg": "result", "id": message["id"], "result": result }),
                    json!({ "msg": "updated", "methods": [message["id"]] }),
                ]
            }
            Some("pong" | "unsub") => Vec::new(),
            _ => vec![json!({ "msg": "error", "reason": "Bad request", "offendingMessage": message })],
        }
    }

    /// Takes internal meeting id, internal user id and the auth token of `join`.
    fn authenticate(&mut self, params: &Value) -> Value {
        let text = |index: usize| params[index].as_str().unwrap_or_default();
        let (meeting, user) = (text(0), text(1));
        let shared = Arc::clone(&self.shared);
        let mut world = shared.world();
        if !world.knows_auth_token(meeting, user, text(2)) {
            return json!({ "invalid": true, "reason": "invalid_auth_token" });
        }
        // One that was there leaves after the new one has entered, and only once the world is free again.
        let entered = Member::enter(&shared, &mut world, meeting, user);
        drop(world);
        match entered {
            Some(member) => {
                self.member = Some(member);
                json!({ "invalid": false, "meetingId": meeting, "userId": user })
            }
            None => json!({ "invalid": true, "reason": "max_participants_reason" }),
        }
    }
}
