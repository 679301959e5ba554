//! What is written and read, in the domain's own words.

mod certificates;
mod webhooks;

use std::time::Duration;

use crate::domain::{
    callback::{Form, State},
    ids::{ExternalId, InternalId, MeetingNumber, ServerId, ServerMeetingId, SessionNumber, TenantId},
    limits::Limit,
    session::{Held, TokenHash, UserKey},
    time::{Deadline, Timestamp},
};

pub use certificates::{
    CertificateRow, ChallengeRow, DomainFilter, DomainRow, DomainState, Due, KnownCertificate, NewOrder, Spent,
    SpentSince,
};
pub use webhooks::{AddedEvent, AddedWebhook, EventRow, NewEvent, NewWebhook, RegisteredWebhook, Tried, WebhookRow};

/// A meeting that is to be promised.
#[derive(Debug, Clone)]
pub struct NewMeeting<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Which account's.
    pub account: &'a str,
    /// The tenant's `meetingID`.
    pub ext_id: &'a str,
    /// The server that was chosen.
    pub server: &'a ServerId,
    /// The gateway that asks it.
    pub owner: &'a str,
    /// `maxParticipants` as asked for.
    pub participants: Option<u32>,
    /// How many people are expected.
    pub expected: u32,
    /// Whether it may leave a recording.
    pub records: bool,
    /// When its time is over; `None` to leave that to the limits of its tenant.
    pub ends_at: Option<Deadline>,
    /// How long what follows its end is carried.
    pub afterglow: Duration,
    /// Now.
    pub now: Timestamp,
    /// Rooms that ended after this still count; `None` where none does.
    pub retained_since: Option<Timestamp>,
    /// Runs of the same room that ended after this count towards its duration; `None` where none does.
    pub runs_since: Option<Timestamp>,
}

/// A meeting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetingRow {
    /// Its number in the store.
    pub id: MeetingNumber,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which account's.
    pub account: String,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The server it runs on.
    pub server: ServerId,
    /// `maxParticipants` as asked for.
    pub participants: Option<u32>,
    /// How many people were expected, if that was written down.
    pub expected: Option<u32>,
    /// When it was promised.
    pub created_at: Timestamp,
    /// When its time is over, if that was written down.
    pub ends_at: Option<Deadline>,
    /// Whether it may leave a recording.
    pub records: bool,
    /// How long what follows its end is carried, if that was written down.
    pub afterglow: Option<Duration>,
    /// Where it is in its life.
    pub state: MeetingState,
}

/// Where a meeting that is kept is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeetingState {
    /// Its room is reserved.
    Reserved {
        /// The gateway that asks a server for it, if that was written down.
        owner: Option<String>,
    },
    /// Its server has made it.
    Running {
        /// The server's internal id.
        internal_id: InternalId,
    },
    /// It has ended.
    Ended {
        /// When.
        at: Timestamp,
        /// The server's internal id, if it had answered.
        internal_id: Option<InternalId>,
    },
}

impl MeetingRow {
    /// The gateway that asks a server for it, empty where that was not written down; `None` once it is made or has ended.
    #[must_use]
    pub fn reserved_by(&self) -> Option<&str> {
        match &self.state {
            MeetingState::Reserved { owner } => Some(owner.as_deref().unwrap_or_default()),
            MeetingState::Running { .. } | MeetingState::Ended { .. } => None,
        }
    }
}

/// A run of a meeting, and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its number in the store.
    pub id: MeetingNumber,
    /// The server that has it.
    pub server: &'a ServerId,
    /// The meeting's id on the server.
    pub server_meeting_id: &'a ServerMeetingId,
    /// The server's internal id, if it has answered.
    pub internal_id: Option<&'a InternalId>,
}

/// What became of a `create`.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The room is promised.
    New {
        /// Its number.
        id: MeetingNumber,
        /// How long earlier runs of it have lasted that still count.
        used: Duration,
    },
    /// The tenant has a meeting with this id.
    Existing(MeetingRow),
}

