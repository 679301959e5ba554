//! Identifiers and numbers, each its own type, so that two of them cannot be swapped.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A text is no identifier: 1 to 32 of `a` to `z`, `0` to `9` and `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name here has 1 to 32 of the characters a-z, 0-9 and -")
    }
}

impl std::error::Error for IdError {}

fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A type of its own for a text; clones share it.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// An identifier of the configuration.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        text!($(#[$doc])* $name);

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_id(text) { Ok(Self(text.into())) } else { Err(IdError) }
            }
        }
    };
}

id!(
    /// A tenant: the name of its file in `tenants/`.
    TenantId
);
id!(
    /// A policy: the name of its file in `policies/`.
    PolicyId
);
id!(
    /// A pool of BBB servers.
    PoolId
);
id!(
    /// A BBB server: its key below `[servers]`. Never shown to a browser.
    ServerId
);
id!(
    /// The short opaque name under which a browser knows a BBB server (`/s/<slug>/`), the same on every gateway.
    Slug
);

/// An id of a meeting: any text. It is checked elsewhere, if at all; the types keep one from being taken for another.
macro_rules! meeting_id {
    ($(#[$doc:meta])* $name:ident) => {
        text!($(#[$doc])* $name);

        impl $name {
            /// The id that has this text.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

meeting_id!(
    /// What the tenant calls a meeting: `meetingID` in the calls of its software.
    ExternalId
);
meeting_id!(
    /// What a BBB server calls a meeting: `meetingID` in the calls to it, unique over all tenants.
    ServerMeetingId
);
meeting_id!(
    /// What a BBB server calls one run of a meeting: `internalMeetingID`, and the `recordID` of its recording.
    InternalId
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// The thing with this number.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A run of a meeting: the number of its row in the store. A later run of the same room has a higher one.
    MeetingNumber
);
number!(
    /// A session: the number of its row in the store. A later one has a higher number.
    SessionNumber
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_32_of_its_characters() {
        for (text, legal) in [
            ("wagtail", true),
            ("co-op-2", true),
            (&*"a".repeat(32), true),
            ("", false),
            (&*"a".repeat(33), false),
            ("Wagtail", false),
            ("a.b", false),
            ("a/b", false),
            ("ä", false),
        ] {
            assert_eq!(text.parse::<TenantId>().is_ok(), legal, "{text}");
        }
    }
}
