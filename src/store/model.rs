//! The store against a model, in random sequences of all that gateways do to it: whatever is promised, refused, given back,
//! lost with a gateway or late, both say the same after each step, no limit is exceeded, and no seat is lost or outlives
//! its lease.
//!
//! What fails is told with its seed, and can be played again: see [`plays`].

mod gateway;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use anteroom_bench::chance::{Chance, Story, plays};
use futures_util::future::join_all;

use super::{
    tests::Fixture,
    writer::{Note, coalesced},
    *,
};
use crate::{
    domain::{
        admission::RoomUsage,
        denial::Denial,
        ids::{ServerId, TenantId},
        limits::Limit,
    },
    live::sessions::{GRACE_MS, LEASE_MS},
};
use gateway::{Gateway, Known};
use rules::{Model, Room};

/// A quarter of an hour before a midnight: plays go on into the next day.
const BEGIN: i64 = 10 * 24 * 3_600_000 - 900_000;
/// As at the opening of a socket: a seat with less time left is promised anew.
const MARGIN_MS: i64 = 5_000;
const ROOMS: [&str; 4] = ["one", "two", "three", "four"];
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
const SERVERS: [&str; 2] = ["bbb-01", "bbb-02"];
const PEOPLE: [UserKey; 3] = [[1; 32], [2; 32], [3; 32]];

/// A tenant, and what it may have.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    name: &'static str,
    /// `None` where nothing is counted.
    accounts: Option<u32>,
    rooms: u32,
    seats: Limit<u32>,
    /// How long a room that has ended counts, in ms; 0 for not at all.
    retention: i64,
    window: i64,
}

const TENANTS: [Tenant; 3] = [
    Tenant { name: "wagtail", accounts: Some(2), rooms: 2, seats: Limit::AtMost(2), retention: 0, window: 600_000 },
    Tenant { name: "heron", accounts: Some(1), rooms: 3, seats: Limit::AtMost(3), retention: 20_000, window: 0 },
    Tenant { name: "egret", accounts: None, rooms: 0, seats: Limit::Unlimited, retention: 0, window: 0 },
];

impl Tenant {
    fn of(name: &str) -> Self {
        TENANTS.into_iter().find(|tenant| tenant.name == name).expect("one of the three")
    }

    fn decide(self, usage: RoomUsage) -> Result<(), Denial> {
        match self.accounts {
            Some(accounts) if usage.other_accounts >= accounts => Err(Denial::AccountLimitReached),
            Some(_) if usage.rooms >= self.rooms => Err(Denial::RoomLimitReached),
            _ => Ok(()),
        }
    }

    fn since(span: i64, now: i64) -> i64 {
        if span == 0 { i64::MAX } else { now - span }
    }
}

/// A store, the gateways on it, and the model of it.
struct World {
    fixture: Fixture,
    gateways: Vec<Gateway>,
    model: Model,
    now: i64,
    chance: Chance,
    story: Story,
    /// Names that were not given yet.
    fresh: u32,
}

async fn play(fixture: Fixture, gateways: usize, (seed, steps): (u64, u64)) {
    let dialect = if fixture.store.is_shared() { "PostgreSQL" } else { "SQLite" };
    let story = Story::begin(&format!("{gateways} gateways on {dialect}"), (seed, steps));
    let chance = Chance::of(seed);
    let (model, first) = (Model::default(), fixture.store.clone());
    let mut world = World { fixture, gateways: Vec::new(), model, now: BEGIN, chance, story, fresh: 0 };
    world.start(0, first).await;
    for at in 1..gateways {
        let store = world.another().await;
        world.start(at, store).await;
    }
    for _ in 0..steps {
        Box::pin(world.step()).await;
        world.check().await;
    }
    world.finish().await;
}

#[tokio::test]
async fn one_gateway_on_sqlite_keeps_to_the_model() {
    for of in plays(5, 200) {
        play(Fixture::sqlite().await, 1, of).await;
    }
}

#[tokio::test]
async fn one_gateway_on_postgres_keeps_to_the_model() {
    for of in plays(2, 200) {
        play(Fixture::postgres().await, 1, of).await;
    }
}

