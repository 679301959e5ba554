//! The floods: what each is, how much of it there is, and what it came to.
//!
//! The rates are those of one attacker with a laptop, and small enough that neither the attackers nor the simulated servers are
//! what is measured.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::super::tally::Fault;

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flood {
    /// TCP connections on which nothing comes.
    Idle,
    /// Half of the first message of a TLS handshake.
    HalfOpen,
    /// Heads of requests, a field a second, without end.
    SlowHeads,
    /// Forms of HTTP/1.1, a byte a second.
    SlowBodies,
    /// Forms on HTTP/2 streams, of which one byte comes.
    OneByteStreams,
    /// Big answers that are asked for again and again, and not read.
    SlowReaders,
    /// The same on HTTP/2 streams whose window stays closed.
    ClosedWindows,
    /// HTTP/2 streams that are opened and reset at once.
    Resets,
    /// HTTP/2 pings and settings.
    Pings,
    /// Joins from one link.
    Joins,
    /// Calls whose checksum is wrong.
    Checksums,
    /// Handshakes for a host that no tenant has, and requests that name one.
    UnknownHosts,
    /// Session tokens that nobody has.
    UnknownSessions,
    /// Bodies that say they are longer than anything is.
    Lengths,
}

impl Flood {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Idle,
        Self::HalfOpen,
        Self::SlowHeads,
        Self::SlowBodies,
        Self::OneByteStreams,
        Self::SlowReaders,
        Self::ClosedWindows,
        Self::Resets,
        Self::Pings,
        Self::Joins,
        Self::Checksums,
        Self::UnknownHosts,
        Self::UnknownSessions,
        Self::Lengths,
    ];

    /// What it is called in a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle connections",
            Self::HalfOpen => "half-open handshakes",
            Self::SlowHeads => "slow heads",
            Self::SlowBodies => "slow bodies",
            Self::OneByteStreams => "one-byte streams",
            Self::SlowReaders => "slow readers",
            Self::ClosedWindows => "closed windows",
            Self::Resets => "rapid resets",
            Self::Pings => "pings, settings",
            Self::Joins => "joins from one link",
            Self::Checksums => "wrong checksums",
            Self::UnknownHosts => "unknown hosts",
            Self::UnknownSessions => "unknown sessions",
            Self::Lengths => "absurd lengths",
        }
    }

    /// How many connections it tries to have at once.
    #[must_use]
    pub fn places(self) -> u32 {
        match self {
            Self::Idle => 300,
            Self::HalfOpen | Self::SlowHeads => 100,
            Self::SlowBodies => 50,
            Self::SlowReaders => 30,
            Self::OneByteStreams | Self::ClosedWindows => 6,
            Self::Resets | Self::Pings | Self::Joins | Self::Checksums | Self::UnknownSessions => 4,
            Self::UnknownHosts | Self::Lengths => 4,
        }
    }

    /// The same for floods of another strength than 1; at least one.
    #[must_use]
    pub fn places_of(self, strength: f64) -> u32 {
        (f64::from(self.places()) * strength).round().clamp(1.0, 10_000.0) as u32
    }

    /// How long one of them pauses between two things that it sends, or before it opens a connection in place of one that was
    /// closed.
    #[must_use]
    pub fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Idle | Self::HalfOpen => 2000,
            Self::SlowHeads | Self::SlowBodies | Self::OneByteStreams | Self::SlowReaders | Self::ClosedWindows => 1000,
            Self::Resets | Self::Pings => 100,
            Self::Joins => 100,
            Self::Checksums | Self::UnknownSessions => 50,
            Self::UnknownHosts | Self::Lengths => 200,
        })
    }

    /// What is sent at most in a second: frames, requests, or connections that are opened.
    #[must_use]
    pub fn per_second_max(self) -> f64 {
        f64::from(self.places()) / self.pause().as_secs_f64() * f64::from(self.burst())
    }

    /// How many things are sent at once on one connection.
    #[must_use]
    pub(super) fn burst(self) -> u32 {
        match self {
            Self::OneByteStreams | Self::ClosedWindows => 100,
            Self::Resets | Self::Pings => 25,
            Self::SlowReaders => 16,
            _ => 1,
        }
    }
}

/// What came of all floods.
pub type Achievements = BTreeMap<Flood, Achieved>;

/// What a flood came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Achieved {
    /// Connections that were opened, with TLS where the flood has any.
    pub opened: u64,
    /// Connections that could not be opened.
    pub refused: u64,
    /// Connections that the gateway closed.
    pub closed: u64,
    /// Connections that were open at once, at most.
    pub held_most: u64,
    /// What was sent: bytes, requests, streams or frames, as the flood has it.
    pub sent: u64,
    /// Answers by their status, where answers are read.
    pub answers: BTreeMap<u16, u64>,
    /// Requests that got none.
    pub unanswered: u64,
    #[serde(skip)]
    pub(super) held: u64,
}

impl Achieved {
    pub(super) fn open(&mut self) {
        self.opened += 1;
        self.held += 1;
        self.held_most = self.held_most.max(self.held);
    }

    pub(super) fn leave(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    pub(super) fn answer(&mut self, outcome: Result<u16, Fault>) {
        match outcome {
            Ok(status) => *self.answers.entry(status).or_default() += 1,
            Err(_) => self.unanswered += 1,
        }
    }

    /// The answers in words, such as `401: 20, 429: 1000`.
    #[must_use]
    pub fn answers_in_words(&self) -> String {
        let mut words: Vec<String> = self.answers.iter().map(|(status, n)| format!("{status}: {n}")).collect();
        if 0 < self.unanswered {
            words.push(format!("none: {}", self.unanswered));
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attackers_are_bounded() {
        let places: u32 = Flood::ALL.iter().map(|flood| flood.places()).sum();
        assert!((500..1000).contains(&places), "{places}: each is an open file of this process and of the gateway");
        for flood in Flood::ALL {
            assert!((1.0..=2000.0).contains(&flood.per_second_max()), "{}: {}", flood.name(), flood.per_second_max());
        }
    }

    #[test]
    fn a_flood_has_somebody_in_it_however_weak_it_is() {
        for (strength, places) in [(0.0, 1), (0.01, 3), (1.0, 300), (2.0, 600), (f64::INFINITY, 10_000)] {
            assert_eq!(Flood::Idle.places_of(strength), places, "{strength}");
        }
    }

    #[test]
    fn what_is_open_at_once_is_counted() {
        let mut achieved = Achieved::default();
        achieved.open();
        achieved.open();
        achieved.leave();
        achieved.open();
        assert_eq!((achieved.opened, achieved.held_most), (3, 2));
        achieved.answer(Ok(429));
        achieved.answer(Ok(429));
        achieved.answer(Ok(200));
        achieved.answer(Err(Fault::Unanswered));
        assert_eq!(achieved.answers_in_words(), "200: 1, 429: 2, none: 1");
    }
}
