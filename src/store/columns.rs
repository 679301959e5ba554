//! How times and numbers stand in columns: the one place that knows which numbers mean something else there.

use std::time::Duration;

use sqlx::{Database, Decode, Encode, Type, encode::IsNull, error::BoxDynError};

use crate::domain::{
    ids::{MeetingNumber, SessionNumber},
    session::Held,
    time::{Deadline, Timestamp},
};

/// `seat_until` of a session with an open socket.
pub(super) const PRESENT: i64 = i64::MAX;
/// `seat_until` of a session that has no seat.
const NO_SEAT: i64 = 0;
/// `seat_until` of a session that another one of the same person has replaced before anybody came with it.
pub(super) const REPLACED: i64 = -1;
/// `ends_at` of a meeting that has no end.
const NEVER: i64 = i64::MAX;

/// A type that stands in a column as a number.
pub(super) trait Column: Sized {
    fn to_column(&self) -> i64;
    fn from_column(number: i64) -> Self;
}

impl Column for Timestamp {
    fn to_column(&self) -> i64 {
        self.as_ms()
    }

    fn from_column(number: i64) -> Self {
        Self::from_ms(number)
    }
}

impl Column for Held {
    fn to_column(&self) -> i64 {
        match *self {
            Self::No => NO_SEAT,
            Self::Until(at) => at.as_ms(),
            Self::WhilePresent => PRESENT,
        }
    }

    fn from_column(number: i64) -> Self {
        match number {
            ..=NO_SEAT => Self::No,
            PRESENT => Self::WhilePresent,
            ms => Self::Until(Timestamp::from_ms(ms)),
        }
    }
}

impl Column for Deadline {
    fn to_column(&self) -> i64 {
        self.at().map_or(NEVER, Timestamp::as_ms)
    }

    fn from_column(number: i64) -> Self {
        match number {
            NEVER => Self::Never,
            ms => Self::At(Timestamp::from_ms(ms)),
        }
    }
}

impl Column for MeetingNumber {
    fn to_column(&self) -> i64 {
        self.get()
    }

    fn from_column(number: i64) -> Self {
        Self::new(number)
    }
}

impl Column for SessionNumber {
    fn to_column(&self) -> i64 {
        self.get()
    }

    fn from_column(number: i64) -> Self {
        Self::new(number)
    }
}

macro_rules! number_in_a_column {
    ($($type:ty),*) => {$(
        impl<DB: Database> Type<DB> for $type
        where
            i64: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <i64 as Type<DB>>::type_info()
            }

            fn compatible(info: &DB::TypeInfo) -> bool {
                <i64 as Type<DB>>::compatible(info)
            }
        }

        impl<'q, DB: Database> Encode<'q, DB> for $type
        where
            i64: Encode<'q, DB>,
        {
            fn encode_by_ref(&self, buf: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                self.to_column().encode(buf)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $type
        where
            i64: Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
                i64::decode(value).map(Self::from_column)
            }
        }
    )*};
}

number_in_a_column!(Timestamp, Held, Deadline, MeetingNumber, SessionNumber);

/// The length of time of a column in ms; less than nothing is nothing.
pub(super) fn length(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_column_is_read_as_what_was_written() {
        let at = Timestamp::from_ms(1_700_000_000_000);
        for (held, number) in [(Held::No, 0), (Held::Until(at), at.as_ms()), (Held::WhilePresent, i64::MAX)] {
            assert_eq!((held.to_column(), Held::from_column(number)), (number, held));
        }
        assert_eq!(Held::from_column(REPLACED), Held::No);
        for (deadline, number) in [(Deadline::At(at), at.as_ms()), (Deadline::Never, i64::MAX)] {
            assert_eq!((deadline.to_column(), Deadline::from_column(number)), (number, deadline));
        }
        assert_eq!((length(-5), length(1_500)), (Duration::ZERO, Duration::from_millis(1_500)));
    }
}
