//! [`Meeting`]: a meeting in memory, from when it is promised until nothing is carried for it any more.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    fresh::{Fresh, Moment, Touched},
    load::Share,
    lock::lock,
};
use crate::{
    bbb::{meeting_id, xml::Answer},
    domain::{
        backend_error::BackendError,
        ids::{ExternalId, InternalId, MeetingNumber, ServerId, ServerMeetingId, TenantId},
        limits::{Limit, Limits},
        meeting::{AFTERGLOW, AFTERGLOW_MAX, Life},
        placement::expected,
        session::TokenHash,
        tenant::Tenant,
        time::{Deadline, Timestamp},
    },
};

/// What is known of a meeting when it comes into memory.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its number in the store.
    pub id: MeetingNumber,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which account's.
    pub account: Box<str>,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The server it runs on.
    pub server: ServerId,
    /// Its seats; `None` for no bound.
    pub participants: Option<u32>,
    /// How many people are expected, if that is known.
    pub expected: Option<u32>,
    /// When it was promised.
    pub created_at: Timestamp,
    /// When its time is over; `None` where that is left to the limits of its tenant.
    pub ends_at: Option<Deadline>,
    /// Whether it may leave a recording.
    pub records: bool,
    /// How long what follows its end is carried, if that is known.
    pub afterglow: Option<Duration>,
    /// Where it is in its life.
    pub life: Life,
}

/// A meeting that runs.
#[derive(Debug)]
pub struct Meeting {
    /// Its number in the store.
    pub id: MeetingNumber,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which account's.
    pub account: Box<str>,
    /// The tenant's `meetingID`.
    pub ext_id: ExternalId,
    /// The id under which the server knows it.
    pub server_meeting_id: ServerMeetingId,
    /// The server it runs on.
    pub server: ServerId,
    /// Its seats, fixed when it was promised: the minimum of what was asked and what the level allowed; `None` for no bound.
    pub participants: Option<u32>,
    /// When it was promised.
    pub created_at: Timestamp,
    /// When its time is over; `None` where that is left to the limits of its tenant.
    pub ends_at: Option<Deadline>,
    /// Whether it may leave a recording.
    pub records: bool,
    /// How long what follows its end is carried.
    pub afterglow: Duration,
    /// Another gateway that has asked a server for it, and has died before the answer came, or has been slow.
    orphan_of: Option<Arc<str>>,
    /// Documents that were given to it while it ran.
    pub documents: AtomicU32,
    /// The server's internal id, once it has answered.
    internal_id: OnceLock<InternalId>,
    /// What the server says of it, for a moment.
    pub info: Fresh<Answer, BackendError>,
    /// When something was last done to it through the gateway.
    touched: Touched,
    /// The same for all its tenant's meetings on its server.
    pub(super) touched_on_server: OnceLock<Arc<Touched>>,
    /// Polls in a row in which its server did not list it.
    missed: AtomicU32,
    strangers: Mutex<Strangers>,
    /// What it was promised under; `None` where that was before this start.
    limits: Option<Arc<Limits>>,
    /// Its part in the load of its server.
    pub(super) share: Share,
    /// The tokens of its sessions.
    pub(super) sessions: Mutex<Vec<TokenHash>>,
    /// What the internal ids of its breakout rooms begin with, the oldest first.
    pub(super) breakouts: Mutex<Vec<Box<str>>>,
}

