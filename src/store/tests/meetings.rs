//! Meetings: rooms and accounts, runs, promises that are taken over or given back.

use super::*;
use crate::domain::ids::{InternalId, MeetingNumber, ServerMeetingId};

for_both!(
    rooms_and_accounts_are_counted_as_they_come_and_go,
    a_room_that_ended_a_moment_ago_still_counts_while_it_is_retained,
    runs_of_a_room_are_its_tenants_and_count_within_a_window,
    of_many_creates_at_once_exactly_the_allowed_number_succeeds,
    a_room_that_runs_anew_keeps_its_place,
    where_nothing_is_bounded_an_id_is_still_one_meeting,
    a_row_says_where_its_meeting_is_in_its_life,
    a_promise_without_an_answer_is_taken_over_once,
    a_run_that_is_given_up_is_left_over,
    a_promise_that_was_taken_over_is_no_longer_its_first_gateways,
    a_run_that_has_ended_has_no_place_to_leave_to_the_next,
    people_in_a_room_that_is_given_back_are_gone,
    a_promise_without_an_answer_is_given_back_unless_it_was_taken_over,
    no_number_is_given_out_twice,
);

async fn rooms_and_accounts_are_counted_as_they_come_and_go(fixture: Fixture) {
    let store = &fixture.store;
    let first = create(store, "a", "one", 2).await.expect("room 1 of 2");
    create(store, "a", "two", 2).await.expect("room 2 of 2");
    assert_eq!(create(store, "a", "three", 2).await, Err(Denial::RoomLimitReached));
    assert_eq!(create(store, "a", "one", 2).await, Ok(MeetingNumber::new(-first.get())), "a known room is no new one");
    create(store, "b", "three", 2).await.expect("another account has rooms of its own");
    create(store, "c", "four", 2).await.expect("account 3 of 3");
    assert_eq!(create(store, "d", "five", 2).await, Err(Denial::AccountLimitReached));
    store.meetings().end(first, ms(400)).await.expect("ended");
    create(store, "a", "three-a", 2).await.expect("the ended room's place is free");
}

async fn a_room_that_ended_a_moment_ago_still_counts_while_it_is_retained(fixture: Fixture) {
    let store = &fixture.store;
    let first = create(store, "a", "one", 1).await.expect("room 1 of 1");
    store.meetings().end(first, ms(600)).await.expect("ended after `retained_since`");
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
        let Ok(Admitted::New { id, used }) = store.meetings().admit(&new, everything).await else {
            panic!("a new room")
        };
        store.meetings().end(id, ms(to)).await.expect("ended");
        used
    };
    // `runs_since` is 500.
    assert_eq!(run(&tenant, 100, 400).await, Duration::ZERO);
    assert_eq!(run(&tenant, 450, 600).await, Duration::ZERO, "what ended before does not count");
    assert_eq!(run(&tenant, 700, 900).await, Duration::from_millis(150));
    assert_eq!(run(&tenant, 950, 990).await, Duration::from_millis(350));
    assert_eq!(run(&other, 950, 990).await, Duration::ZERO, "another tenant's room of this name is another room");
    for (tenant, since, used) in [(&tenant, 0, 690), (&tenant, 500, 390), (&tenant, 990, 0), (&other, 0, 40)] {
        let found = store.meetings().used(tenant, "room", ms(since)).await.expect("an answer");
        assert_eq!(found, Duration::from_millis(used), "{tenant} since {since}");
    }
    assert_eq!(store.meetings().used(&tenant, "another", ms(0)).await.expect("an answer"), Duration::ZERO);
}

async fn of_many_creates_at_once_exactly_the_allowed_number_succeeds(fixture: Fixture) {
    let store = &fixture.store;
    let ids: Vec<_> = (0..50).map(|n| format!("room-{n}")).collect();
    let results = futures_util::future::join_all(ids.iter().map(|id| create(store, "a", id, 5))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 5);
}

async fn a_room_that_runs_anew_keeps_its_place(fixture: Fixture) {
    let store = &fixture.store;
    let old = create(store, "a", "one", 1).await.expect("room 1 of 1");
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(2_000), ..room(&tenant, &server, "a", "one") };
    let id = store.meetings().rerun(old, &new).await.expect("an answer").expect("a new run");
    assert_ne!(id, old);
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    let meetings = store.meetings().running().await.expect("loaded");
    assert_eq!(meetings.iter().map(|meeting| meeting.id).collect::<Vec<_>>(), [id]);
}

