//! graphql-middleware with the protocol `graphql-transport-ws`: the session comes in the first frame, and with it the user
//! is in the meeting; only a guest who had to wait needs the mutation `userJoinMeeting`, with which all real clients come in. A few subscriptions get data, and are told what changes; all others get an echo.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Value, json};

use super::super::breakout::{self, BreakoutPlan};
use super::super::meeting::Meeting;
use super::super::user::{GuestStatus, Role, User};
use super::super::world::World;
use super::super::{Shared, ids, presentation, wall_ms};
use super::member::{Admission, Event, Member, event};
use super::{close, livekit};

/// A close from the server: code and reason.
type Closing = (u16, &'static str);

const FORBIDDEN: Closing = (4403, "Forbidden");
const FULL: Closing = (4403, "max_participants_reason");
const EJECTED: Closing = (4403, "duplicate_user_in_meeting_eject_reason");
const BAD_MESSAGE: Closing = (4400, "Invalid message received");
const NOT_INITIALISED: Closing = (4401, "Unauthorized");
const INITIALISED_TWICE: Closing = (4429, "Too many initialisation requests");

/// How many subscriptions one socket may have, as the answers to them are remembered.
const SUBSCRIPTIONS_MAX: usize = 32;

/// Serves until either side closes or the meeting ends.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>, seen: Value, http_sessions: Vec<String>) {
    let mut link =
        Link { shared, seen, http_sessions, member: None, meeting_subscription: None, subscriptions: Vec::new() };
    loop {
        let answers = tokio::select! {
            event = event(&mut link.member) => match event {
                Event::Ended => return say_ended(socket, link).await,
                Event::Changed => Ok(link.news()),
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => link.receive(&text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Binary(_))) => Err(BAD_MESSAGE),
                Some(Ok(Message::Close(_))) | None => return,
                Some(Err(_)) => Err((close_code::SIZE, "message too big or broken")),
            },
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
    /// The other subscriptions, each with what it was last told.
    subscriptions: Vec<(Value, Topic, Value)>,
}

/// What a subscription is told of.
#[derive(Clone, Copy)]
enum Topic {
    Breakouts,
    Guests,
    Page,
    UploadTokens,
    User,
}

impl Topic {
    fn of(query: &str) -> Option<Self> {
        let topics = [
            ("breakoutRoom", Self::Breakouts),
            ("user_guest", Self::Guests),
            ("pres_page_curr", Self::Page),
            ("pres_presentation_uploadToken", Self::UploadTokens),
            ("user_current", Self::User),
        ];
        topics.into_iter().find(|(name, _)| query.contains(name)).map(|(_, topic)| topic)
    }

    fn data(self, world: &World, meeting: &Meeting, user: &User, shared: &Shared) -> Value {
        match self {
            Self::Breakouts => breakout_data(world, meeting, user, shared),
            Self::Guests => guest_data(meeting, user),
            Self::Page => page_data(meeting, shared),
            Self::UploadTokens => token_data(meeting, user),
            Self::User => user_data(meeting, user, shared),
        }
    }
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
            Some("pong") => Ok(Vec::new()),
            Some("complete") => {
                self.subscriptions.retain(|(id, _, _)| *id != message["id"]);
                Ok(Vec::new())
            }
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
        let shared = Arc::clone(&self.shared);
        let mut world = shared.world();
        if query.contains("userJoinMeeting") {
            return self.come_in(&mut world, id);
        }
        let found = world.by_int_id(&member.meeting);
        let (meeting, user) =
            found.and_then(|meeting| Some((meeting, meeting.users.get(&member.user)?))).ok_or(FORBIDDEN)?;
        if query.trim_start().starts_with("mutation")
            && let Some(mutation) = Mutation::of(query)
        {
            let (meeting, user) = (meeting.int_id.clone(), user.int_id.clone());
            return Ok(mutation.make(&mut world, &meeting, &user, id, payload));
        }
        if let Some((bytes, count)) = patches(query) {
            let patch = next(id, json!({ "patches": "x".repeat(bytes) }));
            return Ok(vec![patch; count]);
        }
        let is_subscription = query.trim_start().starts_with("subscription");
        let data = if let Some(topic) = Topic::of(query) {
            let data = topic.data(&world, meeting, user, &self.shared);
            if is_subscription {
                if SUBSCRIPTIONS_MAX <= self.subscriptions.len() {
                    return Err(BAD_MESSAGE);
                }
                self.subscriptions.push((id.clone(), topic, data.clone()));
            }
            data
        } else if query.contains("meeting") && !query.contains("sim_echo") {
            self.meeting_subscription = Some(id.clone());
            meeting_data(meeting, &self.shared)
        } else {
            json!({ "sim_echo": { "seen": self.seen, "received": payload } })
        };
        let mut answers = vec![next(id, data)];
        if !is_subscription {
            answers.push(json!({ "type": "complete", "id": id }));
        }
        Ok(answers)
    }

    /// `userJoinMeeting`.
    fn come_in(&mut self, world: &mut World, id: &Value) -> Result<Vec<Value>, Closing> {
        let member = self.member.as_mut().ok_or(NOT_INITIALISED)?;
        match member.admit(world) {
            Admission::In | Admission::Refused => {
                Ok(vec![next(id, json!({ "userJoinMeeting": true })), json!({ "type": "complete", "id": id })])
            }
            Admission::Full => Err(FULL),
        }
    }

    /// What the subscriptions are to be told since the last time.
    fn news(&mut self) -> Vec<Value> {
        let Some(member) = &self.member else {
            return Vec::new();
        };
        let world = self.shared.world();
        let found = world.by_int_id(&member.meeting);
        let Some((meeting, user)) = found.and_then(|meeting| Some((meeting, meeting.users.get(&member.user)?))) else {
            return Vec::new();
        };
        let mut news = Vec::new();
        for (id, topic, told) in &mut self.subscriptions {
            let data = topic.data(&world, meeting, user, &self.shared);
            if *told != data {
                told.clone_from(&data);
                news.push(next(id, data));
            }
        }
        news
    }
}

