//! [`Error`]: why the store has not done what it was asked for.

use std::fmt;

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};

use crate::domain::denial::Denial;

/// A rule said no, or the store failed: nothing was promised, as far as anybody knows. A commit whose answer was lost is found by a
/// poll, or lapses with its lease.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    /// A rule said no, on what the transaction has found.
    Denied(Denial),
    Database(sqlx::Error),
    /// It is known not to answer, and was not asked.
    Away,
    /// It did not answer in time.
    Slow,
    /// Something in front of it gives each transaction another connection.
    Pooled,
    /// The code that asks it has panicked.
    Panicked,
}

/// Who is at fault for a failure, which says whether the same may be written once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The store, or the way to it: another try may succeed, however long that takes.
    Store,
    /// What was to be written: another try would fail too.
    Data,
    /// The error does not say: another try may succeed, but they are not to be made for ever.
    Unclear,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Denied(denial) => denial.message(),
            Kind::Database(_) => "the store failed",
            Kind::Away => "the store is unavailable",
            Kind::Slow => "the store did not answer in time",
            Kind::Pooled => {
                "PgBouncer in front of PostgreSQL gives each transaction another connection: set pool_mode = session for \
                 this database there, or point store.url at PostgreSQL itself"
            }
            Kind::Panicked => "a store operation panicked",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Database(error) => Some(error),
            Kind::Denied(_) | Kind::Away | Kind::Slow | Kind::Pooled | Kind::Panicked => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "store operation failed");
        if is_of_a_pooler(&error) { Self::POOLED } else { Self(Kind::Database(error)) }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self(Kind::Denied(denial))
    }
}

/// How a caller is refused.
impl From<Error> for Denial {
    fn from(error: Error) -> Self {
        error.denied().unwrap_or(Self::StoreUnavailable)
    }
}

impl Error {
    /// The rule that said no; `None` where the store failed.
    #[must_use]
    pub fn denied(&self) -> Option<Denial> {
        match self.0 {
            Kind::Denied(denial) => Some(denial),
            Kind::Database(_) | Kind::Away | Kind::Slow | Kind::Pooled | Kind::Panicked => None,
        }
    }

    /// It is known to be away.
    pub(super) const AWAY: Self = Self(Kind::Away);
    /// It did not answer in time.
    pub(super) const SLOW: Self = Self(Kind::Slow);
    /// The code that asks it has panicked.
    pub(super) const PANICKED: Self = Self(Kind::Panicked);

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

    /// Whether it says that the store cannot be reached.
    pub(super) fn is_of_the_way(&self) -> bool {
        matches!(self.0, Kind::Slow | Kind::Database(sqlx::Error::Io(_)))
    }

    /// Who is at fault.
    pub(super) fn fault(&self) -> Fault {
        match &self.0 {
            Kind::Database(error) => fault_of(error),
            Kind::Away | Kind::Slow | Kind::Pooled => Fault::Store,
            Kind::Denied(_) | Kind::Panicked => Fault::Data,
        }
    }
}

/// Whether an error is one that only a pooler makes: a prepared statement of this connection is not there, or another one's is.
fn is_of_a_pooler(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "26000" || code == "42P05")
}

fn fault_of(error: &sqlx::Error) -> Fault {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => Fault::Store,
        E::Database(error) => fault_of_database(&**error),
        E::Encode(_)
        | E::Decode(_)
        | E::ColumnDecode { .. }
        | E::ColumnNotFound(_)
        | E::ColumnIndexOutOfBounds { .. }
        | E::TypeNotFound { .. }
        | E::RowNotFound
        | E::InvalidArgument(_)
        | E::InvalidSavePointStatement => Fault::Data,
        // What comes in a wrong form may come from a connection that is broken. sqlx may add further kinds.
        _ => Fault::Unclear,
    }
}

fn fault_of_database(error: &(dyn DatabaseError + 'static)) -> Fault {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<PgDatabaseError>().is_some() {
        fault_of_postgres(&code)
    } else {
        fault_of_sqlite(&code)
    }
}

