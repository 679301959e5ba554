use std::sync::LazyLock;

use anteroom_bench::postgres::{Durable, Postgres};
use tokio::sync::mpsc::unbounded_channel;

use super::{
    writer::{Note, Notes, Traffic},
    *,
};
use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{InternalId, MeetingNumber, ServerId, ServerMeetingId, SessionNumber, TenantId},
    limits::Limit,
    server_mode::ServerMode,
    session::{Held, UserKey},
    time::{Clock, Deadline, Timestamp},
};

mod pooler;
mod several;

/// One for all tests of this program; each has a database of its own.
static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(Durable::No).expect("PostgreSQL"));

/// A store of one dialect, and what it takes to open it again.
pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) url: String,
    _dir: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        Self { store: Store::open(&url).await.expect("a store"), url, _dir: dir }
    }

    pub(super) async fn postgres() -> Self {
        let url = tokio::task::spawn_blocking(|| POSTGRES.database().expect("a database")).await.expect("done");
        Self { store: Store::open(&url).await.expect("a store"), url, _dir: tempfile::tempdir().expect("a directory") }
    }
}

/// The same tests for both dialects.
macro_rules! for_both {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite { $(#[tokio::test] async fn $test() { super::$test(super::Fixture::sqlite().await).await; })* }
        mod on_postgres { $(#[tokio::test] async fn $test() { super::$test(super::Fixture::postgres().await).await; })* }
    };
}

for_both!(
    rooms_and_accounts_are_counted_as_they_come_and_go,
    a_room_that_ended_a_moment_ago_still_counts_while_it_is_retained,
    runs_of_a_room_are_its_tenants_and_count_within_a_window,
    of_many_creates_at_once_exactly_the_allowed_number_succeeds,
    seats_lapse_are_kept_and_are_given_back,
    what_was_promised_is_known_after_a_restart,
    a_session_that_comes_back_does_not_stand_in_its_own_way,
    a_room_that_runs_anew_keeps_its_place,
    a_note_that_cannot_be_written_does_not_stop_the_others,
    where_nothing_is_bounded_an_id_is_still_one_meeting,
    of_many_joins_at_once_exactly_the_allowed_number_succeeds,
    of_many_joins_at_once_each_gets_its_own_answer,
    a_join_takes_the_seat_of_the_same_person_that_is_not_open,
    only_who_was_replaced_before_they_came_is_forgotten,
    one_user_id_for_many_gains_nothing,
    people_without_a_session_of_ours_take_seats_too,
    an_ended_meeting_has_no_seats,
    a_promise_without_an_answer_is_taken_over_once,
    a_run_that_is_given_up_is_left_over,
    usage_is_counted_as_it_happens,
    a_seat_that_has_lapsed_is_asked_for_again,
    a_promise_that_was_taken_over_is_no_longer_its_first_gateways,
    a_run_that_has_ended_has_no_place_to_leave_to_the_next,
    people_in_a_room_that_is_given_back_are_gone,
    modes_and_suspensions_are_kept_as_they_were_set_last,
    a_draining_server_is_disabled_when_nothing_is_promised_there,
    a_promise_without_an_answer_is_given_back_unless_it_was_taken_over,
    no_number_is_given_out_twice,
    who_waits_to_be_let_in_has_no_seat_until_then,
    what_follows_the_end_is_known_for_as_long_as_it_is_carried,
    a_note_whose_table_fails_is_set_aside_alone,
    seats_are_written_where_statistics_cannot_be,
    sums_stay_at_the_greatest_number,
    a_number_that_cannot_be_stops_nobody,
);

// Behind the macro, which it uses.
mod breakouts;

/// A time in ms since the epoch.
pub(super) fn ms(n: i64) -> Timestamp {
    Timestamp::from_ms(n)
}

fn ids() -> (TenantId, ServerId) {
    ("wagtail".parse().expect("an id"), "bbb-01".parse().expect("an id"))
}

fn room<'a>(tenant: &'a TenantId, server: &'a ServerId, account: &'a str, ext_id: &'a str) -> NewMeeting<'a> {
    NewMeeting {
        tenant,
        account,
        ext_id,
        server,
        owner: "somebody",
        participants: Some(3),
        expected: 10,
        records: true,
        ends_at: Some(Deadline::At(ms(9_000))),
        afterglow: Duration::from_secs(60),
        now: ms(1_000),
        retained_since: Some(ms(500)),
        runs_since: Some(ms(500)),
    }
}

async fn create(store: &Store, account: &str, ext_id: &str, rooms: u32) -> Result<MeetingNumber, Denial> {
    let (tenant, server) = ids();
    let new = room(&tenant, &server, account, ext_id);
    let decide = |usage: RoomUsage| {
        if usage.other_accounts >= 3 {
            Err(Denial::AccountLimitReached)
        } else if usage.rooms >= rooms {
            Err(Denial::RoomLimitReached)
        } else {
            Ok(())
        }
    };
    match store.admit_meeting(&new, Some(decide)).await {
        Ok(Admitted::New { id, .. }) => Ok(id),
        Ok(Admitted::Existing(row)) => Ok(MeetingNumber::new(-row.id.get())),
        Err(Refusal::Denied(denial)) => Err(denial),
        Err(Refusal::Failed(error)) => panic!("{error}"),
    }
}

/// A room of so many people.
async fn create_for(store: &Store, people: u32) -> MeetingNumber {
    let (tenant, server) = ids();
    let new = NewMeeting { participants: Some(people), ..room(&tenant, &server, "a", "one") };
    let Ok(Admitted::New { id, .. }) = store.admit_meeting(&new, None::<fn(RoomUsage) -> Result<(), Denial>>).await
    else {
        panic!("a new room")
    };
    id
}

async fn join(
    store: &Store,
    meeting: MeetingNumber,
    now: i64,
    until: i64,
    seats: u32,
) -> Result<SessionNumber, Denial> {
    join_as(store, None, meeting, now, until, seats).await.map(|seated| seated.id)
}

async fn join_as(
    store: &Store,
    user: Option<&UserKey>,
    meeting: MeetingNumber,
    now: i64,
    until: i64,
    seats: u32,
) -> Result<Seated, Denial> {
    let seats = Limit::AtMost(seats);
    let (now, held) = (ms(now), Held::Until(ms(until)));
    match store.admit_session(&NewSession { meeting, user, now, held, seats, breakout: None }).await {
        Ok(seated) => Ok(seated),
        Err(Refusal::Denied(denial)) => Err(denial),
        Err(Refusal::Failed(error)) => panic!("{error}"),
    }
}

/// Leaves notes and waits until they are written. Returns the sessions that have no seat.
async fn note(store: &Store, notes: impl IntoIterator<Item = Note>) -> Vec<SessionNumber> {
    let notes: Vec<_> = notes.into_iter().collect();
    let now =
        notes.iter().map(|note| if let Note::Opened { at, .. } = note { *at } else { ms(0) }).max().unwrap_or(ms(0));
    write_at(store, now, &notes).await
}

async fn write_at(store: &Store, now: Timestamp, notes: &[Note]) -> Vec<SessionNumber> {
    store.write_notes(now, &notes.iter().collect::<Vec<_>>()).await.expect("written")
}

fn closed(session: SessionNumber, at: i64, until: i64) -> Note {
    Note::Closed { session, at: ms(at), until: ms(until), absent: Duration::ZERO }
}

fn made(meeting: MeetingNumber, internal_id: &str) -> Note {
    Note::Created { meeting, internal_id: InternalId::new(internal_id), create_time: Some(ms(1_234)) }
}

async fn rooms_and_accounts_are_counted_as_they_come_and_go(fixture: Fixture) {
    let store = &fixture.store;
    let first = create(store, "a", "one", 2).await.expect("room 1 of 2");
    create(store, "a", "two", 2).await.expect("room 2 of 2");
    assert_eq!(create(store, "a", "three", 2).await, Err(Denial::RoomLimitReached));
    assert_eq!(create(store, "a", "one", 2).await, Ok(MeetingNumber::new(-first.get())), "a known room is no new one");
    create(store, "b", "three", 2).await.expect("another account has rooms of its own");
    create(store, "c", "four", 2).await.expect("account 3 of 3");
    assert_eq!(create(store, "d", "five", 2).await, Err(Denial::AccountLimitReached));
    store.end_meeting(first, ms(400)).await.expect("ended");
    create(store, "a", "three-a", 2).await.expect("the ended room's place is free");
}

async fn a_room_that_ended_a_moment_ago_still_counts_while_it_is_retained(fixture: Fixture) {
    let store = &fixture.store;
    let first = create(store, "a", "one", 1).await.expect("room 1 of 1");
    store.end_meeting(first, ms(600)).await.expect("ended after `retained_since`");
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    create(store, "a", "one", 1).await.expect("the same room may open again");
}

async fn runs_of_a_room_are_its_tenants_and_count_within_a_window(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let other: TenantId = "heron".parse().expect("an id");
    let run = async |tenant: &TenantId, from: i64, to: i64| {
        let new = NewMeeting { now: ms(from), ..room(tenant, &server, "a", "room") };
        let everything = Some(|_: RoomUsage| Ok(()));
        let Ok(Admitted::New { id, used }) = store.admit_meeting(&new, everything).await else { panic!("a new room") };
        store.end_meeting(id, ms(to)).await.expect("ended");
        used
    };
    // `runs_since` is 500.
    assert_eq!(run(&tenant, 100, 400).await, Duration::ZERO);
    assert_eq!(run(&tenant, 450, 600).await, Duration::ZERO, "what ended before does not count");
    assert_eq!(run(&tenant, 700, 900).await, Duration::from_millis(150));
    assert_eq!(run(&tenant, 950, 990).await, Duration::from_millis(350));
    assert_eq!(run(&other, 950, 990).await, Duration::ZERO, "another tenant's room of this name is another room");
    for (tenant, since, used) in [(&tenant, 0, 690), (&tenant, 500, 390), (&tenant, 990, 0), (&other, 0, 40)] {
        let found = store.used(tenant, "room", ms(since)).await.expect("an answer");
        assert_eq!(found, Duration::from_millis(used), "{tenant} since {since}");
    }
    assert_eq!(store.used(&tenant, "another", ms(0)).await.expect("an answer"), Duration::ZERO);
}

async fn of_many_creates_at_once_exactly_the_allowed_number_succeeds(fixture: Fixture) {
    let store = &fixture.store;
    let ids: Vec<_> = (0..50).map(|n| format!("room-{n}")).collect();
    let results = futures_util::future::join_all(ids.iter().map(|id| create(store, "a", id, 5))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 5);
}

async fn seats_lapse_are_kept_and_are_given_back(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let first = join(store, meeting, 0, 60, 2).await.expect("seat 1 of 2");
    let second = join(store, meeting, 0, 60, 2).await.expect("seat 2 of 2");
    assert_eq!(join(store, meeting, 59, 100, 2).await, Err(Denial::MaxParticipantsReached));
    let bound = Note::Bound { session: first, token: [7; 32] };
    let lost =
        note(store, [bound, Note::Opened { session: first, at: ms(10) }, Note::Dropped { session: second }]).await;
    assert!(lost.is_empty());
    join(store, meeting, 59, 100, 2).await.expect("the dropped one's seat");
    assert_eq!(join(store, meeting, 70, 130, 2).await, Err(Denial::MaxParticipantsReached), "one is present");
    join(store, meeting, 101, 160, 2).await.expect("the lapsed one's seat");
    assert_eq!(join(store, meeting, 102, 160, 2).await, Err(Denial::MaxParticipantsReached));
    note(store, [closed(first, 103, 118)]).await;
    assert_eq!(join(store, meeting, 117, 160, 2).await, Err(Denial::MaxParticipantsReached), "it may come back");
    join(store, meeting, 118, 160, 2).await.expect("it has not");
}

async fn what_was_promised_is_known_after_a_restart(fixture: Fixture) {
    let Fixture { store, url, _dir } = fixture;
    store.heartbeat(ms(5_000)).await.expect("alive");
    let meeting = create(&store, "a", "one", 5).await.expect("a room");
    let ended = create(&store, "a", "two", 5).await.expect("a room");
    let session = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let bound = Note::Bound { session, token: [7; 32] };
    note(&store, [made(meeting, "int"), bound, Note::Opened { session, at: ms(10) }]).await;
    assert!(!store.end_meeting(ended, ms(2_000)).await.expect("ended"), "nobody had come");
    let key = store.shared_key("slug", [1; 32]).await.expect("a key");
    store.close().await;

    let store = Store::open(&url).await.expect("a store");
    store.heartbeat(ms(6_000)).await.expect("alive");
    // The former self is known to be dead at once where there can be no other.
    let buried = store.bury_dead(ms(5_000).saturating_add(ALIVE), ms(9_000)).await.expect("settled");
    assert_eq!(buried, 1);
    let meetings = store.running().await.expect("loaded");
    assert_eq!(meetings.len(), 1);
    assert_eq!(meetings[0].internal_id.as_ref().map(InternalId::as_str), Some("int"));
    assert_eq!((meetings[0].participants, meetings[0].ends_at), (Some(3), Some(Deadline::At(ms(9_000)))));
    let row =
        SessionRow { id: session, meeting, token: [7; 32], held: Held::Until(ms(9_000)), breakout: None, waits: false };
    assert_eq!(store.sessions().await.expect("loaded"), [row], "who was present has a lease to come back");
    assert_eq!(store.shared_key("slug", [2; 32]).await.expect("a key"), key);
    assert_eq!(store.purge(ms(3_000)).await.expect("purged"), 1);
}

async fn a_session_that_comes_back_does_not_stand_in_its_own_way(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    let another = create(store, "a", "another", 2).await.expect("a room");
    join(store, another, 0, 60, 1).await.expect("a seat of another meeting, which does not count here");
    let readmit = async |now: i64, seats: u32| {
        store.readmit_session(meeting, session, ms(now), ms(now + 60), Limit::AtMost(seats)).await.is_ok()
    };
    assert!(readmit(59, 1).await, "its own seat is not another's");
    assert!(readmit(200, 1).await, "and none has taken it");
    assert_eq!(join(store, meeting, 259, 300, 1).await, Err(Denial::MaxParticipantsReached), "it is held");
    join(store, meeting, 260, 300, 1).await.expect("and has lapsed");
    assert!(!readmit(261, 1).await, "another has the seat now");
    assert!(readmit(261, 2).await);
}

async fn a_room_that_runs_anew_keeps_its_place(fixture: Fixture) {
    let store = &fixture.store;
    let old = create(store, "a", "one", 1).await.expect("room 1 of 1");
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(2_000), ..room(&tenant, &server, "a", "one") };
    let id = store.rerun_meeting(old, &new).await.expect("an answer").expect("a new run");
    assert_ne!(id, old);
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    let meetings = store.running().await.expect("loaded");
    assert_eq!(meetings.iter().map(|meeting| meeting.id).collect::<Vec<_>>(), [id]);
}

async fn a_note_that_cannot_be_written_does_not_stop_the_others(fixture: Fixture) {
    let store = fixture.store.clone();
    let meeting = create(&store, "a", "one", 1).await.expect("a room");
    let first = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let second = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let (notes, _writer) = Notes::start(store.clone(), Clock::system(), unbounded_channel().0);
    notes.leave(Note::Bound { session: first, token: [7; 32] });
    notes.leave(Note::Bound { session: second, token: [7; 32] });
    notes.leave(Note::Dropped { session: second });
    notes.flush().await;
    let sessions = store.sessions().await.expect("loaded");
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [first]);
    join(&store, meeting, 1, 60, 2).await.expect("the last note was written");
}

async fn where_nothing_is_bounded_an_id_is_still_one_meeting(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(1_000), ..room(&tenant, &server, "a", "one") };
    let nothing = None::<fn(RoomUsage) -> Result<(), Denial>>;
    let Ok(Admitted::New { id, .. }) = store.admit_meeting(&new, nothing).await else { panic!("a new room") };
    assert!(matches!(store.admit_meeting(&new, nothing).await, Ok(Admitted::Existing(row)) if row.id == id));
    for _ in 0..50 {
        let new = NewSession {
            meeting: id,
            user: None,
            now: ms(0),
            held: Held::Until(ms(60)),
            seats: Limit::Unlimited,
            breakout: None,
        };
        store.admit_session(&new).await.map_err(|_| "refused").expect("a seat");
    }
}

