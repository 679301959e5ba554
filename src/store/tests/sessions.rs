//! Sessions: seats that are taken, kept, lost and asked for again.

use super::*;

for_both!(
    seats_lapse_are_kept_and_are_given_back,
    a_session_that_comes_back_does_not_stand_in_its_own_way,
    of_many_joins_at_once_exactly_the_allowed_number_succeeds,
    of_many_joins_at_once_each_gets_its_own_answer,
    a_join_takes_the_seat_of_the_same_person_that_is_not_open,
    only_who_was_replaced_before_they_came_is_forgotten,
    one_user_id_for_many_gains_nothing,
    people_without_a_session_of_ours_take_seats_too,
    an_ended_meeting_has_no_seats,
    a_seat_that_has_lapsed_is_asked_for_again,
    who_waits_to_be_let_in_has_no_seat_until_then,
);

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

async fn a_session_that_comes_back_does_not_stand_in_its_own_way(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    let another = create(store, "a", "another", 2).await.expect("a room");
    join(store, another, 0, 60, 1).await.expect("a seat of another meeting, which does not count here");
    let readmit = async |now: i64, seats: u32| {
        store.seats().readmit(meeting, session, ms(now), ms(now + 60), Limit::AtMost(seats)).await.is_ok()
    };
    assert!(readmit(59, 1).await, "its own seat is not another's");
    assert!(readmit(200, 1).await, "and none has taken it");
    assert_eq!(join(store, meeting, 259, 300, 1).await, Err(Denial::MaxParticipantsReached), "it is held");
    join(store, meeting, 260, 300, 1).await.expect("and has lapsed");
    assert!(!readmit(261, 1).await, "another has the seat now");
    assert!(readmit(261, 2).await);
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
    let forgotten = async |seated: &Seated| store.seats().forget_replaced(seated.id).await.expect("an answer");
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
    store.seats().readmit(meeting, seated_again.id, ms(at(2)), ms(at(62)), Limit::AtMost(10)).await.expect("a seat");
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
        } else if store.seats().readmit(meeting, session, ms(1), ms(61), Limit::AtMost(3)).await.is_ok() {
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
    assert_eq!(store.seats().recent(meeting, ms(59)).await.expect("counted"), 1);
    assert_eq!(store.seats().recent(meeting, ms(60)).await.expect("counted"), 0, "it has lapsed");
    store.seats().set_strangers(meeting, 1).await.expect("written");
    join(store, meeting, 0, 60, 3).await.expect("seat 2 of 3");
    assert_eq!(join(store, meeting, 0, 60, 3).await, Err(Denial::MaxParticipantsReached));
    store.seats().set_strangers(meeting, 0).await.expect("written");
    join(store, meeting, 0, 60, 3).await.expect("seat 3 of 3");
}

async fn an_ended_meeting_has_no_seats(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 3).await.expect("a seat");
    assert!(store.meetings().end(meeting, ms(10)).await.expect("ended"), "somebody had come");
    assert_eq!(join(store, meeting, 11, 60, 3).await, Err(Denial::ServerUnavailable));
    assert!(store.seats().readmit(meeting, session, ms(11), ms(60), Limit::AtMost(3)).await.is_err());
    assert_eq!(
        note(store, [Note::Opened { session, at: ms(12) }]).await,
        [session],
        "the next run has seats of its own"
    );
    assert!(note(store, [Note::Opened { session, at: ms(12) }, closed(session, 13, 28)]).await.is_empty());
}

async fn a_seat_that_has_lapsed_is_asked_for_again(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 1).await;
    let present = async || store.seats().recent(meeting, ms(columns::PRESENT - 1)).await.expect("counted");
    let first = join(store, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    // A gateway that remembers more than is true, or a note that was long under way.
    let opened = [Note::Opened { session: first, at: ms(59) }];
    assert!(write_at(store, ms(60), &opened).await.is_empty(), "nobody has taken it");
    assert_eq!(present().await, 1);
    note(store, [closed(first, 61, 76)]).await;
    let second = join(store, meeting, 76, 120, 1).await.expect("the lapsed one's seat");
    assert_eq!(write_at(store, ms(77), &opened).await, [first], "another has it now");
    note(store, [Note::Opened { session: second, at: ms(78) }]).await;
    assert_eq!(store.seats().recent(meeting, ms(78)).await.expect("counted"), 1);

    note(store, [closed(second, 80, 95)]).await;
    let come_and_gone = [Note::Opened { session: first, at: ms(96) }, closed(first, 97, 112)];
    assert!(write_at(store, ms(98), &come_and_gone).await.is_empty());
    assert_eq!(present().await, 0, "who has left already is not seated again");
    assert!(write_at(store, ms(99), &opened).await.is_empty());
    let usage = store.usage().by_day("1970-01-01", "1970-01-02", ms(101)).await.expect("an answer");
    assert_eq!(whole_ms(usage[0].participant_time), 2 + 2 + 42, "they were there since they came");
}

async fn who_waits_to_be_let_in_has_no_seat_until_then(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create_for(store, 1).await;
    let guest = join(store, meeting, 0, 60, 1).await.expect("the one seat");
    note(store, [Note::Bound { session: guest, token: [7; 32] }]).await;
    let waits =
        async || store.seats().sessions().await.expect("loaded").iter().map(|row| row.waits).collect::<Vec<_>>();
    assert_eq!(waits().await, [false]);
    store.seats().wait(guest).await.expect("written");
    assert_eq!(waits().await, [true]);
    assert_eq!(store.seats().recent(meeting, ms(0)).await.expect("counted"), 0);
    let invited = join(store, meeting, 0, 60, 1).await.expect("it is free");
    let let_in = async |now| store.seats().readmit(meeting, guest, ms(now), ms(now + 60), Limit::AtMost(1)).await;
    assert_eq!(let_in(10).await.err().and_then(|error| error.denied()), Some(Denial::MaxParticipantsReached));
    assert_eq!(waits().await, [true], "and goes on waiting");
    note(store, [Note::Dropped { session: invited }]).await;
    let_in(10).await.expect("a seat");
    assert_eq!(waits().await, [false]);
    assert_eq!(join(store, meeting, 20, 80, 1).await, Err(Denial::MaxParticipantsReached));
}
