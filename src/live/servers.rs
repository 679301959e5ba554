//! The BBB servers as they are now: whether they answer, and what they carry.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use dashmap::DashMap;

use serde::{Deserialize, Serialize};

use super::{fresh::Fresh, lock, pace::Pace};
use crate::{
    bbb::{
        elsewhere::Strange,
        release::Release,
        xml::{Breakout, Listed},
    },
    domain::{
        backend_error::BackendError,
        health::{Health, State},
        ids::ServerId,
        placement::Candidate,
        server_mode::ServerMode,
        tenant::Server,
        time::{AtomicTimestamp, Timestamp},
    },
};

/// How long lists do not wait for a server that was too slow for one.
const SLOW: Duration = Duration::from_secs(30);

/// State of all servers. One that has not been asked yet is taken to answer: a `create` finds out.
#[derive(Debug, Default)]
pub struct Servers(DashMap<ServerId, Arc<ServerState>>);

/// State of one server.
#[derive(Debug)]
pub struct ServerState {
    /// What the operator wants of it.
    mode: ArcSwap<ServerMode>,
    health: Mutex<Health>,
    /// The BBB version that it tells, if it does.
    version: ArcSwapOption<String>,
    meetings: AtomicU32,
    /// Meetings that are about to be promised to it.
    placing: AtomicU32,
    seats: AtomicU32,
    /// The people in its meetings, and those expected, these last included.
    load: AtomicU32,
    plugin_sdk: ArcSwapOption<String>,
    /// Whether it is older than 3.0, as far as its version call has told.
    before_3: AtomicBool,
    /// Its list of meetings, for a moment.
    pub list: Fresh<ServerList, BackendError>,
    /// Its list of sessions, for a moment.
    pub sessions: Fresh<Elements, BackendError>,
    /// What is strange about where it sends people who join.
    strange: Mutex<Option<Strange>>,
    /// Until when no list waits for it: it was too slow for one.
    slow_until: AtomicTimestamp,
    /// When it is asked for the next GraphQL socket.
    pub sockets: Pace,
}

/// What a server reports of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `bbbVersion`; empty where it does not tell.
    pub bbb: String,
    /// `html5PluginSdkVersion`.
    pub plugin_sdk: String,
    /// Whether it is older than 3.0: it has no GraphQL then.
    pub before_3: bool,
}

/// Whole elements of a list, one behind the other, by tenant.
pub type Elements = HashMap<Box<str>, Bytes>;

/// The meetings that a server lists.
#[derive(Debug)]
pub struct ServerList {
    /// Whole `<meeting>` elements with the tenants' own ids.
    pub by_tenant: Elements,
    /// The meetings of all tenants, by the id under which the server knows them.
    pub meetings: HashMap<Box<str>, Listed>,
    /// Their breakout rooms, by internal id.
    pub breakouts: HashMap<Box<str>, Breakout>,
}

impl Default for ServerState {
    fn default() -> Self {
        Self {
            mode: ArcSwap::default(),
            health: Mutex::default(),
            version: ArcSwapOption::empty(),
            meetings: AtomicU32::new(0),
            placing: AtomicU32::new(0),
            seats: AtomicU32::new(0),
            load: AtomicU32::new(0),
            plugin_sdk: ArcSwapOption::empty(),
            before_3: AtomicBool::new(false),
            list: Fresh::default(),
            sessions: Fresh::default(),
            strange: Mutex::default(),
            slow_until: AtomicTimestamp::default(),
            sockets: Pace::default(),
        }
    }
}

/// A meeting that is about to be promised to a server.
#[derive(Debug)]
pub struct Placing {
    on: Arc<ServerState>,
    expected: u32,
}

impl Drop for Placing {
    fn drop(&mut self) {
        self.on.placing.fetch_sub(1, Relaxed);
        self.on.change_load(self.expected, 0);
    }
}

impl Servers {
    /// The state of a server.
    pub fn of(&self, id: &ServerId) -> Arc<ServerState> {
        if let Some(state) = self.0.get(id) {
            return Arc::clone(&state);
        }
        Arc::clone(&self.0.entry(id.clone()).or_default())
    }

    /// The servers of a pool as placement sees them.
    #[must_use]
    pub fn candidates(&self, pool: &[Arc<Server>]) -> Vec<Candidate> {
        pool.iter()
            .map(|server| {
                let state = self.of(&server.id);
                let has_room =
                    server.meetings_max.has_room(state.meetings().saturating_add(state.placing.load(Relaxed)));
                let takes = state.is_up() && state.mode().takes_meetings() && has_room;
                Candidate { server: Arc::clone(server), people: state.load(), takes }
            })
            .collect()
    }
}

impl ServerState {
    /// What the operator wants of it.
    pub fn mode(&self) -> ServerMode {
        **self.mode.load()
    }

    /// Notes what the operator wants of it.
    pub fn set_mode(&self, mode: ServerMode) {
        let before = self.mode.swap(Arc::new(mode));
        if mode.is_polled() && !before.is_polled() {
            // It may have been upgraded meanwhile: the next poll asks for its version.
            self.plugin_sdk.store(None);
        }
    }

