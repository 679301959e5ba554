//! The background writer: notes that cannot be written, and usage.

use super::*;

for_both!(
    a_note_that_cannot_be_written_does_not_stop_the_others,
    usage_is_counted_as_it_happens,
    a_note_whose_table_fails_is_set_aside_alone,
    seats_are_written_where_statistics_cannot_be,
    sums_stay_at_the_greatest_number,
    a_number_that_cannot_be_stops_nobody,
);

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
    let sessions = store.seats().sessions().await.expect("loaded");
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [first]);
    join(&store, meeting, 1, 60, 2).await.expect("the last note was written");
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
    store.usage().write_traffic(&[carried(1, 10), carried(2, 20)]).await.expect("written");
    // Two at once for a moment; the first goes, comes back and is there when the meeting ends.
    note(store, [Note::Opened { session: first, at: ms(10) }, Note::Opened { session: second, at: ms(20) }]).await;
    note(store, [Note::Opened { session: first, at: ms(21) }]).await;
    note(store, [closed(first, 110, 125), closed(second, 220, 235)]).await;
    note(store, [Note::Opened { session: first, at: ms(120) }]).await;
    let days = async |now: i64| store.usage().by_day("1970-01-01", "1970-01-03", ms(now)).await.expect("an answer");
    let row = |day: &str, present| UsageRow {
        tenant: "wagtail".into(),
        day: day.into(),
        participant_time: Duration::from_millis(present),
        ..Default::default()
    };
    let day_one =
        |present| UsageRow { meetings: 1, peak: 2, bytes_up: 3, bytes_down: 30, ..row("1970-01-01", present) };
    let before_midnight = (300 + 24 * HOUR - 120).unsigned_abs();
    assert_eq!(days(120).await, [day_one(300)]);
    assert_eq!(days(1_120).await, [day_one(1_300)], "who is present counts until now");
    assert_eq!(days(25 * HOUR).await, [day_one(before_midnight), row("1970-01-02", HOUR.unsigned_abs())], "by day");
    store.meetings().end(meeting, ms(25 * HOUR)).await.expect("ended");
    let ended = days(48 * HOUR).await;
    let times: Vec<_> = ended.iter().map(|row| whole_ms(row.participant_time).unsigned_abs()).collect();
    assert_eq!(times, [before_midnight, HOUR.unsigned_abs()]);
    assert!(store.usage().by_day("1970-01-03", "1970-02-01", ms(48 * HOUR)).await.expect("an answer").is_empty());
}

/// Does something to the tables that no gateway does.
async fn tamper(store: &Store, statement: &'static str) {
    match &store.db.dialect {
        Dialect::Sqlite { pool, .. } => drop(sqlx::query(statement).execute(pool).await.expect("done")),
        Dialect::Postgres(health) => drop(sqlx::query(statement).execute(&*health.pool()).await.expect("done")),
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
    store.usage().by_day("1970-01-01", "1970-02-01", now).await.expect("an answer")
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
    assert_eq!(store.seats().sessions().await.expect("loaded").len(), 2, "the others have their tokens");
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
    assert_eq!(store.seats().in_use(Clock::system().now()).await.expect("counted")[&meeting].present, 1);
    assert!(dropped()[1].1 > before + 1, "what was carried, and who is present, is not counted");
    store.meetings().end(meeting, Clock::system().now()).await.expect("a meeting ends all the same");
}

async fn sums_stay_at_the_greatest_number(fixture: Fixture) {
    let store = &fixture.store;
    for up in [i64::MAX - 10, 100, i64::MAX, 1, -5] {
        store.usage().write_traffic(&[traffic(up)]).await.expect("written");
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
    assert_eq!(
        whole_ms(usage_of(store, ms(1_000)).await[0].participant_time),
        i64::MAX,
        "present, and counted until now"
    );
    note(store, [closed(session, 1_000, 1_015)]).await;
    let usage = usage_of(store, ms(1_000)).await;
    assert_eq!((whole_ms(usage[0].participant_time), usage[0].peak), (i64::MAX, 1), "people are counted anew");
}