async fn of_many_joins_at_once_exactly_the_allowed_number_succeeds(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let results = futures_util::future::join_all((0..60).map(|_| join(store, meeting, 0, 60, 7))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 7);
}

async fn of_many_joins_at_once_each_gets_its_own_answer(fixture: Fixture) {
    let store = &fixture.store;
    let full = create(store, "a", "one", 2).await.expect("a room");
    let empty = create(store, "a", "two", 2).await.expect("a room");
    let seats = |n: usize| if n.is_multiple_of(3) { (full, 0) } else { (empty, 100) };
    let joins = (0..40).map(|n| join(store, seats(n).0, 0, 60, seats(n).1));
    let results = futures_util::future::join_all(joins).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), !n.is_multiple_of(3), "{n}: {result:?}");
    }
}

async fn a_join_takes_the_seat_of_the_same_person_that_is_not_open(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 2).await;
    let (ada, bob) = ([1; 32], [2; 32]);
    let as_user = async |user: &UserKey, now: i64| join_as(store, Some(user), meeting, now, now + 60, 2).await;
    let first = as_user(&ada, 0).await.expect("seat 1 of 2");
    assert_eq!(first.instead_of, None);
    let reload = as_user(&ada, 1).await.expect("the same seat");
    assert_eq!(reload.instead_of, Some(first.id), "a reload before the page has come costs no second seat");
    as_user(&bob, 2).await.expect("seat 2 of 2");
    assert_eq!(join(store, meeting, 3, 60, 2).await, Err(Denial::MaxParticipantsReached));
    note(store, [Note::Opened { session: reload.id, at: ms(4) }]).await;
    assert_eq!(as_user(&ada, 5).await, Err(Denial::MaxParticipantsReached), "what is open keeps its seat");
    // A refusal has taken nothing from anybody.
    assert_eq!(join(store, meeting, 6, 60, 2).await, Err(Denial::MaxParticipantsReached));
    note(store, [closed(reload.id, 7, 22)]).await;
    assert_eq!(as_user(&ada, 8).await.expect("the line was dropped").instead_of, Some(reload.id));

    let opened =
        note(store, [Note::Opened { session: first.id, at: ms(9) }, Note::Opened { session: reload.id, at: ms(9) }])
            .await;
    assert_eq!(opened, [first.id, reload.id], "who has given up the seat has none");
    assert_eq!(join(store, meeting, 10, 60, 2).await, Err(Denial::MaxParticipantsReached));
}

