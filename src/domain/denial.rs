//! [`Denial`]: every refusal that is the gateway's own, with the words and the status it is answered with.

use http::StatusCode;

/// A table of refusals: for each its name, its key, its HTTP status and its sentence.
macro_rules! denials {
    ($($(#[doc = $doc:literal])+ $name:ident: $key:literal, $status:ident, $message:literal;)+) => {
        /// Why the gateway refuses a request. What BBB itself would refuse is a `bbb::answer::Failure`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Denial {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Denial {
            /// All of them, for metrics and tests.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$name),+];

            /// The stable key for programs: `messageKey` of the XML, label of the metric.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            /// One sentence for the person or the log that reads the answer: the reason, and nothing of the inside.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)+
                }
            }

            /// The HTTP status of a refusal that is answered in HTTP's own terms. BBB's API answers 200 and says it in XML.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)+
                }
            }
        }
    };
}

denials! {
    /// No tenant has this host, or the host is not the one of the TLS handshake (RFC 9110, 15.5.20).
    UnknownHost: "unknownHost", MISDIRECTED_REQUEST,
        "This host is not served here.";
    /// The tenant is suspended by the operator.
    TenantSuspended: "tenantSuspended", FORBIDDEN,
        "This organisation's meetings are suspended at the moment.";
    /// All accounts of the level have rooms already, and this would be another account's.
    AccountLimitReached: "accountLimitReached", FORBIDDEN,
        "All accounts of this service level have rooms open already.";
    /// The account has as many rooms as the level allows.
    RoomLimitReached: "roomLimitReached", FORBIDDEN,
        "This account has as many rooms open as its service level allows.";
    /// Earlier runs of the room have used up the duration that the level allows.
    DurationUsedUp: "durationUsedUp", FORBIDDEN,
        "This room has used up the time that its service level allows for now.";
    /// The meeting has been given as many documents as the level allows.
    DocumentLimitReached: "documentLimitReached", FORBIDDEN,
        "This meeting has been given as many documents as its service level allows.";
    /// The meeting has as many participants as the level, or its creator, allows.
    // The sentence is BBB's own: clients know it (docs/reference/bbb-protocol.md, "Error keys").
    MaxParticipantsReached: "maxParticipantsReached", FORBIDDEN,
        "The number of participants allowed for this meeting has been reached.";
    /// No BBB server of the pool takes a meeting now.
    NoServerAvailable: "noServerAvailable", SERVICE_UNAVAILABLE,
        "No meeting server is free at the moment.";
    /// The BBB server of this meeting does not answer.
    ServerUnavailable: "serverUnavailable", BAD_GATEWAY,
        "The server of this meeting does not answer at the moment.";
    /// The store did not make the promise that the call needs.
    StoreUnavailable: "storeUnavailable", SERVICE_UNAVAILABLE,
        "New meetings and participants cannot be admitted right now.";
    /// The request is larger than the gateway takes.
    TooLarge: "requestTooLarge", PAYLOAD_TOO_LARGE,
        "The request is too large.";
    /// The path is none that the gateway carries, or not one of this tenant.
    NotFound: "notFound", NOT_FOUND,
        "There is nothing at this address.";
    /// The session token is none of this tenant.
    UnknownSession: "unknownSession", UNAUTHORIZED,
        "This session is not known here.";
    /// Too many of a kind in a second: from one address, or of one tenant.
    RateLimited: "rateLimited", TOO_MANY_REQUESTS,
        "Too many requests in a short time.";
    /// A bound of the gateway is reached, and waiting for room has taken too long.
    Overloaded: "overloaded", SERVICE_UNAVAILABLE,
        "The gateway has too much to do at the moment.";
}
