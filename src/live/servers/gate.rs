//! [`HealthGate`]: whether a server answers, and whether it is quick.

use std::{sync::Mutex, time::Duration};

use crate::{
    domain::{
        health::{Health, State},
        time::{AtomicTimestamp, Timestamp},
    },
    live::lock::lock,
};

/// How long lists do not wait for a server that was too slow for one.
const SLOW: Duration = Duration::from_secs(30);

/// The health of one server.
#[derive(Debug, Default)]
pub struct HealthGate {
    health: Mutex<Health>,
    /// Until when no list waits for it: it was too slow for one.
    slow_until: AtomicTimestamp,
}

impl HealthGate {
    /// What it is taken to be.
    pub fn state(&self) -> State {
        lock(&self.health).state
    }

    /// Whether it has not answered for a while.
    pub fn is_offline(&self) -> bool {
        self.state() == State::Offline
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
}
