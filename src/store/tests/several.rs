//! Several gateways on one PostgreSQL.

use super::*;

/// [`ALIVE`] in ms.
const ALIVE_MS: i64 = ALIVE.as_millis() as i64;

/// Two gateways on one PostgreSQL.
async fn two() -> (Store, Store) {
    let first = Fixture::postgres().await;
    let second = Store::open(&first.url).await.expect("a store");
    (first.store, second)
}

#[tokio::test]
async fn two_gateways_promise_no_more_than_one() {
    let (one, two) = two().await;
    let ids: Vec<_> = (0..60).map(|n| format!("room-{}", n / 2)).collect();
    let creates = ids.iter().enumerate().map(|(n, id)| create([&one, &two][n % 2], "a", id, 5));
    let results = futures_util::future::join_all(creates).await;
    let new: Vec<_> = results.iter().flatten().filter(|id| id.get() > 0).collect();
    assert_eq!(new.len(), 5, "{results:?}");
    let joins = (0..80).map(|n| join([&one, &two][n % 2], *new[0], 0, 60, 9));
    let results = futures_util::future::join_all(joins).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
}

#[tokio::test]
async fn a_session_is_present_while_one_gateway_has_a_socket_of_it() {
    let (one, two) = two().await;
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    let session = join(&one, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    let opened = |at| Note::Opened { session, at };
    let full = async |now: i64| join(&two, meeting, now, now, 1).await == Err(Denial::MaxParticipantsReached);
    note(&one, [opened(ms(10))]).await;
    note(&two, [opened(ms(20))]).await;
    note(&one, [closed(session, 30, 45)]).await;
    assert!(full(1_000).await, "the other still has one");
    note(&two, [closed(session, 2_000, 2_015)]).await;
    assert!(full(2_014).await);
    assert!(!full(2_015).await);
    let usage = one.usage().by_day("1970-01-01", "1970-01-02", ms(9_000)).await.expect("an answer");
    assert_eq!((whole_ms(usage[0].participant_time), usage[0].peak), (1_990, 1), "one person, once");
}

#[tokio::test]
async fn both_sockets_of_a_session_may_close_at_once() {
    let (one, two) = two().await;
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    for n in 0..20 {
        let session = join(&one, meeting, n, n + 1, 1).await.expect("the seat");
        note(&one, [Note::Opened { session, at: ms(n) }]).await;
        note(&two, [Note::Opened { session, at: ms(n) }]).await;
        tokio::join!(note(&one, [closed(session, n, n + 1)]), note(&two, [closed(session, n, n + 1)]));
    }
}

#[tokio::test]
async fn a_seat_that_is_being_taken_is_not_taken_over() {
    let (one, two) = two().await;
    let meeting = create_for(&one, 1).await;
    for n in 0..40 {
        let at = 100 * n;
        let first = join_as(&one, Some(&[1; 32]), meeting, at, at + 60, 1).await.expect("the seat").id;
        let (without_seat, second) = tokio::join!(
            note(&one, [Note::Opened { session: first, at: ms(at) }]),
            join_as(&two, Some(&[1; 32]), meeting, at, at + 60, 1)
        );
        assert_eq!(without_seat.is_empty(), second.is_err(), "one of them has it: {without_seat:?}, {second:?}");
        assert_eq!(one.seats().recent(meeting, ms(at)).await.expect("counted"), 1);
        note(&one, [closed(first, at, at + 1)]).await;
    }
}

#[tokio::test]
async fn the_seats_of_a_dead_gateway_are_free_after_a_lease() {
    let (one, two) = two().await;
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    let session = join(&one, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    assert!(!one.gateways().heartbeat(ms(0)).await.expect("alive"), "it is new");
    assert!(!two.gateways().heartbeat(ms(0)).await.expect("alive"));
    note(&one, [Note::Opened { session, at: ms(10) }]).await;
    assert!(one.gateways().heartbeat(ms(1_000)).await.expect("alive"));
    let seat = async |now: i64| join(&two, meeting, now, now, 1).await.is_ok();
    let at = 1_000 + ALIVE_MS;
    assert!(two.gateways().is_alive(one.gateway(), ms(at - 1)).await.expect("an answer"));
    assert_eq!(two.gateways().bury_dead(ms(at - 1), ms(at + 60)).await.expect("settled"), 0, "it may only be late");
    assert!(!seat(at - 1).await);
    assert_eq!(two.gateways().bury_dead(ms(at), ms(at + 60)).await.expect("settled"), 1);
    assert!(!two.gateways().is_alive(one.gateway(), ms(at)).await.expect("an answer"));
    assert!(!seat(at + 59).await, "who was present may come back");
    let usage = two.usage().by_day("1970-01-01", "1970-01-02", ms(at)).await.expect("an answer");
    assert_eq!(whole_ms(usage[0].participant_time), 990, "until it was last heard of");
    assert!(seat(at + 60).await);
    assert!(!one.gateways().heartbeat(ms(at)).await.expect("alive"), "it learns that it was taken to be dead");
}

#[tokio::test]
async fn who_writes_after_its_burial_and_dies_holds_no_seat_for_ever() {
    let (one, two) = two().await;
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    let session = join(&one, meeting, 0, 60_000, 1).await.expect("seat 1 of 1");
    one.gateways().heartbeat(ms(0)).await.expect("alive");
    assert_eq!(two.gateways().bury_dead(ms(ALIVE_MS), ms(ALIVE_MS)).await.expect("settled"), 1, "it was late");
    note(&one, [Note::Opened { session, at: ms(ALIVE_MS) }]).await;
    let seat = async |now: i64| join(&two, meeting, now, now, 1).await.is_ok();
    assert!(!seat(60_000).await, "somebody is present");
    assert_eq!(two.gateways().bury_dead(ms(60_000), ms(120_000)).await.expect("settled"), 1, "and it is not heard of");
    assert!(!seat(119_999).await);
    assert!(seat(120_000).await);
}

#[tokio::test]
async fn who_was_present_through_two_dead_gateways_was_there_until_the_last_was_heard_of() {
    let Fixture { store: one, url, _dir } = Fixture::postgres().await;
    let two = Store::open(&url).await.expect("a store");
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    let session = join(&one, meeting, 0, 60_000, 1).await.expect("seat 1 of 1");
    one.gateways().heartbeat(ms(5_000)).await.expect("alive");
    two.gateways().heartbeat(ms(2_000)).await.expect("alive");
    for store in [&one, &two] {
        note(store, [Note::Opened { session, at: ms(1_000) }]).await;
    }
    let three = Store::open(&url).await.expect("a store");
    assert_eq!(three.gateways().bury_dead(ms(90_000), ms(150_000)).await.expect("settled"), 2);
    let usage = three.usage().by_day("1970-01-01", "1970-01-02", ms(90_000)).await.expect("an answer");
    assert_eq!(whole_ms(usage[0].participant_time), 4_000);
}

#[tokio::test]
async fn one_gateway_leads_until_it_is_no_longer_heard_of() {
    let (one, two) = two().await;
    let leads = async |store: &Store, now: i64| store.gateways().lead("poller", ms(now)).await.expect("an answer");
    assert!(leads(&one, 0).await);
    assert!(!leads(&two, 1).await);
    assert!(leads(&one, 5_000).await, "it goes on");
    assert!(!leads(&two, 5_000 + ALIVE_MS - 1).await);
    assert!(leads(&two, 5_000 + ALIVE_MS).await, "it was not heard of");
    assert!(!leads(&one, 5_001 + ALIVE_MS).await);
    two.gateways().retire(ms(6_000 + ALIVE_MS), Duration::from_millis(60)).await.expect("resigned");
    assert!(leads(&one, 6_001 + ALIVE_MS).await, "at once");
}

#[tokio::test]
async fn what_one_gateway_does_is_told_the_other() {
    let (one, two) = two().await;
    let (told, mut changes) = tokio::sync::mpsc::channel(16);
    let attending = tokio::spawn(async move { two.attend(told).await });
    let mut next = async || {
        tokio::time::timeout(std::time::Duration::from_secs(20), changes.recv()).await.expect("in time").expect("told")
    };
    assert_eq!(next().await, Change::Everything, "what was before");
    let meeting = create(&one, "a", "one", 1).await.expect("a room");
    note(&one, [made(meeting, "int")]).await;
    assert_eq!(next().await, Change::Meetings(vec![meeting]));
    one.meetings().end(meeting, ms(10)).await.expect("ended");
    assert_eq!(next().await, Change::Meetings(vec![meeting]));
    attending.abort();
}

#[tokio::test]
async fn what_was_not_there_to_be_removed_is_not_told() {
    let (one, two) = two().await;
    let (told, mut changes) = tokio::sync::mpsc::channel(8);
    let attending = tokio::spawn(async move { two.attend(told).await });
    assert_eq!(changes.recv().await, Some(Change::Everything), "it listens");
    let (tenant, _) = ids();
    assert!(!one.webhooks().remove(&tenant, "none").await.expect("asked"));
    assert_eq!(one.webhooks().forget_unused(ms(9_000), 9).await.expect("asked"), []);
    one.operations().set_suspended(&tenant, true, ms(100)).await.expect("written");
    assert_eq!(changes.recv().await, Some(Change::Operations), "the first notice");
    attending.abort();
}

#[tokio::test]
async fn the_keys_of_tickets_are_shared_and_deleted_when_they_are_old() {
    let (one, two) = two().await;
    let first = one.keys().ticket(9).await.expect("a key");
    assert_eq!(two.keys().ticket(9).await.expect("a key"), first);
    assert_ne!(two.keys().ticket(10).await.expect("a key"), first);
    one.keys().forget_tickets(10).await.expect("deleted");
    assert_ne!(one.keys().ticket(9).await.expect("a key"), first, "a new one");
    let slug = one.keys().shared("slug", [1; 32]).await.expect("a key");
    one.keys().forget_tickets(u64::MAX / 2).await.expect("deleted");
    assert_eq!(two.keys().shared("slug", [2; 32]).await.expect("a key"), slug, "no other one is touched");
}

#[tokio::test]
async fn a_value_that_the_database_does_not_take_stops_no_other_note() {
    let (store, _) = two().await;
    let meeting = create(&store, "a", "one", 1).await.expect("a room");
    let session = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let (notes, _writer) = Notes::start(store.clone(), Clock::system(), unbounded_channel().0);
    notes.leave(made(meeting, "a\0b"));
    notes.leave(Note::Dropped { session });
    let written = tokio::time::timeout(std::time::Duration::from_secs(20), notes.flush());
    written.await.expect("what can be written is written");
    assert_eq!(store.seats().recent(meeting, ms(0)).await.expect("counted"), 0);
}
