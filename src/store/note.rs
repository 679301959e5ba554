//! What is written after the fact: what follows from promises, and what was carried.

use std::time::Duration;

use crate::domain::{
    ids::{InternalId, MeetingNumber, SessionNumber, TenantId},
    session::TokenHash,
    time::Timestamp,
};

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A server has made the meeting, under an id that is one of this meeting's own; if it may leave a recording, that will be
    /// the tenant's.
    Created {
        /// The meeting's number.
        meeting: MeetingNumber,
        /// Its internal id.
        internal_id: InternalId,
    },
    /// A server has made the session.
    Bound {
        /// The session's number.
        session: SessionNumber,
        /// The hash of its token.
        token: TokenHash,
    },
    /// Somebody is present: the first socket of the session has opened on this gateway.
    Opened {
        /// The session's number.
        session: SessionNumber,
        /// When.
        at: Timestamp,
    },
    /// The last socket of the session has closed on this gateway.
    Closed {
        /// The session's number.
        session: SessionNumber,
        /// When.
        at: Timestamp,
        /// How long the seat counts from now on, unless it is present elsewhere.
        until: Timestamp,
        /// How long nobody was there since the `Opened` before this.
        absent: Duration,
    },
    /// A join failed.
    Dropped {
        /// The session's number.
        session: SessionNumber,
    },
}

impl Note {
    /// What it is about, for the log: the kind, and the number of the meeting or session.
    pub(super) fn subject(&self) -> (&'static str, i64) {
        match *self {
            Self::Created { meeting, .. } => ("created", meeting.get()),
            Self::Bound { session, .. } => ("bound", session.get()),
            Self::Opened { session, .. } => ("opened", session.get()),
            Self::Closed { session, .. } => ("closed", session.get()),
            Self::Dropped { session } => ("dropped", session.get()),
        }
    }
}

/// Bytes that were carried for a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The tenant.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// From browsers.
    pub up: i64,
    /// To browsers.
    pub down: i64,
}
