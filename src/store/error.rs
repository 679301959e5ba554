//! What can go wrong with the store, and with a promise.

use std::fmt;

use sqlx::error::ErrorKind;

use super::health::Blame;
use crate::domain::denial::Denial;

/// The store failed: nothing was promised, as far as anybody knows. A commit whose answer was lost is found by a poll, or
/// lapses with its lease.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Database(sqlx::Error),
    /// It is known not to answer, and was not asked.
    Away,
    /// It did not answer in time.
    Slow,
    /// Something in front of it gives each transaction another connection.
    Pooled,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Database(_) => "the store failed",
            Kind::Away => "the store is away",
            Kind::Slow => "the store did not answer in time",
            Kind::Pooled => {
                "what stands in front of PostgreSQL (PgBouncer) gives each transaction another connection: set pool_mode = session \
                 for this database there, or give store.url PostgreSQL's own address"
            }
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Database(error) => Some(error),
            Kind::Away | Kind::Slow | Kind::Pooled => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the store failed");
        if is_of_a_pooler(&error) { Self::POOLED } else { Self(Kind::Database(error)) }
    }
}

impl Error {
    /// It is known to be away.
    pub(super) const AWAY: Self = Self(Kind::Away);
    /// It did not answer in time.
    pub(super) const SLOW: Self = Self(Kind::Slow);

    /// A row that cannot be.
    pub(super) fn impossible(column: &str) -> Self {
        sqlx::Error::Decode(format!("a row has an impossible {column}").into()).into()
    }

    /// Something in front of it gives each transaction another connection.
    pub(super) const POOLED: Self = Self(Kind::Pooled);

    /// Whether it did not answer in time.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self.0, Kind::Slow)
    }

    /// Whether what was to be written is at fault, and not the store: another try would fail too.
    pub(super) fn is_of_the_data(&self) -> bool {
        match &self.0 {
            Kind::Database(error) => error.as_database_error().is_some_and(|error| {
                // Class 22 of PostgreSQL: a value that it does not take, such as a text with a NUL.
                let is_value = error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"));
                is_value || !matches!(error.kind(), ErrorKind::Other)
            }),
            Kind::Away | Kind::Slow | Kind::Pooled => false,
        }
    }
}

/// Whether an error is one that only a pooler makes: a prepared statement of this connection is not there, or another one's is.
fn is_of_a_pooler(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "26000" || code == "42P05")
}

impl Blame for Error {
    fn is_of_the_way(&self) -> bool {
        match &self.0 {
            Kind::Database(error) => matches!(error, sqlx::Error::Io(_)),
            Kind::Away | Kind::Pooled => false,
            Kind::Slow => true,
        }
    }
}

/// A promise was not made.
#[derive(Debug)]
pub enum Refusal {
    /// The rule said no.
    Denied(Denial),
    /// The store failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Blame for Refusal {
    fn is_of_the_way(&self) -> bool {
        match self {
            Self::Denied(_) => false,
            Self::Failed(error) => error.is_of_the_way(),
        }
    }
}

impl Refusal {
    /// What whoever asked is told.
    #[must_use]
    pub fn denial(&self) -> Denial {
        match self {
            Self::Denied(denial) => *denial,
            Self::Failed(_) => Denial::StoreUnavailable,
        }
    }
}
