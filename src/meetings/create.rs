//! `create`: a room is reserved first, then a server is asked to make the meeting.
//!
//! A meeting that is there is asked for again at its own server; one that is new gets a server of its pools, another one where
//! that cannot be reached; one on a server that is offline is restarted on another.

mod at_server;
mod order;
mod place;
mod reserve;

use std::{sync::Arc, time::Duration};

use super::{
    Meetings, adopt,
    callbacks::take::keep,
    end::{end_record, is_over},
    rows,
};
use crate::{
    bbb::xml,
    domain::{
        admission::duration_left, backend_error::BackendError, denial::Denial, ids::ServerId, meeting::Life,
        tenant::Server,
    },
    live::Meeting,
    store::NewMeeting,
};
pub(crate) use order::Order;
use reserve::Reserved;

/// Servers that are tried when one cannot be reached: the first choice and two more.
const TRIES_MAX: usize = 3;

/// The result of a `create`.
pub(crate) struct Created {
    /// The server that was asked last.
    pub(crate) server: Option<ServerId>,
    /// What it said, which may be a refusal of its own.
    pub(crate) answer: Result<xml::Answer, Denial>,
}

impl From<Denial> for Created {
    fn from(denial: Denial) -> Self {
        Self { server: None, answer: Err(denial) }
    }
}

impl Created {
    fn by(server: &Server, answer: Result<xml::Answer, Denial>) -> Self {
        Self { server: Some(server.id.clone()), answer }
    }
}

/// What there is to know before a new meeting is created.
enum Known {
    /// Nothing runs, or what ran is over.
    Nothing,
    /// It runs.
    Running(Arc<Meeting>),
    /// It ran for so long on a server that is offline; its next run is reserved.
    Next(Arc<Meeting>, Duration),
}

/// Creates a meeting, or finds it running. One at a time per meeting: the first creates it, the others find it created and get
/// the server's own answer to that.
pub(crate) async fn create(meetings: &Meetings, order: &Order) -> Created {
    if let Err(denial) = meetings.admit_tenant(&order.tenant) {
        return denial.into();
    }
    let _turn = meetings.creating.hold(&order.server_meeting_id).await;
    match look_up(meetings, order).await {
        Ok(Known::Running(meeting)) => repeat(meetings, order, &meeting).await,
        Ok(Known::Next(meeting, used)) => create_new(meetings, order, Some(meeting), used).await,
        Ok(Known::Nothing) => create_new(meetings, order, None, Duration::ZERO).await,
        Err(denial) => denial.into(),
    }
}

/// Looks for a meeting of this id.
async fn look_up(meetings: &Meetings, order: &Order) -> Result<Known, Denial> {
    let Some(meeting) = meetings.live.meetings.on_server(&order.server_meeting_id) else { return Ok(Known::Nothing) };
    if meetings.live.servers.of(&meeting.server).health.is_offline() {
        let used = used(meetings, order, &meeting).await?;
        if duration_left(&order.tenant.limits, used).is_none() {
            return Err(Denial::DurationUsedUp);
        }
        let next = restart_meeting(meetings, order, &meeting).await?;
        return Ok(next.map_or(Known::Nothing, |next| Known::Next(next, used)));
    }
    if let Life::Orphaned { of } = meeting.life() {
        // It is this gateway's to have an answer for now.
        meetings.store.meetings().take_over(meeting.id, &of).await?;
    }
    Ok(if may_move(meetings, order, &meeting).await? { Known::Nothing } else { Known::Running(meeting) })
}

/// Whether a meeting that we know of is over, and a `create` would start it again on a server that takes no new meetings. Asked
/// only where it is one of those.
async fn may_move(meetings: &Meetings, order: &Order, meeting: &Arc<Meeting>) -> Result<bool, Denial> {
    if meetings.live.servers.of(&meeting.server).mode().takes_meetings() {
        return Ok(false);
    }
    let Some(server) = order.directory.server(meeting.server.as_str()) else { return Ok(false) };
    is_over(meetings, meeting, server).await
}

/// Gives up a run whose server is offline and that has no participants, so that people can meet on another server: the room
/// keeps its place, and the old run is ended should its server come back with it. `None` where another gateway has done so
/// already.
async fn restart_meeting(
    meetings: &Meetings,
    order: &Order,
    old: &Arc<Meeting>,
) -> Result<Option<Arc<Meeting>>, Denial> {
    let Some((server, _placing)) = place::place(meetings, order, std::slice::from_ref(&old.server)) else {
        return Err(Denial::ServerUnavailable);
    };
    let now = meetings.clock.now();
    let new = NewMeeting { account: &old.account, ..order.new_meeting(&meetings.store, &server.id, now) };
    let next = meetings.store.meetings().restart(&rows::run(old), &new).await?;
    meetings.live.remove_meeting(old, now);
    // Known first: a create that is repeated finds it, and keeps the addresses then.
    let next = next.map(|id| meetings.live.add_meeting(order.meeting(id, &server.id, &old.account)));
    if let Some(next) = &next {
        keep(meetings, next.id, &order.callbacks).await?;
    }
    tracing::warn!(tenant = %old.tenant, server = %old.server, "meeting restarted on another server");
    // A recording that does not exist is looked for in vain, and no more.
    let _ = adopt::forget_unrecorded(meetings, old).await;
    Ok(next)
}

