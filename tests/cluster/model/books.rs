//! What the store has in its tables, read beside the gateways.

use anteroom::domain::time::Clock;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// The end of a seat of somebody who is present.
const PRESENT: i64 = i64::MAX;

/// Where the tables are.
pub struct Books {
    pub url: String,
}

/// A meeting that runs.
#[derive(Debug, Clone)]
pub struct Room {
    pub id: i64,
    pub tenant: String,
    pub account: String,
    pub ext_id: String,
    pub server: String,
    pub internal_id: Option<String>,
    pub participants: Option<i64>,
    /// Until when its seats are taken.
    pub seats: Vec<i64>,
    /// When that was read.
    pub at: i64,
}

impl Room {
    /// The id under which its server knows it.
    pub fn server_id(&self) -> String {
        format!("t.{}.{}", self.tenant, self.ext_id)
    }

    pub fn taken(&self) -> usize {
        self.seats.iter().filter(|until| **until > self.at).count()
    }

    pub fn present(&self) -> usize {
        self.seats.iter().filter(|until| **until == PRESENT).count()
    }
}

const ROOMS: &str = "SELECT id, tenant, account, ext_id, server, internal_id, participants FROM meetings
                     WHERE ended_at IS NULL ORDER BY id";
const SEATS: &str = "SELECT seat_until FROM sessions WHERE meeting = $1";

type Row = (i64, String, String, String, String, Option<String>, Option<i64>);

/// The meetings that run, on an open connection: in one transaction, so that no room is counted before it was given back and
/// another after it was promised.
macro_rules! read {
    ($connection:expr, $begin:literal) => {{
        let mut connection = $connection;
        let mut tx = connection.begin_with($begin).await?;
        let rows: Vec<Row> = sqlx::query_as(ROOMS).fetch_all(&mut *tx).await?;
        let mut rooms = Vec::new();
        for (id, tenant, account, ext_id, server, internal_id, participants) in rows {
            let seats: Vec<(i64,)> = sqlx::query_as(SEATS).bind(id).fetch_all(&mut *tx).await?;
            let seats = seats.into_iter().map(|(until,)| until).collect();
            rooms.push(Room { id, tenant, account, ext_id, server, internal_id, participants, seats, at: 0 });
        }
        tx.rollback().await?;
        connection.close().await?;
        rooms
    }};
}

impl Books {
    /// The meetings that run; an error while the store is away.
    pub async fn rooms(&self) -> Result<Vec<Room>, sqlx::Error> {
        let mut rooms = if self.url.starts_with("sqlite:") {
            read!(SqliteConnection::connect(&self.url).await?, "BEGIN")
        } else {
            read!(PgConnection::connect(&self.url).await?, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        };
        // A seat that has lapsed by now may have been given to somebody else meanwhile.
        let at = Clock::system().now().as_ms();
        rooms.iter_mut().for_each(|room| room.at = at);
        Ok(rooms)
    }
}