async fn only_who_was_replaced_before_they_came_is_forgotten(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 10).await;
    let at = |s: i64| s * 1000;
    let as_user = async |user: u8, now: i64| {
        join_as(store, Some(&[user; 32]), meeting, at(now), at(now + 60), 10).await.expect("a seat")
    };
    let forgotten = async |seated: &Seated| store.forget_replaced(seated.id).await.expect("an answer");
    let never = as_user(1, 0).await;
    assert!(!forgotten(&never).await, "its seat is promised");
    assert_eq!(as_user(1, 1).await.instead_of, Some(never.id));
    assert!(forgotten(&never).await && !forgotten(&never).await, "once");
    let came = as_user(2, 0).await;
    note(store, [Note::Opened { session: came.id, at: ms(at(1)) }]).await;
    note(store, [closed(came.id, at(2), at(17))]).await;
    assert_eq!(as_user(2, 3).await.instead_of, Some(came.id));
    assert!(!forgotten(&came).await, "somebody may come back with it");
    let seated_again = as_user(3, 0).await;
    as_user(3, 1).await;
    store.readmit_session(meeting, seated_again.id, ms(at(2)), ms(at(62)), Limit::AtMost(10)).await.expect("a seat");
    assert!(!forgotten(&seated_again).await, "it has a seat of its own");
}

