//! What happens to seats: they are promised, taken, left, taken over and asked for again, alone and many at once.

use super::*;
use crate::domain::ids::SessionNumber;

impl World {
    pub(super) async fn join(&mut self) {
        let at = self.any();
        let ended = self.chance.one_of(self.model.rooms.keys().copied());
        let Some(meeting) = self.any_running().map(|(id, _)| id).filter(|_| !self.chance.once_in(20)).or(ended) else {
            return;
        };
        let user = self.chance.one_of(PEOPLE).filter(|_| self.chance.once_in(2));
        let (now, until, seats) = (self.now, self.now + LEASE_MS, self.seats_of(meeting));
        let breakout = self.chance.one_of(BREAKOUTS).filter(|_| self.chance.once_in(3));
        let (joining, new) = (
            Joining { meeting, breakout, user },
            NewSession { meeting, user: user.as_ref(), now: ms(now), held: Held::Until(ms(until)), seats, breakout },
        );
        let seated = told(self.gateways[at].store.seats().admit(&new).await);
        let who = user.map(|user| user[0]);
        self.tell(format!("gateway {at} has {meeting} {breakout:?} joined by {who:?}: {seated:?}"));
        let expected = self.model.may_join(joining, now);
        assert_eq!(seated.map(|seated| seated.instead_of), expected);
        let Ok(seated) = seated else { return };
        self.model.join(joining, seated, until);
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
                token[..8].copy_from_slice(&seated.id.get().to_be_bytes());
                gateway.sessions.insert(seated.id, Known { meeting, until, sockets: 0 });
                gateway.notes.push(Note::Bound { session: seated.id, token });
            }
        }
    }

    pub(super) async fn join_at_once(&mut self) {
        let Some((meeting, room)) = self.any_running() else { return };
        if room.seats == Limit::Unlimited {
            return;
        }
        let (now, until, seats) = (self.now, self.now + LEASE_MS, room.seats);
        // In different breakout rooms: their seats are the same.
        let is_in_breakouts = self.chance.once_in(3);
        let new: Vec<_> = (0..6)
            .map(|n| {
                let breakout = is_in_breakouts.then_some(BREAKOUTS[n % BREAKOUTS.len()]);
                NewSession { meeting, user: None, now: ms(now), held: Held::Until(ms(until)), seats, breakout }
            })
            .collect();
        let gateways = &self.gateways;
        let asked = new.iter().enumerate().map(|(n, new)| gateways[n % gateways.len()].store.seats().admit(new));
        let joining = |n: usize| Joining { meeting, breakout: is_in_breakouts.then_some(BREAKOUTS[n]), user: None };
        let seated: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .enumerate()
            .filter_map(|(n, seated)| Some((joining(n % BREAKOUTS.len()), told(seated).ok()?)))
            .collect();
        self.tell(format!("{} seats of {meeting} at once", seated.len()));
        for (joining, seated) in seated {
            assert_eq!(self.model.may_join(joining, now), Ok(None), "one seat too many at once");
            self.model.join(joining, seated, until);
        }
        assert!(self.model.may_join(joining(0), now).is_err(), "a seat was left");
    }

    /// A socket opens: of a session that the gateway knows, or finds in the store.
    pub(super) async fn open(&mut self) {
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
        let found = gateway.store.seats().find(&token).await.expect("an answer");
        let (row, meeting) = found.expect("it is in a meeting that runs");
        let seat = &self.model.seats[&session];
        assert_eq!((row.id, row.held, meeting.id), (session, Held::from_column(seat.until), seat.meeting));
        assert_eq!(row.breakout.as_deref(), seat.breakout);
        let known = Known { meeting: meeting.id, until: row.held.to_column(), sockets: 0 };
        gateway.sessions.entry(session).or_insert(known);
    }

    pub(super) async fn readmit(&mut self, at: usize, session: SessionNumber) -> Result<(), Denial> {
        let meeting = self.gateways[at].sessions[&session].meeting;
        let Some(room) = self.model.rooms.get(&meeting) else { return Err(Denial::ServerUnavailable) };
        let seats = room.seats;
        let (now, until, store) = (self.now, self.now + LEASE_MS, &self.gateways[at].store);
        let readmitted = told(store.seats().readmit(meeting, session, ms(now), ms(until), seats).await);
        self.tell(format!("gateway {at} asks for a seat of {session} again: {readmitted:?}"));
        assert_eq!(readmitted, self.model.readmit(meeting, session, now, until), "whether it has a seat again");
        readmitted
    }

    pub(super) fn close(&mut self) {
        let at = self.any();
        let Some(session) = self.chance.one_of(self.gateways[at].open_sessions()) else { return };
        self.tell(format!("gateway {at} loses a socket of {session}"));
        self.gateways[at].close(session, self.now);
    }

    /// A session that is open through all gateways is closed on all of them at once.
    pub(super) async fn close_at_once(&mut self) {
        let present = self.model.seats.iter().filter(|(_, seat)| seat.since.is_some());
        let Some((session, meeting)) = self.chance.one_of(present.map(|(session, seat)| (*session, seat.meeting)))
        else {
            return;
        };
        for at in 0..self.gateways.len() {
            let known = Known { meeting, until: PRESENT, sockets: 0 };
            self.gateways[at].sessions.entry(session).or_insert(known);
            self.gateways[at].open(session, self.now);
            self.write_all(at).await;
        }
        self.tell(format!("{session} is closed everywhere at once"));
        let now = self.now;
        self.gateways
            .iter_mut()
            .filter(|gateway| gateway.is_open(session))
            .for_each(|gateway| gateway.cut(session, now));
        let written = self.gateways.iter().map(async |gateway| {
            notes::write(&gateway.store.db, ms(now), &gateway.notes.iter().collect::<Vec<_>>()).await.expect("written")
        });
        assert!(join_all(written).await.concat().is_empty(), "who is closed needs no seat");
        for gateway in &mut self.gateways {
            self.model.write(&gateway.name(), now, &std::mem::take(&mut gateway.notes));
        }
    }

    /// Somebody joins once more while their first session opens: either it is open, and keeps its seat, or that is taken over.
    pub(super) async fn join_while_it_opens(&mut self) {
        let not_open = |seat: &rules::Seat| seat.until > self.now && seat.since.is_none();
        let is_only = |of: &rules::Seat| {
            let is_same = |seat: &&rules::Seat| (seat.meeting, seat.breakout) == (of.meeting, of.breakout);
            let same = self.model.seats.values().filter(is_same).filter(|seat| seat.user == of.user);
            same.filter(|seat| not_open(seat)).count() == 1
        };
        let those = self.model.seats.iter().filter(|(_, seat)| seat.user.is_some() && not_open(seat) && is_only(seat));
        let of = |seat: &rules::Seat| Joining { meeting: seat.meeting, breakout: seat.breakout, user: seat.user };
        let Some((session, joining)) = self.chance.one_of(those.map(|(session, seat)| (*session, of(seat)))) else {
            return;
        };
        let Joining { meeting, breakout, user } = joining;
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
        let new =
            NewSession { meeting, user: user.as_ref(), now: ms(now), held: Held::Until(ms(until)), seats, breakout };
        let noted: Vec<_> = notes.iter().collect();
        let (store, others) = (&self.gateways[at].store, &self.gateways[other].store);
        let (without, seated) = tokio::join!(notes::write(&store.db, ms(now), &noted), others.seats().admit(&new));
        let (without, seated) = (without.expect("written"), told(seated));
        self.tell(format!("gateway {at} has {session} opened, and {other} has it joined again: {seated:?}"));
        let name = self.gateways[at].name();
        let joined_first = seated.is_ok_and(|seated| seated.instead_of == Some(session));
        if !joined_first {
            assert_eq!(without, self.model.write(&name, now, &notes), "who has no seat");
        }
        assert_eq!(seated.map(|seated| seated.instead_of), self.model.may_join(joining, now));
        seated.into_iter().for_each(|seated| self.model.join(joining, seated, until));
        if joined_first {
            assert_eq!(without, self.model.write(&name, now, &notes), "who has no seat");
        }
        if without.contains(&session) {
            self.gateways[at].cut(session, now);
        }
    }

    pub(super) async fn count_strangers(&mut self) {
        let Some((meeting, _)) = self.any_running() else { return };
        let strangers = u32::try_from(self.chance.below(3)).expect("few");
        self.tell(format!("{strangers} strangers are in {meeting}"));
        self.gateways[0].store.seats().set_strangers(meeting, strangers).await.expect("written");
        self.model.rooms.get_mut(&meeting).expect("it runs").strangers = strangers;
    }
}