    /// Whether nothing runs on it, and nothing is about to.
    pub fn is_empty(&self) -> bool {
        self.placing.load(Relaxed) == 0 && self.meetings() == 0
    }

    /// What it is taken to be.
    pub fn state(&self) -> State {
        lock(&self.health).state
    }

    /// Whether it answers. One that is not asked does not.
    pub fn is_up(&self) -> bool {
        self.mode().is_polled() && self.state() == State::Ready
    }

    /// Whether it has not answered for a while.
    pub fn is_offline(&self) -> bool {
        self.state() == State::Offline
    }

    /// What is strange about where it sends people who join.
    pub fn strange(&self) -> Option<Strange> {
        *lock(&self.strange)
    }

    /// Notes where it has sent somebody: to its own client, or elsewhere.
    pub fn set_strange(&self, strange: Option<Strange>) {
        *lock(&self.strange) = strange;
    }

    /// Whether a list may wait for it: it answers, and was not too slow for one a moment ago.
    pub fn is_quick(&self, now: Timestamp) -> bool {
        self.state() == State::Ready && self.slow_until.load() <= now
    }

    /// Notes whether it was quick enough for a list.
    pub fn listed_in_time(&self, in_time: bool, now: Timestamp) {
        self.slow_until.store(if in_time { Timestamp::MIN } else { now.saturating_add(SLOW) });
    }

    /// Notes whether it has answered a poll. Returns what it was taken to be before, and is now.
    pub fn polled(&self, answered: bool) -> (State, State) {
        self.update(|health| health.polled(answered))
    }

    /// Notes that a call could not reach it. Returns whether that is news.
    pub fn unreachable(&self) -> bool {
        let (before, now) = self.update(Health::unreachable);
        before != now
    }

    /// Takes over what another gateway has found. Returns what it was taken to be before.
    pub fn set_state(&self, state: State) -> State {
        // Its own polls go on from where they were, if there is no news.
        self.update(|health| if health.state == state { health } else { Health::of(state) }).0
    }

    fn update(&self, change: impl FnOnce(Health) -> Health) -> (State, State) {
        let mut health = lock(&self.health);
        let before = health.state;
        *health = change(*health);
        (before, health.state)
    }

    /// What it carries: the people in its meetings, and those expected in the young ones.
    pub fn load(&self) -> u32 {
        self.load.load(Relaxed)
    }

    /// What one meeting counts as changes.
    pub(super) fn change_load(&self, before: u32, after: u32) {
        // Another gateway may have corrected the sum since: it never goes below nothing.
        let (less, more) = (before.saturating_sub(after), after.saturating_sub(before));
        let changed = |load: u32| Some(load.saturating_sub(less).saturating_add(more));
        let _ = self.load.fetch_update(Relaxed, Relaxed, changed);
    }

    /// Takes over what the gateway that polls has counted: it knows who has come through others.
    pub fn correct_load(&self, load: u32) {
        self.load.store(load, Relaxed);
    }

    /// A meeting in which so many are expected is about to be promised to it: it counts from now on, until the guard is
    /// dropped.
    #[must_use]
    pub fn place(self: Arc<Self>, expected: u32) -> Placing {
        self.placing.fetch_add(1, Relaxed);
        self.change_load(0, expected);
        Placing { on: self, expected }
    }

    /// Meetings on it.
    pub fn meetings(&self) -> u32 {
        self.meetings.load(Relaxed)
    }

    /// Seats taken on it.
    pub fn seats(&self) -> u32 {
        self.seats.load(Relaxed)
    }

    pub(super) fn add_meeting(&self) {
        self.meetings.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_meeting(&self) {
        self.meetings.fetch_sub(1, Relaxed);
    }

    pub(super) fn add_seat(&self) {
        self.seats.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_seat(&self) {
        self.seats.fetch_sub(1, Relaxed);
    }

    /// `html5PluginSdkVersion` as the server reports it.
    pub fn plugin_sdk(&self) -> Option<Arc<String>> {
        self.plugin_sdk.load_full()
    }

    /// Whether it is older than 3.0: it has no GraphQL, and takes some calls in other ways.
    pub fn is_before_3(&self) -> bool {
        self.before_3.load(Relaxed)
    }

    /// The BBB version that it tells; empty where it tells none.
    pub fn version(&self) -> Option<Arc<String>> {
        self.version.load_full()
    }

    /// The release that it runs, as far as it tells.
    pub fn release(&self) -> Option<Release> {
        Release::told(self.version.load().as_deref()?, self.plugin_sdk.load().as_deref()?)
    }

    /// Notes what the server reports of itself.
    pub fn set_version(&self, version: Version) {
        self.plugin_sdk.store(Some(Arc::new(version.plugin_sdk)));
        self.version.store(Some(Arc::new(version.bbb)));
        self.before_3.store(version.before_3, Relaxed);
    }
}
