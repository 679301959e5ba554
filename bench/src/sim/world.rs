//! All that the server remembers: meetings by internal id, session tokens, HTTP sessions, and recordings.
//!
//! Plain data behind one mutex; nothing in here waits or does I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::session_calls::dashboard_of;
use super::breakout;
use super::callbacks::{Callback, Outbox};
use super::hooks::{Desk, Hooks};
use super::ids;
use super::meeting::{Meeting, Pace};
use super::modules::Modules;
use super::params::{self, Params};
use super::recording::Recording;
use super::recordings::Recordings;
use super::user::{GuestStatus, Role, User};

/// How long a session is remembered after its meeting.
const SESSIONS_CLEANUP_DELAY: Duration = Duration::from_secs(60 * 60);

/// Learning dashboards of meetings that have ended, that are kept at the most: load runs end many.
const ENDED_DASHBOARDS_MAX: usize = 1_000;

/// What a session token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Internal meeting id.
    pub(crate) meeting: String,
    /// Internal user id.
    pub(crate) user: String,
    /// What a 2.7 client proves itself with on its socket.
    pub(crate) auth_token: String,
    /// The HTTP session that carries the token.
    http_session: String,
}

/// A session that has just been opened.
pub(crate) struct Opened {
    pub(crate) token: String,
    pub(crate) auth_token: String,
    pub(crate) http_session: String,
    /// Whether the HTTP session was made for it.
    pub(crate) is_new: bool,
}

