//! What happens to rooms: they are promised, alone and many at once, moved, given back, ended, restarted and taken over.

use super::*;
use crate::domain::ids::{MeetingNumber, ServerMeetingId};

impl World {
    /// A room that is asked for.
    fn ask(&mut self, at: usize, tenant: Tenant, ext_id: String) -> Room {
        Room {
            tenant: tenant.name.to_owned(),
            account: self.chance.one_of(ACCOUNTS).expect("one").to_owned(),
            ext_id,
            server: self.chance.one_of(SERVERS).expect("one").to_owned(),
            owner: self.gateways[at].name(),
            internal_id: None,
            from: self.now,
            ended: None,
            strangers: 0,
            seats: tenant.seats,
        }
    }

    /// Asks the store for it.
    async fn admit(&self, at: usize, room: &Room, mut seen: impl FnMut(RoomUsage)) -> Result<Admitted, Denial> {
        let tenant = Tenant::of(&room.tenant);
        let decide = tenant.accounts.map(|_| {
            |usage| {
                seen(usage);
                tenant.decide(usage)
            }
        });
        let names = (room.tenant.parse().expect("an id"), room.server.parse().expect("an id"));
        told(self.gateways[at].store.meetings().admit(&new_meeting(room, &names), decide).await)
    }

    pub(super) async fn create(&mut self) {
        let (at, tenant) = (self.any(), self.chance.one_of(TENANTS).expect("one"));
        let ext_id = self.chance.one_of(ROOMS).expect("one").to_owned();
        let room = self.ask(at, tenant, ext_id);
        self.tell(format!("gateway {at} creates {} {} of {}", room.tenant, room.ext_id, room.account));
        let mut seen = None;
        let admitted = self.admit(at, &room, |usage| seen = Some(usage)).await;
        if let Some(id) = self.model.find(&room.tenant, &room.ext_id) {
            assert!(matches!(&admitted, Ok(Admitted::Existing(row)) if row.id == id), "{id} runs: {admitted:?}");
            return self.take_over(at, id).await;
        }
        let (retained, runs) = (Tenant::since(tenant.retention, self.now), Tenant::since(tenant.window, self.now));
        let usage = self.model.usage(&room, retained, runs);
        assert!(seen.is_none_or(|seen| seen == usage), "counted as {seen:?}, and is {usage:?}");
        match (tenant.decide(usage), admitted) {
            (Ok(()), Ok(Admitted::New { id, used })) => {
                assert_eq!(used, if tenant.accounts.is_some() { usage.used } else { Duration::ZERO });
                self.model.rooms.insert(id, room);
                self.gateways[at].pending.insert(id);
            }
            (Err(expected), Err(denial)) => assert_eq!(denial, expected),
            (expected, admitted) => panic!("{expected:?}, and was {admitted:?}"),
        }
    }

    /// A promise whose gateway has died, or has lost track of it, is taken over by the next one that is asked.
    async fn take_over(&mut self, at: usize, meeting: MeetingNumber) {
        let room = self.model.rooms[&meeting].clone();
        let gateway = &mut self.gateways[at];
        if room.internal_id.is_some() || gateway.pending.contains(&meeting) {
            return;
        }
        let is_alive = gateway.store.gateways().is_alive(&room.owner, ms(self.now)).await.expect("an answer");
        if gateway.store.is_shared() {
            assert_eq!(is_alive, self.model.is_alive(&room.owner, self.now), "whether the owner lives");
        }
        if is_alive && room.owner != gateway.name() {
            return;
        }
        assert!(gateway.store.meetings().take_over(meeting, &room.owner).await.expect("an answer"));
        assert!(!gateway.store.meetings().take_over(meeting, "nobody").await.expect("an answer"));
        self.model.rooms.get_mut(&meeting).expect("it runs").owner = gateway.name();
        gateway.pending.insert(meeting);
    }

