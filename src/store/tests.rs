use std::sync::LazyLock;

use anteroom_bench::postgres::{Durable, Postgres};
use tokio::sync::mpsc::unbounded_channel;

use super::{writer::Notes, *};
use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{InternalId, MeetingNumber, ServerId, SessionNumber, TenantId},
    limits::Limit,
    server_mode::ServerMode,
    session::{Held, UserKey},
    time::{Clock, Deadline, Timestamp, whole_ms},
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

// Behind the macro, which they use.
mod breakouts;
mod callbacks;
mod certificates;
mod meetings;
mod notes;
mod restarts;
mod sessions;
mod webhooks;

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
    match store.meetings().admit(&new, Some(decide)).await {
        Ok(Admitted::New { id, .. }) => Ok(id),
        Ok(Admitted::Existing(row)) => Ok(MeetingNumber::new(-row.id.get())),
        Err(error) => Err(error.denied().unwrap_or_else(|| panic!("{error}"))),
    }
}

/// A room of so many people.
async fn create_for(store: &Store, people: u32) -> MeetingNumber {
    let (tenant, server) = ids();
    let new = NewMeeting { participants: Some(people), ..room(&tenant, &server, "a", "one") };
    let Ok(Admitted::New { id, .. }) = store.meetings().admit(&new, None::<fn(RoomUsage) -> Result<(), Denial>>).await
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
    match store.seats().admit(&NewSession { meeting, user, now, held, seats, breakout: None }).await {
        Ok(seated) => Ok(seated),
        Err(error) => Err(error.denied().unwrap_or_else(|| panic!("{error}"))),
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
    super::notes::write(&store.db, now, &notes.iter().collect::<Vec<_>>()).await.expect("written")
}

fn closed(session: SessionNumber, at: i64, until: i64) -> Note {
    Note::Closed { session, at: ms(at), until: ms(until), absent: Duration::ZERO }
}

fn made(meeting: MeetingNumber, internal_id: &str) -> Note {
    Note::Created { meeting, internal_id: InternalId::new(internal_id) }
}
