use super::{
    writer::{Note, Notes},
    *,
};
use crate::domain::server_mode::ServerMode;

struct Fixture {
    store: Store,
    dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir).await;
        Self { store, dir }
    }
}

async fn open(dir: &tempfile::TempDir) -> Store {
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    Store::open(&url).await.expect("a store")
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
        participants: Some(3),
        records: true,
        now: 1_000,
        retained_since: 500,
        runs_since: 500,
    }
}

async fn create(store: &Store, account: &str, ext_id: &str, rooms: u32) -> Result<i64, Denial> {
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
        Ok(Admitted::Existing(row)) => Ok(-row.id),
        Err(Refusal::Denied(denial)) => Err(denial),
        Err(Refusal::Failed(error)) => panic!("{error}"),
    }
}

async fn join(store: &Store, meeting: i64, now: i64, until: i64, seats: u32) -> Result<i64, Denial> {
    match store.admit_session(meeting, now, until, Limit::AtMost(seats)).await {
        Ok(id) => Ok(id),
        Err(Refusal::Denied(denial)) => Err(denial),
        Err(Refusal::Failed(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn rooms_and_accounts_are_counted_as_they_come_and_go() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = create(store, "a", "one", 2).await.expect("room 1 of 2");
    create(store, "a", "two", 2).await.expect("room 2 of 2");
    assert_eq!(create(store, "a", "three", 2).await, Err(Denial::RoomLimitReached));
    assert_eq!(create(store, "a", "one", 2).await, Ok(-first), "a known room is no new one");
    create(store, "b", "three", 2).await.expect("another account has rooms of its own");
    create(store, "c", "four", 2).await.expect("account 3 of 3");
    assert_eq!(create(store, "d", "five", 2).await, Err(Denial::AccountLimitReached));
    store.end_meeting(first, 400).await.expect("ended");
    create(store, "a", "three-a", 2).await.expect("the ended room's place is free");
}

#[tokio::test]
async fn a_room_that_ended_a_moment_ago_still_counts_while_it_is_retained() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = create(store, "a", "one", 1).await.expect("room 1 of 1");
    store.end_meeting(first, 600).await.expect("ended after `retained_since`");
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    create(store, "a", "one", 1).await.expect("the same room may open again");
}

#[tokio::test]
async fn runs_of_a_room_are_its_tenants_and_count_within_a_window() {
    let Fixture { store, .. } = &Fixture::new().await;
    let (tenant, server) = ids();
    let other: TenantId = "heron".parse().expect("an id");
    let run = async |tenant: &TenantId, from: i64, to: i64| {
        let new = NewMeeting { now: from, ..room(tenant, &server, "a", "room") };
        let everything = Some(|_: RoomUsage| Ok(()));
        let Ok(Admitted::New { id, used }) = store.admit_meeting(&new, everything).await else { panic!("a new room") };
        store.end_meeting(id, to).await.expect("ended");
        used
    };
    // `runs_since` is 500.
    assert_eq!(run(&tenant, 100, 400).await, Duration::ZERO);
    assert_eq!(run(&tenant, 450, 600).await, Duration::ZERO, "what ended before does not count");
    assert_eq!(run(&tenant, 700, 900).await, Duration::from_millis(150));
    assert_eq!(run(&tenant, 950, 990).await, Duration::from_millis(350));
    assert_eq!(run(&other, 950, 990).await, Duration::ZERO, "another tenant's room of this name is another room");
    for (tenant, since, used) in [(&tenant, 0, 690), (&tenant, 500, 390), (&tenant, 990, 0), (&other, 0, 40)] {
        let found = store.used(tenant, "room", since).await.expect("an answer");
        assert_eq!(found, Duration::from_millis(used), "{tenant} since {since}");
    }
    assert_eq!(store.used(&tenant, "another", 0).await.expect("an answer"), Duration::ZERO);
}

#[tokio::test]
async fn of_many_creates_at_once_exactly_the_allowed_number_succeeds() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let ids: Vec<_> = (0..50).map(|n| format!("room-{n}")).collect();
    let results = futures_util::future::join_all(ids.iter().map(|id| create(store, "a", id, 5))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 5);
}

#[tokio::test]
async fn seats_lapse_are_kept_and_are_given_back() {
    let fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let meeting = create(&store, "a", "one", 1).await.expect("a room");
    let first = join(&store, meeting, 0, 60, 2).await.expect("seat 1 of 2");
    let second = join(&store, meeting, 0, 60, 2).await.expect("seat 2 of 2");
    assert_eq!(join(&store, meeting, 59, 100, 2).await, Err(Denial::MaxParticipantsReached));

    let (notes, writer) = Notes::start(store.clone());
    notes.leave(Note::Bound { session: first, token: [7; 32] });
    notes.leave(Note::Seat { session: first, until: PRESENT });
    notes.leave(Note::Dropped { session: second });
    drop(notes);
    writer.await.expect("all written");

    join(&store, meeting, 59, 100, 2).await.expect("the dropped one's seat");
    assert_eq!(join(&store, meeting, 70, 130, 2).await, Err(Denial::MaxParticipantsReached));
    join(&store, meeting, 101, 160, 2).await.expect("the lapsed one's seat");
    assert_eq!(join(&store, meeting, 102, 160, 2).await, Err(Denial::MaxParticipantsReached));
}

#[tokio::test]
async fn what_was_promised_is_known_after_a_restart() {
    let Fixture { store, dir } = Fixture::new().await;
    let meeting = create(&store, "a", "one", 5).await.expect("a room");
    let ended = create(&store, "a", "two", 5).await.expect("a room");
    let session = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let (notes, writer) = Notes::start(store.clone());
    notes.leave(Note::Created { meeting, internal_id: "int".into(), create_time: 1_234, is_own: true });
    notes.leave(Note::Bound { session, token: [7; 32] });
    notes.leave(Note::Seat { session, until: PRESENT });
    drop(notes);
    writer.await.expect("all written");
    store.end_meeting(ended, 2_000).await.expect("ended");
    let key = store.shared_key("slug", [1; 32]).await.expect("a key");
    store.close().await;

    let store = open(&dir).await;
    let (meetings, sessions) = store.load(9_000).await.expect("loaded");
    assert_eq!(meetings.len(), 1);
    assert_eq!(meetings[0].internal_id.as_deref(), Some("int"));
    assert_eq!(meetings[0].participants, Some(3));
    let row = SessionRow { id: session, meeting, token: [7; 32], seat_until: 9_000 };
    assert_eq!(sessions, [row], "who was present has a lease to come back");
    assert_eq!(store.shared_key("slug", [2; 32]).await.expect("a key"), key);
    assert_eq!(store.purge(3_000).await.expect("purged"), 1);
}

#[tokio::test]
async fn a_session_that_comes_back_does_not_stand_in_its_own_way() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let meeting = create(store, "a", "one", 1).await.expect("a room");
    let session = join(store, meeting, 0, 60, 1).await.expect("seat 1 of 1");
    let another = create(store, "a", "another", 2).await.expect("a room");
    join(store, another, 0, 60, 1).await.expect("a seat of another meeting, which does not count here");
    let readmit = async |session: i64, now: i64| store.readmit_session(session, now, Limit::AtMost(1)).await.is_ok();
    assert!(readmit(session, 59).await, "its own seat is not another's");
    assert!(readmit(session, 61).await);
    assert_eq!(join(store, meeting, 1_000, 2_000, 1).await, Err(Denial::MaxParticipantsReached), "it is present");
}

