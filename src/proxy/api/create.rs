//! `create`: a room is promised first, then a server is asked to make the meeting.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::Instant;

use super::{Unfit, Verified};
use crate::{
    bbb::{
        answer::Failure,
        client::{Call as ServerCall, CallError},
        meeting_id as ids, params,
        query::Params,
        validate, xml,
    },
    domain::{
        admission::{admit_room, admit_tenant, counts_rooms, duration_left},
        denial::Denial,
        ids::ServerId,
        limits::Limit,
        placement::{choose, expected},
        tenant::Server,
    },
    live::{Meeting, clock::now_ms, servers::Placing},
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer},
    store::{self, Admitted, MeetingRow, NewMeeting, Store, writer::Note},
    upstream::Body,
};

/// Servers that are tried when one cannot be reached: the first choice and two more.
const TRIES_MAX: usize = 3;
/// The caller waits for it, and the server has just been slow.
const CALL_OFF_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the answer to a `create` at another gateway is waited for: its caller has gone by then.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked for.
const OTHERS_INTERVAL: Duration = Duration::from_millis(100);

/// A `create` whose parameters are what the level allows.
struct Order {
    call: Verified,
    /// The tenant's id of the meeting.
    ext_id: String,
    /// The server's.
    server_id: String,
    account: String,
    params: Params,
    participants: Option<u32>,
    /// The people to reckon with while it is young.
    expected: u32,
    records: bool,
}

impl Gateway {
    /// Answers `create`.
    pub(super) async fn create(self: &Arc<Self>, call: Verified) -> Answer {
        let order = match Order::new(call) {
            Ok(order) => order,
            Err(unfit) => return unfit.answer(Call::Create),
        };
        // On its own, so that a caller who goes away leaves no promise half kept.
        let gateway = Arc::clone(self);
        let made = tokio::spawn(async move { gateway.make(&order).await }).await;
        made.unwrap_or_else(|_| Answer::denied(Call::Create, Denial::StoreUnavailable))
    }

    /// One at a time per meeting: the first makes it, the others find it made and get the server's own answer to that.
    async fn make(&self, order: &Order) -> Answer {
        if let Err(denial) = admit_tenant(&order.call.asked.tenant) {
            return Answer::denied(Call::Create, denial);
        }
        let _turn = self.creating.hold(&order.server_id).await;
        let mut promised: Option<Arc<Meeting>> = None;
        if let Some(meeting) = self.live.meeting_on_server(&order.server_id) {
            if !self.live.servers.of(&meeting.server).is_offline() {
                return self.make_again(order, &meeting).await;
            }
            match self.give_up(order, &meeting).await {
                Ok(Some(next)) => promised = Some(next),
                Ok(None) => {}
                Err(denial) => return Answer::denied(Call::Create, denial).by(&meeting.server),
            }
        }
        let mut tried: Vec<ServerId> = Vec::new();
        let mut used = Duration::ZERO;
        while tried.len() < TRIES_MAX {
            let Some((server, placing)) = self.place(order, &tried) else { break };
            let meeting = match self.promise(order, &server, promised.take()).await {
                Ok(Promised::New(meeting, rest)) => {
                    used = used.max(rest);
                    meeting
                }
                Ok(Promised::Existing(meeting)) => return self.make_again(order, &meeting).await,
                Err(denial) => return Answer::denied(Call::Create, denial),
            };
            drop(placing);
            let mut answered = self.order_from(order, &server, used).await;
            if answered.as_ref().is_ok_and(is_stuck) {
                // The id is free as far as we know: the server has a former run that has not quite ended (bbb.md 12, #18913).
                self.call_off(order, &server).await;
                answered = self.order_from(order, &server, used).await;
            }
            match answered {
                Ok(answer) if answer.success => {
                    self.settle(&meeting, &answer).await;
                    return Answer::xml(Call::Create, Outcome::Ok, answer.body).by(&server.id);
                }
                Ok(answer) => {
                    self.give_back(&meeting).await;
                    return Answer::xml(Call::Create, Outcome::Refused, answer.body).by(&server.id);
                }
                Err(CallError::Connect) => {
                    tried.push(server.id.clone());
                    promised = Some(meeting);
                }
                Err(error) => {
                    if error != CallError::TooLong {
                        self.call_off(order, &server).await;
                    }
                    self.give_back(&meeting).await;
                    return Answer::denied(Call::Create, error.denial()).by(&server.id);
                }
            }
        }
        if let Some(meeting) = promised {
            self.give_back(&meeting).await;
        }
        Answer::denied(Call::Create, Denial::NoServerAvailable)
    }