async fn where_nothing_is_bounded_an_id_is_still_one_meeting(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(1_000), ..room(&tenant, &server, "a", "one") };
    let nothing = None::<fn(RoomUsage) -> Result<(), Denial>>;
    let Ok(Admitted::New { id, .. }) = store.meetings().admit(&new, nothing).await else { panic!("a new room") };
    assert!(matches!(store.meetings().admit(&new, nothing).await, Ok(Admitted::Existing(row)) if row.id == id));
    for _ in 0..50 {
        let new = NewSession {
            meeting: id,
            user: None,
            now: ms(0),
            held: Held::Until(ms(60)),
            seats: Limit::Unlimited,
            breakout: None,
        };
        store.seats().admit(&new).await.map_err(|_| "refused").expect("a seat");
    }
}

async fn a_row_says_where_its_meeting_is_in_its_life(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 2).await.expect("a room");
    let unanswered = create(store, "a", "two", 2).await.expect("a room");
    let state = async |id| store.meetings().get(id).await.expect("an answer").expect("a row").state;
    assert_eq!(state(meeting).await, MeetingState::Reserved { owner: Some("somebody".into()) });
    note(store, [made(meeting, "int")]).await;
    assert_eq!(state(meeting).await, MeetingState::Running { internal_id: InternalId::new("int") });
    store.meetings().end(meeting, ms(2_000)).await.expect("ended");
    let internal_id = Some(InternalId::new("int"));
    assert_eq!(state(meeting).await, MeetingState::Ended { at: ms(2_000), internal_id });
    store.meetings().end(unanswered, ms(2_000)).await.expect("ended");
    assert_eq!(state(unanswered).await, MeetingState::Ended { at: ms(2_000), internal_id: None });
}

async fn a_promise_without_an_answer_is_taken_over_once(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let (tenant, server) = ids();
    let found = async || store.meetings().find(&tenant, "one").await.expect("an answer").expect("a meeting");
    assert_eq!(found().await.reserved_by(), Some("somebody"));
    assert!(!store.meetings().take_over(meeting, "another").await.expect("an answer"), "it is not that one's");
    assert!(store.meetings().take_over(meeting, "somebody").await.expect("an answer"));
    assert!(!store.meetings().take_over(meeting, "somebody").await.expect("an answer"), "it is taken");
    assert_eq!(found().await.reserved_by(), Some(store.gateway()));
    note(store, [made(meeting, "int")]).await;
    assert!(!store.meetings().take_over(meeting, store.gateway()).await.expect("an answer"), "it is answered for");
    assert_eq!(
        store.meetings().find_internal(&tenant, "int").await.expect("an answer").map(|row| row.id),
        Some(meeting)
    );
    assert_eq!(store.meetings().find_on(&tenant, &server).await.expect("an answer").len(), 1);
    let other = "heron".parse().expect("an id");
    assert_eq!(store.meetings().find_internal(&other, "int").await.expect("an answer"), None, "it is another tenant's");
    assert_eq!(store.meetings().find(&other, "one").await.expect("an answer"), None);
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
    let denied = store.meetings().restart(&run, &new).await.err().and_then(|error| error.denied());
    assert_eq!(denied, Some(Denial::ServerUnavailable), "people are in it: it lives");
    assert!(store.ended().leftovers(&server).await.expect("an answer").is_empty());
    note(store, [closed(session, 1_002, 1_017)]).await;
    let next = store.meetings().restart(&run, &new).await.expect("an answer").expect("a new run");
    assert_eq!(store.meetings().restart(&run, &new).await.expect("an answer"), None, "once");
    assert_eq!(store.meetings().find(&tenant, "one").await.expect("an answer").map(|row| row.id), Some(next));
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached), "the room keeps its place");
    let leftover =
        Leftover { internal_id: InternalId::new("int-1"), server_meeting_id: ServerMeetingId::new("t.wagtail.one") };
    assert_eq!(store.ended().leftovers(&server).await.expect("an answer"), [leftover]);
    assert!(store.ended().leftovers(&elsewhere).await.expect("an answer").is_empty());
    store.ended().forget_leftover(&server, "int-1").await.expect("forgotten");
    assert!(store.ended().leftovers(&server).await.expect("an answer").is_empty());
}

