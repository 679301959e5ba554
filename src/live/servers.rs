//! The BBB servers as they are now: whether they answer, and what they carry.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use dashmap::DashMap;

use super::fresh::Fresh;
use crate::{
    bbb::{client::CallError, xml::Listed},
    domain::{
        ids::ServerId,
        placement::{Candidate, MEETING_WEIGHT},
        server_mode::ServerMode,
        tenant::Server,
    },
};

/// State of all servers. One that has not been asked yet is taken to answer: a `create` finds out.
#[derive(Debug, Default)]
pub struct Servers(DashMap<ServerId, Arc<ServerState>>);

/// State of one server.
#[derive(Debug)]
pub struct ServerState {
    /// What the operator wants of it.
    mode: ArcSwap<ServerMode>,
    up: AtomicBool,
    meetings: AtomicU32,
    /// Meetings that are about to be promised to it.
    placing: AtomicU32,
    seats: AtomicU32,
    plugin_sdk: ArcSwapOption<String>,
    /// Whether it is older than 3.0, as far as its version call has told.
    before_3: AtomicBool,
    /// Its list of meetings, for a moment.
    pub list: Fresh<ServerList, CallError>,
    /// Its list of sessions, for a moment.
    pub sessions: Fresh<Elements, CallError>,
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
}

impl Default for ServerState {
    fn default() -> Self {
        Self {
            mode: ArcSwap::default(),
            up: AtomicBool::new(true),
            meetings: AtomicU32::new(0),
            placing: AtomicU32::new(0),
            seats: AtomicU32::new(0),
            plugin_sdk: ArcSwapOption::empty(),
            before_3: AtomicBool::new(false),
            list: Fresh::default(),
            sessions: Fresh::default(),
        }
    }
}

/// A meeting that is about to be promised to a server.
#[derive(Debug)]
pub struct Placing(Arc<ServerState>);

impl Drop for Placing {
    fn drop(&mut self) {
        self.0.placing.fetch_sub(1, Relaxed);
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
                let up = state.is_up() && state.mode().takes_meetings();
                Candidate { server: Arc::clone(server), load: state.load(), up }
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

    /// Whether it answers. One that is not asked does not.
    pub fn is_up(&self) -> bool {
        self.mode().is_polled() && self.up.load(Relaxed)
    }

    /// Whether nothing runs on it, and nothing is about to.
    pub fn is_empty(&self) -> bool {
        self.placing.load(Relaxed) == 0 && self.meetings() == 0
    }

    /// Notes whether it answers. Returns whether that is news.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Relaxed) != up
    }

    /// What it carries: people, and meetings with the weight of people to come.
    pub fn load(&self) -> u32 {
        (self.meetings() + self.placing.load(Relaxed)) * MEETING_WEIGHT + self.seats()
    }

    /// A meeting is about to be promised to it: it weighs from now on, until the guard is dropped.
    #[must_use]
    pub fn place(self: Arc<Self>) -> Placing {
        self.placing.fetch_add(1, Relaxed);
        Placing(self)
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

    /// Notes what the server reports of itself.
    pub fn set_version(&self, plugin_sdk: String, before_3: bool) {
        self.plugin_sdk.store(Some(Arc::new(plugin_sdk)));
        self.before_3.store(before_3, Relaxed);
    }
}
