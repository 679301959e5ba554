//! [`Joins`]: how often one person joins one meeting. Each join makes a row in the store and a session at the server, and a
//! link to a meeting is in many hands.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    domain::{ids::MeetingNumber, session::UserKey},
    net::peer::Peer,
};

/// Who has a `userID`: reloads, other devices, a line that comes and goes.
const PERSON: (u32, Duration) = (10, Duration::from_secs(2));
/// Whoever comes from one address under one name, by links without a `userID`: a class that was given one link comes in at once,
/// and nobody can tell its people apart.
const ONE_NAME: (u32, Duration) = (500, Duration::from_millis(500));

/// Who joins, as far as it can be told.
#[derive(Debug, Clone, Copy, Hash)]
pub enum Who<'a> {
    /// The person whom the caller calls by this `userID`.
    User(&'a UserKey),
    /// Somebody of this name at this address.
    Named(Peer, &'a str),
}

/// How often who has joined which meeting. Needs the same memory for any number of them.
#[derive(Debug)]
pub struct Joins {
    persons: Rate,
    names: Rate,
}

impl Default for Joins {
    fn default() -> Self {
        Self { persons: Rate::new(PERSON), names: Rate::new(ONE_NAME) }
    }
}

impl Joins {
    /// Whether somebody may join a meeting now. If so, that is counted.
    #[must_use]
    pub fn may(&self, meeting: MeetingNumber, who: Who<'_>) -> bool {
        match who {
            Who::User(_) => self.persons.may((meeting, who), Instant::now()),
            Who::Named(..) => self.names.may((meeting, who), Instant::now()),
        }
    }
}

/// Rows of cells; a key has one cell in each row.
const ROWS: usize = 4;
/// Cells in a row, as a power of 2.
const CELLS_LOG: u32 = 13;
/// The bits of a cell's number in its row.
const CELL: usize = (1 << CELLS_LOG) - 1;

/// A rate for each of any number of keys: so many at once, then one in each interval (GCRA). A cell holds the moment, in us, at
/// which its keys will have nothing on their account any more. Keys share cells: a key is refused only where all of its cells
/// refuse it, so that it would take others at their bounds in each of its rows to hold one up that is not.
#[derive(Debug)]
struct Rate {
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
    since: Instant,
    /// What may be on an account, us.
    burst: u64,
    /// What one puts there, us.
    every: u64,
}

impl Rate {
    fn new((burst, every): (u32, Duration)) -> Self {
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        let cells = (0..ROWS << CELLS_LOG).map(|_| AtomicU64::new(0)).collect();
        let burst = every.saturating_mul(u64::from(burst));
        Self { cells, hasher: RandomState::new(), since: Instant::now(), burst, every }
    }

    fn may(&self, key: impl Hash, now: Instant) -> bool {
        let now = u64::try_from(now.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX);
        let hash = self.hasher.hash_one(key);
        let cell = |row: usize| {
            let at = (hash >> (row as u32).saturating_mul(CELLS_LOG)) as usize & CELL;
            self.cells.get((row << CELLS_LOG) | at)
        };
        let cells = || (0..ROWS).filter_map(cell);
        let least = cells().map(|cell| cell.load(Relaxed)).min().unwrap_or(0);
        let next = least.max(now).saturating_add(self.every);
        if next.saturating_sub(now) > self.burst {
            return false;
        }
        for cell in cells() {
            cell.fetch_max(next, Relaxed);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_now_and_then() {
        let rate = Rate::new((10, Duration::from_secs(2)));
        let at = |ms| rate.since + Duration::from_millis(ms);
        let came = |ms, tries: usize| (0..tries).filter(|_| rate.may("ada", at(ms))).count();
        assert_eq!(came(0, 100), 10);
        assert_eq!(came(1_999, 100), 0);
        assert_eq!(came(2_000, 100), 1);
        assert_eq!(came(10_000, 100), 4);
        assert_eq!(came(3_600_000, 100), 10, "no more after a long time");
        assert!(rate.may("bob", at(0)));
    }

    #[test]
    fn a_class_comes_in_at_once_whatever_its_links_are() {
        let joins = Joins::default();
        let address = Peer::V4(1);
        assert!(
            (0..100).all(|_| joins.may(MeetingNumber::new(1), Who::Named(address, "Class 5b"))),
            "one link for all"
        );
        assert!((0..100_u8).all(|n| joins.may(MeetingNumber::new(1), Who::User(&[n; 32]))), "one for each");
        assert!(
            (0..100).all(|n| joins.may(MeetingNumber::new(1), Who::Named(address, &format!("Pupil {n}")))),
            "one for each name"
        );
        let again = (0..20_000).filter(|_| joins.may(MeetingNumber::new(1), Who::Named(address, "Class 5b"))).count();
        assert!(again <= 500, "{again}");
    }

    #[test]
    fn many_at_their_bounds_hold_up_few_others() {
        let joins = Joins::default();
        let key = |n: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0..500 {
            while joins.may(MeetingNumber::new(1), Who::User(&key(n))) {}
        }
        let refused = (500..10_500).filter(|n| !joins.may(MeetingNumber::new(1), Who::User(&key(*n)))).count();
        assert!(refused < 10, "{refused}");
    }
}
