//! [`Health`]: what polls say of a server. One bad poll is no end, and one good one no recovery.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// What a server is taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Ready,
    /// It did not answer the last time, or has not answered for long again: new meetings go elsewhere if they can.
    Unstable,
    /// It has not answered for a while: its meetings are detached.
    Offline,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Unstable, Self::Offline];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unstable => "unstable",
            Self::Offline => "offline",
        }
    }

    /// Reads a label.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Polls in a row without an answer that make a server offline.
pub const FAILURES_MAX: u32 = 3;
/// Answers in a row that make it ready again.
pub const ANSWERS_MIN: u32 = 2;

/// The state of a server with the polls that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// What it is taken to be.
    pub state: State,
    /// Polls in a row that had no answer.
    failures: u32,
    /// Polls in a row that had one.
    answers: u32,
}

impl Default for Health {
    /// One that has not been asked yet is taken to answer: a `create` finds out.
    fn default() -> Self {
        Self::of(State::Ready)
    }
}

impl Health {
    /// A server that somebody else has found to be so.
    #[must_use]
    pub fn of(state: State) -> Self {
        let (failures, answers) = match state {
            State::Ready => (0, ANSWERS_MIN),
            State::Unstable => (0, 0),
            State::Offline => (FAILURES_MAX, 0),
        };
        Self { state, failures, answers }
    }

    /// After one more poll.
    #[must_use]
    pub fn polled(self, answered: bool) -> Self {
        let (failures, answers) =
            if answered { (0, self.answers.saturating_add(1)) } else { (self.failures.saturating_add(1), 0) };
        let state = match self.state {
            State::Ready if answered => State::Ready,
            State::Unstable | State::Offline if answers >= ANSWERS_MIN => State::Ready,
            _ if failures >= FAILURES_MAX => State::Offline,
            State::Ready | State::Unstable => State::Unstable,
            State::Offline if answered => State::Unstable,
            State::Offline => State::Offline,
        };
        Self { state, failures, answers }
    }

    /// After a call that found it out of reach. Many calls may do so in one second: only polls tell how long it lasts.
    #[must_use]
    pub fn unreachable(self) -> Self {
        let state = if self.state == State::Ready { State::Unstable } else { self.state };
        Self { state, answers: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_fails_and_recovers_over_several_polls() {
        use State::{Offline, Ready, Unstable};
        for (polls, states) in [
            ("+", vec![Ready]),
            ("-+", vec![Unstable, Unstable]),
            ("-++", vec![Unstable, Unstable, Ready]),
            ("---", vec![Unstable, Unstable, Offline]),
            ("--+---", vec![Unstable, Unstable, Unstable, Unstable, Unstable, Offline]),
            ("----+-++", vec![Unstable, Unstable, Offline, Offline, Unstable, Unstable, Unstable, Ready]),
        ] {
            let mut health = Health::default();
            let seen: Vec<_> = polls
                .chars()
                .map(|poll| {
                    health = health.polled(poll == '+');
                    health.state
                })
                .collect();
            assert_eq!(seen, states, "{polls}");
        }
    }

    #[test]
    fn calls_make_a_server_unstable_and_no_more() {
        let mut health = Health::default();
        for _ in 0..100 {
            health = health.unreachable();
        }
        assert_eq!(health.state, State::Unstable);
        assert_eq!(health.polled(true).state, State::Unstable);
        assert_eq!(health.polled(true).polled(true).state, State::Ready);
        assert_eq!(Health::of(State::Offline).unreachable().state, State::Offline);
    }

    #[test]
    fn what_another_gateway_has_found_goes_on_from_there() {
        for state in State::ALL {
            assert_eq!(Health::of(state).state, state);
            assert_eq!(State::named(state.as_str()), Some(state));
        }
        assert_eq!(Health::of(State::Offline).polled(false).state, State::Offline);
        assert_eq!(Health::of(State::Ready).polled(false).polled(false).polled(false).state, State::Offline);
    }
}