    /// The server for a meeting, of the first pool that has one. The meeting counts there from now on: many may be looking
    /// for a place at once.
    fn place(&self, order: &Order, tried: &[ServerId]) -> Option<(Arc<Server>, Placing)> {
        let asked = &order.call.asked;
        let server = asked.tenant.pools.iter().find_map(|pool| {
            let candidates = self.live.servers.candidates(asked.directory.pool(pool));
            choose(&candidates, tried, self.sight, chance()).cloned()
        })?;
        let placing = self.live.servers.of(&server.id).place(order.expected);
        Some((server, placing))
    }

    /// Writes the promise down, or moves the one that a server could not be reached for.
    async fn promise(
        &self,
        order: &Order,
        server: &Server,
        promised: Option<Arc<Meeting>>,
    ) -> Result<Promised, Denial> {
        let asked = &order.call.asked;
        let tenant = &asked.tenant;
        if let Some(meeting) = promised {
            if meeting.server == server.id {
                return Ok(Promised::New(meeting, Duration::ZERO));
            }
            let Ok(moved) = self.store.move_meeting(meeting.id, &server.id).await else {
                self.give_back(&meeting).await;
                return Err(Denial::StoreUnavailable);
            };
            self.live.remove_meeting(&meeting, 0);
            if moved {
                let meeting = order.meeting(meeting.id, &server.id, &meeting.account);
                return Ok(Promised::New(self.live.add_meeting(meeting), Duration::ZERO));
            }
            // Another gateway has taken it over: this one was taken to be dead.
        }
        let deadline = Instant::now() + OTHERS_TIMEOUT;
        loop {
            let now = now_ms();
            let new = NewMeeting {
                retained_since: since(now, tenant.limits.room_retention),
                runs_since: since(now, tenant.limits.duration_window),
                ..order.new_meeting(&self.store, &server.id, now)
            };
            let decide = counts_rooms(&tenant.limits).then_some(|usage| admit_room(tenant, usage));
            let admitted = self.store.admit_meeting(&new, decide).await.map_err(|refusal| refusal.denial())?;
            let row = match admitted {
                Admitted::New { id, used } => {
                    return Ok(Promised::New(
                        self.live.add_meeting(order.meeting(id, &server.id, &order.account)),
                        used,
                    ));
                }
                Admitted::Existing(row) => row,
            };
            if let Some(meeting) = self.answered_for(row).await? {
                return Ok(Promised::Existing(meeting));
            }
            if Instant::now() >= deadline {
                return Err(Denial::ServerUnavailable);
            }
            tokio::time::sleep(OTHERS_INTERVAL).await;
        }
    }

    /// A meeting that the store has already, once there is an answer for it. `None` while another gateway waits for one: it
    /// may still give the promise back, or move it to another server.
    async fn answered_for(&self, row: MeetingRow) -> Result<Option<Arc<Meeting>>, Denial> {
        if row.internal_id.is_none() {
            let owner = row.owner.as_deref().unwrap_or_default();
            let alive =
                owner != self.store.gateway() && self.store.is_alive(owner, now_ms()).await.map_err(unavailable)?;
            // Of one that has died the promise is left, and perhaps a meeting on its server: asked again, that tells.
            if alive || !self.store.take_over_meeting(row.id, owner).await.map_err(unavailable)? {
                return Ok(None);
            }
        }
        Ok(Some(self.live.add_meeting(Meeting::from_row(row))))
    }

    /// Gives up a run whose server is offline, so that people can meet elsewhere meanwhile: the room keeps its place, and the
    /// old run is ended should its server come back with it. `None` where another gateway has done so already.
    async fn give_up(&self, order: &Order, old: &Arc<Meeting>) -> Result<Option<Arc<Meeting>>, Denial> {
        let Some((server, _placing)) = self.place(order, std::slice::from_ref(&old.server)) else {
            return Err(Denial::ServerUnavailable);
        };
        let now = now_ms();
        let new = NewMeeting { account: &old.account, ..order.new_meeting(&self.store, &server.id, now) };
        let next = self.store.restart_meeting(&old.run(), &new).await.map_err(unavailable)?;
        self.live.remove_meeting(old, now);
        self.forget_unrecorded(old).await.map_err(unavailable)?;
        tracing::warn!(tenant = %old.tenant, server = %old.server, "a meeting is given up with its server, and begun anew");
        Ok(next.map(|id| self.live.add_meeting(order.meeting(id, &server.id, &old.account))))
    }

