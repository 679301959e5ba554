//! A PostgreSQL of one's own. It is started and stopped on a thread that may wait.

use anteroom_bench::postgres::{Durable, Postgres};
use tokio::task::spawn_blocking;

/// Starts one, which ends with the value, with a database.
pub async fn start() -> (Postgres, String) {
    let made = spawn_blocking(|| {
        let postgres = Postgres::start(Durable::No).unwrap();
        let url = postgres.database().unwrap();
        (postgres, url)
    });
    made.await.unwrap()
}

pub async fn stop(mut postgres: Postgres) -> Postgres {
    let stopped = spawn_blocking(move || {
        postgres.stop().unwrap();
        postgres
    });
    stopped.await.unwrap()
}

pub async fn resume(mut postgres: Postgres) -> Postgres {
    let resumed = spawn_blocking(move || {
        postgres.resume().unwrap();
        postgres
    });
    resumed.await.unwrap()
}
