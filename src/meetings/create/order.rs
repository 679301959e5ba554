//! What a `create` asks for, once its parameters are what the level allows.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    bbb::query::Params,
    domain::{
        directory::Directory,
        ids::{ExternalId, MeetingNumber, ServerId},
        meeting::{Life, afterglow},
        tenant::Tenant,
        time::{Deadline, Timestamp},
    },
    live::{Facts, Meeting},
    meetings::callbacks::take::Taken,
    store::{NewMeeting, Store},
    upstream::Caller,
};

/// A `create` whose parameters are what the level allows.
pub(crate) struct Order {
    /// The configuration that it sees from start to end.
    pub(crate) directory: Arc<Directory>,
    pub(crate) tenant: Arc<Tenant>,
    /// Who it is made for.
    pub(crate) caller: Caller,
    /// When it was asked for.
    pub(crate) now: Timestamp,
    /// The tenant's id of the meeting.
    pub(crate) ext_id: String,
    /// The server's.
    pub(crate) server_meeting_id: String,
    /// Whose room it is.
    pub(crate) account: String,
    /// The parameters as they were given.
    pub(crate) given: Params,
    /// The parameters as a server gets them.
    pub(crate) params: Params,
    /// The XML body, and how many documents are in it.
    pub(crate) modules: Option<Bytes>,
    pub(crate) documents: u32,
    pub(crate) participants: Option<u32>,
    /// The people to reckon with while it is young.
    pub(crate) expected: u32,
    pub(crate) records: bool,
    /// Where its server's callbacks go on to.
    pub(crate) callbacks: Taken,
}

impl Order {
    /// What is reserved at a server; nothing that has ended counts.
    pub(super) fn new_meeting<'a>(&'a self, store: &'a Store, server: &'a ServerId, now: Timestamp) -> NewMeeting<'a> {
        NewMeeting {
            tenant: &self.tenant.id,
            account: &self.account,
            ext_id: &self.ext_id,
            server,
            owner: store.gateway(),
            participants: self.participants,
            expected: self.expected,
            records: self.records,
            ends_at: Some(self.ends_at(now)),
            afterglow: self.afterglow(),
            now,
            retained_since: None,
            runs_since: None,
        }
    }

    /// The latest end of a meeting that starts now, by the `duration` in the call to its server; never without a limit.
    fn ends_at(&self, now: Timestamp) -> Deadline {
        let minutes = self.params.get("duration").and_then(|minutes| minutes.parse::<i64>().ok());
        match minutes.and_then(|minutes| u64::try_from(minutes).ok()).filter(|minutes| *minutes > 0) {
            Some(minutes) => Deadline::At(now.saturating_add(Duration::from_secs(minutes.saturating_mul(60)))),
            None => Deadline::Never,
        }
    }

    /// How long what follows the end is carried: as long as its server was told to keep it.
    fn afterglow(&self) -> Duration {
        let minutes =
            self.params.get("learningDashboardCleanupDelayInMinutes").and_then(|text| text.parse::<i64>().ok());
        // One that is below zero says nothing.
        let minutes = minutes.and_then(|minutes| u64::try_from(minutes).ok());
        afterglow(minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))))
    }

    /// The meeting that is reserved. A room that starts again stays with the account that it was counted for.
    pub(super) fn meeting(&self, id: MeetingNumber, server: &ServerId, account: &str) -> Meeting {
        let meeting = Meeting::new(Facts {
            id,
            tenant: self.tenant.id.clone(),
            account: account.into(),
            ext_id: ExternalId::new(&self.ext_id),
            server: server.clone(),
            participants: self.participants,
            expected: Some(self.expected),
            created_at: self.now,
            ends_at: Some(self.ends_at(self.now)),
            afterglow: Some(self.afterglow()),
            records: self.records,
            life: Life::Reserved,
        })
        .promised(Arc::clone(&self.tenant.limits));
        meeting.documents.store(self.documents, Relaxed);
        meeting
    }
}

/// From when on what has ended still counts; for no time at all, nothing does.
pub(super) fn since(now: Timestamp, span: Duration) -> Option<Timestamp> {
    (!span.is_zero()).then(|| now.saturating_sub(span))
}
