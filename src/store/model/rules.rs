//! The model: what the store promises, without SQL. Rooms and who has them, seats and until when, who is present through
//! which gateway, and what was used.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use time::OffsetDateTime;

use super::{ALIVE_MS, GRACE_MS, LEASE_MS, ms};
use crate::{
    domain::{
        admission::RoomUsage,
        denial::Denial,
        ids::{ExternalId, InternalId, MeetingNumber, SessionNumber},
        limits::Limit,
        session::{Held, TokenHash, UserKey},
        time::whole_ms,
    },
    store::{
        MeetingRow, MeetingState, Note, Seated, SessionRow, UsageRow,
        columns::{Column, PRESENT, REPLACED},
    },
};

const DAY: i64 = 24 * 3_600_000;

/// Everything that is promised, and what has come of it. Meetings and sessions have the numbers that the store gave them.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) rooms: BTreeMap<MeetingNumber, Room>,
    pub(super) seats: BTreeMap<SessionNumber, Seat>,
    /// The gateways that are taken to live, each with the time until which.
    pub(super) alive: BTreeMap<String, i64>,
    leader: Option<(String, i64)>,
    used: BTreeMap<(String, i64), Used>,
}

/// A run of a room.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) tenant: String,
    pub(super) account: String,
    pub(super) ext_id: String,
    pub(super) server: String,
    pub(super) owner: String,
    pub(super) internal_id: Option<InternalId>,
    pub(super) from: i64,
    pub(super) ended: Option<i64>,
    pub(super) strangers: u32,
    pub(super) seats: Limit<u32>,
}

/// A session, and its seat.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) meeting: MeetingNumber,
    /// The breakout room of the meeting that it is in.
    pub(super) breakout: Option<&'static str>,
    pub(super) user: Option<UserKey>,
    pub(super) token: Option<TokenHash>,
    pub(super) until: i64,
    pub(super) since: Option<i64>,
    pub(super) through: BTreeSet<String>,
}

/// A join: of a meeting, or of one of its breakout rooms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    pub(super) meeting: MeetingNumber,
    pub(super) breakout: Option<&'static str>,
    pub(super) user: Option<UserKey>,
}

#[derive(Debug, Default)]
struct Used {
    meetings: i64,
    participant_ms: i64,
    peak: i64,
}

/// Rooms.
impl Model {
    pub(super) fn running(&self) -> impl Iterator<Item = (MeetingNumber, &Room)> {
        self.rooms.iter().filter(|(_, room)| room.ended.is_none()).map(|(id, room)| (*id, room))
    }

    pub(super) fn find(&self, tenant: &str, ext_id: &str) -> Option<MeetingNumber> {
        self.running().find(|(_, room)| room.tenant == tenant && room.ext_id == ext_id).map(|(id, _)| id)
    }

    pub(super) fn runs(&self, meeting: MeetingNumber) -> bool {
        self.rooms.get(&meeting).is_some_and(|room| room.ended.is_none())
    }

    /// What a tenant has beside a room of this account and name.
    pub(super) fn usage(&self, new: &Room, retained_since: i64, runs_since: i64) -> RoomUsage {
        let of_tenant = || self.rooms.values().filter(|room| room.tenant == new.tenant);
        let kept = || of_tenant().filter(|room| room.ended.is_none_or(|at| at > retained_since));
        let others = kept().filter(|room| room.account == new.account && room.ext_id != new.ext_id);
        let rooms: BTreeSet<_> = others.map(|room| &room.ext_id).collect();
        let accounts: BTreeSet<_> = kept().map(|room| &room.account).filter(|name| **name != new.account).collect();
        let runs = of_tenant().filter(|room| room.ext_id == new.ext_id);
        let used: i64 = runs
            .filter_map(|room| Some((room.from, room.ended.filter(|at| *at > runs_since)?)))
            .map(|(a, b)| b - a)
            .sum();
        RoomUsage {
            rooms: u32::try_from(rooms.len()).expect("few"),
            other_accounts: u32::try_from(accounts.len()).expect("few"),
            used: Duration::from_millis(used.unsigned_abs()),
        }
    }

    /// Ends a run with its sessions. Returns whether somebody may have come, as far as is known.
    pub(super) fn end(&mut self, meeting: MeetingNumber, now: i64) -> bool {
        let Some(room) = self.rooms.get_mut(&meeting).filter(|room| room.ended.is_none()) else { return true };
        room.ended = Some(now);
        self.empty(meeting, now)
    }

