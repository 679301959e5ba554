//! What each meeting adds to the load of its server, from its `create` on.
//!
//! A meeting remembers what it has added, so that whatever happens to it changes the sum by the difference alone: no
//! request looks at other meetings. What time does to the meetings is done by the poller, once per round.

use std::{collections::HashMap, sync::Mutex};

use super::{
    Live, lock,
    servers::{ServerList, ServerState},
};
use crate::domain::{ids::ServerId, placement::weigh, time::Timestamp};

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
    pub(super) fn begin(&self, on: &ServerState, now: Timestamp) {
        self.change(on, now, |state| state.counted = Some(0));
    }

    /// Somebody arrives.
    pub(super) fn enter(&self, on: &ServerState, now: Timestamp) {
        self.change(on, now, |state| state.present = state.present.saturating_add(1));
    }

    /// Somebody leaves, perhaps after the meeting has ended.
    pub(super) fn leave(&self, on: &ServerState, now: Timestamp) {
        self.change(on, now, |state| state.present = state.present.saturating_sub(1));
    }

    /// The meeting counts no longer.
    pub(super) fn end(&self, on: &ServerState) {
        let counted = lock(&self.state).counted.take();
        on.change_load(counted.unwrap_or(0), 0);
    }

    /// How many people are in it through this gateway.
    pub(super) fn present(&self) -> u32 {
        lock(&self.state).present
    }

    fn change(&self, on: &ServerState, now: Timestamp, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let Some(before) = state.counted else { return };
        let weight = weigh(state.present.max(state.told), self.expected, now.saturating_duration_since(self.since));
        on.change_load(before, weight);
        state.counted = Some(weight);
    }
}

impl Live {
    /// Counts the meetings of a server anew, by its list and by how old they are now.
    pub fn weigh(&self, server: &ServerId, list: &ServerList, now: Timestamp) {
        let state = self.servers.of(server);
        let mut in_breakouts: HashMap<&str, u32> = HashMap::new();
        for room in list.breakouts.values() {
            let people = in_breakouts.entry(&room.parent).or_default();
            *people = people.saturating_add(room.people);
        }
        for (id, listed) in &list.meetings {
            let meeting = self.meeting_on_server(id).filter(|meeting| meeting.server == *server);
            if let Some(meeting) = meeting {
                // Who is in a breakout room is in the meeting too, and costs the server both.
                let people = listed.people.saturating_add(*in_breakouts.get(&*listed.internal_id).unwrap_or(&0));
                meeting.share.change(&state, now, |share| share.told = people);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::placement::SETTLING;

    #[test]
    fn the_load_of_a_server_is_the_sum_of_what_its_meetings_count_as() {
        let on = ServerState::default();
        let at = Timestamp::EPOCH;
        let settled = at.saturating_add(SETTLING);
        let (large, small) = (Share::new(50, at), Share::new(10, at));
        large.begin(&on, at);
        assert_eq!(on.load(), 50, "as many as are expected");
        small.begin(&on, at);
        for _ in 0..12 {
            small.enter(&on, at);
        }
        assert_eq!(on.load(), 50 + 12, "as many as have come");
        small.leave(&on, at);
        assert_eq!(on.load(), 50 + 11);
        large.change(&on, settled, |state| state.told = 30);
        assert_eq!(on.load(), 30 + 11, "as many as the server counts");
        small.leave(&on, settled);
        large.end(&on);
        assert_eq!(on.load(), 10);
        small.end(&on);
        small.end(&on);
        small.leave(&on, settled);
        assert_eq!(on.load(), 0, "who leaves a meeting that has ended changes nothing");
    }
}