/// By SQLSTATE (PostgreSQL, appendix A).
fn fault_of_postgres(code: &str) -> Fault {
    match code.get(..2).unwrap_or_default() {
        // The connection, its transaction or its rights; a database that is missing; a conflict with others (serialization,
        // deadlock, a lock); resources; the operator; the system; a file of its configuration.
        "08" | "25" | "28" | "3D" | "40" | "53" | "55" | "57" | "58" | "F0" => Fault::Store,
        // Insufficient privilege: somebody is changing rights.
        "42" if code == "42501" => Fault::Store,
        // An error within the database, or of a pooler before it.
        "XX" => Fault::Unclear,
        _ => Fault::Data,
    }
}

/// By result code (<https://sqlite.org/rescode.html>), of which the lowest eight bits are the kind.
fn fault_of_sqlite(code: &str) -> Fault {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // PERM, ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, SCHEMA, NOLFS, AUTH,
        // NOTADB.
        Ok(3..=11 | 13..=15 | 17 | 22 | 23 | 26) => Fault::Store,
        Ok(_) => Fault::Data,
        Err(_) => Fault::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_of_the_store_or_of_the_data() {
        use Fault::{Data, Store, Unclear};
        let of = |error: sqlx::Error| Error::from(error).fault();
        for (error, fault) in [
            (sqlx::Error::PoolTimedOut, Store),
            (sqlx::Error::PoolClosed, Store),
            (sqlx::Error::WorkerCrashed, Store),
            (sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()), Store),
            (sqlx::Error::Decode("x".into()), Data),
            (sqlx::Error::ColumnDecode { index: "people".into(), source: "x".into() }, Data),
            (sqlx::Error::Encode("x".into()), Data),
            (sqlx::Error::RowNotFound, Data),
            (sqlx::Error::Protocol("x".into()), Unclear),
        ] {
            let text = format!("{error:?}");
            assert_eq!(of(error), fault, "{text}");
        }
        assert_eq!((Error::AWAY.fault(), Error::SLOW.fault(), Error::PANICKED.fault()), (Store, Store, Data));
    }

    #[test]
    fn a_rule_that_says_no_is_told_from_a_store_that_fails() {
        let (denied, failed) = (Error::from(Denial::ServerUnavailable), Error::from(sqlx::Error::PoolTimedOut));
        assert_eq!((denied.denied(), failed.denied()), (Some(Denial::ServerUnavailable), None));
        // Another try would be denied too, and the store is none the worse for it.
        assert_eq!((denied.fault(), denied.is_of_the_way()), (Fault::Data, false));
        assert_eq!((Denial::from(denied), Denial::from(failed)), (Denial::ServerUnavailable, Denial::StoreUnavailable));
    }

    #[test]
    fn codes_of_both_databases_are_told_apart() {
        use Fault::{Data, Store, Unclear};
        for (code, fault) in [
            ("08006", Store),
            ("25006", Store),
            ("28P01", Store),
            ("40P01", Store),
            ("53100", Store),
            ("55P03", Store),
            ("57014", Store),
            ("57P01", Store),
            ("42501", Store),
            ("XX000", Unclear),
            ("22003", Data),
            ("22021", Data),
            ("23505", Data),
            ("42P01", Data),
            ("", Data),
        ] {
            assert_eq!(fault_of_postgres(code), fault, "PostgreSQL {code}");
        }
        for (code, fault) in [
            ("5", Store),
            ("261", Store),
            ("6", Store),
            ("8", Store),
            ("1032", Store),
            ("10", Store),
            ("10250", Store),
            ("11", Store),
            ("13", Store),
            ("14", Store),
            ("26", Store),
            ("1", Data),
            ("18", Data),
            ("787", Data),
            ("1811", Data),
            ("2067", Data),
            ("3091", Data),
            ("", Unclear),
        ] {
            assert_eq!(fault_of_sqlite(code), fault, "SQLite {code}");
        }
    }
}