    /// Gives a promise back. Returns whether it was this gateway's to give.
    pub(super) fn abandon(&mut self, meeting: MeetingNumber, gateway: &str, now: i64) -> bool {
        let is_own = self.rooms.get(&meeting).is_some_and(|room| room.owner == gateway);
        if is_own {
            if self.runs(meeting) {
                self.empty(meeting, now);
            }
            self.rooms.remove(&meeting);
        }
        is_own
    }

    fn empty(&mut self, meeting: MeetingNumber, now: i64) -> bool {
        let there: Vec<SessionNumber> =
            self.seats.iter().filter(|(_, seat)| seat.meeting == meeting).map(|(id, _)| *id).collect();
        for session in &there {
            self.depart(*session, now, 0, now);
            self.seats.remove(session);
        }
        !there.is_empty()
    }

    /// The running meetings as rows, with what the store alone knows taken from theirs.
    pub(super) fn rows(&self, of_store: &[MeetingRow]) -> Vec<MeetingRow> {
        let row = |(id, room): (MeetingNumber, &Room)| {
            let theirs = of_store.iter().find(|row| row.id == id)?.clone();
            Some(MeetingRow {
                tenant: room.tenant.parse().expect("an id"),
                account: room.account.clone(),
                ext_id: ExternalId::new(&room.ext_id),
                server: room.server.parse().expect("an id"),
                created_at: ms(room.from),
                state: match room.internal_id.clone() {
                    Some(internal_id) => MeetingState::Running { internal_id },
                    None => MeetingState::Reserved { owner: Some(room.owner.clone()) },
                },
                ..theirs
            })
        };
        self.running().filter_map(row).collect()
    }
}

/// Seats.
impl Model {
    /// Seats of a meeting itself, or of all its breakout rooms together.
    pub(super) fn taken(&self, meeting: MeetingNumber, in_breakouts: bool, now: i64) -> u32 {
        let is_there = |seat: &Seat| seat.meeting == meeting && seat.breakout.is_some() == in_breakouts;
        let taken = self.seats.values().filter(|seat| is_there(seat) && seat.until > now).count();
        u32::try_from(taken).expect("few")
    }

    fn has_room(&self, meeting: MeetingNumber, in_breakouts: bool, taken: u32) -> bool {
        let room = &self.rooms[&meeting];
        room.seats.has_room(taken + if in_breakouts { 0 } else { room.strangers })
    }

    /// Whether a join gets a seat, and whose it is.
    pub(super) fn may_join(&self, new: Joining, now: i64) -> Result<Option<SessionNumber>, Denial> {
        let Joining { meeting, breakout, user } = new;
        if !self.runs(meeting) {
            return Err(Denial::ServerUnavailable);
        }
        let not_open = |seat: &Seat| seat.until > now && seat.since.is_none();
        let same = self.seats.iter().find(|(_, seat)| {
            seat.meeting == meeting
                && seat.breakout == breakout
                && user.is_some()
                && seat.user == user
                && not_open(seat)
        });
        let taken = self.taken(meeting, breakout.is_some(), now) - u32::from(same.is_some());
        let instead_of = same.map(|(id, _)| *id);
        if self.has_room(meeting, breakout.is_some(), taken) {
            Ok(instead_of)
        } else {
            Err(Denial::MaxParticipantsReached)
        }
    }

    pub(super) fn join(&mut self, new: Joining, seated: Seated, until: i64) {
        let Joining { meeting, breakout, user } = new;
        if let Some(old) = seated.instead_of.and_then(|old| self.seats.get_mut(&old)) {
            old.until = if old.until > until - LEASE_MS + GRACE_MS { REPLACED } else { 0 };
        }
        let seat = Seat { meeting, breakout, user, token: None, until, since: None, through: BTreeSet::new() };
        self.seats.insert(seated.id, seat);
    }

    /// Promises a session its seat anew, where others leave it one.
    pub(super) fn readmit(
        &mut self,
        meeting: MeetingNumber,
        session: SessionNumber,
        now: i64,
        until: i64,
    ) -> Result<(), Denial> {
        if !self.runs(meeting) {
            return Err(Denial::ServerUnavailable);
        }
        let full = Denial::MaxParticipantsReached;
        let seat = self.seats.get(&session).ok_or(full)?;
        let (own, in_breakouts) = (seat.until > now, seat.breakout.is_some());
        if !self.has_room(meeting, in_breakouts, self.taken(meeting, in_breakouts, now) - u32::from(own)) {
            return Err(full);
        }
        let seat = self.seats.get_mut(&session).ok_or(full)?;
        seat.until = seat.until.max(until);
        Ok(())
    }

