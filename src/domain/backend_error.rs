//! [`BackendError`]: why a server gave no usable answer, be it to a call, a forwarded request or the opening of a WebSocket;
//! [`BodyFault`]: why a body was not read to its end.

use std::{convert::Infallible, fmt};

use super::denial::Denial;

/// Why a server gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendError {
    /// No connection could be opened, or none was tried since the server is offline: nothing was sent, another server may be
    /// asked.
    Connect,
    /// Nothing was sent, and nothing has been learned of the server: this machine has no file handle, port or memory left, or
    /// too many bodies are on their way there.
    Exhausted,
    /// The server did not answer in time; it may have acted.
    Timeout,
    /// The server takes no address or no body of this length: it did not act.
    TooLong,
    /// The body of the request did not come whole. Of the server nothing has been learned; it has not had a whole request.
    Body(BodyFault),
    /// The connection broke, or the answer was too large or not what was asked for: the server may or may not have acted.
    Broken,
}

impl BackendError {
    /// How a caller is refused because of it.
    #[must_use]
    pub fn denial(self) -> Denial {
        match self {
            Self::TooLong | Self::Body(BodyFault::TooLarge) => Denial::TooLarge,
            Self::Exhausted | Self::Body(BodyFault::NoRoom) => Denial::Overloaded,
            Self::Body(BodyFault::Refused) => Denial::NotFound,
            Self::Connect | Self::Timeout | Self::Body(BodyFault::Broken | BodyFault::Slow) | Self::Broken => {
                Denial::ServerUnavailable
            }
        }
    }
}

impl From<BodyFault> for BackendError {
    fn from(fault: BodyFault) -> Self {
        Self::Body(fault)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Exhausted => "no file handle, port or memory for a connection",
            Self::Timeout => "no answer in time",
            Self::TooLong => "address or body too long for the server",
            Self::Body(fault) => return fault.fmt(f),
            Self::Broken => "invalid answer or broken connection",
        })
    }
}

/// Why a body was not read to its end. It is its sender's doing, or the gateway's: nothing has been learned of the server that
/// the body of a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It ended early, was longer than its length, had chunks that are none, or was given up.
    Broken,
    /// It came too slowly, and was broken off.
    Slow,
    /// A check of the body on its way to the server refused it.
    Refused,
    /// It is longer than what is taken.
    TooLarge,
    /// There was no room for it, and none became free.
    NoRoom,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "the request body is incomplete",
            Self::Slow => "the request body arrived too slowly",
            Self::Refused => "the request body was refused",
            Self::TooLarge => "the request body is too large",
            Self::NoRoom => "no room for the request body",
        })
    }
}

impl std::error::Error for BodyFault {}

impl From<Infallible> for BodyFault {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