async fn one_user_id_for_many_gains_nothing(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let mut sessions = Vec::new();
    for _ in 0..9 {
        sessions.push(join_as(store, Some(&[1; 32]), meeting, 0, 60, 3).await.expect("a lease").id);
    }
    let mut present = 0;
    for session in sessions {
        let lost = note(store, [Note::Opened { session, at: ms(1) }]).await;
        if lost.is_empty() {
            present += 1;
        } else if store.readmit_session(meeting, session, ms(1), ms(61), Limit::AtMost(3)).await.is_ok() {
            assert!(note(store, [Note::Opened { session, at: ms(1) }]).await.is_empty());
            present += 1;
        }
    }
    assert_eq!(present, 3);
}

async fn people_without_a_session_of_ours_take_seats_too(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    join(store, meeting, 0, 60, 3).await.expect("seat 1 of 3");
    assert_eq!(store.recent_sessions(meeting, ms(59)).await.expect("counted"), 1);
    assert_eq!(store.recent_sessions(meeting, ms(60)).await.expect("counted"), 0, "it has lapsed");
    store.set_strangers(meeting, 1).await.expect("written");
    join(store, meeting, 0, 60, 3).await.expect("seat 2 of 3");
    assert_eq!(join(store, meeting, 0, 60, 3).await, Err(Denial::MaxParticipantsReached));
    store.set_strangers(meeting, 0).await.expect("written");
    join(store, meeting, 0, 60, 3).await.expect("seat 3 of 3");
}

async fn an_ended_meeting_has_no_seats(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 3).await.expect("a seat");
    assert!(store.end_meeting(meeting, ms(10)).await.expect("ended"), "somebody had come");
    assert_eq!(join(store, meeting, 11, 60, 3).await, Err(Denial::ServerUnavailable));
    assert!(store.readmit_session(meeting, session, ms(11), ms(60), Limit::AtMost(3)).await.is_err());
    assert_eq!(
        note(store, [Note::Opened { session, at: ms(12) }]).await,
        [session],
        "the next run has seats of its own"
    );
    assert!(note(store, [Note::Opened { session, at: ms(12) }, closed(session, 13, 28)]).await.is_empty());
}