/// What a client can have the server do.
#[derive(Clone, Copy)]
enum Mutation {
    Breakouts,
    JudgeGuests,
    RequestUpload,
}

impl Mutation {
    fn of(query: &str) -> Option<Self> {
        let mutations = [
            ("breakoutRoom", Self::Breakouts),
            ("guestUsersSubmitApprovalStatus", Self::JudgeGuests),
            ("presentationRequestUploadToken", Self::RequestUpload),
        ];
        mutations.into_iter().find(|(name, _)| query.contains(name)).map(|(_, mutation)| mutation)
    }

    fn make(self, world: &mut World, meeting: &str, user: &str, id: &Value, payload: &Value) -> Vec<Value> {
        let role = world.by_int_id(meeting).and_then(|meeting| meeting.users.get(user)).map(|user| user.role);
        if role != Some(Role::Moderator) {
            let error = json!([{ "message": "permission denied" }]);
            return vec![json!({ "type": "error", "id": id, "payload": error })];
        }
        let name = match self {
            Self::Breakouts => return change_breakouts(world, meeting, id, payload),
            Self::JudgeGuests => {
                let guests = payload["variables"]["guests"].as_array().cloned().unwrap_or_default();
                for guest in guests {
                    let status = if guest["status"] == "ALLOW" { GuestStatus::Allow } else { GuestStatus::Deny };
                    world.judge_user(meeting, guest["guest"].as_str().unwrap_or_default(), status);
                }
                "guestUsersSubmitApprovalStatus"
            }
            Self::RequestUpload => {
                if let Some(meeting) = world.meeting_mut(meeting) {
                    meeting.upload_tokens.insert(ids::upload_token(), user.to_owned());
                }
                "presentationRequestUploadToken"
            }
        };
        world.changed(meeting);
        vec![next(id, json!({ name: true })), json!({ "type": "complete", "id": id })]
    }
}

/// How large and how many patches a load asks for: `sim_patches(bytes: N, count: M)`.
fn patches(query: &str) -> Option<(usize, usize)> {
    let (_, rest) = query.split_once("sim_patches(bytes: ")?;
    let (bytes, rest) = rest.split_once(", count: ")?;
    Some((bytes.parse().ok()?, rest.split(')').next()?.parse().ok()?))
        .filter(|(bytes, count)| bytes * count <= 16 << 20)
}

/// A moderator opens breakout rooms, or ends them all.
fn change_breakouts(world: &mut World, meeting: &str, id: &Value, payload: &Value) -> Vec<Value> {
    let is_end = payload["query"].as_str().is_some_and(|query| query.contains("breakoutRoomEndAll"));
    let name = if is_end { "breakoutRoomEndAll" } else { "breakoutRoomCreate" };
    if is_end {
        let parent = world.by_int_id(meeting);
        let rooms: Vec<String> =
            parent.into_iter().flat_map(|parent| world.breakouts_of(parent)).map(|room| room.int_id.clone()).collect();
        for room in rooms {
            world.run_out(&room, Instant::now(), wall_ms());
        }
    } else {
        world.open_breakouts(meeting, plan(&payload["variables"]), Instant::now(), wall_ms());
    }
    vec![next(id, json!({ name: true })), json!({ "type": "complete", "id": id })]
}

