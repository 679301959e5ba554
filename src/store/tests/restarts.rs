//! What is known after a restart, after the end of a meeting, and to the operator.

use super::*;
use crate::domain::ids::{InternalId, MeetingNumber, SessionNumber};

for_both!(
    what_was_promised_is_known_after_a_restart,
    modes_and_suspensions_are_kept_as_they_were_set_last,
    a_draining_server_is_disabled_when_nothing_is_promised_there,
    what_follows_the_end_is_known_for_as_long_as_it_is_carried,
);

async fn what_was_promised_is_known_after_a_restart(fixture: Fixture) {
    let Fixture { store, url, _dir } = fixture;
    store.gateways().heartbeat(ms(5_000)).await.expect("alive");
    let meeting = create(&store, "a", "one", 5).await.expect("a room");
    let ended = create(&store, "a", "two", 5).await.expect("a room");
    let session = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let bound = Note::Bound { session, token: [7; 32] };
    note(&store, [made(meeting, "int"), bound, Note::Opened { session, at: ms(10) }]).await;
    assert!(!store.meetings().end(ended, ms(2_000)).await.expect("ended"), "nobody had come");
    let key = store.keys().shared("slug", [1; 32]).await.expect("a key");
    store.close().await;

    let store = Store::open(&url).await.expect("a store");
    store.gateways().heartbeat(ms(6_000)).await.expect("alive");
    // The former self is known to be dead at once where there can be no other.
    let buried = store.gateways().bury_dead(ms(5_000).saturating_add(ALIVE), ms(9_000)).await.expect("settled");
    assert_eq!(buried, 1);
    let meetings = store.meetings().running().await.expect("loaded");
    assert_eq!(meetings.len(), 1);
    assert_eq!(meetings[0].state, MeetingState::Running { internal_id: InternalId::new("int") });
    assert_eq!((meetings[0].participants, meetings[0].ends_at), (Some(3), Some(Deadline::At(ms(9_000)))));
    let row =
        SessionRow { id: session, meeting, token: [7; 32], held: Held::Until(ms(9_000)), breakout: None, waits: false };
    assert_eq!(store.seats().sessions().await.expect("loaded"), [row], "who was present has a lease to come back");
    assert_eq!(store.keys().shared("slug", [2; 32]).await.expect("a key"), key);
    assert_eq!(store.ended().purge(ms(3_000)).await.expect("purged"), 1);
}

#[tokio::test]
async fn a_second_gateway_does_not_get_a_file_that_one_has() {
    let Fixture { store, url, _dir } = Fixture::sqlite().await;
    assert!(Store::open(&url).await.is_err(), "it would count for itself");
    let command = Store::open_beside(&url).await.expect("a command reads beside it");
    command.keys().shared("admin", [1; 32]).await.expect("a key");
    command.close().await;
    assert!(Store::open(&url).await.is_err(), "the command has not opened the way");
    store.close().await;
    Store::open(&url).await.expect("the next one does");
}

async fn modes_and_suspensions_are_kept_as_they_were_set_last(fixture: Fixture) {
    let Fixture { store, url, _dir } = fixture;
    let (tenant, server) = ids();
    let other: ServerId = "bbb-02".parse().expect("an id");
    assert_eq!(store.operations().server_modes().await.expect("modes"), []);
    for (server, mode) in
        [(&server, ServerMode::Draining), (&other, ServerMode::Cordoned), (&server, ServerMode::Disabled)]
    {
        store.operations().set_server_mode(server, mode, ms(1_000)).await.expect("set");
    }
    store.operations().set_suspended(&tenant, true, ms(1_000)).await.expect("set");
    store.close().await;

    let store = Store::open(&url).await.expect("a store");
    let mut modes = store.operations().server_modes().await.expect("modes");
    modes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(modes, [(server, ServerMode::Disabled), (other, ServerMode::Cordoned)]);
    assert_eq!(store.operations().suspended_tenants().await.expect("tenants"), std::slice::from_ref(&tenant));
    store.operations().set_suspended(&tenant, false, ms(2_000)).await.expect("set");
    assert_eq!(store.operations().suspended_tenants().await.expect("tenants"), []);
}

async fn a_draining_server_is_disabled_when_nothing_is_promised_there(fixture: Fixture) {
    let store = &fixture.store;
    let (_, server) = ids();
    let disabled = async || store.operations().disable_drained(&server, ms(5)).await.expect("an answer");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    assert!(!disabled().await, "nobody wants that");
    store.operations().set_server_mode(&server, ServerMode::Draining, ms(1)).await.expect("set");
    assert!(!disabled().await, "a meeting is promised there");
    store.meetings().end(meeting, ms(10)).await.expect("ended");
    store.operations().set_server_mode(&server, ServerMode::Enabled, ms(2)).await.expect("set");
    assert!(!disabled().await, "somebody has changed his mind");
    store.operations().set_server_mode(&server, ServerMode::Draining, ms(3)).await.expect("set");
    assert!(disabled().await);
    assert_eq!(store.operations().server_modes().await.expect("modes"), [(server.clone(), ServerMode::Disabled)]);
}

async fn what_follows_the_end_is_known_for_as_long_as_it_is_carried(fixture: Fixture) {
    let store = &fixture.store;
    let (tenant, server) = ids();
    let other: TenantId = "heron".parse().expect("an id");
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 1).await.expect("a seat");
    note(store, [made(meeting, "int"), Note::Bound { session, token: [7; 32] }]).await;
    assert_eq!(store.ended().all(ms(1_000)).await.expect("loaded"), []);
    store.meetings().end(meeting, ms(10_000)).await.expect("ended");
    for (now, is_known) in [(10_001, true), (69_999, true), (70_000, false)] {
        let ended: Vec<_> = store.ended().all(ms(now)).await.expect("loaded").iter().map(|row| row.id).collect();
        assert_eq!(ended == [meeting], is_known, "{now}");
        let sessions: Vec<_> =
            store.ended().sessions(ms(now)).await.expect("loaded").iter().map(|row| row.id).collect();
        assert_eq!(sessions == [session], is_known, "{now}");
        assert_eq!(store.ended().find(&tenant, "int", ms(now)).await.expect("asked").is_some(), is_known, "{now}");
        assert_eq!(store.ended().find_on(&tenant, &server, ms(now)).await.expect("asked").is_some(), is_known, "{now}");
        let found = store.ended().find_session(&[7; 32], ms(now)).await.expect("asked");
        assert_eq!(found.map(|(row, of)| (row.id, of.id)), is_known.then_some((session, meeting)), "{now}");
    }
    assert!(store.ended().find(&other, "int", ms(10_001)).await.expect("asked").is_none());
    assert_eq!(store.seats().sessions().await.expect("loaded"), [], "and it has no seat");
    store.ended().forget_sessions(ms(10_001)).await.expect("forgotten");
    assert!(store.ended().find_session(&[7; 32], ms(10_001)).await.expect("asked").is_none());
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
    store.gateways().bury_dead(ms(1_000), ms(9_000)).await.expect("settled");
    assert_eq!(
        store.meetings().running().await.expect("loaded").iter().map(|row| row.id).collect::<Vec<_>>(),
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
    assert_eq!(store.seats().sessions().await.expect("loaded"), [session], "who was present has a lease to come back");
    assert_eq!(create(&store, "a", "one", 1).await, Ok(MeetingNumber::new(-7)), "the room is known");
    assert_eq!(join(&store, MeetingNumber::new(7), 8_000, 9_000, 1).await, Err(Denial::MaxParticipantsReached));
    assert!(store.meetings().end(MeetingNumber::new(7), ms(10_000)).await.expect("ended"));
}