    /// What a gateway notes, in order. Returns the sessions that are open and for which there is no seat.
    pub(super) fn write(&mut self, gateway: &str, now: i64, notes: &[Note]) -> Vec<SessionNumber> {
        let mut open = BTreeMap::new();
        for note in notes {
            match (self.note(gateway, now, note), note) {
                (Some(session), Note::Opened { at, .. }) => drop(open.insert(session, at.as_ms())),
                (_, Note::Closed { session, .. }) => drop(open.remove(session)),
                _ => {}
            }
        }
        let lost = open.into_iter().filter(|(session, at)| !self.seat_again(gateway, *session, *at, now));
        lost.map(|(session, _)| session).collect()
    }

    /// A session that is open, and whose seat has lapsed, has it again where it is free.
    fn seat_again(&mut self, gateway: &str, session: SessionNumber, at: i64, now: i64) -> bool {
        let Some(seat) = self.seats.get(&session) else { return false };
        let (meeting, in_breakouts) = (seat.meeting, seat.breakout.is_some());
        let is_free = self.has_room(meeting, in_breakouts, self.taken(meeting, in_breakouts, now));
        if is_free {
            self.sit(gateway, session, at, now);
        }
        is_free
    }

    fn sit(&mut self, gateway: &str, session: SessionNumber, at: i64, now: i64) {
        let seat = self.seats.get_mut(&session).expect("it is there");
        seat.through.insert(gateway.to_owned());
        seat.until = PRESENT;
        if seat.since.replace(seat.since.unwrap_or(at)).is_none() && seat.breakout.is_none() {
            let meeting = seat.meeting;
            self.note_peak(meeting, now);
        }
    }

    fn note(&mut self, gateway: &str, now: i64, note: &Note) -> Option<SessionNumber> {
        match note {
            Note::Created { meeting, internal_id } => {
                let room = self.rooms.get_mut(meeting).filter(|room| room.internal_id.is_none())?;
                room.internal_id = Some(internal_id.clone());
                let made = (room.tenant.clone(), room.from.div_euclid(DAY));
                self.used.entry(made).or_default().meetings += 1;
            }
            Note::Bound { session, token } => self.seats.get_mut(session)?.token = Some(*token),
            Note::Opened { session, at } => {
                if self.seats.get(session).is_none_or(|seat| seat.until <= now) {
                    return Some(*session);
                }
                self.sit(gateway, *session, at.as_ms(), now);
            }
            Note::Closed { session, at, until, absent } => {
                self.seats.get_mut(session)?.through.remove(gateway);
                self.leave(*session, at.as_ms() - whole_ms(*absent), until.as_ms(), now);
            }
            Note::Dropped { session } => drop(self.seats.remove(session)),
        }
        None
    }

    /// A way to a session is gone: unless there is another, somebody has left at `at`.
    fn leave(&mut self, session: SessionNumber, at: i64, until: i64, now: i64) {
        if self.seats.get(&session).is_some_and(|seat| seat.through.is_empty()) {
            self.depart(session, at, until, now);
        }
    }

    fn depart(&mut self, session: SessionNumber, at: i64, until: i64, now: i64) {
        let Some((meeting, since, counts)) =
            self.seats.get(&session).and_then(|seat| Some((seat.meeting, seat.since?, seat.breakout.is_none())))
        else {
            return;
        };
        if counts {
            self.note_peak(meeting, now);
            let tenant = self.rooms[&meeting].tenant.clone();
            for (day, ms) in by_day(since, at) {
                self.used.entry((tenant.clone(), day)).or_default().participant_ms += ms;
            }
        }
        let seat = self.seats.get_mut(&session).expect("it is there");
        (seat.since, seat.until) = (None, until);
    }

    /// All sessions whose token is known, as rows.
    pub(super) fn sessions(&self) -> Vec<SessionRow> {
        let row = |(id, seat): (&SessionNumber, &Seat)| {
            let (meeting, breakout) = (seat.meeting, seat.breakout.map(str::to_owned));
            Some(SessionRow {
                id: *id,
                meeting,
                token: seat.token?,
                held: Held::from_column(seat.until),
                breakout,
                waits: false,
            })
        };
        self.seats.iter().filter_map(row).collect()
    }
}

/// Gateways.
impl Model {
    /// Returns whether it was among the living.
    pub(super) fn heartbeat(&mut self, gateway: &str, now: i64) -> bool {
        self.alive.insert(gateway.to_owned(), now + ALIVE_MS).is_some()
    }