async fn a_promise_that_was_taken_over_is_no_longer_its_first_gateways(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let elsewhere: ServerId = "bbb-02".parse().expect("an id");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    // `somebody` has promised it.
    assert!(!store.meetings().move_to(meeting, &elsewhere).await.expect("an answer"));
    assert!(!store.meetings().abandon(meeting, ms(2_000)).await.expect("an answer"));
    let found = async || store.meetings().find(&tenant, "one").await.expect("an answer").map(|row| row.server);
    assert_eq!(found().await, Some(server));
    assert!(store.meetings().take_over(meeting, "somebody").await.expect("an answer"));
    assert!(store.meetings().move_to(meeting, &elsewhere).await.expect("an answer"));
    assert_eq!(found().await, Some(elsewhere.clone()));
    note(store, [made(meeting, "int")]).await;
    assert!(!store.meetings().move_to(meeting, &elsewhere).await.expect("an answer"), "it is made");
    assert!(
        store.meetings().abandon(meeting, ms(2_000)).await.expect("an answer"),
        "as a poll has found, and not for long"
    );
    assert_eq!(found().await, None);
    create(store, "a", "two", 1).await.expect("its place is free");
}

async fn a_run_that_has_ended_has_no_place_to_leave_to_the_next(fixture: Fixture) {
    let store = &fixture.store;
    let old = create(store, "a", "one", 1).await.expect("room 1 of 1");
    store.meetings().end(old, ms(400)).await.expect("ended");
    create(store, "a", "two", 1).await.expect("its place is free");
    let (tenant, server) = ids();
    let new = NewMeeting { now: ms(2_000), ..room(&tenant, &server, "a", "one") };
    assert_eq!(store.meetings().rerun(old, &new).await.expect("an answer"), None);
    assert_eq!(store.meetings().running().await.expect("an answer").len(), 1);
}

async fn people_in_a_room_that_is_given_back_are_gone(fixture: Fixture) {
    let store = &fixture.store;
    for _ in 0..3 {
        let meeting = create(store, "a", "one", 1).await.expect("a room");
        let session = join(store, meeting, 0, 60, 1).await.expect("a seat");
        note(store, [Note::Opened { session, at: ms(10) }]).await;
        assert!(store.meetings().take_over(meeting, "somebody").await.expect("an answer"));
        assert!(store.meetings().abandon(meeting, ms(20)).await.expect("an answer"));
    }
    let usage = store.usage().by_day("1970-01-01", "1970-01-02", ms(90)).await.expect("an answer");
    assert_eq!((whole_ms(usage[0].participant_time), usage[0].peak), (30, 1), "one at a time");
}

async fn a_promise_without_an_answer_is_given_back_unless_it_was_taken_over(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let unanswered = async |before: i64| store.meetings().unanswered(ms(before)).await.expect("an answer").len();
    assert_eq!((unanswered(1_000).await, unanswered(1_001).await), (0, 1));
    assert!(store.meetings().take_over(meeting, "somebody").await.expect("an answer"));
    assert!(
        !store.meetings().abandon_unanswered(meeting, "somebody", ms(2_000)).await.expect("an answer"),
        "another waits for it"
    );
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    assert!(store.meetings().abandon_unanswered(meeting, store.gateway(), ms(2_000)).await.expect("an answer"));
    let second = create(store, "a", "two", 1).await.expect("the room is free");
    note(store, [made(second, "int-2")]).await;
    assert!(
        !store.meetings().abandon_unanswered(second, "somebody", ms(3_000)).await.expect("an answer"),
        "it has an answer"
    );
    assert_eq!(unanswered(9_000).await, 0);
}

async fn no_number_is_given_out_twice(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let first = join(store, meeting, 0, 60, 9).await.expect("a seat");
    note(store, [Note::Dropped { session: first }]).await;
    let second = join(store, meeting, 0, 60, 9).await.expect("a seat");
    assert!(second > first, "what is noted of the first is not the second's");
    store.meetings().end(meeting, ms(10)).await.expect("ended");
    store.ended().purge(Timestamp::MAX).await.expect("purged");
    let next = create(store, "a", "two", 1).await.expect("a room");
    assert!(next > meeting);
    assert!(join(store, next, 20, 60, 9).await.expect("a seat") > second);
}
