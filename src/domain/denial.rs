//! [`Denial`]: every refusal that is the gateway's own, with the words and the status it is answered with.

use http::StatusCode;

/// Why the gateway refuses a request. What BBB itself would refuse is in `bbb::error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// No tenant has this host, or the host is not the one of the TLS handshake (RFC 9110, 15.5.20).
    UnknownHost,
    /// The tenant is suspended by the operator.
    TenantSuspended,
    /// All accounts of the level have rooms already, and this would be another account's.
    AccountLimitReached,
    /// The account has as many rooms as the level allows.
    RoomLimitReached,
    /// Earlier runs of the room have used up the duration that the level allows.
    DurationUsedUp,
    /// The meeting has been given as many documents as the level allows.
    DocumentLimitReached,
    /// The meeting has as many participants as the level, or its creator, allows.
    MaxParticipantsReached,
    /// No BBB server of the pool takes a meeting now.
    NoServerAvailable,
    /// The BBB server of this meeting does not answer.
    ServerUnavailable,
    /// The store did not make the promise that the call needs.
    StoreUnavailable,
    /// The request is larger than the gateway takes.
    TooLarge,
    /// The path is none that the gateway carries, or not one of this tenant.
    NotFound,
    /// The session token is none of this tenant.
    UnknownSession,
    /// Too many of a kind in a second: from one address, or of one tenant.
    RateLimited,
    /// A bound of the gateway is reached, and waiting for room has taken too long.
    Overloaded,
}

impl Denial {
    /// All of them, for metrics and tests.
    pub const ALL: [Self; 15] = [
        Self::UnknownHost,
        Self::TenantSuspended,
        Self::AccountLimitReached,
        Self::RoomLimitReached,
        Self::DurationUsedUp,
        Self::DocumentLimitReached,
        Self::MaxParticipantsReached,
        Self::NoServerAvailable,
        Self::ServerUnavailable,
        Self::StoreUnavailable,
        Self::TooLarge,
        Self::NotFound,
        Self::UnknownSession,
        Self::RateLimited,
        Self::Overloaded,
    ];

    /// The stable key for programs: `messageKey` of the XML, label of the metric.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknownHost",
            Self::TenantSuspended => "tenantSuspended",
            Self::AccountLimitReached => "accountLimitReached",
            Self::RoomLimitReached => "roomLimitReached",
            Self::DurationUsedUp => "durationUsedUp",
            Self::DocumentLimitReached => "documentLimitReached",
            Self::MaxParticipantsReached => "maxParticipantsReached",
            Self::NoServerAvailable => "noServerAvailable",
            Self::ServerUnavailable => "serverUnavailable",
            Self::StoreUnavailable => "storeUnavailable",
            Self::TooLarge => "requestTooLarge",
            Self::NotFound => "notFound",
            Self::UnknownSession => "unknownSession",
            Self::RateLimited => "rateLimited",
            Self::Overloaded => "overloaded",
        }
    }

    /// One sentence for whoever reads the answer: the reason, never the inside.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownHost => "This host is not served here.",
            Self::TenantSuspended => "This organisation's meetings are suspended at the moment.",
            Self::AccountLimitReached => "All accounts of this service level have rooms open already.",
            Self::RoomLimitReached => "This account has as many rooms open as its service level allows.",
            Self::DurationUsedUp => "This room has used up the time that its service level allows for now.",
            Self::DocumentLimitReached => "This meeting has been given as many documents as its service level allows.",
            // BBB's own sentence: clients know it (docs/reference/bbb-protocol.md, "Error keys").
            Self::MaxParticipantsReached => "The number of participants allowed for this meeting has been reached.",
            Self::NoServerAvailable => "No meeting server is free at the moment.",
            Self::ServerUnavailable => "The server of this meeting does not answer at the moment.",
            Self::StoreUnavailable => "New meetings and participants cannot be admitted right now.",
            Self::TooLarge => "The request is too large.",
            Self::NotFound => "There is nothing at this address.",
            Self::UnknownSession => "This session is not known here.",
            Self::RateLimited => "Too many requests in a short time.",
            Self::Overloaded => "The gateway has too much to do at the moment.",
        }
    }

    /// The HTTP status of a refusal that is answered in HTTP's own terms. BBB's API answers 200 and says it in XML.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::TenantSuspended
            | Self::AccountLimitReached
            | Self::RoomLimitReached
            | Self::DurationUsedUp
            | Self::DocumentLimitReached
            | Self::MaxParticipantsReached => StatusCode::FORBIDDEN,
            Self::NoServerAvailable | Self::StoreUnavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerUnavailable => StatusCode::BAD_GATEWAY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::UnknownSession => StatusCode::UNAUTHORIZED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}