    /// A `create` of a meeting that is there: its own server answers, as BBB does (bbb.md 6.2).
    async fn make_again(&self, order: &Order, meeting: &Arc<Meeting>) -> Answer {
        let asked = &order.call.asked;
        let Some(server) = asked.directory.server(meeting.server.as_str()) else {
            return Answer::denied(Call::Create, Denial::ServerUnavailable);
        };
        let used = match self.used(order, meeting).await {
            Ok(used) => used,
            Err(denial) => return Answer::denied(Call::Create, denial),
        };
        let answer = match self.order_from(order, server, used).await {
            Ok(answer) => answer,
            Err(error) => return Answer::denied(Call::Create, error.denial()).by(&server.id),
        };
        if !answer.success {
            return Answer::xml(Call::Create, Outcome::Refused, answer.body).by(&server.id);
        }
        if meeting.internal_id().is_some_and(|known| known != answer.internal_id) {
            // It had ended without our noticing, and this is a new run of the same room.
            if duration_left(&asked.tenant.limits, used).is_none() {
                self.call_off(order, server).await;
                let ended = self.end_record(meeting).await;
                let denial = if ended.is_ok() { Denial::DurationUsedUp } else { Denial::StoreUnavailable };
                return Answer::denied(Call::Create, denial).by(&server.id);
            }
            if let Err(denial) = self.run_anew(order, meeting, server, &answer).await {
                return Answer::denied(Call::Create, denial).by(&server.id);
            }
        } else {
            self.settle(meeting, &answer).await;
        }
        Answer::xml(Call::Create, Outcome::Ok, answer.body).by(&server.id)
    }

    /// How long a room has run, should the run that we know of be over already, and a `create` make it anew.
    async fn used(&self, order: &Order, meeting: &Meeting) -> Result<Duration, Denial> {
        let window = order.call.asked.tenant.limits.duration_window;
        if window.is_zero() {
            return Ok(Duration::ZERO);
        }
        let now = now_ms();
        let run = u64::try_from(now.saturating_sub(meeting.created_at)).unwrap_or(0);
        let before = self.store.used(&meeting.tenant, &order.ext_id, since(now, window)).await;
        Ok(before.map_err(|_| Denial::StoreUnavailable)? + Duration::from_millis(run))
    }

    async fn run_anew(
        &self,
        order: &Order,
        old: &Arc<Meeting>,
        server: &Server,
        answer: &xml::Answer,
    ) -> Result<(), Denial> {
        let now = now_ms();
        let new = NewMeeting { account: &old.account, ..order.new_meeting(&self.store, &server.id, now) };
        let next = self.store.rerun_meeting(old.id, &new).await.map_err(unavailable)?;
        self.live.remove_meeting(old, now);
        // Whoever came while its server had the new run, and we the old one, is in the new one without a seat.
        self.live.cut_sessions(old);
        self.forget_unrecorded(old).await.map_err(unavailable)?;
        let meeting = match next {
            Some(id) => self.live.add_meeting(order.meeting(id, &server.id, &old.account)),
            None => self.promise_made(order, server).await?,
        };
        self.settle(&meeting, answer).await;
        Ok(())
    }

    /// The promise of a run that its server has made already: another gateway has given it, or it is given now, if there is a
    /// place. What gets none is called off.
    async fn promise_made(&self, order: &Order, server: &Server) -> Result<Arc<Meeting>, Denial> {
        let denial = match self.promise(order, server, None).await {
            Ok(Promised::New(meeting, _)) => return Ok(meeting),
            Ok(Promised::Existing(meeting)) if meeting.server == server.id => return Ok(meeting),
            Ok(Promised::Existing(_)) => Denial::ServerUnavailable,
            Err(denial) => denial,
        };
        self.call_off(order, server).await;
        Err(denial)
    }

