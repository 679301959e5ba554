//! What happens to gateways: they start, crash, stop, say that they live, settle the dead, and write what they have noted, in
//! time or late.

use super::*;
use crate::domain::ids::SessionNumber;

impl World {
    pub(super) async fn another(&self) -> Store {
        Store::open(&self.fixture.url).await.expect("a store")
    }

    /// A gateway starts: it says that it lives, and reads what was promised.
    pub(super) async fn start(&mut self, at: usize, store: Store) {
        let name = store.gateway().to_owned();
        assert_eq!(
            store.gateways().heartbeat(ms(self.now)).await.expect("alive"),
            self.model.heartbeat(&name, self.now)
        );
        if !store.is_shared() {
            let (now, until) = (self.now, self.now + LEASE_MS);
            let dead = store.gateways().bury_dead(ms(now), ms(until)).await.expect("settled");
            assert_eq!(dead, self.model.bury_dead(&name, now, until, false));
        }
        let mut gateway = Gateway::new(store);
        for row in gateway.store.seats().sessions().await.expect("loaded") {
            let known = Known { meeting: row.meeting, until: row.held.to_column(), sockets: 0 };
            gateway.sessions.insert(row.id, known);
        }
        if at == self.gateways.len() {
            self.gateways.push(gateway);
        } else {
            self.gateways[at] = gateway;
        }
    }

    pub(super) async fn crash(&mut self) {
        let at = self.any();
        self.tell(format!("gateway {at} crashes with {} notes", self.gateways[at].notes.len()));
        self.begin_again(at).await;
    }

    pub(super) async fn stop(&mut self) {
        let at = self.any();
        self.tell(format!("gateway {at} stops"));
        if self.chance.once_in(2) {
            self.write_all(at).await;
        }
        let (now, gateway) = (self.now, &self.gateways[at]);
        gateway.store.gateways().retire(ms(now), LEASE).await.expect("retired");
        if gateway.store.is_shared() {
            self.model.retire(&gateway.name(), now, LEASE_MS);
        } else {
            self.model.heartbeat(&gateway.name(), now);
        }
        // What is noted while it stops may come late.
        if self.chance.once_in(2) {
            self.write_some(at, usize::MAX).await;
        }
        self.begin_again(at).await;
    }

    async fn begin_again(&mut self, at: usize) {
        self.gateways[at].store.close().await;
        if self.chance.once_in(3) {
            self.pass(20_000);
        }
        let store = self.another().await;
        self.start(at, store).await;
    }

    pub(super) async fn heartbeat(&mut self) {
        let at = self.any();
        self.heartbeat_of(at).await;
    }

    pub(super) async fn heartbeat_of(&mut self, at: usize) {
        let (now, until) = (self.now, self.now + LEASE_MS);
        self.tell(format!("gateway {at} says that it lives"));
        let gateway = &mut self.gateways[at];
        let name = gateway.name();
        let was_alive = gateway.store.gateways().heartbeat(ms(now)).await.expect("alive");
        assert_eq!(was_alive, self.model.heartbeat(&name, now), "whether {at} lived");
        if !was_alive {
            gateway.reassert(now);
        }
        let leads = gateway.store.gateways().lead("poller", ms(now)).await.expect("an answer");
        // With SQLite there is nobody else to wait for.
        let expected = !gateway.store.is_shared() || self.model.lead(&name, now);
        assert_eq!(leads, expected, "whether {at} leads");
        if leads {
            let dead = gateway.store.gateways().bury_dead(ms(now), ms(until)).await.expect("settled");
            let is_shared = gateway.store.is_shared();
            assert_eq!(dead, self.model.bury_dead(&name, now, until, is_shared), "how many have died");
        }
        for (name, until) in &self.model.alive {
            if gateway.store.is_shared() {
                assert!(gateway.store.gateways().is_alive(name, ms(until - 1)).await.expect("an answer"), "{name}");
                assert!(!gateway.store.gateways().is_alive(name, ms(*until)).await.expect("an answer"), "{name}");
            }
        }
    }

    pub(super) async fn write(&mut self) {
        let at = self.any();
        let some = usize::try_from(self.chance.below(4) + 1).expect("few");
        let number = if self.chance.once_in(3) { some } else { usize::MAX };
        self.write_some(at, number).await;
    }

    pub(super) async fn write_all(&mut self, at: usize) {
        while !self.gateways[at].notes.is_empty() {
            self.write_some(at, usize::MAX).await;
        }
    }

    /// Writes the first notes of a gateway, and settles what has become of its seats.
    async fn write_some(&mut self, at: usize, most: usize) {
        let gateway = &mut self.gateways[at];
        let most = most.min(gateway.notes.len());
        let notes: Vec<Note> = gateway.notes.drain(..most).collect();
        self.write_these(at, notes).await;
    }

    async fn write_these(&mut self, at: usize, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let told: Vec<_> = notes.iter().map(briefly).collect();
        self.tell(format!("gateway {at} writes {}", told.join(", ")));
        let gateway = &mut self.gateways[at];
        let without =
            notes::write(&gateway.store.db, ms(self.now), &notes.iter().collect::<Vec<_>>()).await.expect("written");
        assert_eq!(without, self.model.write(&gateway.name(), self.now, &notes), "who has no seat");
        for session in without {
            if !self.gateways[at].is_open(session) {
                continue;
            }
            match self.readmit(at, session).await {
                Ok(()) => self.gateways[at].notes.push(Note::Opened { session, at: ms(self.now) }),
                Err(_) => self.gateways[at].cut(session, self.now),
            }
        }
    }

    /// The store is away for a while: nothing is promised, and notes wait and are made one of what came in pieces.
    pub(super) async fn lose_the_store(&mut self) {
        let away = self.some_ms(100_000);
        self.tell(format!("the store is away for {away} ms"));
        for _ in 0..4 {
            self.pass(away / 4);
            self.close();
            let at = self.any();
            let gateway = &mut self.gateways[at];
            let held: Vec<SessionNumber> = gateway.sessions.keys().copied().collect();
            let held = held.into_iter().filter(|id| gateway.sessions[id].until > self.now + MARGIN_MS);
            if let Some(session) = self.chance.one_of(held) {
                gateway.open(session, self.now);
            }
        }
        for at in 0..self.gateways.len() {
            let notes = coalesced(std::mem::take(&mut self.gateways[at].notes));
            self.write_these(at, notes).await;
        }
    }
}