#[tokio::test]
async fn a_room_that_runs_anew_keeps_its_place() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let old = create(store, "a", "one", 1).await.expect("room 1 of 1");
    let (tenant, server) = ids();
    let new = NewMeeting { now: 2_000, ..room(&tenant, &server, "a", "one") };
    let id = store.rerun_meeting(old, &new).await.expect("a new run");
    assert_ne!(id, old);
    assert_eq!(create(store, "a", "two", 1).await, Err(Denial::RoomLimitReached));
    let (meetings, _) = store.load(0).await.expect("loaded");
    assert_eq!(meetings.iter().map(|meeting| meeting.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_note_that_cannot_be_written_does_not_stop_the_others() {
    let fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let meeting = create(&store, "a", "one", 1).await.expect("a room");
    let first = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let second = join(&store, meeting, 0, 60, 9).await.expect("a seat");
    let (notes, _writer) = Notes::start(store.clone());
    notes.leave(Note::Bound { session: first, token: [7; 32] });
    notes.leave(Note::Bound { session: second, token: [7; 32] });
    notes.leave(Note::Seat { session: second, until: 0 });
    notes.flush().await;
    let (_, sessions) = store.load(0).await.expect("loaded");
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [first]);
    join(&store, meeting, 1, 60, 2).await.expect("the last note was written");
}

#[tokio::test]
async fn where_nothing_is_bounded_an_id_is_still_one_meeting() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (tenant, server) = ids();
    let new = NewMeeting { now: 1_000, ..room(&tenant, &server, "a", "one") };
    let nothing = None::<fn(RoomUsage) -> Result<(), Denial>>;
    let Ok(Admitted::New { id, .. }) = store.admit_meeting(&new, nothing).await else { panic!("a new room") };
    assert!(matches!(store.admit_meeting(&new, nothing).await, Ok(Admitted::Existing(row)) if row.id == id));
    for _ in 0..50 {
        store.admit_session(id, 0, 60, Limit::Unlimited).await.map_err(|_| "refused").expect("a seat");
    }
}

#[tokio::test]
async fn modes_and_suspensions_are_kept_as_they_were_set_last() {
    let fixture = Fixture::new().await;
    let (tenant, server) = ids();
    let other: ServerId = "bbb-02".parse().expect("an id");
    let store = &fixture.store;
    assert_eq!(store.server_modes().await.expect("modes"), []);
    for (server, mode) in
        [(&server, ServerMode::Draining), (&other, ServerMode::Cordoned), (&server, ServerMode::Disabled)]
    {
        store.set_server_mode(server, mode, 1_000).await.expect("set");
    }
    store.set_suspended(&tenant, true, 1_000).await.expect("set");
    store.close().await;

    let store = open(&fixture.dir).await;
    let mut modes = store.server_modes().await.expect("modes");
    modes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(modes, [(server, ServerMode::Disabled), (other, ServerMode::Cordoned)]);
    assert_eq!(store.suspended_tenants().await.expect("tenants"), std::slice::from_ref(&tenant));
    store.set_suspended(&tenant, false, 2_000).await.expect("set");
    assert_eq!(store.suspended_tenants().await.expect("tenants"), []);
}
