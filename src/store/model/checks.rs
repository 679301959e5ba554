//! What has to hold at all times, and when everybody has left.

use super::{rules::was_used, *};
use crate::domain::ids::{MeetingNumber, SessionNumber};

impl World {
    pub(super) async fn check(&self) {
        let store = &self.gateways[0].store;
        let mut running = store.meetings().running().await.expect("an answer");
        running.sort_by_key(|row| row.id);
        assert_eq!(running, self.model.rows(&running), "the meetings that run");
        let mut sessions = store.seats().sessions().await.expect("an answer");
        sessions.sort_by_key(|row| row.id);
        assert_eq!(sessions, self.model.sessions(), "the sessions");
        for row in &running {
            let taken = store.seats().recent(row.id, ms(self.now)).await.expect("an answer");
            assert_eq!(taken, self.model.taken(row.id, false, self.now), "seats of {}", row.id);
            let present = store.seats().recent(row.id, ms(PRESENT - 1)).await.expect("an answer");
            assert_eq!(present, self.model.taken(row.id, false, PRESENT - 1), "people in {}", row.id);
            if let Limit::AtMost(most) = self.seats_of(row.id) {
                let in_breakouts = self.model.taken(row.id, true, self.now);
                assert!(taken.max(in_breakouts) <= most, "{taken} and {in_breakouts} seats of {} are taken", row.id);
            }
        }
        let (from, to) = day_of_all_days();
        let used = store.usage().by_day(from, to, ms(self.now)).await.expect("an answer");
        let used: Vec<_> = used.into_iter().filter(was_used).collect();
        assert_eq!(used, self.model.used(self.now), "what was used");
        self.check_rooms();
        self.check_people();
    }

    fn check_rooms(&self) {
        let mut rooms: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for (_, room) in self.model.running() {
            *rooms.entry((&room.tenant, &room.account)).or_default() += 1;
        }
        for tenant in TENANTS {
            let Some(accounts) = tenant.accounts else { continue };
            let of_tenant: Vec<_> = rooms.iter().filter(|((name, _), _)| *name == tenant.name).collect();
            assert!(of_tenant.len() <= accounts as usize, "accounts of {}: {of_tenant:?}", tenant.name);
            assert!(
                of_tenant.iter().all(|(_, rooms)| **rooms <= tenant.rooms),
                "rooms of {}: {of_tenant:?}",
                tenant.name
            );
        }
    }

    /// Where everything is written down and every gateway is heard of, whoever has a socket has a seat.
    fn check_people(&self) {
        let is_calm = |gateway: &Gateway| gateway.notes.is_empty() && self.model.alive.contains_key(&gateway.name());
        if !self.gateways.iter().all(is_calm) {
            return;
        }
        let mut people: BTreeMap<(MeetingNumber, bool), BTreeSet<SessionNumber>> = BTreeMap::new();
        for gateway in &self.gateways {
            for session in gateway.open_sessions() {
                let meeting = gateway.sessions[&session].meeting;
                if self.model.runs(meeting) {
                    let seat = &self.model.seats[&session];
                    assert!(seat.until == PRESENT && seat.through.contains(&gateway.name()), "the seat of {session}");
                    people.entry((meeting, seat.breakout.is_some())).or_default().insert(session);
                }
            }
        }
        for ((meeting, _), people) in people {
            if let Limit::AtMost(most) = self.seats_of(meeting) {
                assert!(people.len() <= most as usize, "{people:?} are in {meeting}");
            }
        }
    }

    /// Everybody leaves: nothing is held for anybody after that.
    pub(super) async fn finish(&mut self) {
        self.tell("everybody leaves".into());
        for at in 0..self.gateways.len() {
            for session in self.gateways[at].open_sessions() {
                while self.gateways[at].is_open(session) {
                    self.gateways[at].close(session, self.now);
                }
            }
            self.write_all(at).await;
        }
        self.pass(2 * ALIVE_MS);
        for at in 0..self.gateways.len() {
            self.heartbeat_of(at).await;
        }
        // The first one may have been leading, or have had to wait for it.
        self.pass(ALIVE_MS);
        for at in (0..self.gateways.len()).rev() {
            self.heartbeat_of(at).await;
        }
        self.check().await;
        self.pass(LEASE_MS.max(GRACE_MS));
        for (meeting, _) in self.model.running() {
            let taken = self.gateways[0].store.seats().recent(meeting, ms(self.now)).await.expect("an answer");
            assert_eq!(taken, 0, "seats of {meeting} outlive everybody");
        }
        self.check().await;
    }
}
