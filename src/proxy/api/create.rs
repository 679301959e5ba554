//! `create`: a room is promised first, then a server is asked to make the meeting.

mod order;
mod promise;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{Unfit, Verified, documents::Found};
use crate::{
    bbb::{
        answer::Failure,
        client::{Call as ServerCall, CallError},
        params, xml,
    },
    domain::{
        admission::{admit_tenant, duration_left},
        denial::Denial,
        ids::ServerId,
        limits::Limit,
        tenant::Server,
        time::Timestamp,
    },
    live::Meeting,
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer},
    store::{self, NewMeeting, writer::Note},
    upstream::Body,
};
use order::Order;
use promise::Promised;

/// Servers that are tried when one cannot be reached: the first choice and two more.
const TRIES_MAX: usize = 3;

/// What there is to know before a new meeting is made.
enum Known {
    /// Nothing runs, or what ran is over.
    Nothing,
    /// It runs.
    Running(Arc<Meeting>),
    /// It ran for so long on a server that is offline; the next run is promised.
    Next(Arc<Meeting>, Duration),
}

impl Gateway {
    /// Answers `create`.
    pub(super) async fn create(self: &Arc<Self>, call: Verified) -> Answer {
        let order = match Order::new(call) {
            Ok(order) => order,
            Err(unfit) => return unfit.answer(Call::Create),
        };
        if let Err(unfit) = self.check_names(&order).await {
            return unfit.answer(Call::Create);
        }
        // On its own, so that a caller who goes away leaves no promise half kept.
        let gateway = Arc::clone(self);
        let made = tokio::spawn(async move { gateway.make(&order).await }).await;
        made.unwrap_or_else(|_| Answer::denied(Call::Create, Denial::StoreUnavailable))
    }

    /// Looks where the names of the documents' hosts lead.
    async fn check_names(&self, order: &Order) -> Result<(), Unfit> {
        let tenant = &order.call.asked.tenant;
        let mut addresses: Vec<String> = Vec::new();
        addresses.extend(params::presentation(&order.call.params, &order.params, &tenant.rules).map(str::to_owned));
        if let Some((modules, _)) = &order.call.modules {
            addresses.extend(Found::read(modules, tenant)?.addresses);
        }
        if addresses.is_empty() {
            return Ok(());
        }
        Ok(self.names.check(&addresses, &tenant.hosts).await?)
    }

    /// One at a time per meeting: the first makes it, the others find it made and get the server's own answer to that.
    async fn make(&self, order: &Order) -> Answer {
        let tenant = &order.call.asked.tenant;
        if let Err(denial) = admit_tenant(tenant, self.live.suspended.contains(&tenant.id)) {
            return Answer::denied(Call::Create, denial);
        }
        let _turn = self.creating.hold(&order.server_id).await;
        match self.known(order).await {
            Ok(Known::Running(meeting)) => self.make_again(order, &meeting).await,
            Ok(Known::Next(meeting, used)) => self.make_new(order, Some(meeting), used).await,
            Ok(Known::Nothing) => self.make_new(order, None, Duration::ZERO).await,
            Err(denial) => Answer::denied(Call::Create, denial),
        }
    }

    /// Looks for a meeting of this id.
    async fn known(&self, order: &Order) -> Result<Known, Denial> {
        let Some(meeting) = self.live.meeting_on_server(&order.server_id) else { return Ok(Known::Nothing) };
        if self.live.servers.of(&meeting.server).is_offline() {
            let used = self.used(order, &meeting).await?;
            if duration_left(&order.call.asked.tenant.limits, used).is_none() {
                return Err(Denial::DurationUsedUp);
            }
            let next = self.give_up(order, &meeting).await?;
            return Ok(next.map_or(Known::Nothing, |next| Known::Next(next, used)));
        }
        if let Some(owner) = meeting.orphan_of.as_deref().filter(|_| meeting.internal_id().is_none()) {
            // It is this gateway's to have an answer for now.
            self.store.take_over_meeting(meeting.id, owner).await.map_err(unavailable)?;
        }
        Ok(if self.may_move(order, &meeting).await? { Known::Nothing } else { Known::Running(meeting) })
    }