    /// A gateway is not heard of for so long that a promise of it is taken over by another that is asked; it may be slow only.
    pub(super) async fn doubt(&mut self) {
        let unanswered = self.model.running().filter(|(_, room)| room.internal_id.is_none()).map(|(id, _)| id);
        let Some(meeting) = self.chance.one_of(unanswered) else { return };
        let others = (0..self.gateways.len()).filter(|at| !self.gateways[*at].pending.contains(&meeting));
        let Some(at) = self.chance.one_of(others) else { return };
        if self.chance.once_in(2) {
            self.pass(ALIVE_MS);
        }
        self.tell(format!("gateway {at} is asked for {meeting}, which has no answer"));
        self.take_over(at, meeting).await;
        let slow = (0..self.gateways.len()).find(|slow| *slow != at && self.gateways[*slow].pending.contains(&meeting));
        if let Some(slow) = slow.filter(|_| self.chance.once_in(2)) {
            self.answer_for(slow, meeting).await;
        }
    }

    pub(super) async fn answer(&mut self) {
        let at = self.any();
        if let Some(meeting) = self.chance.one_of(self.gateways[at].pending.clone()) {
            self.answer_for(at, meeting).await;
        }
    }

    /// A server answers, cannot be reached, or refuses.
    async fn answer_for(&mut self, at: usize, meeting: MeetingNumber) {
        let how = self.chance.below(10);
        let internal_id = self.fresh("int");
        let (name, now) = (self.gateways[at].name(), self.now);
        let gateway = &mut self.gateways[at];
        match how {
            0 | 1 => {
                let server = self.chance.one_of(SERVERS).expect("one");
                let moved = gateway
                    .store
                    .meetings()
                    .move_to(meeting, &server.parse().expect("an id"))
                    .await
                    .expect("an answer");
                let room = self.model.rooms.get_mut(&meeting);
                let room = room.filter(|room| room.owner == name && room.ended.is_none() && room.internal_id.is_none());
                assert_eq!(moved, room.is_some(), "whether {meeting} was moved");
                room.into_iter().for_each(|room| server.clone_into(&mut room.server));
                if !moved {
                    gateway.pending.remove(&meeting);
                }
            }
            2 | 3 => {
                gateway.pending.remove(&meeting);
                let abandoned = gateway.store.meetings().abandon(meeting, ms(now)).await.expect("an answer");
                assert_eq!(abandoned, self.model.abandon(meeting, &name, now), "whether {meeting} was given back");
            }
            _ => {
                gateway.pending.remove(&meeting);
                let internal_id = internal_id.into();
                gateway.notes.push(Note::Created { meeting, internal_id });
            }
        }
        self.tell(format!("gateway {at} has an answer for {meeting}: {how}"));
    }

    pub(super) async fn end(&mut self) {
        let at = self.any();
        let Some(meeting) = self.chance.one_of(self.model.rooms.keys().copied()) else { return };
        self.tell(format!("gateway {at} ends {meeting}"));
        let had_come = self.gateways[at].store.meetings().end(meeting, ms(self.now)).await.expect("an answer");
        assert_eq!(had_come, self.model.end(meeting, self.now), "whether somebody had come");
    }

    /// A run is over that its gateway may take to go on, and the next one begins, on its server or on another.
    pub(super) async fn begin_anew(&mut self) {
        let at = self.any();
        let Some(old) = self.chance.one_of(self.model.rooms.keys().copied()) else { return };
        let server_meeting_id = ServerMeetingId::from(self.fresh("server-id"));
        let was = self.model.rooms[&old].clone();
        let room = Room { account: was.account, ..self.ask(at, Tenant::of(&was.tenant), was.ext_id) };
        let names = (room.tenant.parse().expect("an id"), was.server.parse().expect("an id"));
        let new = new_meeting(&room, &names);
        let is_same_server = self.chance.once_in(2);
        self.tell(format!("gateway {at} begins {old} anew"));
        let store = &self.gateways[at].store;
        let next = if is_same_server {
            store.meetings().rerun(old, &new).await.expect("an answer")
        } else {
            let run = Run {
                id: old,
                server: &names.1,
                server_meeting_id: &server_meeting_id,
                internal_id: was.internal_id.as_ref(),
            };
            let left = store.ended().leftovers(&names.1).await.expect("an answer").len();
            let next = match store.meetings().restart(&run, &new).await {
                Ok(next) => next,
                Err(error) => {
                    assert_eq!(error.denied(), Some(Denial::ServerUnavailable), "{error}");
                    assert!(self.model.is_occupied(old), "whether somebody is in {old}");
                    return;
                }
            };
            assert!(next.is_none() || !self.model.is_occupied(old), "whether somebody is in {old}");
            let more = usize::from(next.is_some() && was.internal_id.is_some());
            assert_eq!(
                store.ended().leftovers(&names.1).await.expect("an answer").len(),
                left + more,
                "runs left over"
            );
            next
        };
        assert_eq!(next.is_some(), self.model.runs(old), "whether {old} ran until now");
        if let Some(next) = next {
            self.model.end(old, self.now);
            self.model.rooms.insert(next, Room { server: was.server, ..room });
            self.gateways[at].pending.insert(next);
        }
    }

