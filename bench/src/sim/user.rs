//! Somebody who has joined a meeting.

use std::time::Instant;

use tokio::sync::watch;

use super::params::Params;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Moderator,
    Viewer,
}

impl Role {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "MODERATOR" => Some(Self::Moderator),
            "VIEWER" => Some(Self::Viewer),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moderator => "MODERATOR",
            Self::Viewer => "VIEWER",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestStatus {
    Allow,
    Wait,
    Deny,
}

impl GuestStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Wait => "WAIT",
            Self::Deny => "DENY",
        }
    }
}

/// Whether a registered user is in the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Called `join`, but never opened a GraphQL socket, or left long ago.
    Registered,
    /// Has this many GraphQL sockets.
    Online(usize),
    /// Closed the last socket then.
    Left(Instant),
}

/// What is known of the request by which somebody has joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
    pub(crate) referer: String,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) int_id: String,
    pub(crate) ext_id: String,
    pub(crate) full_name: String,
    pub(crate) role: Role,
    pub(crate) bot: bool,
    pub(crate) guest_status: GuestStatus,
    /// A guest who has had to wait, and has not come in yet (`userJoinMeeting`).
    pub(crate) is_outside: bool,
    /// A `userJoinMeeting` has come while the guest was not let in.
    pub(crate) was_refused: bool,
    pub(crate) presence: Presence,
    /// The decoded parameters of the `join`.
    pub(crate) params: Params,
    pub(crate) origin: Origin,
    /// Dropped with the user, which tells the sockets that the meeting or the stay has ended.
    pub(crate) alive: watch::Sender<()>,
}

impl User {
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.presence, Presence::Online(_))
    }

    /// Fails its `changed` when the meeting has ended, or the user was ejected.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.alive.subscribe()
    }

    /// In bbb-web's user map: online, or gone for less than the users' timeout.
    pub(crate) fn is_joined(&self) -> bool {
        self.presence != Presence::Registered
    }
}