    pub(super) fn is_alive(&self, gateway: &str, now: i64) -> bool {
        self.alive.get(gateway).is_some_and(|until| *until > now)
    }

    pub(super) fn lead(&mut self, gateway: &str, now: i64) -> bool {
        let is_free = self.leader.as_ref().is_none_or(|(holder, until)| holder == gateway || *until <= now);
        if is_free {
            self.leader = Some((gateway.to_owned(), now + ALIVE_MS));
        }
        is_free
    }

    pub(super) fn retire(&mut self, gateway: &str, now: i64, lease: i64) {
        self.leader.take_if(|(holder, _)| holder == gateway);
        self.bury(gateway, now, now + lease);
    }

    /// Settles what dead gateways leave, those that were forgotten already included. `is_shared` says whether others can
    /// live beside this one.
    pub(super) fn bury_dead(&mut self, gateway: &str, now: i64, until: i64, is_shared: bool) -> usize {
        let before = if is_shared { now } else { i64::MAX };
        let known = self.alive.iter().map(|(name, until)| (*until, name.clone()));
        let through = self.seats.values().flat_map(|seat| &seat.through);
        let forgotten = through.filter(|name| !self.alive.contains_key(*name)).map(|name| (before, name.clone()));
        let dead: BTreeSet<(i64, String)> =
            known.chain(forgotten).filter(|(until, name)| *until <= before && name != gateway).collect();
        for (alive_until, name) in &dead {
            self.bury(name, (alive_until - ALIVE_MS).min(now), until);
        }
        dead.len()
    }

    fn bury(&mut self, gateway: &str, at: i64, until: i64) {
        let left: Vec<SessionNumber> =
            self.seats.iter_mut().filter_map(|(id, seat)| seat.through.remove(gateway).then_some(*id)).collect();
        for session in left {
            self.leave(session, at, until, at);
        }
        self.alive.remove(gateway);
    }
}

/// Usage.
impl Model {
    /// Whether somebody is present in a meeting.
    pub(super) fn is_occupied(&self, meeting: MeetingNumber) -> bool {
        self.seats.values().any(|seat| seat.meeting == meeting && seat.since.is_some())
    }

    /// How many people of the tenant of a meeting are present, as news for the peak of the day.
    fn note_peak(&mut self, meeting: MeetingNumber, now: i64) {
        let tenant = self.rooms[&meeting].tenant.clone();
        let present = self.seats.values().filter(|seat| seat.since.is_some() && seat.breakout.is_none());
        let people = present.filter(|seat| self.rooms[&seat.meeting].tenant == tenant).count();
        let used = self.used.entry((tenant, now.div_euclid(DAY))).or_default();
        used.peak = used.peak.max(i64::try_from(people).expect("few"));
    }

    /// All that was used, those who are present until `now`.
    pub(super) fn used(&self, now: i64) -> Vec<UsageRow> {
        let mut rows: BTreeMap<(String, String), UsageRow> = BTreeMap::new();
        let mut add = |tenant: &str, day: i64, used: &Used| {
            let day = OffsetDateTime::from_unix_timestamp(day * DAY / 1000).expect("a day").date().to_string();
            let row = rows.entry((tenant.to_owned(), day.clone())).or_default();
            (row.tenant, row.day) = (tenant.to_owned(), day);
            row.meetings += used.meetings;
            row.participant_time += Duration::from_millis(used.participant_ms.unsigned_abs());
            row.peak = row.peak.max(used.peak);
        };
        for ((tenant, day), used) in &self.used {
            add(tenant, *day, used);
        }
        // Who is in a breakout room is in its meeting too.
        for seat in self.seats.values().filter(|seat| seat.breakout.is_none()) {
            for (day, ms) in seat.since.map_or_else(Vec::new, |since| by_day(since, now)) {
                add(&self.rooms[&seat.meeting].tenant, day, &Used { participant_ms: ms, ..Used::default() });
            }
        }
        rows.into_values().filter(was_used).collect()
    }
}

/// Whether anything was used.
pub(super) fn was_used(row: &UsageRow) -> bool {
    row.meetings + row.peak > 0 || !row.participant_time.is_zero()
}

/// The ms of a stretch of time on each day that it touches.
fn by_day(since: i64, until: i64) -> Vec<(i64, i64)> {
    let on = |day: i64| until.min((day + 1) * DAY) - since.max(day * DAY);
    (since.div_euclid(DAY)..=until.div_euclid(DAY)).map(|day| (day, on(day))).filter(|(_, ms)| *ms > 0).collect()
}