async fn a_promise_without_an_answer_is_taken_over_once(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let (tenant, server) = ids();
    let found = async || store.find_meeting(&tenant, "one").await.expect("an answer").expect("a meeting");
    assert_eq!(found().await.owner.as_deref(), Some("somebody"));
    assert!(!store.take_over_meeting(meeting, "another").await.expect("an answer"), "it is not that one's");
    assert!(store.take_over_meeting(meeting, "somebody").await.expect("an answer"));
    assert!(!store.take_over_meeting(meeting, "somebody").await.expect("an answer"), "it is taken");
    assert_eq!(found().await.owner.as_deref(), Some(store.gateway()));
    note(store, [made(meeting, "int")]).await;
    assert!(!store.take_over_meeting(meeting, store.gateway()).await.expect("an answer"), "it is answered for");
    assert_eq!(store.find_internal(&tenant, "int").await.expect("an answer").map(|row| row.id), Some(meeting));
    assert_eq!(store.find_meetings_on(&tenant, &server).await.expect("an answer").len(), 1);
    let other = "heron".parse().expect("an id");
    assert_eq!(store.find_internal(&other, "int").await.expect("an answer"), None, "it is another tenant's");
    assert_eq!(store.find_meeting(&other, "one").await.expect("an answer"), None);
}

async fn a_run_that_is_given_up_is_left_over(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let elsewhere: ServerId = "bbb-02".parse().expect("an id");
    let old = create(store, "a", "one", 1).await.expect("a room");
    note(store, [made(old, "int-1")]).await;
    let run = Run {
        id: old,
        server: &server,
        server_meeting_id: &ServerMeetingId::new("t.wagtail.one"),
        internal_id: Some(&InternalId::new("int-1")),
    };
    let new = NewMeeting { now: ms(2_000), ..room(&tenant, &elsewhere, "a", "one") };
    let session = join(store, old, 1_000, 1_060, 9).await.expect("a seat");
    note(store, [Note::Opened { session, at: ms(1_001) }]).await;
    assert!(
        matches!(store.restart_meeting(&run, &new).await, Err(Refusal::Denied(Denial::ServerUnavailable))),
        "people are in it: it lives"
    );
    assert!(store.leftovers(&server).await.expect("an answer").is_empty());
    note(store, [closed(session, 1_002, 1_017)]).await;
    let next = store.restart_meeting(&run, &new).await.expect("an answer").expect("a new run");
    assert_eq!(store.restart_meeting(&run, &new).await.expect("an answer"), None, "once");
    assert_eq!(store.find_meeting(&tenant, "one").await.expect("an answer").map(|row| row.id), Some(next));
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached), "the room keeps its place");
    let leftover =
        Leftover { internal_id: InternalId::new("int-1"), server_meeting_id: ServerMeetingId::new("t.wagtail.one") };
    assert_eq!(store.leftovers(&server).await.expect("an answer"), [leftover]);
    assert!(store.leftovers(&elsewhere).await.expect("an answer").is_empty());
    store.forget_leftover(&server, "int-1").await.expect("forgotten");
    assert!(store.leftovers(&server).await.expect("an answer").is_empty());
}

async fn usage_is_counted_as_it_happens(fixture: Fixture) {
    const HOUR: i64 = 3_600_000;
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let (tenant, _) = ids();
    let first = join(store, meeting, 0, 60, 9).await.expect("a seat");
    let second = join(store, meeting, 0, 60, 9).await.expect("a seat");
    let carried = |up, down| Traffic { tenant: tenant.clone(), at: ms(HOUR), up, down };
    note(store, [made(meeting, "int"), made(meeting, "int")]).await;
    store.write_traffic(&[carried(1, 10), carried(2, 20)]).await.expect("written");
    // Two at once for a moment; the first goes, comes back and is there when the meeting ends.
    note(store, [Note::Opened { session: first, at: ms(10) }, Note::Opened { session: second, at: ms(20) }]).await;
    note(store, [Note::Opened { session: first, at: ms(21) }]).await;
    note(store, [closed(first, 110, 125), closed(second, 220, 235)]).await;
    note(store, [Note::Opened { session: first, at: ms(120) }]).await;
    let days = async |now: i64| store.usage("1970-01-01", "1970-01-03", ms(now)).await.expect("an answer");
    let row = |day: &str, participant_ms| UsageRow {
        tenant: "wagtail".into(),
        day: day.into(),
        participant_ms,
        ..Default::default()
    };
    let day_one = |participant_ms| UsageRow {
        meetings: 1,
        peak: 2,
        bytes_up: 3,
        bytes_down: 30,
        ..row("1970-01-01", participant_ms)
    };
    assert_eq!(days(120).await, [day_one(300)]);
    assert_eq!(days(1_120).await, [day_one(1_300)], "who is present counts until now");
    assert_eq!(days(25 * HOUR).await, [day_one(300 + 24 * HOUR - 120), row("1970-01-02", HOUR)], "by day");
    store.end_meeting(meeting, ms(25 * HOUR)).await.expect("ended");
    let ended = days(48 * HOUR).await;
    assert_eq!(ended.iter().map(|row| row.participant_ms).collect::<Vec<_>>(), [300 + 24 * HOUR - 120, HOUR]);
    assert!(store.usage("1970-01-03", "1970-02-01", ms(48 * HOUR)).await.expect("an answer").is_empty());
}

