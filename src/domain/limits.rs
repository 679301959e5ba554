//! [`Limits`]: what a service level allows, as values.

use std::time::Duration;

/// A bound, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// This many or this long, and no more.
    AtMost(T),
    /// No bound.
    Unlimited,
}

impl<T: Ord + Copy> Limit<T> {
    /// Whether `taken` places, the asking one not among them, leave room for one more.
    pub fn has_room(self, taken: T) -> bool {
        match self {
            Self::AtMost(limit) => taken < limit,
            Self::Unlimited => true,
        }
    }

    /// The minimum of what was asked for and what is allowed. `None` asks for as much as is allowed.
    #[must_use]
    pub fn clamp(self, asked: Option<T>) -> Self {
        match (self, asked) {
            (Self::AtMost(limit), Some(asked)) => Self::AtMost(limit.min(asked)),
            (Self::Unlimited, Some(asked)) => Self::AtMost(asked),
            (limit, None) => limit,
        }
    }
}

/// Whether a meeting may be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Never: the recording parameters are forced off.
    Never,
    /// When the `create` of the room asks for it.
    PerRoom,
    /// When the `create` asks for it; the level puts no condition on it.
    AlwaysAllowed,
}

/// Every number of a service level, after the tenant's own exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Accounts of the tenant that may have rooms at once.
    pub accounts: Limit<u32>,
    /// Rooms per account.
    pub rooms: Limit<u32>,
    /// Participants per meeting.
    pub participants: Limit<u32>,
    /// Length of one meeting, from its creation.
    pub duration: Limit<Duration>,
    /// Whether meetings may be recorded.
    pub recording: Recording,
    /// Hosts outside the operator's base domains.
    pub own_domains: Limit<u32>,
    /// Whether the tenant's branding is applied.
    pub branding: bool,
    /// Whether meetings may have breakout rooms.
    pub breakouts: bool,
    /// How long a room keeps its place after its meeting has ended.
    pub room_retention: Duration,
    /// How long ago runs of a room may have ended that still count towards its duration; zero for none.
    pub duration_window: Duration,
    /// Documents that may be given to one meeting while it runs.
    pub documents: Limit<u32>,
    /// The largest body with documents of a `create` or an `insertDocument`, in bytes.
    pub body: u32,
    /// Webhooks of the tenant.
    pub webhooks: Limit<u32>,
    /// What of their events goes out.
    pub webhook_data: WebhookData,
}

/// What goes out in the events of webhooks beside the names of people and meetings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookData {
    /// Addresses and browsers of participants.
    pub addresses: bool,
    /// What people write, say and answer: chat, shared notes, polls, captions.
    pub content: bool,
}

/// What a level allows of [`Limits::documents`] that does not say so: more than a day of slides, and an end to a flood.
pub const DOCUMENTS: Limit<u32> = Limit::AtMost(100);

/// What a level allows of [`Limits::body`] that does not say so: what BBB's documentation speaks of.
pub const BODY: u32 = 2 << 20;

/// What a level allows of [`Limits::webhooks`] that does not say so: one for each meeting of some days, and an end to a flood.
pub const WEBHOOKS: Limit<u32> = Limit::AtMost(100);

/// The most that a level may allow of [`Limits::body`]: slides in base64 have up to 45 MB in the wild.
pub const BODY_MAX: u32 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_clamped_to_what_is_allowed() {
        use Limit::{AtMost, Unlimited};
        for (limit, asked, expected) in [
            (AtMost(10), Some(5), AtMost(5)),
            (AtMost(10), Some(10), AtMost(10)),
            (AtMost(10), Some(11), AtMost(10)),
            (AtMost(10), None, AtMost(10)),
            (Unlimited, Some(7), AtMost(7)),
            (Unlimited, None, Unlimited),
        ] {
            assert_eq!(limit.clamp(asked), expected, "{limit:?} asked {asked:?}");
        }
    }
}