#[tokio::test]
async fn two_gateways_on_postgres_keep_to_the_model() {
    for of in plays(3, 200) {
        play(Fixture::postgres().await, 2, of).await;
    }
}

#[tokio::test]
async fn three_gateways_on_postgres_keep_to_the_model() {
    for of in plays(3, 200) {
        play(Fixture::postgres().await, 3, of).await;
    }
}

/// What the rule said.
fn told<T>(result: Result<T, Refusal>) -> Result<T, Denial> {
    match result {
        Ok(done) => Ok(done),
        Err(Refusal::Denied(denial)) => Err(denial),
        Err(Refusal::Failed(error)) => panic!("{error:?}"),
    }
}

fn briefly(note: &Note) -> String {
    match note {
        Note::Created { meeting, .. } => format!("created {meeting}"),
        Note::Bound { session, .. } => format!("bound {session}"),
        Note::Opened { session, at } => format!("opened {session} at {}", at - BEGIN),
        Note::Closed { session, at, .. } => format!("closed {session} at {}", at - BEGIN),
        Note::Dropped { session } => format!("dropped {session}"),
        Note::Carried { .. } => "carried".into(),
    }
}

fn day_of_all_days<'a>() -> (&'a str, &'a str) {
    ("1970-01-01", "2000-01-01")
}

impl World {
    async fn step(&mut self) {
        match self.chance.below(10) {
            0..5 => {
                let ms = self.some_ms(3_000);
                self.pass(ms);
            }
            5 => self.pass_to_a_border(),
            _ => {}
        }
        match self.chance.below(100) {
            0..12 => self.create().await,
            12..20 => self.answer().await,
            20..36 => self.join().await,
            36..52 => self.open().await,
            52..62 => self.close(),
            62..76 => self.write().await,
            76..79 => self.end().await,
            79..81 => self.begin_anew().await,
            81..83 => self.doubt().await,
            83..84 => self.count_strangers().await,
            84..88 => self.heartbeat().await,
            88 => self.lose_the_store().await,
            89..91 => self.crash().await,
            91..92 => self.stop().await,
            92..94 => self.create_at_once().await,
            94..96 => self.create_one_at_once().await,
            96..98 => self.join_at_once().await,
            98 => self.close_at_once().await,
            99 => Box::pin(self.join_while_it_opens()).await,
            _ => unreachable!("below 100"),
        }
    }

    fn tell(&mut self, what: String) {
        let at = self.now - BEGIN;
        self.story.tell(format!("{at:>8} {what}"));
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
    }

    fn some_ms(&mut self, below: u64) -> i64 {
        i64::try_from(self.chance.below(below)).expect("few")
    }

    /// To the last moment of somebody's seat, or the first one without it.
    fn pass_to_a_border(&mut self) {
        let now = self.now;
        let borders = self.model.seats.values().map(|seat| seat.until).filter(|until| *until > now && *until < PRESENT);
        if let Some(until) = self.chance.one_of(borders) {
            self.now = until - i64::from(self.chance.once_in(2));
        }
    }

    fn any(&mut self) -> usize {
        self.chance.one_of(0..self.gateways.len()).expect("there is one")
    }

    fn any_running(&mut self) -> Option<(i64, Room)> {
        self.chance.one_of(self.model.running()).map(|(id, room)| (id, room.clone()))
    }

    fn seats_of(&self, meeting: i64) -> Limit<u32> {
        self.model.rooms[&meeting].seats
    }

    fn fresh(&mut self, what: &str) -> String {
        self.fresh += 1;
        format!("{what}-{}", self.fresh)
    }
}

/// Gateways.
impl World {
    async fn another(&self) -> Store {
        Store::open(&self.fixture.url).await.expect("a store")
    }

