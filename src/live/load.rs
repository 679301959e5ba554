//! [`Load`]: what a server carries, and what each meeting adds to it, from its `create` on.
//!
//! A meeting remembers what it has added, so that whatever happens to it changes the sum by the difference alone: no
//! request looks at other meetings. What time does to the meetings is done by the poller, once per round.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::lock::lock;
use crate::domain::{placement::weigh, time::Timestamp};

/// What a server carries.
#[derive(Debug, Default)]
pub struct Load {
    meetings: AtomicU32,
    /// Meetings that are about to be promised to it.
    placing: AtomicU32,
    seats: AtomicU32,
    /// The people in its meetings, and those expected, these last included.
    people: AtomicU32,
}

impl Load {
    /// The people in its meetings, and those expected in the young ones.
    pub fn people(&self) -> u32 {
        self.people.load(Relaxed)
    }

    /// Meetings on it.
    pub fn meetings(&self) -> u32 {
        self.meetings.load(Relaxed)
    }

    /// Meetings on it, and those that are about to be.
    pub(super) fn meetings_to_be(&self) -> u32 {
        self.meetings().saturating_add(self.placing.load(Relaxed))
    }

    /// Seats taken on it.
    pub fn seats(&self) -> u32 {
        self.seats.load(Relaxed)
    }

    /// Whether nothing runs on it, and nothing is about to.
    pub fn is_empty(&self) -> bool {
        self.placing.load(Relaxed) == 0 && self.meetings() == 0
    }

    /// Takes over what the gateway that polls has counted: it knows who has come through others.
    pub fn correct(&self, people: u32) {
        self.people.store(people, Relaxed);
    }

    /// What one meeting counts as changes.
    fn change(&self, before: u32, after: u32) {
        // Another gateway may have corrected the sum since: it never goes below nothing.
        let (less, more) = (before.saturating_sub(after), after.saturating_sub(before));
        let changed = |people: u32| Some(people.saturating_sub(less).saturating_add(more));
        let _ = self.people.fetch_update(Relaxed, Relaxed, changed);
    }

    /// A meeting in which so many are expected is about to be promised to it.
    pub(super) fn begin_placing(&self, expected: u32) {
        self.placing.fetch_add(1, Relaxed);
        self.change(0, expected);
    }

    /// The meeting has been promised to it, and counts by itself, or has not.
    pub(super) fn end_placing(&self, expected: u32) {
        self.placing.fetch_sub(1, Relaxed);
        self.change(expected, 0);
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
}

/// The part of one meeting in the load of its server.
#[derive(Debug)]
pub(super) struct Share {
    expected: u32,
    /// When the meeting was promised.
    since: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// People whose sockets are open here.
    present: u32,
    /// People as the server counts them, who may have come another way.
    told: u32,
    /// What is in the sum; `None` before the meeting is added and after it has ended.
    counted: Option<u32>,
}

impl Share {
    /// The part of a meeting that has been promised at this time and is expected to have so many people.
    pub(super) fn new(expected: u32, since: Timestamp) -> Self {
        Self { expected, since, state: Mutex::default() }
    }

    /// The meeting counts from now on.
    pub(super) fn begin(&self, on: &Load, now: Timestamp) {
        self.change(on, now, |state| state.counted = Some(0));
    }

    /// Somebody arrives.
    pub(super) fn enter(&self, on: &Load, now: Timestamp) {
        self.change(on, now, |state| state.present = state.present.saturating_add(1));
    }

    /// Somebody leaves, perhaps after the meeting has ended.
    pub(super) fn leave(&self, on: &Load, now: Timestamp) {
        self.change(on, now, |state| state.present = state.present.saturating_sub(1));
    }

    /// The meeting counts no longer.
    pub(super) fn end(&self, on: &Load) {
        let counted = lock(&self.state).counted.take();
        on.change(counted.unwrap_or(0), 0);
    }

    /// How many people are in it through this gateway.
    pub(super) fn present(&self) -> u32 {
        lock(&self.state).present
    }

    /// The server counts so many people.
    pub(super) fn recount(&self, on: &Load, people: u32, now: Timestamp) {
        self.change(on, now, |state| state.told = people);
    }

    fn change(&self, on: &Load, now: Timestamp, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let Some(before) = state.counted else { return };
        let weight = weigh(state.present.max(state.told), self.expected, now.saturating_duration_since(self.since));
        on.change(before, weight);
        state.counted = Some(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::placement::SETTLING;

    #[test]
    fn the_load_of_a_server_is_the_sum_of_what_its_meetings_count_as() {
        let on = Load::default();
        let at = Timestamp::EPOCH;
        let settled = at.saturating_add(SETTLING);
        let (large, small) = (Share::new(50, at), Share::new(10, at));
        large.begin(&on, at);
        assert_eq!(on.people(), 50, "as many as are expected");
        small.begin(&on, at);
        for _ in 0..12 {
            small.enter(&on, at);
        }
        assert_eq!(on.people(), 50 + 12, "as many as have come");
        small.leave(&on, at);
        assert_eq!(on.people(), 50 + 11);
        large.recount(&on, 30, settled);
        assert_eq!(on.people(), 30 + 11, "as many as the server counts");
        small.leave(&on, settled);
        large.end(&on);
        assert_eq!(on.people(), 10);
        small.end(&on);
        small.end(&on);
        small.leave(&on, settled);
        assert_eq!(on.people(), 0, "who leaves a meeting that has ended changes nothing");
    }
}
