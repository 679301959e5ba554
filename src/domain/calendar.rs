//! [`Calendar`]: a tenant over time. While one of its events is on, it has another pool or other limits.

use std::sync::Arc;

use super::{tenant::Tenant, time::Timestamp};

/// A tenant as it usually is, and as it is for some stretches of time.
#[derive(Debug, PartialEq, Eq)]
pub struct Calendar {
    usual: Arc<Tenant>,
    events: Vec<Event>,
}

/// A stretch of time for which a tenant is another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The first moment of it.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// The whole tenant, as it is meanwhile: same id, same hosts.
    pub tenant: Arc<Tenant>,
}

impl Calendar {
    /// Joins a tenant and its events, no two of which are on at the same time: `config` refuses that before.
    #[must_use]
    pub fn new(usual: Arc<Tenant>, events: Vec<Event>) -> Self {
        Self { usual, events }
    }

    /// The tenant as it usually is.
    #[must_use]
    pub fn usual(&self) -> &Arc<Tenant> {
        &self.usual
    }

    /// Its events, whenever they are.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The tenant as it is at a moment.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> &Arc<Tenant> {
        let on = self.events.iter().find(|event| (event.from..event.until).contains(&now));
        on.map_or(&self.usual, |event| &event.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{fixtures::tenant, limits::Limit};

    #[test]
    fn an_event_is_on_from_its_first_moment_until_its_last() {
        let with = |participants| {
            let mut tenant = tenant("wagtail"); // 4 participants
            Arc::make_mut(&mut tenant.limits).participants = Limit::AtMost(participants);
            Arc::new(tenant)
        };
        let at = Timestamp::from_ms;
        let event = |(from, until, n)| Event { from: at(from), until: at(until), tenant: with(n) };
        let events = [(10, 20, 300), (20, 30, 500)].map(event).into();
        let calendar = Calendar::new(with(4), events);
        for (now, participants) in [(0, 4), (9, 4), (10, 300), (19, 300), (20, 500), (29, 500), (30, 4)] {
            assert_eq!(calendar.at(at(now)).limits.participants, Limit::AtMost(participants), "{now}");
        }
    }
}