    /// A gateway starts: it says that it lives, and reads what was promised.
    async fn start(&mut self, at: usize, store: Store) {
        let name = store.gateway().to_owned();
        assert_eq!(store.heartbeat(self.now).await.expect("alive"), self.model.heartbeat(&name, self.now));
        if !store.is_shared() {
            let (now, until) = (self.now, self.now + LEASE_MS);
            let dead = store.bury_dead(now, until).await.expect("settled");
            assert_eq!(dead, self.model.bury_dead(&name, now, until, false));
        }
        let mut gateway = Gateway::new(store);
        for row in gateway.store.sessions().await.expect("loaded") {
            let known = Known { meeting: row.meeting, until: row.seat_until, sockets: 0 };
            gateway.sessions.insert(row.id, known);
        }
        if at == self.gateways.len() {
            self.gateways.push(gateway);
        } else {
            self.gateways[at] = gateway;
        }
    }

    async fn crash(&mut self) {
        let at = self.any();
        self.tell(format!("gateway {at} crashes with {} notes", self.gateways[at].notes.len()));
        self.begin_again(at).await;
    }

    async fn stop(&mut self) {
        let at = self.any();
        self.tell(format!("gateway {at} stops"));
        if self.chance.once_in(2) {
            self.write_all(at).await;
        }
        let (now, gateway) = (self.now, &self.gateways[at]);
        gateway.store.retire(now, LEASE_MS).await.expect("retired");
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

    async fn heartbeat(&mut self) {
        let at = self.any();
        self.heartbeat_of(at).await;
    }

    async fn heartbeat_of(&mut self, at: usize) {
        let (now, until) = (self.now, self.now + LEASE_MS);
        self.tell(format!("gateway {at} says that it lives"));
        let gateway = &mut self.gateways[at];
        let name = gateway.name();
        let was_alive = gateway.store.heartbeat(now).await.expect("alive");
        assert_eq!(was_alive, self.model.heartbeat(&name, now), "whether {at} lived");
        if !was_alive {
            gateway.reassert(now);
        }
        let leads = gateway.store.lead("poller", now).await.expect("an answer");
        // With SQLite there is nobody else to wait for.
        let expected = !gateway.store.is_shared() || self.model.lead(&name, now);
        assert_eq!(leads, expected, "whether {at} leads");
        if leads {
            let dead = gateway.store.bury_dead(now, until).await.expect("settled");
            let is_shared = gateway.store.is_shared();
            assert_eq!(dead, self.model.bury_dead(&name, now, until, is_shared), "how many have died");
        }
        for (name, until) in &self.model.alive {
            if gateway.store.is_shared() {
                assert!(gateway.store.is_alive(name, until - 1).await.expect("an answer"), "{name}");
                assert!(!gateway.store.is_alive(name, *until).await.expect("an answer"), "{name}");
            }
        }
    }

    async fn write(&mut self) {
        let at = self.any();
        let some = usize::try_from(self.chance.below(4) + 1).expect("few");
        let number = if self.chance.once_in(3) { some } else { usize::MAX };
        self.write_some(at, number).await;
    }

    async fn write_all(&mut self, at: usize) {
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
        let without = gateway.store.write_notes(self.now, &notes.iter().collect::<Vec<_>>()).await.expect("written");
        assert_eq!(without, self.model.write(&gateway.name(), self.now, &notes), "who has no seat");
        for session in without {
            if !self.gateways[at].is_open(session) {
                continue;
            }
            match self.readmit(at, session).await {
                Ok(()) => self.gateways[at].notes.push(Note::Opened { session, at: self.now }),
                Err(_) => self.gateways[at].cut(session, self.now),
            }
        }
    }

    /// The store is away for a while: nothing is promised, and notes wait and are made one of what came in pieces.
    async fn lose_the_store(&mut self) {
        let away = self.some_ms(100_000);
        self.tell(format!("the store is away for {away} ms"));
        for _ in 0..4 {
            self.pass(away / 4);
            self.close();
            let at = self.any();
            let gateway = &mut self.gateways[at];
            let held: Vec<i64> = gateway.sessions.keys().copied().collect();
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

/// Rooms.
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
        told(self.gateways[at].store.admit_meeting(&new_meeting(room, &names), decide).await)
    }

    async fn create(&mut self) {
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
    async fn take_over(&mut self, at: usize, meeting: i64) {
        let room = self.model.rooms[&meeting].clone();
        let gateway = &mut self.gateways[at];
        if room.internal_id.is_some() || gateway.pending.contains(&meeting) {
            return;
        }
        let is_alive = gateway.store.is_alive(&room.owner, self.now).await.expect("an answer");
        if gateway.store.is_shared() {
            assert_eq!(is_alive, self.model.is_alive(&room.owner, self.now), "whether the owner lives");
        }
        if is_alive && room.owner != gateway.name() {
            return;
        }
        assert!(gateway.store.take_over_meeting(meeting, &room.owner).await.expect("an answer"));
        assert!(!gateway.store.take_over_meeting(meeting, "nobody").await.expect("an answer"));
        self.model.rooms.get_mut(&meeting).expect("it runs").owner = gateway.name();
        gateway.pending.insert(meeting);
    }

    /// A gateway is not heard of for so long that a promise of it is taken over by another that is asked; it may be slow only.
    async fn doubt(&mut self) {
        let unanswered = self.model.running().filter(|(_, room)| room.internal_id.is_none()).map(|(id, _)| id);
        let Some(meeting) = self.chance.one_of(unanswered) else { return };
        let others = (0..self.gateways.len()).filter(|at| !self.gateways[*at].pending.contains(&meeting));
        let Some(at) = self.chance.one_of(others) else { return };
        if self.chance.once_in(2) {
            self.pass(ALIVE_MS);
        }
        self.tell(format!("gateway {at} is asked for {meeting}, which has no answer"));
        self.take_over(at, meeting).await;
    }

    /// A server answers, cannot be reached, or refuses.
    async fn answer(&mut self) {
        let at = self.any();
        let Some(meeting) = self.chance.one_of(self.gateways[at].pending.clone()) else { return };
        let how = self.chance.below(10);
        let internal_id = self.fresh("int");
        let (name, now) = (self.gateways[at].name(), self.now);
        let gateway = &mut self.gateways[at];
        match how {
            0 => {
                let server = self.chance.one_of(SERVERS).expect("one");
                let moved =
                    gateway.store.move_meeting(meeting, &server.parse().expect("an id")).await.expect("an answer");
                let room = self.model.rooms.get_mut(&meeting);
                let room = room.filter(|room| room.owner == name && room.ended.is_none() && room.internal_id.is_none());
                assert_eq!(moved, room.is_some(), "whether {meeting} was moved");
                room.into_iter().for_each(|room| server.clone_into(&mut room.server));
                if !moved {
                    gateway.pending.remove(&meeting);
                }
            }
            1 | 2 => {
                gateway.pending.remove(&meeting);
                let abandoned = gateway.store.abandon_meeting(meeting, now).await.expect("an answer");
                assert_eq!(abandoned, self.model.abandon(meeting, &name, now), "whether {meeting} was given back");
            }
            _ => {
                gateway.pending.remove(&meeting);
                let internal_id = internal_id.into();
                gateway.notes.push(Note::Created { meeting, internal_id, create_time: now });
            }
        }
        self.tell(format!("gateway {at} has an answer for {meeting}: {how}"));
    }

    async fn end(&mut self) {
        let at = self.any();
        let Some(meeting) = self.chance.one_of(self.model.rooms.keys().copied()) else { return };
        self.tell(format!("gateway {at} ends {meeting}"));
        let had_come = self.gateways[at].store.end_meeting(meeting, self.now).await.expect("an answer");
        assert_eq!(had_come, self.model.end(meeting, self.now), "whether somebody had come");
    }

    /// A run is over that its gateway may take to go on, and the next one begins, on its server or on another.
    async fn begin_anew(&mut self) {
        let at = self.any();
        let Some(old) = self.chance.one_of(self.model.rooms.keys().copied()) else { return };
        let server_id = self.fresh("server-id");
        let was = self.model.rooms[&old].clone();
        let room = Room { account: was.account, ..self.ask(at, Tenant::of(&was.tenant), was.ext_id) };
        let names = (room.tenant.parse().expect("an id"), was.server.parse().expect("an id"));
        let new = new_meeting(&room, &names);
        let is_same_server = self.chance.once_in(2);
        self.tell(format!("gateway {at} begins {old} anew"));
        let store = &self.gateways[at].store;
        let next = if is_same_server {
            store.rerun_meeting(old, &new).await.expect("an answer")
        } else {
            let run = Run { id: old, server: &names.1, server_id: &server_id, internal_id: was.internal_id.as_deref() };
            let left = store.leftovers(&names.1).await.expect("an answer").len();
            let next = match store.restart_meeting(&run, &new).await {
                Ok(next) => next,
                Err(Refusal::Denied(denial)) => {
                    assert_eq!(denial, Denial::ServerUnavailable);
                    assert!(self.model.is_occupied(old), "whether somebody is in {old}");
                    return;
                }
                Err(Refusal::Failed(error)) => panic!("{error}"),
            };
            assert!(next.is_none() || !self.model.is_occupied(old), "whether somebody is in {old}");
            let more = usize::from(next.is_some() && was.internal_id.is_some());
            assert_eq!(store.leftovers(&names.1).await.expect("an answer").len(), left + more, "runs left over");
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
    async fn create_at_once(&mut self) {
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
    async fn create_one_at_once(&mut self) {
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
        now: room.from,
        retained_since: Tenant::since(of.retention, room.from),
        runs_since: Tenant::since(of.window, room.from),
    }
}

/// Seats.
impl World {
    async fn join(&mut self) {
        let at = self.any();
        let ended = self.chance.one_of(self.model.rooms.keys().copied());
        let Some(meeting) = self.any_running().map(|(id, _)| id).filter(|_| !self.chance.once_in(20)).or(ended) else {
            return;
        };
        let user = self.chance.one_of(PEOPLE).filter(|_| self.chance.once_in(2));
        let (now, until, seats) = (self.now, self.now + LEASE_MS, self.seats_of(meeting));
        let new = NewSession { meeting, user: user.as_ref(), now, until, seats };
        let seated = told(self.gateways[at].store.admit_session(&new).await);
        self.tell(format!("gateway {at} has {meeting} joined by {:?}: {seated:?}", user.map(|user| user[0])));
        let expected = self.model.may_join(meeting, user, now);
        assert_eq!(seated.map(|seated| seated.instead_of), expected);
        let Ok(seated) = seated else { return };
        self.model.join(meeting, user, seated, until);
        let how = self.chance.below(10);
        let gateway = &mut self.gateways[at];
        if let Some(old) =
            seated.instead_of.and_then(|old| gateway.sessions.get_mut(&old)).filter(|old| old.sockets == 0)
        {
            old.until = 0;
        }
        match how {
            // Whoever asked is lost with their gateway.
            0 => {}
            1 => gateway.notes.push(Note::Dropped { session: seated.id }),
            _ => {
                let mut token = [0; 32];
                token[..8].copy_from_slice(&seated.id.to_be_bytes());
                gateway.sessions.insert(seated.id, Known { meeting, until, sockets: 0 });
                gateway.notes.push(Note::Bound { session: seated.id, token });
            }
        }
    }

    async fn join_at_once(&mut self) {
        let Some((meeting, room)) = self.any_running() else { return };
        if room.seats == Limit::Unlimited {
            return;
        }
        let (now, until, seats) = (self.now, self.now + LEASE_MS, room.seats);
        let new = NewSession { meeting, user: None, now, until, seats };
        let gateways = &self.gateways;
        let asked = (0..6).map(|n| gateways[n % gateways.len()].store.admit_session(&new));
        let seated: Vec<_> = join_all(asked).await.into_iter().filter_map(|seated| told(seated).ok()).collect();
        self.tell(format!("{} seats of {meeting} at once", seated.len()));
        for seated in seated {
            assert_eq!(self.model.may_join(meeting, None, now), Ok(None), "one seat too many at once");
            self.model.join(meeting, None, seated, until);
        }
        assert!(self.model.may_join(meeting, None, now).is_err(), "a seat was left");
    }

    /// A socket opens: of a session that the gateway knows, or finds in the store.
    async fn open(&mut self) {
        let at = self.any();
        if self.chance.once_in(3) {
            self.find(at).await;
        }
        let Some(session) = self.chance.one_of(self.gateways[at].sessions.keys().copied()) else { return };
        if self.gateways[at].sessions[&session].until <= self.now + MARGIN_MS {
            if self.readmit(at, session).await.is_err() {
                return;
            }
            let known = self.gateways[at].sessions.get_mut(&session).expect("it is known");
            known.until = known.until.max(self.now + LEASE_MS);
        }
        self.tell(format!("gateway {at} has a socket of {session}"));
        self.gateways[at].open(session, self.now);
    }

    async fn find(&mut self, at: usize) {
        let known: Vec<_> = self.model.seats.iter().filter_map(|(id, seat)| Some((*id, seat.token?))).collect();
        let Some((session, token)) = self.chance.one_of(known) else { return };
        let gateway = &mut self.gateways[at];
        let found = gateway.store.find_session(&token).await.expect("an answer");
        let (row, meeting) = found.expect("it is in a meeting that runs");
        let seat = &self.model.seats[&session];
        assert_eq!((row.id, row.seat_until, meeting.id), (session, seat.until, seat.meeting));
        let known = Known { meeting: meeting.id, until: row.seat_until, sockets: 0 };
        gateway.sessions.entry(session).or_insert(known);
    }

    async fn readmit(&mut self, at: usize, session: i64) -> Result<(), Denial> {
        let meeting = self.gateways[at].sessions[&session].meeting;
        let Some(room) = self.model.rooms.get(&meeting) else { return Err(Denial::ServerUnavailable) };
        let seats = room.seats;
        let (now, until, store) = (self.now, self.now + LEASE_MS, &self.gateways[at].store);
        let readmitted = told(store.readmit_session(meeting, session, now, until, seats).await);
        self.tell(format!("gateway {at} asks for a seat of {session} again: {readmitted:?}"));
        assert_eq!(readmitted, self.model.readmit(meeting, session, now, until), "whether it has a seat again");
        readmitted
    }

    fn close(&mut self) {
        let at = self.any();
        let Some(session) = self.chance.one_of(self.gateways[at].open_sessions()) else { return };
        self.tell(format!("gateway {at} loses a socket of {session}"));
        self.gateways[at].close(session, self.now);
    }

    /// A session that is open through several gateways is closed on all of them at once.
    async fn close_at_once(&mut self) {
        for at in 0..self.gateways.len() {
            self.write_all(at).await;
        }
        let ways = |session: &i64| self.gateways.iter().filter(|gateway| gateway.is_open(*session)).count();
        let open: Vec<i64> = self.model.seats.keys().copied().filter(|session| ways(session) > 1).collect();
        let Some(session) = self.chance.one_of(open) else { return };
        self.tell(format!("{session} is closed everywhere at once"));
        let now = self.now;
        self.gateways
            .iter_mut()
            .filter(|gateway| gateway.is_open(session))
            .for_each(|gateway| gateway.cut(session, now));
        let written = self.gateways.iter().map(async |gateway| {
            gateway.store.write_notes(now, &gateway.notes.iter().collect::<Vec<_>>()).await.expect("written")
        });
        assert!(join_all(written).await.concat().is_empty());
        for gateway in &mut self.gateways {
            self.model.write(&gateway.name(), now, &std::mem::take(&mut gateway.notes));
        }
    }

    /// Somebody joins once more while their first session opens: either it is open, and keeps its seat, or that is taken over.
    async fn join_while_it_opens(&mut self) {
        let not_open = |seat: &rules::Seat| seat.until > self.now && seat.since.is_none();
        let is_only = |of: &rules::Seat| {
            let same = self.model.seats.values().filter(|seat| seat.meeting == of.meeting && seat.user == of.user);
            same.filter(|seat| not_open(seat)).count() == 1
        };
        let those = self.model.seats.iter().filter(|(_, seat)| seat.user.is_some() && not_open(seat) && is_only(seat));
        let Some((session, meeting, user)) =
            self.chance.one_of(those.map(|(session, seat)| (*session, seat.meeting, seat.user)))
        else {
            return;
        };
        let (at, other) = (self.any(), self.any());
        let (now, until, seats) = (self.now, self.now + LEASE_MS, self.seats_of(meeting));
        let known = Known { meeting, until, sockets: 0 };
        self.gateways[at].sessions.entry(session).or_insert(known);
        if self.gateways[at].is_open(session) {
            return;
        }
        self.write_all(at).await;
        if !self.model.seats.get(&session).is_some_and(|seat| seat.until > now && seat.since.is_none()) {
            return;
        }
        self.gateways[at].open(session, now);
        let notes = std::mem::take(&mut self.gateways[at].notes);
        let new = NewSession { meeting, user: user.as_ref(), now, until, seats };
        let noted: Vec<_> = notes.iter().collect();
        let (store, others) = (&self.gateways[at].store, &self.gateways[other].store);
        let (without, seated) = tokio::join!(store.write_notes(now, &noted), others.admit_session(&new));
        let (without, seated) = (without.expect("written"), told(seated));
        self.tell(format!("gateway {at} has {session} opened, and {other} has it joined again: {seated:?}"));
        let name = self.gateways[at].name();
        let joined_first = seated.is_ok_and(|seated| seated.instead_of == Some(session));
        if !joined_first {
            assert_eq!(without, self.model.write(&name, now, &notes), "who has no seat");
        }
        assert_eq!(seated.map(|seated| seated.instead_of), self.model.may_join(meeting, user, now));
        seated.into_iter().for_each(|seated| self.model.join(meeting, user, seated, until));
        if joined_first {
            assert_eq!(without, self.model.write(&name, now, &notes), "who has no seat");
        }
        if without.contains(&session) {
            self.gateways[at].cut(session, now);
        }
    }

    async fn count_strangers(&mut self) {
        let Some((meeting, _)) = self.any_running() else { return };
        let strangers = u32::try_from(self.chance.below(3)).expect("few");
        self.tell(format!("{strangers} strangers are in {meeting}"));
        self.gateways[0].store.set_strangers(meeting, strangers).await.expect("written");
        self.model.rooms.get_mut(&meeting).expect("it runs").strangers = strangers;
    }
}

/// What has to hold at all times.
impl World {
    async fn check(&self) {
        let store = &self.gateways[0].store;
        let mut running = store.running().await.expect("an answer");
        running.sort_by_key(|row| row.id);
        assert_eq!(running, self.model.rows(&running), "the meetings that run");
        let mut sessions = store.sessions().await.expect("an answer");
        sessions.sort_by_key(|row| row.id);
        assert_eq!(sessions, self.model.sessions(), "the sessions");
        for row in &running {
            let taken = store.recent_sessions(row.id, self.now).await.expect("an answer");
            assert_eq!(taken, self.model.taken(row.id, self.now), "seats of {}", row.id);
            let present = store.recent_sessions(row.id, PRESENT - 1).await.expect("an answer");
            assert_eq!(present, self.model.taken(row.id, PRESENT - 1), "people in {}", row.id);
            if let Limit::AtMost(most) = self.seats_of(row.id) {
                assert!(taken <= most, "{taken} seats of {} are taken", row.id);
            }
        }
        let (from, to) = day_of_all_days();
        let used = store.usage(from, to, self.now).await.expect("an answer");
        let used: Vec<_> = used.into_iter().filter(|row| row.meetings + row.participant_ms + row.peak > 0).collect();
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
        let mut people: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for gateway in &self.gateways {
            for session in gateway.open_sessions() {
                let meeting = gateway.sessions[&session].meeting;
                if self.model.runs(meeting) {
                    let seat = &self.model.seats[&session];
                    assert!(seat.until == PRESENT && seat.through.contains(&gateway.name()), "the seat of {session}");
                    people.entry(meeting).or_default().insert(session);
                }
            }
        }
        for (meeting, people) in people {
            if let Limit::AtMost(most) = self.seats_of(meeting) {
                assert!(people.len() <= most as usize, "{people:?} are in {meeting}");
            }
        }
    }

    /// Everybody leaves: nothing is held for anybody after that.
    async fn finish(&mut self) {
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
            let taken = self.gateways[0].store.recent_sessions(meeting, self.now).await.expect("an answer");
            assert_eq!(taken, 0, "seats of {meeting} outlive everybody");
        }
        self.check().await;
    }
}
