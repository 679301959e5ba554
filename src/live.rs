//! What is true now: the meetings that run, the sessions in them, the state of the servers. Memory only; a restart
//! refills it from the store.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod breakouts;
#[allow(clippy::arithmetic_side_effects, reason = "sizes of what is held in memory, which has a bound")]
pub mod files;
pub mod fresh;
pub mod joins;
pub mod keyed;
mod load;
#[allow(clippy::arithmetic_side_effects, reason = "moments of this process")]
pub mod pace;
pub mod recordings;
pub mod servers;
pub mod sessions;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::{DashMap, DashSet, Entry};

use crate::{
    bbb::{meeting_id, xml::Answer},
    domain::{
        backend_error::BackendError,
        ids::{ExternalId, InternalId, MeetingNumber, ServerId, ServerMeetingId, SessionNumber, TenantId},
        limits::{Limit, Limits},
        meeting::{AFTERGLOW, AFTERGLOW_MAX, Life},
        placement::expected,
        session::{Held, TokenHash},
        tenant::Tenant,
        time::{Clock, Deadline, Timestamp},
    },
};
use breakouts::{Breakouts, Starts};
use files::Files;
use fresh::{Fresh, Moment, Touched};
use joins::Joins;
use load::Share;
use recordings::{Recording, Recordings};
use servers::Servers;
use sessions::Session;

