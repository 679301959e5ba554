//! Sessions in breakout rooms.

use super::*;
use crate::domain::ids::MeetingNumber;

for_both!(
    all_breakout_rooms_together_have_as_many_seats_as_the_meeting,
    of_many_joins_of_breakout_rooms_at_once_exactly_the_allowed_number_succeeds,
    a_seat_is_taken_over_in_the_same_room_only,
    who_is_in_a_breakout_room_is_counted_as_one_person,
    a_breakout_room_is_found_by_its_own_tenant,
);

async fn join_room(
    store: &Store,
    room: &str,
    user: Option<&UserKey>,
    meeting: MeetingNumber,
    now: i64,
) -> Result<Seated, Denial> {
    let seats = Limit::AtMost(3);
    let new = NewSession { meeting, user, now: ms(now), held: Held::Until(ms(now + 60)), seats, breakout: Some(room) };
    match store.seats().admit(&new).await {
        Ok(seated) => Ok(seated),
        Err(error) => Err(error.denied().unwrap_or_else(|| panic!("{error}"))),
    }
}

async fn all_breakout_rooms_together_have_as_many_seats_as_the_meeting(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 2).await.expect("a room");
    let other = create(store, "a", "two", 2).await.expect("another");
    join_room(store, "x", None, other, 0).await.expect("a seat of another meeting, which does not count here");
    store.seats().set_strangers(meeting, 1).await.expect("written");
    let in_meeting = join(store, meeting, 0, 60, 3).await.expect("seat 1 of 2 beside a stranger");
    let mut in_rooms = Vec::new();
    for room in ["one", "two", "two"] {
        in_rooms.push(
            join_room(store, room, None, meeting, 0).await.expect("a seat of 3: strangers are in the meeting").id,
        );
    }
    assert_eq!(join_room(store, "three", None, meeting, 1).await, Err(Denial::MaxParticipantsReached));
    let again = join(store, meeting, 1, 60, 3).await.expect("seat 2 of 2: those in rooms do not count here");
    assert_eq!(join(store, meeting, 1, 60, 3).await, Err(Denial::MaxParticipantsReached));
    assert_eq!(
        store.seats().recent(meeting, ms(0)).await.expect("counted"),
        2,
        "as the server counts the meeting itself"
    );
    assert_eq!(store.seats().in_use(ms(1)).await.expect("counted")[&meeting].taken, 2);

    // A seat that is asked for again: by its own kind.
    let readmit =
        async |session| store.seats().readmit(meeting, session, ms(59), ms(119), Limit::AtMost(3)).await.is_ok();
    assert!(readmit(in_rooms[0]).await && readmit(in_rooms[1]).await);
    let newer = join_room(store, "one", None, meeting, 60).await.expect("the third has lapsed");
    assert!(!readmit(in_rooms[2]).await, "and the rooms are full again");
    assert!(readmit(in_meeting).await && readmit(again).await, "the meeting is not");
    let opened = |session| [Note::Opened { session, at: ms(61) }];
    assert_eq!(write_at(store, ms(61), &opened(in_rooms[2])).await, [in_rooms[2]]);
    assert!(write_at(store, ms(61), &opened(newer.id)).await.is_empty());
    assert!(store.meetings().end(meeting, ms(70)).await.expect("ended"));
    assert_eq!(join_room(store, "one", None, meeting, 71).await, Err(Denial::ServerUnavailable), "they end with it");
}

async fn of_many_joins_of_breakout_rooms_at_once_exactly_the_allowed_number_succeeds(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let rooms: Vec<_> = (0..50).map(|n| format!("room-{}", n % 5)).collect();
    let joins = rooms.iter().map(|room| join_room(store, room, None, meeting, 0));
    let seated = futures_util::future::join_all(joins).await;
    assert_eq!(seated.iter().filter(|seated| seated.is_ok()).count(), 3, "{seated:?}");
}

async fn a_seat_is_taken_over_in_the_same_room_only(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let ada = [1; 32];
    let in_meeting = join_as(store, Some(&ada), meeting, 0, 60, 3).await.expect("a seat");
    let first = join_room(store, "one", Some(&ada), meeting, 0).await.expect("a seat");
    let second = join_room(store, "two", Some(&ada), meeting, 0).await.expect("a seat");
    assert_eq!((first.instead_of, second.instead_of), (None, None));
    let again = join_room(store, "two", Some(&ada), meeting, 1).await.expect("the same seat");
    assert_eq!(again.instead_of, Some(second.id));
    let again = join_as(store, Some(&ada), meeting, 1, 60, 3).await.expect("the same seat");
    assert_eq!(again.instead_of, Some(in_meeting.id));
}

async fn who_is_in_a_breakout_room_is_counted_as_one_person(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 3).await.expect("a seat");
    let in_room = join_room(store, "one", None, meeting, 0).await.expect("a seat").id;
    let other = join_room(store, "one", None, meeting, 0).await.expect("a seat").id;
    let opened = [session, in_room, other].map(|session| Note::Opened { session, at: ms(10) });
    assert!(write_at(store, ms(10), &opened).await.is_empty());
    note(store, [closed(other, 110, 125)]).await;
    let used = async |now| {
        let rows = store.usage().by_day("1970-01-01", "1970-01-02", ms(now)).await.expect("an answer");
        (whole_ms(rows[0].participant_time), rows[0].peak)
    };
    assert_eq!(used(210).await, (200, 1), "while they are there");
    store.meetings().end(meeting, ms(310)).await.expect("ended");
    assert_eq!(used(999).await, (300, 1), "and afterwards");
}

async fn a_breakout_room_is_found_by_its_own_tenant(fixture: Fixture) {
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join_room(store, "room-int", None, meeting, 0).await.expect("a seat").id;
    note(store, [made(meeting, "int"), Note::Bound { session, token: [7; 32] }]).await;
    let (wagtail, _) = ids();
    let heron = "heron".parse().expect("an id");
    let find = async |tenant: &TenantId, id: &str| {
        store.meetings().find_breakout(tenant, id).await.expect("an answer").map(|row| row.id)
    };
    assert_eq!(find(&wagtail, "room-int").await, Some(meeting));
    assert_eq!(find(&wagtail, "int").await, None, "the meeting is none of its rooms");
    assert_eq!(find(&heron, "room-int").await, None);
    let (row, _) = store.seats().find(&[7; 32]).await.expect("an answer").expect("a session");
    assert_eq!(row.breakout.as_deref(), Some("room-int"));
    assert_eq!(store.seats().sessions().await.expect("loaded"), [row]);
    store.meetings().end(meeting, ms(10)).await.expect("ended");
    assert_eq!(find(&wagtail, "room-int").await, None);
}