async fn a_seat_that_has_lapsed_is_asked_for_again(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 1).await;
    let present = async || store.recent_sessions(meeting, ms(columns::PRESENT - 1)).await.expect("counted");
    let first = join(store, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    // A gateway that remembers more than is true, or a note that was long under way.
    let opened = [Note::Opened { session: first, at: ms(59) }];
    assert!(write_at(store, ms(60), &opened).await.is_empty(), "nobody has taken it");
    assert_eq!(present().await, 1);
    note(store, [closed(first, 61, 76)]).await;
    let second = join(store, meeting, 76, 120, 1).await.expect("the lapsed one's seat");
    assert_eq!(write_at(store, ms(77), &opened).await, [first], "another has it now");
    note(store, [Note::Opened { session: second, at: ms(78) }]).await;
    assert_eq!(store.recent_sessions(meeting, ms(78)).await.expect("counted"), 1);

    note(store, [closed(second, 80, 95)]).await;
    let come_and_gone = [Note::Opened { session: first, at: ms(96) }, closed(first, 97, 112)];
    assert!(write_at(store, ms(98), &come_and_gone).await.is_empty());
    assert_eq!(present().await, 0, "who has left already is not seated again");
    assert!(write_at(store, ms(99), &opened).await.is_empty());
    let usage = store.usage("1970-01-01", "1970-01-02", ms(101)).await.expect("an answer");
    assert_eq!(usage[0].participant_ms, 2 + 2 + 42, "they were there since they came");
}

async fn a_promise_that_was_taken_over_is_no_longer_its_first_gateways(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let elsewhere: ServerId = "bbb-02".parse().expect("an id");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    // `somebody` has promised it.
    assert!(!store.move_meeting(meeting, &elsewhere).await.expect("an answer"));
    assert!(!store.abandon_meeting(meeting, ms(2_000)).await.expect("an answer"));
    let found = async || store.find_meeting(&tenant, "one").await.expect("an answer").map(|row| row.server);
    assert_eq!(found().await, Some(server));
    assert!(store.take_over_meeting(meeting, "somebody").await.expect("an answer"));
    assert!(store.move_meeting(meeting, &elsewhere).await.expect("an answer"));
    assert_eq!(found().await, Some(elsewhere.clone()));
    note(store, [made(meeting, "int")]).await;
    assert!(!store.move_meeting(meeting, &elsewhere).await.expect("an answer"), "it is made");
    assert!(
        store.abandon_meeting(meeting, ms(2_000)).await.expect("an answer"),
        "as a poll has found, and not for long"
    );
    assert_eq!(found().await, None);
    create(store, "a", "two", 1).await.expect("its place is free");
}

async fn a_run_that_has_ended_has_no_place_to_leave_to_the_next(fixture: Fixture) {
    let store = &fixture.store;
    let old = create(store, "a", "one", 1).await.expect("room 1 of 1");
    store.end_meeting(old, ms(400)).await.expect("ended");
    create(store, "a", "two", 1).await.expect("its place is free");
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(2_000), ..room(&tenant, &server, "a", "one") };
    assert_eq!(store.rerun_meeting(old, &new).await.expect("an answer"), None);
    assert_eq!(store.running().await.expect("an answer").len(), 1);
}

async fn people_in_a_room_that_is_given_back_are_gone(fixture: Fixture) {
    let store = &fixture.store;
    for _ in 0..3 {
        let meeting = create(store, "a", "one", 1).await.expect("a room");
        let session = join(store, meeting, 0, 60, 1).await.expect("a seat");
        note(store, [Note::Opened { session, at: ms(10) }]).await;
        assert!(store.take_over_meeting(meeting, "somebody").await.expect("an answer"));
        assert!(store.abandon_meeting(meeting, ms(20)).await.expect("an answer"));
    }
    let usage = store.usage("1970-01-01", "1970-01-02", ms(90)).await.expect("an answer");
    assert_eq!((usage[0].participant_ms, usage[0].peak), (30, 1), "one at a time");
}

#[tokio::test]
async fn a_second_gateway_does_not_get_a_file_that_one_has() {
    let Fixture { store, url, _dir } = Fixture::sqlite().await;
    assert!(Store::open(&url).await.is_err(), "it would count for itself");
    let command = Store::open_beside(&url).await.expect("a command reads beside it");
    command.shared_key("admin", [1; 32]).await.expect("a key");
    command.close().await;
    assert!(Store::open(&url).await.is_err(), "the command has not opened the way");
    store.close().await;
    Store::open(&url).await.expect("the next one does");
}

async fn modes_and_suspensions_are_kept_as_they_were_set_last(fixture: Fixture) {
    let Fixture { store, url, _dir } = fixture;
    let (tenant, server) = ids();
    let other: ServerId = "bbb-02".parse().expect("an id");
    assert_eq!(store.server_modes().await.expect("modes"), []);
    for (server, mode) in
        [(&server, ServerMode::Draining), (&other, ServerMode::Cordoned), (&server, ServerMode::Disabled)]
    {
        store.set_server_mode(server, mode, ms(1_000)).await.expect("set");
    }
    store.set_suspended(&tenant, true, ms(1_000)).await.expect("set");
    store.close().await;

    let store = Store::open(&url).await.expect("a store");
    let mut modes = store.server_modes().await.expect("modes");
    modes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(modes, [(server, ServerMode::Disabled), (other, ServerMode::Cordoned)]);
    assert_eq!(store.suspended_tenants().await.expect("tenants"), std::slice::from_ref(&tenant));
    store.set_suspended(&tenant, false, ms(2_000)).await.expect("set");
    assert_eq!(store.suspended_tenants().await.expect("tenants"), []);
}

