//! What a `create` asks for, once its parameters are what the level allows.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::super::{Unfit, Verified};
use crate::{
    bbb::{answer::Failure, meeting_id as ids, params, query::Params, validate},
    domain::{
        ids::ServerId,
        limits::Limit,
        meeting::afterglow,
        placement::expected,
        time::{Deadline, Timestamp},
    },
    live::Meeting,
    store::{MeetingRow, NewMeeting, Store},
};

/// A `create` whose parameters are what the level allows.
pub(super) struct Order {
    pub(super) call: Verified,
    /// The tenant's id of the meeting.
    pub(super) ext_id: String,
    /// The server's.
    pub(super) server_id: String,
    pub(super) account: String,
    pub(super) params: Params,
    participants: Option<u32>,
    /// The people to reckon with while it is young.
    pub(super) expected: u32,
    records: bool,
}

impl Order {
    pub(super) fn new(call: Verified) -> Result<Self, Unfit> {
        let asked = &call.asked;
        let tenant = &asked.tenant;
        validate::create(&params::seen(&tenant.rules.create, &call.params))?;
        let ext_id = call.params.get("meetingID").ok_or(Failure::MEETING_ID_INVALID)?.to_owned();
        let mut defaults = Vec::new();
        if tenant.limits.branding {
            let brings_slides = call.modules.as_ref().is_some_and(|(_, documents)| *documents > 0)
                || call.params.get("preUploadedPresentation").is_some();
            defaults = tenant.branding.of_create(&asked.authority, brings_slides);
        }
        // BBB's own default is the server.
        defaults.push(("logoutURL", format!("https://{}/", asked.authority)));
        let params::Create { mut params, participants, size_hint, records } =
            params::create(&call.params, &tenant.limits, &tenant.rules, &defaults)?;
        let server_id = ids::to_server(&asked.tenant.id, &ext_id);
        params.set("meetingID", &*server_id);
        let account = match &asked.tenant.account_param {
            Some(name) => call.params.get(name).unwrap_or("").to_owned(),
            None => call.credential.to_string(),
        };
        let expected = expected(size_hint, participants);
        let participants = match participants {
            Limit::AtMost(n) => Some(n),
            Limit::Unlimited => None,
        };
        Ok(Self { ext_id, server_id, account, params, participants, expected, records, call })
    }

    /// What is promised at a server; nothing that has ended counts.
    pub(super) fn new_meeting<'a>(&'a self, store: &'a Store, server: &'a ServerId, now: Timestamp) -> NewMeeting<'a> {
        NewMeeting {
            tenant: &self.call.asked.tenant.id,
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

    /// When the time of a meeting is over that begins now, at the latest: as its server is told. It never is for one without
    /// a limit.
    fn ends_at(&self, now: Timestamp) -> Deadline {
        let minutes = self.params.get("duration").and_then(|minutes| minutes.parse::<i64>().ok());
        match minutes.and_then(|minutes| u64::try_from(minutes).ok()).filter(|minutes| *minutes > 0) {
            Some(minutes) => Deadline::At(now.saturating_add(Duration::from_secs(minutes.saturating_mul(60)))),
            None => Deadline::Never,
        }
    }

    /// How long what follows the end is carried: as long as its server was told to keep it.
    fn afterglow(&self) -> Duration {
        let minutes = self.params.get("learningDashboardCleanupDelayInMinutes");
        afterglow(minutes.and_then(|minutes| minutes.parse().ok()))
    }

    /// What is promised. A room that runs anew stays with the account that it was counted for.
    pub(super) fn meeting(&self, id: i64, server: &ServerId, account: &str) -> Meeting {
        let asked = &self.call.asked;
        let meeting = Meeting::from_row(MeetingRow {
            id,
            tenant: asked.tenant.id.clone(),
            account: account.to_owned(),
            ext_id: self.ext_id.clone(),
            server: server.clone(),
            participants: self.participants,
            expected: Some(self.expected),
            internal_id: None,
            create_time: None,
            created_at: asked.now,
            ended_at: None,
            ends_at: Some(self.ends_at(asked.now)),
            afterglow: Some(self.afterglow()),
            records: self.records,
            owner: None,
        })
        .promised(asked.tenant.limits.clone());
        let documents = self.call.modules.as_ref().map_or(0, |(_, documents)| *documents);
        meeting.documents.store(documents, Relaxed);
        meeting
    }
}
