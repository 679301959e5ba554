//! Sessions: what is known of one, and how long its seat counts.

use std::time::Duration;

use super::time::Timestamp;

/// How long a seat is held for somebody who has joined and not arrived: the page has to load.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long a seat is held for somebody whose last socket has closed: a reload, a lost network. BBB's client tries
/// again after 10 s.
pub const GRACE: Duration = Duration::from_secs(15);

/// The SHA-256 of a session token: what is kept of it.
pub type TokenHash = [u8; 32];

/// A keyed digest of a `userID`: whose session it is, without telling who that is.
pub type UserKey = [u8; 32];

/// How long the seat of a session counts. Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// It has none: it lapsed, another session of the same person has it, or a guest waits to be let in.
    No,
    /// Until this time, unless somebody comes.
    Until(Timestamp),
    /// As long as somebody is present.
    WhilePresent,
}

impl Held {
    /// Whether the seat counts at a time.
    #[must_use]
    pub fn counts(self, now: Timestamp) -> bool {
        match self {
            Self::No => false,
            Self::Until(until) => now < until,
            Self::WhilePresent => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_counts_until_its_time() {
        let at = Timestamp::from_ms;
        for (held, now, counts) in [
            (Held::No, Timestamp::MIN, false),
            (Held::Until(at(10)), at(9), true),
            (Held::Until(at(10)), at(10), false),
            (Held::WhilePresent, at(10), true),
        ] {
            assert_eq!(held.counts(now), counts, "{held:?} at {now}");
        }
        assert!(Held::No < Held::Until(at(0)) && Held::Until(at(0)) < Held::Until(at(1)));
        assert!(Held::Until(Timestamp::MAX) < Held::WhilePresent);
    }
}