async fn a_draining_server_is_disabled_when_nothing_is_promised_there(fixture: Fixture) {
    let store = &fixture.store;
    let (_, server) = ids();
    let disabled = async || store.disable_drained(&server, ms(5)).await.expect("an answer");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    assert!(!disabled().await, "nobody wants that");
    store.set_server_mode(&server, ServerMode::Draining, ms(1)).await.expect("set");
    assert!(!disabled().await, "a meeting is promised there");
    store.end_meeting(meeting, ms(10)).await.expect("ended");
    store.set_server_mode(&server, ServerMode::Enabled, ms(2)).await.expect("set");
    assert!(!disabled().await, "somebody has changed his mind");
    store.set_server_mode(&server, ServerMode::Draining, ms(3)).await.expect("set");
    assert!(disabled().await);
    assert_eq!(store.server_modes().await.expect("modes"), [(server.clone(), ServerMode::Disabled)]);
}

async fn a_promise_without_an_answer_is_given_back_unless_it_was_taken_over(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let unanswered = async |before: i64| store.unanswered(ms(before)).await.expect("an answer").len();
    assert_eq!((unanswered(1_000).await, unanswered(1_001).await), (0, 1));
    assert!(store.take_over_meeting(meeting, "somebody").await.expect("an answer"));
    assert!(
        !store.abandon_unanswered(meeting, "somebody", ms(2_000)).await.expect("an answer"),
        "another waits for it"
    );
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    assert!(store.abandon_unanswered(meeting, store.gateway(), ms(2_000)).await.expect("an answer"));
    let second = create(store, "a", "two", 1).await.expect("the room is free");
    note(store, [made(second, "int-2")]).await;
    assert!(!store.abandon_unanswered(second, "somebody", ms(3_000)).await.expect("an answer"), "it has an answer");
    assert_eq!(unanswered(9_000).await, 0);
}

async fn no_number_is_given_out_twice(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let first = join(store, meeting, 0, 60, 9).await.expect("a seat");
    note(store, [Note::Dropped { session: first }]).await;
    let second = join(store, meeting, 0, 60, 9).await.expect("a seat");
    assert!(second > first, "what is noted of the first is not the second's");
    store.end_meeting(meeting, ms(10)).await.expect("ended");
    store.purge(Timestamp::MAX).await.expect("purged");
    let next = create(store, "a", "two", 1).await.expect("a room");
    assert!(next > meeting);
    assert!(join(store, next, 20, 60, 9).await.expect("a seat") > second);
}

async fn who_waits_to_be_let_in_has_no_seat_until_then(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 1).await;
    let guest = join(store, meeting, 0, 60, 1).await.expect("the one seat");
    note(store, [Note::Bound { session: guest, token: [7; 32] }]).await;
    let waits = async || store.sessions().await.expect("loaded").iter().map(|row| row.waits).collect::<Vec<_>>();
    assert_eq!(waits().await, [false]);
    store.wait_session(guest).await.expect("written");
    assert_eq!(waits().await, [true]);
    assert_eq!(store.recent_sessions(meeting, ms(0)).await.expect("counted"), 0);
    let invited = join(store, meeting, 0, 60, 1).await.expect("it is free");
    let let_in = async |now| store.readmit_session(meeting, guest, ms(now), ms(now + 60), Limit::AtMost(1)).await;
    assert!(matches!(let_in(10).await, Err(Refusal::Denied(Denial::MaxParticipantsReached))));
    assert_eq!(waits().await, [true], "and goes on waiting");
    store.write_notes(ms(0), &[&Note::Dropped { session: invited }]).await.expect("written");
    let_in(10).await.expect("a seat");
    assert_eq!(waits().await, [false]);
    assert_eq!(join(store, meeting, 20, 80, 1).await, Err(Denial::MaxParticipantsReached));
}

async fn what_follows_the_end_is_known_for_as_long_as_it_is_carried(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let other: TenantId = "heron".parse().expect("an id");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 1).await.expect("a seat");
    note(store, [made(meeting, "int"), Note::Bound { session, token: [7; 32] }]).await;
    assert_eq!(store.ended(ms(1_000)).await.expect("loaded"), []);
    store.end_meeting(meeting, ms(10_000)).await.expect("ended");
    for (now, is_known) in [(10_001, true), (69_999, true), (70_000, false)] {
        let ended: Vec<_> = store.ended(ms(now)).await.expect("loaded").iter().map(|row| row.id).collect();
        assert_eq!(ended == [meeting], is_known, "{now}");
        let sessions: Vec<_> = store.ended_sessions(ms(now)).await.expect("loaded").iter().map(|row| row.id).collect();
        assert_eq!(sessions == [session], is_known, "{now}");
        assert_eq!(store.find_ended(&tenant, "int", ms(now)).await.expect("asked").is_some(), is_known, "{now}");
        assert_eq!(store.find_ended_on(&tenant, &server, ms(now)).await.expect("asked").is_some(), is_known, "{now}");
        let found = store.find_ended_session(&[7; 32], ms(now)).await.expect("asked");
        assert_eq!(found.map(|(row, of)| (row.id, of.id)), is_known.then_some((session, meeting)), "{now}");
    }
    assert!(store.find_ended(&other, "int", ms(10_001)).await.expect("asked").is_none());
    assert_eq!(store.sessions().await.expect("loaded"), [], "and it has no seat");
    store.forget_ended_sessions(ms(10_001)).await.expect("forgotten");
    assert!(store.find_ended_session(&[7; 32], ms(10_001)).await.expect("asked").is_none());
}