    /// Many rooms at once: as many as there are places.
    pub(super) async fn create_at_once(&mut self) {
        let tenant = self.chance.one_of(&TENANTS[..2]).copied().expect("one");
        let first = self.ask(0, tenant, String::new());
        let asked: Vec<_> = (0..6)
            .map(|n| {
                let at = n % self.gateways.len();
                (at, Room { owner: self.gateways[at].name(), ext_id: self.fresh("room"), ..first.clone() })
            })
            .collect();
        let (retained, runs) = (Tenant::since(tenant.retention, self.now), Tenant::since(tenant.window, self.now));
        let mut expected = 0;
        let admitted = join_all(asked.iter().map(|(at, room)| self.admit(*at, room, |_| {}))).await;
        for ((at, room), admitted) in asked.into_iter().zip(admitted) {
            match admitted {
                Ok(Admitted::New { id, .. }) => {
                    let usage = self.model.usage(&room, retained, runs);
                    assert_eq!(tenant.decide(usage), Ok(()), "room {expected} at once, with {usage:?}");
                    expected += 1;
                    self.model.rooms.insert(id, room);
                    self.gateways[at].pending.insert(id);
                }
                Ok(Admitted::Existing(row)) => panic!("{row:?} is a new room"),
                Err(denial) => assert!(matches!(denial, Denial::RoomLimitReached | Denial::AccountLimitReached)),
            }
        }
        let one_more = self.model.usage(&first, retained, runs);
        assert!(tenant.decide(one_more).is_err(), "a place was left: {one_more:?}");
        self.tell(format!("{expected} rooms of {} {} at once", tenant.name, first.account));
    }

    /// One room many times at once: one meeting.
    pub(super) async fn create_one_at_once(&mut self) {
        let tenant = self.chance.one_of(TENANTS).expect("one");
        let ext_id = self.fresh("room");
        let room = self.ask(0, tenant, ext_id);
        self.tell(format!("{} {} at once", tenant.name, room.ext_id));
        let (retained, runs) = (Tenant::since(tenant.retention, self.now), Tenant::since(tenant.window, self.now));
        let expected = tenant.decide(self.model.usage(&room, retained, runs));
        let gateways = self.gateways.len();
        let admitted = join_all((0..5).map(|n| self.admit(n % gateways, &room, |_| {}))).await;
        let mut ids = BTreeSet::new();
        let mut new = 0;
        for admitted in admitted {
            match admitted {
                Ok(Admitted::New { id, .. }) => {
                    new += 1;
                    ids.insert(id);
                }
                Ok(Admitted::Existing(row)) => drop(ids.insert(row.id)),
                Err(denial) => assert_eq!(Err(denial), expected),
            }
        }
        assert_eq!((new, ids.len()), if expected.is_ok() { (1, 1) } else { (0, 0) });
        for id in ids {
            self.model.rooms.insert(id, room.clone());
            self.gateways[0].pending.insert(id);
        }
    }
}

/// As the store is told: nothing counts that has to have ended after the end of time.
fn counted(since: i64) -> Option<Timestamp> {
    (since != i64::MAX).then(|| ms(since))
}

type Names = (TenantId, ServerId);

fn new_meeting<'a>(room: &'a Room, (tenant, server): &'a Names) -> NewMeeting<'a> {
    let of = Tenant::of(&room.tenant);
    NewMeeting {
        tenant,
        account: &room.account,
        ext_id: &room.ext_id,
        server,
        owner: &room.owner,
        participants: match room.seats {
            Limit::AtMost(seats) => Some(seats),
            Limit::Unlimited => None,
        },
        expected: 10,
        records: true,
        ends_at: None,
        afterglow: Duration::from_secs(60),
        now: ms(room.from),
        retained_since: counted(Tenant::since(of.retention, room.from)),
        runs_since: counted(Tenant::since(of.window, room.from)),
    }
}
