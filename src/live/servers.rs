//! The BBB servers as they are now: whether they answer, and what they carry.

mod gate;
mod reported;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use dashmap::DashMap;

use super::{fresh::Fresh, load::Load, lock::lock, pace::Pace};
use crate::{
    bbb::{
        elsewhere::Strange,
        xml::{Breakout, Listed},
    },
    domain::{
        backend_error::BackendError, health::State, ids::ServerId, placement::Candidate, server_mode::ServerMode,
        tenant::Server,
    },
};
pub use gate::HealthGate;
pub use reported::{Reported, Version};

/// State of all servers. One that has not been asked yet is taken to answer: a `create` finds out.
#[derive(Debug, Default)]
pub struct Servers(DashMap<ServerId, Arc<ServerState>>);

/// State of one server.
#[derive(Debug, Default)]
pub struct ServerState {
    /// What the operator wants of it.
    mode: ArcSwap<ServerMode>,
    /// Whether it answers.
    pub health: HealthGate,
    /// What it reports of itself.
    pub reported: Reported,
    /// What it carries.
    pub load: Load,
    /// Its list of meetings, for a moment.
    pub list: Fresh<ServerList, BackendError>,
    /// Its list of sessions, for a moment.
    pub sessions: Fresh<Elements, BackendError>,
    /// What is strange about where it sends people who join.
    strange: Mutex<Option<Strange>>,
    /// When it is asked for the next GraphQL socket.
    pub sockets: Pace,
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

/// A meeting that is about to be promised to a server.
#[derive(Debug)]
pub struct Placing {
    on: Arc<ServerState>,
    expected: u32,
}

impl Drop for Placing {
    fn drop(&mut self) {
        self.on.load.end_placing(self.expected);
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
                let has_room = server.meetings_max.has_room(state.load.meetings_to_be());
                let takes = state.is_up() && state.mode().takes_meetings() && has_room;
                Candidate { server: Arc::clone(server), people: state.load.people(), takes }
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
            // It may have been upgraded meanwhile.
            self.reported.ask_again();
        }
    }

    /// Whether it answers. One that is not asked does not.
    pub fn is_up(&self) -> bool {
        self.mode().is_polled() && self.health.state() == State::Ready
    }

    /// What is strange about where it sends people who join.
    pub fn strange(&self) -> Option<Strange> {
        *lock(&self.strange)
    }

    /// Notes where it has sent somebody: to its own client, or elsewhere.
    pub fn set_strange(&self, strange: Option<Strange>) {
        *lock(&self.strange) = strange;
    }

    /// A meeting in which so many are expected is about to be promised to it: it counts from now on, until the guard is
    /// dropped.
    #[must_use]
    pub fn place(self: Arc<Self>, expected: u32) -> Placing {
        self.load.begin_placing(expected);
        Placing { on: self, expected }
    }
}