#[tokio::test]
async fn a_store_of_an_earlier_release_is_brought_up_to_date_with_what_is_in_it() {
    use sqlx::{Connection as _, Executor as _};
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    let mut old = sqlx::SqliteConnection::connect(&format!("{url}?mode=rwc")).await.expect("a database");
    // The schema of the release before several gateways, with a meeting and somebody in it.
    sqlx::migrate!("migrations/sqlite").run_to(2, &mut old).await.expect("the old schema");
    old.execute(
        "INSERT INTO meetings (id, tenant, account, ext_id, server, internal_id, created_at, records)
         VALUES (7, 'wagtail', 'a', 'one', 'bbb-01', 'int', 5, 1);
         INSERT INTO sessions (id, meeting, token, seat_until) VALUES (9, 7, zeroblob(32), 9223372036854775807)",
    )
    .await
    .expect("rows");
    old.close().await.expect("closed");
    let store = Store::open(&url).await.expect("a store");
    store.bury_dead(ms(1_000), ms(9_000)).await.expect("settled");
    assert_eq!(
        store.running().await.expect("loaded").iter().map(|row| row.id).collect::<Vec<_>>(),
        [MeetingNumber::new(7)]
    );
    let session = SessionRow {
        id: SessionNumber::new(9),
        meeting: MeetingNumber::new(7),
        token: [0; 32],
        held: Held::Until(ms(9_000)),
        breakout: None,
        waits: false,
    };
    assert_eq!(store.sessions().await.expect("loaded"), [session], "who was present has a lease to come back");
    assert_eq!(create(&store, "a", "one", 1).await, Ok(MeetingNumber::new(-7)), "the room is known");
    assert_eq!(join(&store, MeetingNumber::new(7), 8_000, 9_000, 1).await, Err(Denial::MaxParticipantsReached));
    assert!(store.end_meeting(MeetingNumber::new(7), ms(10_000)).await.expect("ended"));
}

/// Does something to the tables that no gateway does.
async fn tamper(store: &Store, statement: &'static str) {
    match &store.db {
        Db::Sqlite { pool, .. } => drop(sqlx::query(statement).execute(pool).await.expect("done")),
        Db::Postgres(health) => drop(sqlx::query(statement).execute(&*health.pool()).await.expect("done")),
    }
}

/// Waits until a writer has written all that was left so far.
async fn written(notes: &Notes) {
    tokio::time::timeout(Duration::from_secs(20), notes.flush()).await.expect("what can be written is written");
}

fn traffic(up: i64) -> Traffic {
    Traffic { tenant: ids().0, at: ms(0), up, down: 1 }
}

async fn usage_of(store: &Store, now: Timestamp) -> Vec<UsageRow> {
    store.usage("1970-01-01", "1970-02-01", now).await.expect("an answer")
}

async fn a_note_whose_table_fails_is_set_aside_alone(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let first = join(store, meeting, 0, 60, 9).await.expect("a seat");
    let second = join(store, meeting, 0, 60, 9).await.expect("a seat");
    let (notes, _writer) = Notes::start(store.clone(), Clock::system(), unbounded_channel().0);
    tamper(store, "DROP TABLE presences").await;
    let before = dropped()[0].1;
    notes.leave(Note::Bound { session: first, token: [7; 32] });
    notes.leave(closed(second, 1, 2));
    notes.leave(Note::Bound { session: second, token: [8; 32] });
    written(&notes).await;
    assert_eq!(store.sessions().await.expect("loaded").len(), 2, "the others have their tokens");
    assert!(dropped()[0].1 > before, "and the one is counted");
}

async fn seats_are_written_where_statistics_cannot_be(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let now = Clock::system().now().as_ms();
    let session = join(store, meeting, now, now + 60_000, 9).await.expect("a seat");
    let (notes, _writer) = Notes::start(store.clone(), Clock::system(), unbounded_channel().0);
    tamper(store, "DROP TABLE usage").await;
    let before = dropped()[1].1;
    notes.count(traffic(5));
    notes.leave(Note::Opened { session, at: Clock::system().now() });
    written(&notes).await;
    assert_eq!(store.seats(Clock::system().now()).await.expect("counted")[&meeting].present, 1);
    assert!(dropped()[1].1 > before + 1, "what was carried, and who is present, is not counted");
    store.end_meeting(meeting, Clock::system().now()).await.expect("a meeting ends all the same");
}

async fn sums_stay_at_the_greatest_number(fixture: Fixture) {
    let store = &fixture.store;
    for up in [i64::MAX - 10, 100, i64::MAX, 1, -5] {
        store.write_traffic(&[traffic(up)]).await.expect("written");
    }
    let usage = usage_of(store, ms(0)).await;
    assert_eq!((usage[0].bytes_up, usage[0].bytes_down), (i64::MAX, 5));
}

async fn a_number_that_cannot_be_stops_nobody(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 9).await.expect("a seat");
    tamper(store, "INSERT INTO present (tenant, people) VALUES ('wagtail', 9223372036854775807)").await;
    tamper(
        store,
        "INSERT INTO usage (tenant, day, participant_ms) VALUES ('wagtail', '1970-01-01', 9223372036854775800)",
    )
    .await;
    note(store, [Note::Opened { session, at: ms(10) }]).await;
    assert_eq!(usage_of(store, ms(1_000)).await[0].participant_ms, i64::MAX, "present, and counted until now");
    note(store, [closed(session, 1_000, 1_015)]).await;
    let usage = usage_of(store, ms(1_000)).await;
    assert_eq!((usage[0].participant_ms, usage[0].peak), (i64::MAX, 1), "people are counted anew");
}