/// A seat that is to be promised.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// The number of the meeting.
    pub meeting: MeetingNumber,
    /// Whose it is, if the caller said so.
    pub user: Option<&'a UserKey>,
    /// Now.
    pub now: Timestamp,
    /// How long it is held.
    pub held: Held,
    /// Seats of the meeting, and as many of all its breakout rooms together.
    pub seats: Limit<u32>,
    /// The breakout room that it is in, by the server's internal id; `None` in the meeting itself.
    pub breakout: Option<&'a str>,
}

/// A seat that is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seated {
    /// The session's number.
    pub id: SessionNumber,
    /// The session of the same person that was no longer open, and whose seat this is.
    pub instead_of: Option<SessionNumber>,
}

/// How many seats of a meeting are in use, those of its breakout rooms left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seats {
    /// Those that count: of people who are here, on their way or just gone.
    pub taken: u32,
    /// Of these, those of people who are here.
    pub present: u32,
}

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its number in the store.
    pub id: SessionNumber,
    /// The number of its meeting.
    pub meeting: MeetingNumber,
    /// The hash of its token.
    pub token: TokenHash,
    /// How long its seat counts.
    pub held: Held,
    /// The breakout room that it is in, by the server's internal id; `None` in the meeting itself.
    pub breakout: Option<String>,
    /// A guest who waits to be let in: it has no seat.
    pub waits: bool,
}

/// A recording, or the meeting that may leave one, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    /// Its `recordID`.
    pub id: InternalId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The server it was made on.
    pub server: ServerId,
}

/// What a tenant has used on one day (UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// Whose it is.
    pub tenant: String,
    /// `YYYY-MM-DD`.
    pub day: String,
    /// Meetings that a server has made.
    pub meetings: i64,
    /// Time that people were present.
    pub participant_time: Duration,
    /// Most people who were present at once.
    pub peak: i64,
    /// Bytes from browsers.
    pub bytes_up: i64,
    /// Bytes to browsers.
    pub bytes_down: i64,
}

/// A run that was given up while its server was away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The server's internal id of it.
    pub internal_id: InternalId,
    /// The meeting's id on the server.
    pub server_meeting_id: ServerMeetingId,
}

/// Callbacks of one tenant that may wait at a time.
pub(super) const WAITING_MAX: i64 = 1000;
/// Callbacks that one list shows.
pub(super) const LISTED_MAX: i64 = 1000;

/// An address that a `create` has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackAddress {
    /// The parameter, as BBB keeps its name.
    pub parameter: String,
    /// The address.
    pub url: String,
    /// The label of the secret that signed the `create`.
    pub secret: String,
}

/// What a server has said.
#[derive(Debug, Clone, Copy)]
pub struct NewCallback<'a> {
    /// How it came, and is to go on.
    pub form: Form,
    /// The algorithm of its signature; empty where it has none.
    pub algorithm: &'a str,
    /// A digest by which the same is known again.
    pub content: &'a [u8],
    /// When it came.
    pub now: Timestamp,
    /// Until when its delivery is tried.
    pub try_until: Timestamp,
}

/// What has become of a callback that a server has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is in the store, now or since it was sent before.
    Yes,
    /// The tenant has as many as may wait.
    Full,
}

/// A callback as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRow {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The parameter that has its address.
    pub parameter: String,
    /// Where it goes.
    pub url: String,
    /// The label of the secret that signed the `create`.
    pub secret: String,
    /// How it goes there.
    pub form: Form,
    /// The algorithm of its signature; empty where it has none.
    pub algorithm: String,
    /// What is signed or sent; empty once it is delivered.
    pub body: String,
    /// What has become of it.
    pub state: State,
    /// When it came.
    pub received_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// Until when it is tried.
    pub try_until: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Until when the gateway that has claimed it holds it.
    pub held_until: Timestamp,
    /// What the last try came to.
    pub result: Option<String>,
}

/// How many callbacks a gateway takes to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// At the most.
    pub most: usize,
    /// Of one tenant, on all gateways.
    pub of_tenant: u32,
    /// Now.
    pub now: Timestamp,
    /// Until when they are held.
    pub until: Timestamp,
}
