//! Placement: what a meeting weighs, and which server of a pool gets the next one.
//!
//! A server carries people. A meeting counts as the people in it, and while it is young as those who are expected, so
//! that a burst of new, still empty meetings at the full hour spreads. The servers are compared by their load: people
//! divided by the server's weight.
//!
//! The least loaded server is the best choice only for a gateway that sees everything. Where several gateways place
//! meetings, each hears of the others' a little later, and all of them would run to the same server until they do. So
//! the choice reckons with people who are on their way and not seen yet: they are thought of as poured into the pool,
//! where they fill the least loaded servers up to one level, and a server is chosen at random in proportion to its room
//! below that level. Whatever a gateway does not know then spreads as it should. This is the "load interpretation" of
//! M. Dahlin (Interpreting Stale Load Information, ICDCS 1999), which does better than the least loaded of two at
//! random: it uses all that is known, and is exact where nothing is unknown.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{sync::Arc, time::Duration};

use super::{ids::ServerId, limits::Limit, tenant::Server};

/// People expected in a meeting whose creator does not say how many.
pub const EXPECTED: u32 = 10;
/// The most that a creator is believed: BBB itself recommends no more than 100 people in a session, and no tenant is to
/// make a server look full to all others.
pub const EXPECTED_MAX: u32 = 500;
/// How long it takes until a meeting counts as the people in it alone: who is late comes within a quarter of an
/// hour.
pub const SETTLING: Duration = Duration::from_secs(15 * 60);
/// People that other gateways may have placed since they were last heard of: ten new meetings.
const UNSEEN: u32 = 10 * EXPECTED;

/// How much a gateway sees of what is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything: it is the only one.
    Whole,
    /// What others have placed is heard of a little later.
    Lagging,
}

/// A server that could take a meeting, as the caller sees it now.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The server.
    pub server: Arc<Server>,
    /// The people in its meetings and those expected, meetings that are just being created included.
    pub people: u32,
    /// Whether it takes a meeting: it answers and is not full.
    pub takes: bool,
}

/// How many people a new meeting is expected to have, with a hint of its creator or without, and with so many seats.
#[must_use]
pub fn expected(hint: Option<u32>, seats: Limit<u32>) -> u32 {
    let people = hint.unwrap_or(EXPECTED).min(EXPECTED_MAX);
    match seats {
        Limit::AtMost(seats) => people.min(seats),
        Limit::Unlimited => people,
    }
}

/// What a meeting of this age counts as: what is expected turns into the people who are in it, evenly over
/// [`SETTLING`]. At least one: as long as it is there, somebody may come.
#[must_use]
pub fn weigh(people: u32, expected: u32, age: Duration) -> u32 {
    let missing = u64::from(expected.saturating_sub(people));
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let still = missing.saturating_mul(ms(SETTLING.saturating_sub(age))).div_ceil(ms(SETTLING));
    people.saturating_add(u32::try_from(still).unwrap_or(u32::MAX)).max(1)
}

/// Chooses among the servers that take a meeting and have not been tried yet, `chance` being anything from all of `u32`.
pub fn choose<'a>(
    candidates: &'a [Candidate],
    tried: &[ServerId],
    sight: Sight,
    chance: u32,
) -> Option<&'a Arc<Server>> {
    let free: Vec<_> = candidates.iter().filter(|c| c.takes && !tried.contains(&c.server.id)).collect();
    let level = level(&free, sight.to_come());
    let room = |candidate: &Candidate| (level * candidate.weight() - f64::from(candidate.people)).max(0.0);
    let total: f64 = free.iter().map(|candidate| room(candidate)).sum();
    let mut left = f64::from(chance) / (f64::from(u32::MAX) + 1.0) * total;
    let chosen = free.iter().find(|candidate| {
        left -= room(candidate);
        left < 0.0
    });
    // The sum and the differences may be rounded differently: then the roomiest is as good as the last.
    let roomiest = || free.iter().max_by(|a, b| room(a).total_cmp(&room(b)));
    chosen.or_else(roomiest).map(|candidate| &candidate.server)
}

/// The level up to which so many people fill the servers, the least loaded first.
fn level(servers: &[&Candidate], to_come: f64) -> f64 {
    let mut by_load = servers.to_vec();
    by_load.sort_by(|a, b| a.load().total_cmp(&b.load()));
    let (mut people, mut weight, mut level) = (to_come, 0.0, f64::INFINITY);
    for server in by_load {
        if level <= server.load() {
            break;
        }
        people += f64::from(server.people);
        weight += server.weight();
        level = people / weight;
    }
    level
}

impl Sight {
    /// The people to be reckoned with: one at least, who leaves room on the least loaded servers alone.
    fn to_come(self) -> f64 {
        match self {
            Self::Whole => 1.0,
            Self::Lagging => f64::from(1 + UNSEEN),
        }
    }
}

impl Candidate {
    fn weight(&self) -> f64 {
        self.server.weight.get()
    }

    fn load(&self) -> f64 {
        f64::from(self.people) / self.weight()
    }
}

#[cfg(test)]
mod tests;