/// What the variables of a `breakoutRoomCreate` ask for; `freeJoin` stands in each room.
fn plan(variables: &Value) -> BreakoutPlan {
    let default = BreakoutPlan::default();
    let minutes = variables["durationInMinutes"].as_u64().and_then(|minutes| u32::try_from(minutes).ok());
    let rooms = variables["rooms"].as_array();
    BreakoutPlan {
        rooms: rooms.map_or(default.rooms, |rooms| u32::try_from(rooms.len()).unwrap_or(u32::MAX)),
        free_join: variables["rooms"][0]["freeJoin"].as_bool().unwrap_or(default.free_join),
        record: variables["record"].as_bool().unwrap_or(default.record),
        duration_min: minutes.unwrap_or(default.duration_min),
    }
}

/// The rooms that a user may go to, each with the user's own address.
fn breakout_data(world: &World, meeting: &Meeting, user: &User, shared: &Shared) -> Value {
    let mut rooms: Vec<&Meeting> = world.breakouts_of(meeting).collect();
    rooms.sort_by_key(|room| breakout::sequence(room));
    let rooms = rooms.into_iter().filter_map(|room| {
        let sequence = breakout::sequence(room);
        let join_url = breakout::join_url(room, user, &shared.config)?;
        Some(json!({
            "breakoutRoomId": room.int_id,
            "sequence": sequence,
            "name": room.name,
            "shortName": format!("Room {sequence}"),
            "joinURL": join_url,
        }))
    });
    json!({ "breakoutRoom": rooms.collect::<Vec<_>>() })
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
    let name = meeting.modules.documents.last().map_or("default.pdf", String::as_str);
    json!({ "pres_page_curr": [{
        "pageId": format!("{}/1", meeting.presentation_id),
        "presentationId": meeting.presentation_id,
        "presentationName": name,
        "num": 1,
        "totalPages": 1,
        "urlsJson": { "svg": url("svg"), "thumb": url("thumbnail"), "text": url("textfiles") },
    }] })
}

/// Who waits to be let in, for those who may do that.
fn guest_data(meeting: &Meeting, user: &User) -> Value {
    let waiting = meeting.users.values().filter(|other| other.guest_status == GuestStatus::Wait);
    let waiting = waiting.filter(|_| user.role == Role::Moderator);
    let waiting: Vec<_> = waiting.map(|other| json!({ "userId": other.int_id, "name": other.full_name })).collect();
    json!({ "user_guest": waiting })
}

/// The upload tokens that a user has asked for and not used yet.
fn token_data(meeting: &Meeting, user: &User) -> Value {
    let own = meeting.upload_tokens.iter().filter(|(_, of)| **of == user.int_id);
    let own: Vec<_> = own.map(|(token, _)| json!({ "uploadToken": token })).collect();
    json!({ "pres_presentation_uploadToken": own })
}

fn user_data(meeting: &Meeting, user: &User, shared: &Shared) -> Value {
    json!({ "user_current": [{
        "userId": user.int_id,
        "extId": user.ext_id,
        "name": user.full_name,
        "role": user.role.name(),
        "isModerator": user.role.name() == "MODERATOR",
        "guestStatus": user.guest_status.name(),
        "joinErrorCode": user.was_refused.then_some("not_enough_permission_eject_reason"),
        "joinErrorMessage": user.was_refused.then_some("User is not allowed to join"),
        "livekit": { "livekitToken": livekit::token(meeting, user, shared) },
    }] })
}

fn meeting_data(meeting: &Meeting, shared: &Shared) -> Value {
    json!({ "meeting": [{
        "meetingId": meeting.int_id,
        "extId": meeting.ext_id,
        "name": meeting.name,
        "ended": false,
        "isBreakout": meeting.is_breakout,
        "createdTime": meeting.create_time_ms,
        "durationInSeconds": u64::from(meeting.duration_min) * 60,
        "learningDashboardAccessToken": meeting.dashboard_token,
        "logoutUrl": meeting.logout_url.as_ref().unwrap_or(&shared.config.server_url),
    }] })
}
