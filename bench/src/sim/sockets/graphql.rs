//! graphql-middleware with the protocol `graphql-transport-ws`: the session comes in the first frame, and with it the user
//! is in the meeting. A few subscriptions get data, all others an echo.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Value, json};

use super::super::meeting::Meeting;
use super::super::user::User;
use super::super::{Shared, presentation};
use super::close;
use super::member::{Member, ended};

/// A close from the server: code and reason.
type Closing = (u16, &'static str);

const FORBIDDEN: Closing = (4403, "Forbidden");
const FULL: Closing = (4403, "max_participants_reason");
const EJECTED: Closing = (4403, "duplicate_user_in_meeting_eject_reason");
const BAD_MESSAGE: Closing = (4400, "Invalid message received");
const NOT_INITIALISED: Closing = (4401, "Unauthorized");
const INITIALISED_TWICE: Closing = (4429, "Too many initialisation requests");

/// Serves until either side closes or the meeting ends.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>, seen: Value, http_sessions: Vec<String>) {
    let mut link = Link { shared, seen, http_sessions, member: None, meeting_subscription: None };
    loop {
        let received = tokio::select! {
            () = ended(&mut link.member) => return say_ended(socket, link).await,
            received = socket.recv() => received,
        };
        let answers = match received {
            Some(Ok(Message::Text(text))) => link.receive(&text),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_))) => Err(BAD_MESSAGE),
            Some(Ok(Message::Close(_))) | None => return,
            Some(Err(_)) => Err((close_code::SIZE, "message too big or broken")),
        };
        match answers {
            Ok(answers) => {
                for answer in answers {
                    if socket.send(Message::text(answer.to_string())).await.is_err() {
                        return;
                    }
                }
            }
            Err((code, reason)) => {
                drop(link);
                return close(socket, code, reason).await;
            }
        }
    }
}

/// One socket's state.
struct Link {
    shared: Arc<Shared>,
    seen: Value,
    http_sessions: Vec<String>,
    member: Option<Member>,
    /// The subscription that is told of the meeting's end.
    meeting_subscription: Option<Value>,
}

async fn say_ended(mut socket: WebSocket, link: Link) {
    if link.member.as_ref().is_some_and(Member::is_ejected) {
        drop(link);
        return close(socket, EJECTED.0, EJECTED.1).await;
    }
    if let Some(id) = &link.meeting_subscription {
        let ended = next(id, json!({ "meeting": [{ "ended": true }] })).to_string();
        // Whoever is gone needs not be told.
        let _ = socket.send(Message::text(ended)).await;
    }
    close(socket, close_code::NORMAL, "meeting ended").await;
}

impl Link {
    /// The answers to one message, or the close it leads to.
    fn receive(&mut self, text: &str) -> Result<Vec<Value>, Closing> {
        let message: Value = serde_json::from_str(text).map_err(|_| BAD_MESSAGE)?;
        match message["type"].as_str() {
            Some("connection_init") => self.init(&message["payload"]["headers"]),
            Some("ping") => {
                let mut pong = json!({ "type": "pong" });
                if let Some(payload) = message.get("payload") {
                    pong["payload"] = payload.clone();
                }
                Ok(vec![pong])
            }
            Some("pong" | "complete") => Ok(Vec::new()),
            Some("subscribe") => self.subscribe(&message["id"], &message["payload"]),
            _ => Err(BAD_MESSAGE),
        }
    }

    fn init(&mut self, headers: &Value) -> Result<Vec<Value>, Closing> {
        if self.member.is_some() {
            return Err(INITIALISED_TWICE);
        }
        let token = init_header(headers, "x-session-token").unwrap_or_default();
        let shared = Arc::clone(&self.shared);
        let mut world = shared.world();
        let (meeting, user) = world.authorize(token, &self.http_sessions).ok_or(FORBIDDEN)?;
        let told = (meeting.ext_id.clone(), user.full_name.clone());
        let (meeting, user) = (meeting.int_id.clone(), user.int_id.clone());
        self.member = Some(Member::enter(&shared, &mut world, &meeting, &user).ok_or(FULL)?);
        self.seen["sessionToken"] = token.into();
        self.seen["clientSessionUuid"] = init_header(headers, "x-clientsessionuuid").into();
        self.seen["clientType"] = init_header(headers, "x-clienttype").into();
        self.seen["meetingID"] = told.0.into();
        self.seen["user"] = told.1.into();
        Ok(vec![json!({ "type": "connection_ack" })])
    }

    fn subscribe(&mut self, id: &Value, payload: &Value) -> Result<Vec<Value>, Closing> {
        let member = self.member.as_ref().ok_or(NOT_INITIALISED)?;
        let query = payload["query"].as_str().ok_or(BAD_MESSAGE)?;
        let world = self.shared.world();
        let found = world.by_int_id(&member.meeting);
        let (meeting, user) =
            found.and_then(|meeting| Some((meeting, meeting.users.get(&member.user)?))).ok_or(FORBIDDEN)?;
        let data = if query.contains("pres_page_curr") {
            page_data(meeting, &self.shared)
        } else if query.contains("user_current") {
            user_data(user)
        } else if query.contains("sim_echo") {
            json!({ "sim_echo": { "seen": self.seen, "received": payload } })
        } else if query.contains("meeting") {
            self.meeting_subscription = Some(id.clone());
            meeting_data(meeting, &self.shared)
        } else {
            json!({ "sim_echo": { "seen": self.seen, "received": payload } })
        };
        let mut answers = vec![next(id, data)];
        if !query.trim_start().starts_with("subscription") {
            answers.push(json!({ "type": "complete", "id": id }));
        }
        Ok(answers)
    }
}

fn next(id: &Value, data: Value) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

/// A header of the first frame; names in any case.
fn init_header<'a>(headers: &'a Value, name: &str) -> Option<&'a str> {
    let mut found = headers.as_object()?.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next()?.1.as_str()
}

fn page_data(meeting: &Meeting, shared: &Shared) -> Value {
    let url = |kind| presentation::page_url(meeting, kind, 1, shared);
    let name = meeting.modules.documents.first().map_or("default.pdf", String::as_str);
    json!({ "pres_page_curr": [{
        "pageId": format!("{}/1", meeting.presentation_id),
        "presentationId": meeting.presentation_id,
        "presentationName": name,
        "num": 1,
        "totalPages": 1,
        "urlsJson": { "svg": url("svg"), "thumb": url("thumbnail"), "text": url("textfiles") },
    }] })
}

fn user_data(user: &User) -> Value {
    json!({ "user_current": [{
        "userId": user.int_id,
        "extId": user.ext_id,
        "name": user.full_name,
        "role": user.role.name(),
        "isModerator": user.role.name() == "MODERATOR",
        "guestStatus": user.guest_status.name(),
    }] })
}

fn meeting_data(meeting: &Meeting, shared: &Shared) -> Value {
    json!({ "meeting": [{
        "meetingId": meeting.int_id,
        "extId": meeting.ext_id,
        "name": meeting.name,
        "ended": false,
        "createdTime": meeting.create_time_ms,
        "durationInSeconds": u64::from(meeting.duration_min) * 60,
        "logoutUrl": meeting.logout_url.as_ref().unwrap_or(&shared.config.server_url),
    }] })
}