    /// Promises a room, which has run for `used`, and has a server make the meeting; another server where one cannot be reached.
    async fn make_new(&self, order: &Order, mut promised: Option<Arc<Meeting>>, mut used: Duration) -> Answer {
        let mut tried: Vec<ServerId> = Vec::new();
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
            match self.order_new(order, &server, used).await {
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
                    if !matches!(error, CallError::TooLong | CallError::Exhausted) {
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

    /// Asks a server for a meeting whose id is free as far as we know. One that has a former run which has not quite ended is
    /// told to end it, and asked again (docs/reference/bbb-protocol.md, "Answer of create").
    async fn order_new(&self, order: &Order, server: &Server, used: Duration) -> Result<xml::Answer, CallError> {
        let answer = self.order_from(order, server, used).await?;
        if !is_stuck(&answer) {
            return Ok(answer);
        }
        self.call_off(order, server).await;
        self.order_from(order, server, used).await
    }

    /// Whether a meeting that we know of is over, and a `create` would make it anew on a server that takes no new
    /// meetings. Asked only where it is one of those.
    async fn may_move(&self, order: &Order, meeting: &Arc<Meeting>) -> Result<bool, Denial> {
        if self.live.servers.of(&meeting.server).mode().takes_meetings() {
            return Ok(false);
        }
        let Some(server) = order.call.asked.directory.server(meeting.server.as_str()) else { return Ok(false) };
        self.is_over(meeting, server).await
    }

    /// A `create` of a meeting that is there: its own server answers, as BBB does
    /// (docs/reference/bbb-protocol.md, "Answer of create").
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
                // What gets no place is not left running.
                self.call_off(order, server).await;
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
        let now = self.clock.now();
        let run = now.saturating_duration_since(meeting.created_at);
        let before = self.store.used(&meeting.tenant, &order.ext_id, now.saturating_sub(window)).await;
        Ok(before.map_err(|_| Denial::StoreUnavailable)?.saturating_add(run))
    }

    async fn run_anew(
        &self,
        order: &Order,
        old: &Arc<Meeting>,
        server: &Server,
        answer: &xml::Answer,
    ) -> Result<(), Denial> {
        let now = self.clock.now();
        let new = NewMeeting { account: &old.account, ..order.new_meeting(&self.store, &server.id, now) };
        let next = self.store.rerun_meeting(old.id, &new).await.map_err(unavailable)?;
        self.live.remove_meeting(old, now);
        // Whoever came while its server had the new run, and we the old one, is in the new one without a seat.
        self.live.cut_sessions(old);
        let meeting = match next {
            Some(id) => self.live.add_meeting(order.meeting(id, &server.id, &old.account)),
            None => self.promise_made(order, server).await?,
        };
        // A recording that there is not is looked for in vain, and no more.
        let _ = self.forget_unrecorded(old).await;
        self.settle(&meeting, answer).await;
        Ok(())
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
        call.caller = asked.caller(server);
        self.call_xml(call, server, &asked.tenant.id, Some(&order.ext_id)).await
    }

    /// Notes what the server has made.
    async fn settle(&self, meeting: &Arc<Meeting>, answer: &xml::Answer) {
        meeting.touch();
        if meeting.internal_id().is_none() && !answer.internal_id.is_empty() {
            self.live.name_meeting(meeting, &answer.internal_id);
            // Another id is none to write down: nobody knows what it may do to whoever reads it.
            if !meeting.may_be_called(&answer.internal_id) {
                return;
            }
            self.notes.leave(Note::Created {
                meeting: meeting.id,
                internal_id: answer.internal_id.as_str().into(),
                create_time: answer.create_time,
            });
            self.told().await;
        }
    }

    /// A server whose answer did not come, or cannot be read, may have made the meeting all the same: it is told to end
    /// it, before another `create` may go elsewhere.
    async fn call_off(&self, order: &Order, server: &Server) {
        let _ = self.tell_to_end(server, &order.server_id).await;
    }
}

/// Whether a server says that an id is taken which is free as far as we know.
fn is_stuck(answer: &xml::Answer) -> bool {
    !answer.success && answer.message_key == Failure::ID_NOT_UNIQUE.key
}

fn unavailable(_: store::Error) -> Denial {
    Denial::StoreUnavailable
}

/// From when on what has ended still counts; for no time at all, nothing does.
fn since(now: Timestamp, span: Duration) -> Option<Timestamp> {
    (!span.is_zero()).then(|| now.saturating_sub(span))
}
