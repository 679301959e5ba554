//! What is known of the gateway's hook at a server that needs one: of the gateway that polls, in memory.

use std::time::Duration;

use crate::domain::{host::Host, time::Timestamp};

/// When a server without bbb-webhooks is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(600);
/// Rounds in a row without an answer until the operator is warned.
const SILENT_ROUNDS: u32 = 3;
/// bbb-webhooks calls in vain for so long before it drops a hook: its pauses are 295.6 s. Less than five rounds, since the fifth
/// looks a moment less than that after the hook was made.
const DROPPED_AFTER: Duration = Duration::from_secs(290);

/// What a server was found to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A hook on this host, made a moment ago or before.
    Hook {
        host: Host,
        is_new: bool,
    },
    NoHost,
    /// It does not take the calls of `hooks/*`.
    Refusal,
    Silence,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AtServer {
    state: State,
    /// The hook that it has, or had last.
    hook: Option<Hook>,
    /// The host of a hook that it has dropped without one call; until it calls.
    unreachable: Option<Host>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Absent,
    Unanswered { rounds: u32 },
    Unsupported { asked_at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hook {
    host: Host,
    made_at: Timestamp,
    has_called: bool,
}

impl Hook {
    /// Whether the server, which has it no more, has dropped it since it could not reach its host.
    fn was_in_vain(&self, now: Timestamp) -> bool {
        !self.has_called && self.made_at.saturating_add(DROPPED_AFTER) <= now
    }
}

impl AtServer {
    /// What is known of a server after it was asked.
    pub(super) fn after(before: Option<&Self>, found: Found, now: Timestamp) -> Self {
        let (mut hook, mut unreachable) = match before {
            Some(before) => (before.hook.clone(), before.unreachable.clone()),
            None => (None, None),
        };
        let state = match (found, before.map(|before| before.state)) {
            (Found::Hook { host, is_new }, _) => {
                let last = hook.take();
                if is_new && let Some(last) = last.as_ref().filter(|last| last.was_in_vain(now)) {
                    unreachable = Some(last.host.clone());
                }
                let kept = last.filter(|last| !is_new && last.host == host);
                hook = Some(kept.unwrap_or(Hook { host, made_at: now, has_called: false }));
                State::Present
            }
            (Found::NoHost, _) => State::Absent,
            (Found::Silence, Some(State::Unanswered { rounds })) => {
                State::Unanswered { rounds: rounds.saturating_add(1) }
            }
            // A service that was there may be about to start.
            (Found::Silence, _) | (Found::Refusal, Some(State::Present)) => State::Unanswered { rounds: 1 },
            (Found::Refusal, _) => State::Unsupported { asked_at: now },
        };
        Self { state, hook, unreachable }
    }

    /// The host for a hook that is missing: that of the last one, unless the server could not reach it.
    pub(super) fn host<'a>(before: Option<&Self>, hosts: &[&'a Host], now: Timestamp) -> Option<&'a Host> {
        let last = before.and_then(|before| before.hook.as_ref());
        let at = last.and_then(|last| Some((last, hosts.iter().position(|host| **host == last.host)?)));
        match at {
            Some((last, at)) if last.was_in_vain(now) => hosts.iter().cycle().nth(at.saturating_add(1)).copied(),
            Some((_, at)) => hosts.get(at).copied(),
            None => hosts.first().copied(),
        }
    }

    /// The server has called.
    pub(super) fn has_called(&mut self) {
        self.unreachable = None;
        if let Some(hook) = &mut self.hook {
            hook.has_called = true;
        }
    }

    /// Whether a call of the server tells something that is not known.
    pub(super) fn waits_for_call(&self) -> bool {
        self.unreachable.is_some() || self.hook.as_ref().is_some_and(|hook| !hook.has_called)
    }

    pub(super) fn is_present(&self) -> bool {
        self.state == State::Present
    }

    /// Whether it is to be asked in a round.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !matches!(self.state, State::Unsupported { asked_at } if now < asked_at.saturating_add(ASKED_AGAIN))
    }

    /// What an operator should know.
    pub(super) fn warning(&self) -> Option<String> {
        match self.state {
            State::Absent => Some("no tenant has a host below base_domains that it could call".into()),
            State::Unsupported { .. } => Some("it has no bbb-webhooks, or that has another secret".into()),
            State::Unanswered { rounds } if rounds >= SILENT_ROUNDS => Some("its bbb-webhooks does not answer".into()),
            State::Present | State::Unanswered { .. } => {
                let host = self.unreachable.as_ref()?;
                Some(format!("it dropped its hook without a call: it may not reach {host}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn host(name: &str) -> Host {
        name.parse().expect("a host")
    }

    #[test]
    fn a_host_that_a_server_cannot_reach_gives_way_to_the_next() {
        let (one, two) = (host("a.meet.example"), host("b.meet.example"));
        let hosts = [&one, &two];
        let mut now = Timestamp::from_secs(1_800_000_000);
        let made = |host: &Host| Found::Hook { host: host.clone(), is_new: true };
        assert_eq!(AtServer::host(None, &hosts, now), Some(&one));
        let mut known = AtServer::after(None, made(&one), now);
        assert_eq!(AtServer::host(Some(&known), &hosts, now), Some(&one), "it was lost at once");
        for n in 0..5 {
            now = now.saturating_add(MINUTE);
            assert_eq!(AtServer::host(Some(&known), &hosts, now) == Some(&two), n == 4, "{n}");
            known = AtServer::after(Some(&known), Found::Hook { host: one.clone(), is_new: false }, now);
        }
        let in_vain = AtServer::after(Some(&known), made(&two), now);
        assert_eq!(
            in_vain.warning().expect("a warning"),
            "it dropped its hook without a call: it may not reach a.meet.example"
        );
        let later = now.saturating_add(5 * MINUTE);
        assert_eq!(AtServer::host(Some(&in_vain), &hosts, later), Some(&one), "the first one again");
        let mut reached = in_vain.clone();
        reached.has_called();
        assert_eq!((reached.warning(), reached.waits_for_call()), (None, false));
        assert_eq!(AtServer::host(Some(&reached), &hosts, later), Some(&two), "it could be reached");
        assert_eq!(AtServer::host(Some(&reached), &[&one], later), Some(&one), "a host that is gone");
        assert_eq!(AtServer::host(Some(&in_vain), &[], later), None);
    }

    #[test]
    fn a_service_that_is_away_is_asked_in_each_round_and_the_operator_is_warned() {
        let now = Timestamp::from_secs(1_800_000_000);
        let found = Found::Hook { host: host("a.meet.example"), is_new: true };
        let present = AtServer::after(None, found, now);
        let mut known = present.clone();
        for n in 1..=3 {
            known = AtServer::after(Some(&known), Found::Silence, now);
            assert!(known.is_due(now), "{n}");
            assert_eq!(known.warning().as_deref(), (n == 3).then_some("its bbb-webhooks does not answer"), "{n}");
        }
        let once = AtServer::after(Some(&present), Found::Refusal, now);
        assert_eq!((once.is_due(now), once.warning()), (true, None), "it may start again");
        let missing = AtServer::after(Some(&once), Found::Refusal, now);
        assert!(missing.warning().is_some());
        assert_eq!([599, 600].map(|s| missing.is_due(now.saturating_add(Duration::from_secs(s)))), [false, true]);
        assert_eq!(AtServer::after(None, Found::Refusal, now), AtServer { hook: None, ..missing });
        assert!(AtServer::after(None, Found::NoHost, now).warning().is_some());
    }
}
