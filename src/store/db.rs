//! The database of one gateway in its dialect, and the way to run a statement on it: the families of statements stand on this.

use std::{fs::File, sync::Arc};

use data_encoding::HEXLOWER;

use super::{
    dialects::{postgres, sqlite},
    error::Error,
    health::Health,
    joins::Joins,
};

/// An open database, as one gateway uses it.
#[derive(Debug, Clone)]
pub(super) struct Db {
    pub(super) dialect: Dialect,
    /// The gateway's name among those that share the database: a new one at each start.
    pub(super) gateway: Arc<str>,
}

#[derive(Debug, Clone)]
pub(super) enum Dialect {
    /// With the lock that keeps a second gateway from it.
    Sqlite {
        pool: sqlite::Pool,
        lock: Option<Arc<File>>,
        joins: Joins,
    },
    Postgres(Arc<Health>),
}

/// Runs a statement of a family in the dialect of the database; in a shared one not for longer than one may wait.
// Boxed: what waits for the store waits long, and what does not is not to have room for it.
macro_rules! ask {
    ($db:expr, $family:ident :: $statement:ident ( $($argument:expr),* )) => {
        match &$db.dialect {
            $crate::store::db::Dialect::Sqlite { pool, .. } => {
                Box::pin($crate::store::dialects::sqlite::statements::$family::$statement(pool, $($argument),*)).await
            }
            $crate::store::db::Dialect::Postgres(health) => {
                let pool = health.pool();
                Box::pin(health.guard($crate::store::dialects::postgres::statements::$family::$statement(&pool, $($argument),*)))
                    .await
            }
        }
    };
}
pub(super) use ask;

/// Runs a statement of the writer, whether the store is away or not: it is what has to be written first when it is back.
macro_rules! catch_up {
    ($db:expr, $family:ident :: $statement:ident ( $($argument:expr),* )) => {
        match &$db.dialect {
            $crate::store::db::Dialect::Sqlite { pool, .. } => {
                $crate::store::dialects::sqlite::statements::$family::$statement(pool, $($argument),*).await
            }
            $crate::store::db::Dialect::Postgres(health) => {
                let pool = health.pool();
                health.catch_up($crate::store::dialects::postgres::statements::$family::$statement(&pool, $($argument),*)).await
            }
        }
    };
}
pub(super) use catch_up;

impl Db {
    /// Opens the database at `url`; of a gateway that has it alone, with the lock on its file.
    pub(super) async fn open(url: &str, lock: Option<File>) -> Result<Self, Error> {
        let gateway = HEXLOWER.encode(&random::<8>()?).into();
        let dialect = if url.starts_with("sqlite:") {
            let pool = sqlite::open(url).await?;
            Dialect::Sqlite { joins: Joins::start(pool.clone()), pool, lock: lock.map(Arc::new) }
        } else {
            let options = postgres::options(url)?;
            let pool = postgres::open(&options).await?;
            Dialect::Postgres(Arc::new(Health::new(options, pool)))
        };
        Ok(Self { dialect, gateway })
    }

    pub(super) async fn close(&self) {
        match &self.dialect {
            Dialect::Sqlite { pool, lock, .. } => {
                pool.close().await;
                // Other clones of the store keep the file open.
                if let Some(lock) = lock {
                    let _ = lock.unlock();
                }
            }
            Dialect::Postgres(health) => health.pool().close().await,
        }
    }

    /// Whether other gateways may use it too.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.dialect, Dialect::Postgres(..))
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| sqlx::Error::Protocol("the random number generator of the system failed".into()))?;
    Ok(bytes)
}
