//! Webhooks: addresses and bounds.

use std::time::Duration;

/// The start of the gateway's own addresses that servers call with events; the slug of the server and a code follow.
pub const PATH: &str = "/.anteroom/hooks/";
/// The longest list of names of events that a webhook may ask for.
pub const EVENTS_BYTES_MAX: usize = 2048;
/// The largest event that a tenant gets. Those of BBB have 1 to 5 KB; metadata of a `create` can make one larger.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Events of one tenant that may wait at a time.
pub const WAITING_MAX: Waiting = Waiting { events: 10_000, bytes: 64 * 1024 * 1024 };
/// A webhook whose receiver takes nothing for this long is removed.
pub const FAILS_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long it is known that an event was delivered. A server says one again for five minutes.
pub const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// A webhook of a meeting that no gateway knows is removed when it has had no event, and was not asked for, for this long.
pub const UNUSED_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// Events that wait for their receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub events: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

impl Waiting {
    /// The same and another event of so many bytes.
    #[must_use]
    pub fn and(self, bytes: u64) -> Self {
        Self { events: self.events.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    /// The same and those of another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { events: self.events.saturating_add(other.events), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn is_within(self, most: Self) -> bool {
        self.events <= most.events && self.bytes <= most.bytes
    }
}

/// Whether another event of so many bytes may wait for a webhook: of a webhook as much may wait as is free for its tenant.
///
/// One whose receiver is down thus takes half of what the tenant may have, two take a third each, and so on: there is always
/// room left for those whose receivers take their events.
#[must_use]
pub fn has_room(most: Waiting, of_tenant: Waiting, of_webhook: Waiting, bytes: u64) -> bool {
    of_tenant.plus(of_webhook).and(bytes).is_within(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many events of 10 bytes each of some webhooks has when no more are taken, and whether another one has room then.
    fn filled(webhooks: usize, most: Waiting) -> (Vec<u64>, bool) {
        let (mut all, mut each) = (Waiting::default(), vec![Waiting::default(); webhooks]);
        loop {
            let before = all;
            for own in &mut each {
                if has_room(most, all, *own, 10) {
                    (all, *own) = (all.and(10), own.and(10));
                }
            }
            if all == before {
                let has_room = has_room(most, all, Waiting::default(), 10);
                return (each.iter().map(|own| own.events).collect(), has_room);
            }
        }
    }

    #[test]
    fn webhooks_that_are_down_leave_room_for_the_others() {
        let many = u64::MAX;
        for (webhooks, most, expected) in [
            (1, Waiting { events: 100, bytes: many }, vec![50]),
            (2, Waiting { events: 90, bytes: many }, vec![30, 30]),
            (1, Waiting { events: many, bytes: 1_000 }, vec![50]),
            (3, Waiting { events: many, bytes: 400 }, vec![10, 10, 10]),
        ] {
            assert_eq!(filled(webhooks, most), (expected, true), "{webhooks} {most:?}");
        }
        let (each, _) = filled(100, WAITING_MAX);
        assert!(each.iter().all(|events| (99..=100).contains(events)), "{each:?}");
    }

    #[test]
    fn a_tenant_has_no_more_than_it_may() {
        let most = Waiting { events: 2, bytes: 20 };
        let (none, one) = (Waiting::default(), Waiting { events: 1, bytes: 10 });
        for (what, of_tenant, of_webhook, bytes, expected) in [
            ("the first", none, none, 20, true),
            ("one that is too large", none, none, 21, false),
            ("the last", one, none, 10, true),
            ("a second one of the same webhook", one, one, 0, false),
            ("too many bytes", one, none, 11, false),
            ("too many", one.plus(one), none, 0, false),
        ] {
            assert_eq!(has_room(most, of_tenant, of_webhook, bytes), expected, "{what}");
        }
    }
}