impl Meeting {
    /// A meeting of which this is known: neither the limits it was promised under nor what happens in it.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let (orphan_of, internal_id) = match facts.life {
            Life::Reserved => (None, OnceLock::new()),
            Life::Orphaned { of } => (Some(of), OnceLock::new()),
            Life::Running { internal_id } => (None, internal_id.into()),
        };
        let seats = seats(facts.participants);
        Self {
            id: facts.id,
            server_meeting_id: meeting_id::to_server(&facts.tenant, facts.ext_id.as_str()).into(),
            tenant: facts.tenant,
            account: facts.account,
            ext_id: facts.ext_id,
            server: facts.server,
            participants: facts.participants,
            created_at: facts.created_at,
            ends_at: facts.ends_at,
            records: facts.records,
            afterglow: facts.afterglow.unwrap_or(AFTERGLOW).min(AFTERGLOW_MAX),
            orphan_of,
            documents: AtomicU32::new(0),
            internal_id,
            info: Fresh::default(),
            touched: Touched::default(),
            touched_on_server: OnceLock::new(),
            missed: AtomicU32::new(0),
            strangers: Mutex::default(),
            limits: None,
            share: Share::new(facts.expected.unwrap_or_else(|| expected(None, seats)), facts.created_at),
            sessions: Mutex::default(),
            breakouts: Mutex::default(),
        }
    }

    /// The same as it has just been promised, under these limits.
    #[must_use]
    pub fn promised(self, limits: Arc<Limits>) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// How many may be in it at once.
    #[must_use]
    pub fn seats(&self) -> Limit<u32> {
        seats(self.participants)
    }

    /// The limits that hold for it, whatever becomes of its tenant's meanwhile. After a restart, for want of a better
    /// knowledge, these are those of its tenant as it is now.
    #[must_use]
    pub fn limits<'a>(&'a self, tenant: &'a Tenant) -> &'a Limits {
        self.limits.as_deref().unwrap_or(&tenant.limits)
    }

    /// The server's internal id, once it has answered.
    #[must_use]
    pub fn internal_id(&self) -> Option<&InternalId> {
        self.internal_id.get()
    }

    /// The server has given it this internal id. Returns whether it had none.
    pub(super) fn set_internal_id(&self, internal_id: InternalId) -> bool {
        self.internal_id.set(internal_id).is_ok()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn life(&self) -> Life {
        match (self.internal_id.get(), &self.orphan_of) {
            (Some(internal_id), _) => Life::Running { internal_id: internal_id.clone() },
            (None, Some(of)) => Life::Orphaned { of: Arc::clone(of) },
            (None, None) => Life::Reserved,
        }
    }

    /// Whether this other gateway has reserved it, as far as is known here.
    #[must_use]
    pub fn was_reserved_by(&self, gateway: &str) -> bool {
        self.orphan_of.as_deref() == Some(gateway)
    }

    /// Whether an internal id can be one of this meeting: a server, which may be a tenant's own, must not claim another's.
    #[must_use]
    pub fn may_be_called(&self, internal_id: &str) -> bool {
        meeting_id::is_internal(internal_id)
            && internal_id.starts_with(&meeting_id::internal_start(self.server_meeting_id.as_str()))
    }

    /// Notes whether its server listed it. Returns in how many polls in a row it did not.
    pub fn listed(&self, listed: bool) -> u32 {
        if listed {
            self.missed.store(0, Relaxed);
            0
        } else {
            self.missed.fetch_add(1, Relaxed).saturating_add(1)
        }
    }

    /// A poll has found people who have come by no join of ours. Returns how many take a seat from now on, if that is news:
    /// as many as the last two polls agree on.
    pub fn strangers_found(&self, found: u32) -> Option<u32> {
        let mut strangers = lock(&self.strangers);
        let agreed = found.min(strangers.last);
        strangers.last = found;
        let news = strangers.seated.replace(agreed) != Some(agreed);
        news.then_some(agreed)
    }

    /// The number of strangers could not be written to the store: retried after the next poll.
    pub fn strangers_untold(&self) {
        lock(&self.strangers).seated = None;
    }

    /// How many people are in it through this gateway.
    #[must_use]
    pub fn present(&self) -> u32 {
        self.share.present()
    }

    /// Something is done to it: what was asked before that is out of date.
    pub fn touch(&self) {
        self.touched.touch();
        if let Some(on_server) = self.touched_on_server.get() {
            on_server.touch();
        }
    }

    /// When something was last done to it.
    #[must_use]
    pub fn touched(&self) -> Moment {
        self.touched.at()
    }
}

/// People in a meeting who have come by no join of ours.
#[derive(Debug, Default)]
struct Strangers {
    /// As of the last poll.
    last: u32,
    /// How many take a seat, as far as the store has been told; `None` where that is not known.
    seated: Option<u32>,
}

fn seats(participants: Option<u32>) -> Limit<u32> {
    participants.map_or(Limit::Unlimited, Limit::AtMost)
}