/// What became of a `create`.
pub(crate) enum Created<'a> {
    New(&'a Meeting),
    Existing(&'a Meeting),
    IdNotUnique,
    VoiceBridgeTaken,
}

#[derive(Default)]
pub(crate) struct World {
    /// With how many people without sockets a new meeting is filled.
    attendees: u32,
    /// See [`Profile::rooms_inherit_recording`](super::Profile).
    pub(crate) rooms_inherit_recording: bool,
    meetings: BTreeMap<String, Meeting>,
    sessions: HashMap<String, Session>,
    /// `JSESSIONID` to the session tokens it carries.
    http_sessions: HashMap<String, HashSet<String>>,
    voice_bridges: HashSet<String>,
    pub(crate) recordings: Recordings,
    /// What the learning dashboard shows of meetings that have ended: the access token, the data, since when, and for how many
    /// minutes; 0 is for ever.
    ended_dashboards: HashMap<String, (String, Value, Instant, u32)>,
    /// Tokens of meetings that have ended, with the role they had, for a while.
    ended_sessions: HashMap<String, (Role, Instant)>,
    /// Whether ids of meetings that end without a call of `end` stay taken.
    pub(crate) ids_stick: bool,
    /// First parts of internal ids that are stuck.
    stuck: HashSet<String>,
    last_create_ms: u64,
    pub(crate) hooks: Hooks,
    /// Where the calls of hooks go.
    pub(crate) desk: Option<Desk>,
    /// Where callbacks go.
    pub(crate) outbox: Option<Outbox>,
}

impl World {
    pub(crate) fn new(attendees: u32, rooms_inherit_recording: bool) -> Self {
        Self { attendees, rooms_inherit_recording, ..Self::default() }
    }

    /// Forgets all but recordings and hooks, as a restart does. Times of creation go on, so that internal ids stay unique.
    pub(crate) fn clear(&mut self) {
        self.meetings.clear();
        self.sessions.clear();
        self.http_sessions.clear();
        self.voice_bridges.clear();
        self.ended_sessions.clear();
        self.stuck.clear();
    }

    pub(crate) fn meetings(&self) -> impl Iterator<Item = &Meeting> {
        self.meetings.values()
    }

    /// The meeting whose internal id **begins** with what was given, else the one of that external id. The first half is a
    /// weakness of BBB that others can rely on.
    pub(crate) fn find(&self, given: &str) -> Option<&Meeting> {
        self.find_id(given).and_then(|id| self.meetings.get(&id))
    }

    pub(crate) fn find_mut(&mut self, given: &str) -> Option<&mut Meeting> {
        let id = self.find_id(given)?;
        self.meetings.get_mut(&id)
    }

    fn find_id(&self, given: &str) -> Option<String> {
        if params::length(given) < 2 {
            return None;
        }
        self.with_prefix(given).or_else(|| self.with_prefix(&ids::meeting_hash(given))).map(str::to_owned)
    }

    fn with_prefix(&self, prefix: &str) -> Option<&str> {
        let (id, _) = self.meetings.range(prefix.to_owned()..).next()?;
        id.starts_with(prefix).then_some(id.as_str())
    }

    pub(crate) fn by_int_id(&self, int_id: &str) -> Option<&Meeting> {
        self.meetings.get(int_id)
    }

    pub(crate) fn create(
        &mut self,
        ext_id: &str,
        params: &Params,
        modules: Modules,
        now: Instant,
        wall_ms: u64,
    ) -> Created<'_> {
        let hash = ids::meeting_hash(ext_id);
        if self.stuck.contains(&hash) {
            return Created::IdNotUnique;
        }
        let prefix = if params.is_true("isBreakout") { ext_id } else { &hash };
        if let Some(existing) = self.with_prefix(prefix).map(str::to_owned) {
            let existing = &self.meetings[&existing];
            let given = (params.text("attendeePW"), params.text("moderatorPW"));
            let stored = (Some(existing.attendee_pw.as_str()), Some(existing.moderator_pw.as_str()));
            return match given == (None, None) || given == stored {
                true => Created::Existing(existing),
                false => Created::IdNotUnique,
            };
        }
        let voice_bridge = match params.text("voiceBridge") {
            Some(bridge) if self.voice_bridges.contains(bridge) => {
                return Created::VoiceBridgeTaken;
            }
            Some(bridge) => bridge.to_owned(),
            None => self.free_voice_bridge(),
        };
        self.voice_bridges.insert(voice_bridge.clone());
        self.last_create_ms = self.next_create_ms(wall_ms);
        let mut meeting = Meeting::new(ext_id, params, modules, now, self.last_create_ms);
        if meeting.is_breakout {
            meeting.ext_id = breakout::ext_id(&meeting);
        }
        meeting.voice_bridge = voice_bridge;
        meeting.fill(self.attendees, wall_ms);
        self.tell_created(&meeting);
        Created::New(self.meetings.entry(meeting.int_id.clone()).or_insert(meeting))
    }

    /// The time that a meeting counts as created at: two runs of one external id in the same millisecond would get the same
    /// internal id.
    pub(crate) fn next_create_ms(&self, wall_ms: u64) -> u64 {
        wall_ms.max(self.last_create_ms + 1)
    }

    /// Takes in a meeting that the server has made itself.
    pub(crate) fn insert(&mut self, meeting: Meeting) {
        self.last_create_ms = self.last_create_ms.max(meeting.create_time_ms);
        self.voice_bridges.insert(meeting.voice_bridge.clone());
        self.tell_created(&meeting);
        self.meetings.insert(meeting.int_id.clone(), meeting);
    }

    /// Tells the sockets of a meeting that something they show has changed.
    pub(crate) fn changed(&self, int_id: &str) {
        if let Some(meeting) = self.meetings.get(int_id) {
            meeting.changes.send_replace(());
        }
    }

    /// A bridge that no meeting has; after many tries any bridge, as there are only 90,000.
    fn free_voice_bridge(&self) -> String {
        let mut bridge = ids::voice_bridge();
        for _ in 0..1000 {
            if !self.voice_bridges.contains(&bridge) {
                break;
            }
            bridge = ids::voice_bridge();
        }
        bridge
    }

    /// What the timers and moderators do: ends a meeting, whose id may stick.
    pub(crate) fn run_out(&mut self, int_id: &str, now: Instant, wall_ms: u64) {
        if let Some(meeting) = self.meetings.get(int_id).filter(|_| self.ids_stick) {
            self.stuck.insert(ids::meeting_hash(&meeting.ext_id));
        }
        self.end(int_id, now, wall_ms);
    }

    /// Frees an external id that was stuck. Tells whether it was.
    pub(crate) fn unstick(&mut self, ext_id: &str) -> bool {
        self.stuck.remove(&ids::meeting_hash(ext_id))
    }

    /// Ends a meeting: it, its breakout rooms and their sessions are gone at once. If it was recorded, its recording begins to
    /// be processed.
    pub(crate) fn end(&mut self, int_id: &str, now: Instant, wall_ms: u64) {
        let Some(meeting) = self.meetings.remove(int_id) else {
            return;
        };
        Callback::of_end(&meeting).into_iter().for_each(|callback| self.call_back(callback));
        self.tell_ended(&meeting);
        let breakouts: Vec<String> = self.breakouts_of(&meeting).map(|other| other.int_id.clone()).collect();
        if self.ended_dashboards.len() < ENDED_DASHBOARDS_MAX {
            let minutes =
                u32::try_from(meeting.params.int_or("learningDashboardCleanupDelayInMinutes", 2)).unwrap_or(0);
            let data = (meeting.dashboard_token.clone(), dashboard_of(&meeting), now, minutes);
            self.ended_dashboards.insert(meeting.int_id.clone(), data);
        }
        if meeting.is_recorded {
            self.recordings.add(Recording::of(&meeting, breakouts.clone(), now, wall_ms));
            self.tell_archived(&meeting.int_id);
        }
        self.voice_bridges.remove(&meeting.voice_bridge);
        for token in &meeting.tokens {
            let user = self.sessions.get(token).and_then(|session| meeting.users.get(&session.user));
            if let Some(user) = user {
                self.ended_sessions.insert(token.clone(), (user.role, now));
            }
            self.close_session(token);
        }
        for breakout in breakouts {
            self.end(&breakout, now, wall_ms);
        }
        if let Some(parent) = meeting.parent.as_deref().and_then(|parent| self.find(parent)) {
            self.changed(&parent.int_id);
        }
    }

    /// Tells that a recording has been made, for the first time or once more.
    pub(crate) fn rebuild(&self, record_id: &str) -> bool {
        self.tell_made(record_id);
        let recording = self.recordings.get(record_id);
        if let Some(callback) = recording.and_then(Callback::of_recording) {
            self.call_back(callback);
        }
        recording.is_some()
    }

    fn call_back(&self, callback: Callback) {
        // A server that does not run tells nothing.
        let _ = self.outbox.as_ref().map(|outbox| outbox.send(callback));
    }

    /// Runs the timers.
    pub(crate) fn tick(&mut self, now: Instant, wall_ms: u64, pace: Pace) {
        for id in self.recordings.tick(now, pace) {
            self.rebuild(&id);
        }
        let delay = pace.scale(SESSIONS_CLEANUP_DELAY);
        self.ended_sessions.retain(|_, (_, ended)| now.duration_since(*ended) < delay);
        let is_kept = |ended: Instant, minutes| minutes == 0 || now.duration_since(ended) < pace.minutes(minutes);
        self.ended_dashboards.retain(|_, (_, _, ended, minutes)| is_kept(*ended, *minutes));
        let (mut over, mut left) = (Vec::new(), Vec::new());
        for meeting in self.meetings.values_mut() {
            let forgotten = meeting.forget_left(now, pace);
            left.extend(forgotten.into_iter().map(|user| (meeting.int_id.clone(), user)));
            if meeting.is_over(now, pace) {
                over.push(meeting.int_id.clone());
            }
        }
        left.iter().for_each(|(meeting, user)| self.tell_left(meeting, user));
        for int_id in over {
            self.run_out(&int_id, now, wall_ms);
        }
    }

    /// Gives a user of a meeting one more session. The HTTP session is one of `known`, if the server knows any of them, else
    /// a new one.
    pub(crate) fn open_session(&mut self, meeting: &str, user: &str, known: &[String]) -> Opened {
        let (token, auth_token) = (ids::session_token(), ids::auth_token());
        let found = known.iter().find(|id| self.http_sessions.contains_key(*id)).cloned();
        let is_new = found.is_none();
        let http_session = found.unwrap_or_else(ids::http_session);
        self.http_sessions.entry(http_session.clone()).or_default().insert(token.clone());
        let session = Session {
            meeting: meeting.to_owned(),
            user: user.to_owned(),
            auth_token: auth_token.clone(),
            http_session: http_session.clone(),
        };
        self.sessions.insert(token.clone(), session);
        if let Some(meeting) = self.meetings.get_mut(meeting) {
            meeting.tokens.push(token.clone());
        }
        Opened { token, auth_token, http_session, is_new }
    }

    /// Takes a user into a meeting, for which another one of the same external id may have to go.
    pub(crate) fn register(&mut self, meeting: &str, user: User, accesses_max: usize, now: Instant) {
        let ejected = self.meetings.get_mut(meeting).and_then(|meeting| meeting.register(user, accesses_max));
        let Some(ejected) = ejected else {
            return;
        };
        self.tell_left(meeting, &ejected);
        let Some(meeting) = self.meetings.get_mut(meeting) else {
            return;
        };
        meeting.eject(&ejected, now);
        let is_theirs = |token: &&String| self.sessions.get(*token).is_some_and(|session| session.user == ejected);
        let tokens: Vec<String> = meeting.tokens.iter().filter(is_theirs).cloned().collect();
        for token in tokens {
            self.close_session(&token);
        }
    }

    /// Forgets a token, and its HTTP session once that carries no other.
    pub(crate) fn close_session(&mut self, token: &str) {
        let Some(session) = self.sessions.remove(token) else {
            return;
        };
        if let Some(tokens) = self.http_sessions.get_mut(&session.http_session) {
            tokens.remove(token);
            if tokens.is_empty() {
                self.http_sessions.remove(&session.http_session);
            }
        }
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = (&Session, &Meeting, &User)> {
        self.sessions.values().filter_map(|session| {
            let meeting = self.meetings.get(&session.meeting)?;
            Some((session, meeting, meeting.users.get(&session.user)?))
        })
    }

    /// A token of a user.
    pub(crate) fn token_of(&self, meeting: &str, user: &str) -> Option<&str> {
        let is_theirs = |session: &Session| session.meeting == meeting && session.user == user;
        self.sessions.iter().find(|(_, session)| is_theirs(session)).map(|(token, _)| token.as_str())
    }

    /// The meeting and user of a token, whoever asks.
    pub(crate) fn session(&self, token: &str) -> Option<(&Meeting, &User)> {
        let session = self.sessions.get(token)?;
        let meeting = self.meetings.get(&session.meeting)?;
        Some((meeting, meeting.users.get(&session.user)?))
    }

    /// The meeting and user of a token, if one of these HTTP sessions carries it, or the meeting does not ask for that.
    pub(crate) fn authorize(&self, token: &str, http_sessions: &[String]) -> Option<(&Meeting, &User)> {
        self.authorized_session(token, http_sessions).map(|(_, meeting, user)| (meeting, user))
    }

    /// The same, with the session.
    pub(crate) fn authorized_session(
        &self,
        token: &str,
        http_sessions: &[String],
    ) -> Option<(&Session, &Meeting, &User)> {
        let (meeting, user) = self.session(token)?;
        let carries = |id: &String| self.http_sessions.get(id).is_some_and(|tokens| tokens.contains(token));
        let is_allowed = !meeting.needs_http_session || http_sessions.iter().any(carries);
        is_allowed.then(|| (&self.sessions[token], meeting, user))
    }

    /// The data of the learning dashboard of a meeting that has ended, for as long as its `create` asked for.
    pub(crate) fn ended_dashboard(&self, int_id: &str, token: &str) -> Option<&Value> {
        self.ended_dashboards.get(int_id).filter(|(own, ..)| own == token).map(|(_, data, ..)| data)
    }

    /// The role that a session had in a meeting that has ended not long ago.
    pub(crate) fn ended_session(&self, token: &str) -> Option<Role> {
        self.ended_sessions.get(token).map(|(role, _)| *role)
    }

    /// Lets the user of a session in, or not. Tells whether there is one.
    pub(crate) fn judge_guest(&mut self, token: &str, status: GuestStatus) -> bool {
        let Some(session) = self.sessions.get(token) else {
            return false;
        };
        let (meeting, user) = (session.meeting.clone(), session.user.clone());
        self.judge_user(&meeting, &user, status)
    }

    /// The same by internal ids.
    pub(crate) fn judge_user(&mut self, meeting: &str, user: &str, status: GuestStatus) -> bool {
        self.change_user(meeting, user, |user| user.guest_status = status)
    }

    /// Changes a user, and tells the sockets of the meeting. Returns whether there is one.
    pub(crate) fn change_user(&mut self, meeting: &str, user: &str, change: impl FnOnce(&mut User)) -> bool {
        let found = self.meetings.get_mut(meeting).and_then(|meeting| meeting.users.get_mut(user));
        let is_there = found.map(change).is_some();
        self.changed(meeting);
        is_there
    }

    /// A document has been uploaded with a token, which is used up by that. Returns whether there was such a token.
    pub(crate) fn uploaded(&mut self, token: &str, name: &str, wall_ms: u64) -> bool {
        let found = self.meetings.values_mut().find(|meeting| meeting.upload_tokens.contains_key(token));
        let Some(meeting) = found else {
            return false;
        };
        meeting.upload_tokens.remove(token);
        meeting.presentation_id = format!("{}-{wall_ms}", ids::meeting_hash(name));
        meeting.modules.documents.push(name.to_owned());
        meeting.changes.send_replace(());
        let (meeting, shown) = (meeting.int_id.clone(), json!({ "presentation-id": meeting.presentation_id }));
        if let Some(meeting) = self.meetings.get(&meeting) {
            self.tell_of(meeting, "meeting-presentation-changed", json!({ "meeting": shown }));
        }
        true
    }

    /// Whether a session of this user in this meeting has that auth token.
    pub(crate) fn knows_auth_token(&self, meeting: &str, user: &str, auth_token: &str) -> bool {
        let tokens = self.meetings.get(meeting).into_iter().flat_map(|meeting| &meeting.tokens);
        let mut sessions = tokens.filter_map(|token| self.sessions.get(token));
        sessions.any(|session| session.user == user && session.auth_token == auth_token)
    }

    /// Whoever has this internal user id, in whichever meeting.
    pub(crate) fn user_anywhere(&self, int_user_id: &str) -> Option<(&Meeting, &User)> {
        self.meetings.values().find_map(|meeting| Some((meeting, meeting.users.get(int_user_id)?)))
    }

    pub(crate) fn meeting_mut(&mut self, int_id: &str) -> Option<&mut Meeting> {
        self.meetings.get_mut(int_id)
    }
}