/// Sessions that wait to be forgotten. Beyond that they stay until their meeting is over.
const REPLACED_MAX: usize = 65_536;

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
    touched_on_server: OnceLock<Arc<Touched>>,
    /// Polls in a row in which its server did not list it.
    missed: AtomicU32,
    strangers: Mutex<Strangers>,
    /// What it was promised under; `None` where that was before this start.
    limits: Option<Limits>,
    /// Its part in the load of its server.
    share: Share,
    sessions: Mutex<Vec<TokenHash>>,
    breakouts: Starts,
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
            breakouts: Starts::default(),
        }
    }

    /// The same as it has just been promised, under these limits.
    #[must_use]
    pub fn promised(self, limits: Limits) -> Self {
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
        self.limits.as_ref().unwrap_or(&tenant.limits)
    }

    /// The server's internal id, once it has answered.
    #[must_use]
    pub fn internal_id(&self) -> Option<&InternalId> {
        self.internal_id.get()
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

    /// A poll has found people who have come by no join of ours. Returns how many take a seat from now on, if that is news:
    /// as many as the last two polls agree on.
    pub fn strangers_found(&self, found: u32) -> Option<u32> {
        let mut strangers = lock(&self.strangers);
        let agreed = found.min(strangers.last);
        strangers.last = found;
        let news = strangers.seated.replace(agreed) != Some(agreed);
        news.then_some(agreed)
    }

    /// The store could not be told how many strangers take a seat: it is told after the next poll.
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

/// Where a tenant's meetings are: what its browsers may reach.
#[derive(Debug, Default)]
struct Presence {
    meetings: u32,
    touched: Arc<Touched>,
    /// Until when what follows the end of those that have ended is carried; `None` where none has.
    carried_until: Option<Timestamp>,
}

/// All that is true now.
#[derive(Debug)]
pub struct Live {
    clock: Clock,
    /// By the id under which the server knows it, which is unique over all tenants.
    meetings: DashMap<ServerMeetingId, Arc<Meeting>>,
    internal: DashMap<InternalId, Arc<Meeting>>,
    sessions: DashMap<TokenHash, Arc<Session>>,
    sessions_by_id: DashMap<SessionNumber, Arc<Session>>,
    presence: DashMap<TenantId, HashMap<ServerId, Presence>>,
    /// Meetings that have ended, by the time until which what follows is carried, and by number.
    ended: Mutex<BTreeMap<(Timestamp, MeetingNumber), Arc<Meeting>>>,
    /// Sessions whose seat another one of the same person has taken, the oldest first, with the time: at most
    /// [`REPLACED_MAX`].
    replaced: Mutex<VecDeque<(Timestamp, SessionNumber)>>,
    /// Until when it is known that a room had a meeting, by the id under which its server knows it.
    over: DashMap<ServerMeetingId, Timestamp>,
    /// The servers, their health and their load.
    pub servers: Arc<Servers>,
    /// Tenants that the operator has suspended, beside those whose file says so.
    pub suspended: DashSet<TenantId>,
    /// Whose recordings are whose.
    pub recordings: Recordings,
    /// Files of the servers' clients.
    pub files: Files,
    /// Whose breakout rooms are whose.
    pub breakouts: Breakouts,
    /// How often who joins.
    pub joins: Joins,
}

impl Live {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            meetings: DashMap::default(),
            internal: DashMap::default(),
            sessions: DashMap::default(),
            sessions_by_id: DashMap::default(),
            presence: DashMap::default(),
            ended: Mutex::default(),
            replaced: Mutex::default(),
            over: DashMap::default(),
            servers: Arc::default(),
            suspended: DashSet::default(),
            recordings: Recordings::default(),
            files: Files::default(),
            breakouts: Breakouts::default(),
            joins: Joins::default(),
        }
    }

    /// A running meeting of a tenant, by the tenant's own id.
    #[must_use]
    pub fn meeting(&self, tenant: &TenantId, ext_id: &str) -> Option<Arc<Meeting>> {
        self.meeting_on_server(&meeting_id::to_server(tenant, ext_id))
    }

    /// A running meeting, by the id under which the server knows it.
    #[must_use]
    pub fn meeting_on_server(&self, server_meeting_id: &str) -> Option<Arc<Meeting>> {
        self.meetings.get(server_meeting_id).map(|found| Arc::clone(&found))
    }

    /// Whether a run of a meeting is the one of now.
    #[must_use]
    pub fn runs(&self, meeting: &Meeting) -> bool {
        self.meetings.get(&meeting.server_meeting_id).is_some_and(|now| now.id == meeting.id)
    }

    /// A meeting by its internal id; one that has ended a moment ago included.
    #[must_use]
    pub fn meeting_of_internal(&self, internal_id: &str) -> Option<Arc<Meeting>> {
        self.internal.get(internal_id).map(|found| Arc::clone(&found))
    }

    /// A session by the hash of its token.
    #[must_use]
    pub fn session(&self, token: &TokenHash) -> Option<Arc<Session>> {
        self.sessions.get(token).map(|found| Arc::clone(&found))
    }

    /// A session by its number in the store.
    #[must_use]
    pub fn session_of_id(&self, id: SessionNumber) -> Option<Arc<Session>> {
        self.sessions_by_id.get(&id).map(|found| Arc::clone(&found))
    }

    /// All sessions that somebody is present with through this gateway.
    #[must_use]
    pub fn open_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions_by_id.iter().filter(|entry| entry.is_open()).map(|entry| Arc::clone(&entry)).collect()
    }

    /// All running meetings, as of now.
    #[must_use]
    pub fn meetings(&self) -> Vec<Arc<Meeting>> {
        self.meetings.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// How many meetings run.
    #[must_use]
    pub fn meetings_len(&self) -> usize {
        self.meetings.len()
    }

    /// Adds a meeting that has been promised. Its server carries it from now on. One that is there already stays.
    pub fn add_meeting(&self, meeting: Meeting) -> Arc<Meeting> {
        let meeting = match self.meetings.entry(meeting.server_meeting_id.clone()) {
            // A later run stays too: what was read a moment ago may be of the one before.
            Entry::Occupied(have) if have.get().id >= meeting.id => return Arc::clone(have.get()),
            place => {
                let meeting = Arc::new(meeting);
                let old = match place {
                    Entry::Occupied(mut have) => Some(have.insert(Arc::clone(&meeting))),
                    Entry::Vacant(place) => {
                        place.insert(Arc::clone(&meeting));
                        None
                    }
                };
                // Its end was not told yet.
                if let Some(old) = old {
                    let until = meeting.created_at.saturating_add(old.afterglow);
                    self.removed(old, until);
                }
                meeting
            }
        };
        let server = self.servers.of(&meeting.server);
        server.add_meeting();
        meeting.share.begin(&server, self.clock.now());
        let mut of_tenant = self.presence.entry(meeting.tenant.clone()).or_default();
        let presence = of_tenant.entry(meeting.server.clone()).or_default();
        presence.meetings = presence.meetings.saturating_add(1);
        let _ = meeting.touched_on_server.set(Arc::clone(&presence.touched));
        drop(of_tenant);
        if let Some(internal_id) = meeting.internal_id()
            && meeting.may_be_called(internal_id.as_str())
        {
            self.internal.insert(internal_id.clone(), Arc::clone(&meeting));
            self.note_recording(&meeting, internal_id);
        }
        meeting
    }

    fn note_recording(&self, meeting: &Meeting, internal_id: &InternalId) {
        if meeting.records {
            let (ext_id, server) = (meeting.ext_id.clone(), meeting.server.clone());
            self.recordings.add(&meeting.tenant, Recording { id: internal_id.clone(), ext_id, server });
        }
    }

    /// Notes the internal id that the server has given to a meeting.
    pub fn name_meeting(&self, meeting: &Arc<Meeting>, internal_id: &str) {
        // What was asked before it had a name does not count: it may have been too early for an answer.
        meeting.touch();
        let internal_id = InternalId::new(internal_id);
        if meeting.internal_id.set(internal_id.clone()).is_err() {
            return;
        }
        if !meeting.may_be_called(internal_id.as_str()) {
            tracing::warn!(server = %meeting.server, "server reports an unexpected internal meeting id");
            return;
        }
        self.note_recording(meeting, &internal_id);
        self.internal.entry(internal_id).or_insert_with(|| Arc::clone(meeting));
    }

    /// Takes a meeting out that has ended. What is carried for it lasts longer: see
    /// [`Live::forget_ended`].
    /// Returns whether it was still there.
    pub fn remove_meeting(&self, meeting: &Meeting, now: Timestamp) -> bool {
        let removed = self.meetings.remove_if(&meeting.server_meeting_id, |_, have| have.id == meeting.id);
        let Some((_, removed)) = removed else { return false };
        let until = now.saturating_add(removed.afterglow);
        self.removed(removed, until);
        true
    }

    /// Takes a meeting out that has not come about, or has been moved: nothing is carried for it any more.
    pub fn withdraw_meeting(&self, meeting: &Meeting) {
        if let Some((_, removed)) = self.meetings.remove_if(&meeting.server_meeting_id, |_, have| have.id == meeting.id)
        {
            self.removed(removed, Timestamp::MIN);
        }
    }

    /// `until` is the time until which what follows is carried.
    fn removed(&self, meeting: Arc<Meeting>, until: Timestamp) {
        let server = self.servers.of(&meeting.server);
        server.remove_meeting();
        meeting.share.end(&server);
        meeting.touch();
        if let Some(mut of_tenant) = self.presence.get_mut(&meeting.tenant)
            && let Some(presence) = of_tenant.get_mut(&meeting.server)
        {
            presence.meetings = presence.meetings.saturating_sub(1);
        }
        self.carry_on(meeting, until);
    }

    /// What follows the end of a meeting is carried until then.
    fn carry_on(&self, meeting: Arc<Meeting>, until: Timestamp) {
        let mut of_tenant = self.presence.entry(meeting.tenant.clone()).or_default();
        let presence = of_tenant.entry(meeting.server.clone()).or_default();
        presence.carried_until = presence.carried_until.max(Some(until));
        drop(of_tenant);
        let over = self.over.entry(meeting.server_meeting_id.clone());
        over.and_modify(|known| *known = until.max(*known)).or_insert(until);
        lock(&self.ended).insert((until, meeting.id), meeting);
    }

    /// Adds a meeting that ended at `ended_at` and that was not known here. Returns it, or one of its name that is there.
    pub fn add_ended(&self, meeting: Meeting, ended_at: Timestamp) -> Arc<Meeting> {
        let meeting = Arc::new(meeting);
        if let Some(internal_id) = meeting.internal_id()
            && meeting.may_be_called(internal_id.as_str())
        {
            let known = Arc::clone(&self.internal.entry(internal_id.clone()).or_insert_with(|| Arc::clone(&meeting)));
            if !Arc::ptr_eq(&known, &meeting) {
                return known;
            }
        }
        self.carry_on(Arc::clone(&meeting), ended_at.saturating_add(meeting.afterglow));
        meeting
    }

    /// Whether a room had a meeting a short while ago, and has none now.
    #[must_use]
    pub fn has_ended(&self, tenant: &TenantId, ext_id: &str) -> bool {
        let on_server = meeting_id::to_server(tenant, ext_id);
        self.over.contains_key(&*on_server) && !self.meetings.contains_key(&*on_server)
    }

    /// A meeting has left no recording, as the store knows.
    pub fn forget_recording(&self, meeting: &Meeting) {
        if let Some(internal_id) = meeting.internal_id() {
            self.recordings.remove(&meeting.tenant, internal_id.as_str());
        }
    }

    /// Forgets the meetings of which nothing is carried any more, with their sessions.
    pub fn forget_ended(&self, now: Timestamp) {
        loop {
            let mut ended = lock(&self.ended);
            let Some(first) = ended.first_entry().filter(|first| first.key().0 <= now) else { return };
            let meeting = first.remove();
            drop(ended);
            self.over.remove_if(&meeting.server_meeting_id, |_, until| *until <= now);
            self.forget_breakouts(&meeting);
            for token in std::mem::take(&mut *lock(&meeting.sessions)) {
                if let Some((_, session)) = self.sessions.remove(&token) {
                    self.sessions_by_id.remove(&session.id);
                }
            }
            if let Some(internal_id) = meeting.internal_id() {
                self.internal.remove_if(internal_id, |_, have| have.id == meeting.id);
            }
        }
    }

    /// A session of a meeting whose seat is held for so long. It is not known by its token yet: see
    /// [`Live::add_session`].
    #[must_use]
    pub fn new_session(&self, id: SessionNumber, meeting: &Arc<Meeting>, held: Held) -> Session {
        Session::new(id, Arc::clone(meeting), held, self.servers.of(&meeting.server), self.clock.clone())
    }

    /// Adds a session that a server has made. Returns whether its token is a new one: nobody takes another's.
    pub fn add_session(&self, token: TokenHash, session: Arc<Session>) -> bool {
        match self.sessions.entry(token) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                lock(&session.meeting.sessions).push(token);
                self.sessions_by_id.insert(session.id, Arc::clone(&session));
                place.insert(session);
                true
            }
        }
    }

    /// Notes that another session of the same person has taken a session's seat.
    pub fn note_replaced(&self, session: SessionNumber, now: Timestamp) {
        let mut replaced = lock(&self.replaced);
        if replaced.len() < REPLACED_MAX {
            replaced.push_back((now, session));
        }
    }

    /// Takes the next session whose seat was taken before this moment.
    pub fn next_replaced(&self, before: Timestamp) -> Option<SessionNumber> {
        lock(&self.replaced).pop_front_if(|(at, _)| *at < before).map(|(_, session)| session)
    }

    /// Forgets a session that nobody has come with.
    pub fn forget_session(&self, session: &Session) {
        self.sessions_by_id.remove(&session.id);
        // Not looked for under the lock of the list: whoever adds a session takes that one last.
        let of_meeting = lock(&session.meeting.sessions).clone();
        let is_its = |token: &&TokenHash| self.sessions.get(*token).is_some_and(|found| found.id == session.id);
        if let Some(token) = of_meeting.iter().find(is_its) {
            self.sessions.remove(token);
            lock(&session.meeting.sessions).retain(|other| other != token);
        }
    }

    /// Cuts the sockets of all sessions of a meeting.
    pub fn cut_sessions(&self, meeting: &Meeting) {
        // Whoever adds a session takes this lock last.
        let tokens = lock(&meeting.sessions).clone();
        for token in &tokens {
            if let Some(session) = self.session(token).filter(|session| session.is_open()) {
                session.cut();
            }
        }
    }

    /// Whether a tenant has, or had a moment ago, a meeting on a server.
    #[must_use]
    pub fn reaches(&self, tenant: &TenantId, server: &ServerId, now: Timestamp) -> bool {
        self.presence.get(tenant).is_some_and(|of_tenant| {
            of_tenant.get(server).is_some_and(|p| p.meetings > 0 || p.carried_until.is_some_and(|until| now < until))
        })
    }

    /// The servers on which a tenant has meetings now, with the time of the last change to them.
    #[must_use]
    pub fn servers_of(&self, tenant: &TenantId) -> Vec<(ServerId, Moment)> {
        self.presence.get(tenant).map_or_else(Vec::new, |of_tenant| {
            let present = of_tenant.iter().filter(|(_, p)| p.meetings > 0);
            present.map(|(id, p)| (id.clone(), p.touched.at())).collect()
        })
    }

    /// The meetings of a tenant that run on a server.
    #[must_use]
    pub fn meetings_on(&self, tenant: &TenantId, server: &ServerId) -> Vec<Arc<Meeting>> {
        let own = self.meetings.iter().filter(|entry| entry.tenant == *tenant && entry.server == *server);
        own.map(|entry| Arc::clone(&entry)).collect()
    }

    /// How many meetings of a tenant run.
    #[must_use]
    pub fn meetings_of(&self, tenant: &TenantId) -> u32 {
        self.presence
            .get(tenant)
            .map_or(0, |of_tenant| of_tenant.values().fold(0, |all, p| all.saturating_add(p.meetings)))
    }

    /// Notes whether a server listed a meeting. Returns in how many polls in a row it did not.
    pub fn listed(&self, meeting: &Meeting, listed: bool) -> u32 {
        if listed {
            meeting.missed.store(0, Relaxed);
            0
        } else {
            meeting.missed.fetch_add(1, Relaxed).saturating_add(1)
        }
    }
}

/// A mutex whose holder cannot have panicked half way: there is nothing in between that could.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
