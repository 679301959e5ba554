//! The store against a model, in random sequences of all that gateways do to it: whatever is promised, refused, given back,
//! lost with a gateway or late, both say the same after each step, no limit is exceeded, and no seat is lost or outlives
//! its lease.
//!
//! What fails is told with its seed, and can be played again: see [`plays`].

mod checks;
mod gateway;
mod gateways;
mod rooms;
mod rules;
mod seats;

use std::collections::{BTreeMap, BTreeSet};

use anteroom_bench::chance::{Chance, Story, plays};
use futures_util::future::join_all;

use super::{
    columns::{Column, PRESENT},
    tests::{Fixture, ms},
    writer::coalesced,
    *,
};
use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{MeetingNumber, ServerId, TenantId},
    limits::Limit,
    session::{GRACE, Held, LEASE, UserKey},
    time::Timestamp,
};
use gateway::{Gateway, Known};
use rules::{Joining, Model, Room};

/// A quarter of an hour before a midnight: plays go on into the next day.
const BEGIN: i64 = 10 * 24 * 3_600_000 - 900_000;
/// As at the opening of a socket: a seat with less time left is promised anew.
const MARGIN_MS: i64 = 5_000;
const ALIVE_MS: i64 = ALIVE.as_millis() as i64;
const LEASE_MS: i64 = LEASE.as_millis() as i64;
const GRACE_MS: i64 = GRACE.as_millis() as i64;
const ROOMS: [&str; 4] = ["one", "two", "three", "four"];
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
const SERVERS: [&str; 2] = ["bbb-01", "bbb-02"];
/// Of every meeting.
const BREAKOUTS: [&str; 2] = ["breakout-1", "breakout-2"];
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
fn told<T>(result: Result<T, Error>) -> Result<T, Denial> {
    result.map_err(|error| error.denied().unwrap_or_else(|| panic!("{error:?}")))
}

fn briefly(note: &Note) -> String {
    match note {
        Note::Created { meeting, .. } => format!("created {meeting}"),
        Note::Bound { session, .. } => format!("bound {session}"),
        Note::Opened { session, at } => format!("opened {session} at {}", at.as_ms() - BEGIN),
        Note::Closed { session, at, .. } => format!("closed {session} at {}", at.as_ms() - BEGIN),
        Note::Dropped { session } => format!("dropped {session}"),
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

    fn any_running(&mut self) -> Option<(MeetingNumber, Room)> {
        self.chance.one_of(self.model.running()).map(|(id, room)| (id, room.clone()))
    }

    fn seats_of(&self, meeting: MeetingNumber) -> Limit<u32> {
        self.model.rooms[&meeting].seats
    }

    fn fresh(&mut self, what: &str) -> String {
        self.fresh += 1;
        format!("{what}-{}", self.fresh)
    }
}