/// Reserves a room, which has run for `used`, and has a server make the meeting; another server where one cannot be reached.
async fn create_new(
    meetings: &Meetings,
    order: &Order,
    mut reserved: Option<Arc<Meeting>>,
    mut used: Duration,
) -> Created {
    let mut tried: Vec<ServerId> = Vec::new();
    while tried.len() < TRIES_MAX {
        let Some((server, placing)) = place::place(meetings, order, &tried) else { break };
        let meeting = match reserve::reserve(meetings, order, &server, reserved.take()).await {
            Ok(Reserved::New(meeting, rest)) => {
                used = used.max(rest);
                meeting
            }
            Ok(Reserved::Existing(meeting)) => return repeat(meetings, order, &meeting).await,
            Err(denial) => return denial.into(),
        };
        drop(placing);
        match at_server::create_new(meetings, order, &server, used).await {
            Ok(answer) => {
                if answer.success {
                    at_server::note_created(meetings, &meeting, &answer).await;
                } else {
                    reserve::release(meetings, &meeting).await;
                }
                return Created::by(&server, Ok(answer));
            }
            Err(BackendError::Connect) => {
                tried.push(server.id.clone());
                reserved = Some(meeting);
            }
            Err(error) => {
                if !matches!(error, BackendError::TooLong | BackendError::Exhausted) {
                    at_server::undo(meetings, order, &server).await;
                }
                reserve::release(meetings, &meeting).await;
                return Created::by(&server, Err(error.denial()));
            }
        }
    }
    if let Some(meeting) = reserved {
        reserve::release(meetings, &meeting).await;
    }
    Denial::NoServerAvailable.into()
}

/// A `create` of a meeting that is there: its own server answers, as BBB does
/// (docs/reference/bbb-protocol.md, "Answer of create").
async fn repeat(meetings: &Meetings, order: &Order, meeting: &Arc<Meeting>) -> Created {
    let Some(server) = order.directory.server(meeting.server.as_str()) else {
        return Denial::ServerUnavailable.into();
    };
    let used = match used(meetings, order, meeting).await {
        Ok(used) => used,
        Err(denial) => return denial.into(),
    };
    // It may not have been made yet: then this call makes it, with the addresses that it brings.
    if meeting.internal_id().is_none()
        && let Err(denial) = keep(meetings, meeting.id, &order.callbacks).await
    {
        return denial.into();
    }
    let answer = match at_server::create(meetings, order, server, used).await {
        Ok(answer) => answer,
        Err(error) => return Created::by(server, Err(error.denial())),
    };
    if !answer.success {
        return Created::by(server, Ok(answer));
    }
    if meeting.internal_id().is_none_or(|known| known.as_str() == answer.internal_id) {
        at_server::note_created(meetings, meeting, &answer).await;
        return Created::by(server, Ok(answer));
    }
    // It had ended without our noticing, and this is a new run of the same room.
    if duration_left(&order.tenant.limits, used).is_none() {
        at_server::undo(meetings, order, server).await;
        let ended = end_record(meetings, meeting).await;
        let denial = if ended.is_ok() { Denial::DurationUsedUp } else { Denial::StoreUnavailable };
        return Created::by(server, Err(denial));
    }
    if let Err(denial) = record_next_run(meetings, order, meeting, server, &answer).await {
        // A run that gets no place is not left running.
        at_server::undo(meetings, order, server).await;
        return Created::by(server, Err(denial));
    }
    Created::by(server, Ok(answer))
}

/// Replaces the record of a run that is over by that of the next one, which its server has made already.
async fn record_next_run(
    meetings: &Meetings,
    order: &Order,
    old: &Arc<Meeting>,
    server: &Server,
    answer: &xml::Answer,
) -> Result<(), Denial> {
    let now = meetings.clock.now();
    let new = NewMeeting { account: &old.account, ..order.new_meeting(&meetings.store, &server.id, now) };
    let next = meetings.store.meetings().rerun(old.id, &new).await?;
    meetings.live.remove_meeting(old, now);
    // Those who came while its server had the new run, and we the old one, are in the new one without a seat.
    meetings.live.sessions.cut_of(old);
    let meeting = match next {
        Some(id) => {
            let meeting = meetings.live.add_meeting(order.meeting(id, &server.id, &old.account));
            keep(meetings, id, &order.callbacks).await?;
            meeting
        }
        None => reserve::reserve_made(meetings, order, server).await?,
    };
    // A recording that does not exist is looked for in vain, and no more.
    let _ = adopt::forget_unrecorded(meetings, old).await;
    at_server::note_created(meetings, &meeting, answer).await;
    Ok(())
}

/// How long a room has run, should the run that we know of be over already, and a `create` start it again.
async fn used(meetings: &Meetings, order: &Order, meeting: &Meeting) -> Result<Duration, Denial> {
    let window = order.tenant.limits.duration_window;
    if window.is_zero() {
        return Ok(Duration::ZERO);
    }
    let now = meetings.clock.now();
    let run = now.saturating_duration_since(meeting.created_at);
    let before = meetings.store.meetings().used(&meeting.tenant, &order.ext_id, now.saturating_sub(window)).await;
    Ok(before?.saturating_add(run))
}