    /// Asks a server for the meeting, which may last as long as its room has left after running for `used`.
    async fn order_from(&self, order: &Order, server: &Server, used: Duration) -> Result<xml::Answer, CallError> {
        let asked = &order.call.asked;
        let mut params = Cow::Borrowed(&order.params);
        if !used.is_zero() {
            // A minute of a meeting that is over already harms nobody.
            let left = duration_left(&asked.tenant.limits, used).unwrap_or(Limit::AtMost(Duration::ZERO));
            params.to_mut().set("duration", params::duration(&order.call.params, left));
        }
        let mut call = ServerCall::new("create", &params);
        call.body =
            order.call.modules.clone().map(|(xml, _)| (HeaderValue::from_static("application/xml"), Body::from(xml)));
        call.forwarded_for = Some(asked.connection.peer.ip());
        self.call_xml(call, server, &asked.tenant.id, Some(&order.ext_id)).await
    }

    /// Notes what the server has made.
    async fn settle(&self, meeting: &Arc<Meeting>, answer: &xml::Answer) {
        meeting.touch();
        if meeting.internal_id().is_none() && !answer.internal_id.is_empty() {
            self.live.name_meeting(meeting, &answer.internal_id);
            self.notes.leave(Note::Created {
                meeting: meeting.id,
                internal_id: answer.internal_id.as_str().into(),
                create_time: i64::try_from(answer.create_time).unwrap_or(0),
                is_own: meeting.may_be_called(&answer.internal_id),
            });
            self.told().await;
        }
    }

    /// A server whose answer did not come, or cannot be read, may have made the meeting all the same: it is told to end
    /// it, before another `create` may go elsewhere.
    async fn call_off(&self, order: &Order, server: &Server) {
        let mut params = Params::default();
        params.set("meetingID", &*order.server_id);
        let mut end = ServerCall::new("end", &params);
        end.timeout = CALL_OFF_TIMEOUT;
        let _ = self.call(end, server).await;
    }

    /// Gives a promise back that came to nothing.
    async fn give_back(&self, meeting: &Meeting) {
        match self.store.abandon_meeting(meeting.id, now_ms()).await {
            Ok(true) => drop(self.live.remove_meeting(meeting, 0)),
            // Another gateway has taken it over: a poll finds out what has become of it.
            Ok(false) => {}
            // It stays among the meetings, where no server ever lists it: a later poll ends it.
            Err(error) => tracing::error!(%error, meeting = meeting.id, "a room could not be given back"),
        }
    }
}

/// Whether a server says that an id is taken which is free as far as we know.
fn is_stuck(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::ID_NOT_UNIQUE.key
}

fn unavailable(_: store::Error) -> Denial {
    Denial::StoreUnavailable
}

enum Promised {
    /// With how long earlier runs of the room have lasted.
    New(Arc<Meeting>, Duration),
    Existing(Arc<Meeting>),
}

impl Order {
    fn new(call: Verified) -> Result<Self, Unfit> {
        let asked = &call.asked;
        let tenant = &asked.tenant;
        validate::create(&call.params)?;
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
    fn new_meeting<'a>(&'a self, store: &'a Store, server: &'a ServerId, now: i64) -> NewMeeting<'a> {
        NewMeeting {
            tenant: &self.call.asked.tenant.id,
            account: &self.account,
            ext_id: &self.ext_id,
            server,
            owner: store.gateway(),
            participants: self.participants,
            expected: self.expected,
            records: self.records,
            ends_at: self.ends_at(now),
            now,
            retained_since: i64::MAX,
            runs_since: i64::MAX,
        }
    }

    /// When the time of a meeting is over that begins now: as its server is told.
    fn ends_at(&self, now: i64) -> Option<i64> {
        let minutes: i64 = self.params.get("duration")?.parse().ok()?;
        (minutes > 0).then(|| now.saturating_add(minutes.saturating_mul(60_000)))
    }

    /// What is promised. A room that runs anew stays with the account that it was counted for.
    fn meeting(&self, id: i64, server: &ServerId, account: &str) -> Meeting {
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
            ends_at: self.ends_at(asked.now),
            records: self.records,
            owner: None,
        })
        .promised(asked.tenant.limits.clone());
        let documents = self.call.modules.as_ref().map_or(0, |(_, documents)| *documents);
        meeting.documents.store(documents, Relaxed);
        meeting
    }
}

/// From when on what has ended still counts; for no time at all, never.
fn since(now: i64, span: Duration) -> i64 {
    if span.is_zero() {
        return i64::MAX;
    }
    now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

/// A number that nobody can foresee, for the choice of a server.
fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the first of those with room is as good as another.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
