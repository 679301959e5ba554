//! The reservation of a room: written down, moved, waited for, released.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::order::{Order, since};
use crate::{
    domain::{
        admission::{admit_room, counts_rooms},
        denial::Denial,
        tenant::Server,
    },
    live::Meeting,
    meetings::{Meetings, callbacks::take::keep, rows},
    store::{Admitted, MeetingRow, NewMeeting},
};

/// How long the answer to a `create` at another gateway is waited for: its caller has gone by then.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked for.
const OTHERS_INTERVAL: Duration = Duration::from_millis(100);

/// A room that has its place.
pub(super) enum Reserved {
    /// With how long earlier runs of the room have lasted.
    New(Arc<Meeting>, Duration),
    Existing(Arc<Meeting>),
}

/// Writes a reservation down, or moves the one whose server could not be reached.
pub(super) async fn reserve(
    meetings: &Meetings,
    order: &Order,
    server: &Server,
    reserved: Option<Arc<Meeting>>,
) -> Result<Reserved, Denial> {
    if let Some(meeting) = reserved
        && let Some(moved) = move_to(meetings, order, server, meeting).await?
    {
        return Ok(Reserved::New(moved, Duration::ZERO));
    }
    let deadline = Instant::now() + OTHERS_TIMEOUT;
    loop {
        let row = match admit(meetings, order, server).await? {
            Admitted::New { id, used } => {
                let meeting = order.meeting(id, &server.id, &order.account);
                keep_callbacks(meetings, order, &meeting).await?;
                return Ok(Reserved::New(meetings.live.add_meeting(meeting), used));
            }
            Admitted::Existing(row) => row,
        };
        if let Some(meeting) = answered_for(meetings, row).await? {
            return Ok(Reserved::Existing(meeting));
        }
        if Instant::now() >= deadline {
            return Err(Denial::ServerUnavailable);
        }
        tokio::time::sleep(OTHERS_INTERVAL).await;
    }
}

/// Moves a reservation to another server. `None` where another gateway has taken it over: this one was taken to be dead.
async fn move_to(
    meetings: &Meetings,
    order: &Order,
    server: &Server,
    meeting: Arc<Meeting>,
) -> Result<Option<Arc<Meeting>>, Denial> {
    if meeting.server == server.id {
        return Ok(Some(meeting));
    }
    let Ok(moved) = meetings.store.meetings().move_to(meeting.id, &server.id).await else {
        release(meetings, &meeting).await;
        return Err(Denial::StoreUnavailable);
    };
    meetings.live.withdraw_meeting(&meeting);
    let moved = moved.then(|| order.meeting(meeting.id, &server.id, &meeting.account));
    Ok(moved.map(|meeting| meetings.live.add_meeting(meeting)))
}

async fn admit(meetings: &Meetings, order: &Order, server: &Server) -> Result<Admitted, Denial> {
    let (tenant, now) = (&order.tenant, meetings.clock.now());
    let new = NewMeeting {
        retained_since: since(now, tenant.limits.room_retention),
        runs_since: since(now, tenant.limits.duration_window),
        ..order.new_meeting(&meetings.store, &server.id, now)
    };
    let decide = counts_rooms(&tenant.limits).then_some(|usage| admit_room(tenant, usage));
    let _turn = match &decide {
        Some(_) => Some(meetings.counting.hold(tenant.id.as_str()).await),
        None => None,
    };
    meetings.store.meetings().admit(&new, decide).await.map_err(Denial::from)
}

/// Keeps where the callbacks go on to, before a server is asked; gives the room back where that fails.
async fn keep_callbacks(meetings: &Meetings, order: &Order, meeting: &Meeting) -> Result<(), Denial> {
    let kept = keep(meetings, meeting.id, &order.callbacks).await;
    if kept.is_err() {
        release(meetings, meeting).await;
    }
    kept
}

/// A meeting that the store has already, once there is an answer for it. `None` while another gateway waits for one: it
/// may still release the reservation, or move it to another server.
async fn answered_for(meetings: &Meetings, row: MeetingRow) -> Result<Option<Arc<Meeting>>, Denial> {
    let store = &meetings.store;
    if let Some(owner) = row.reserved_by() {
        let alive = owner != store.gateway() && store.gateways().is_alive(owner, meetings.clock.now()).await?;
        // Of one that has died the reservation is left, and perhaps a meeting on its server: asked again, that tells.
        if alive || !store.meetings().take_over(row.id, owner).await? {
            return Ok(None);
        }
    }
    Ok(Some(meetings.live.add_meeting(rows::meeting(row))))
}

/// The reservation of a run that its server has made already: another gateway has made it, or it is made now, if there is a
/// place.
pub(super) async fn reserve_made(meetings: &Meetings, order: &Order, server: &Server) -> Result<Arc<Meeting>, Denial> {
    match reserve(meetings, order, server, None).await? {
        Reserved::New(meeting, _) => Ok(meeting),
        Reserved::Existing(meeting) if meeting.server == server.id => Ok(meeting),
        Reserved::Existing(_) => Err(Denial::ServerUnavailable),
    }
}

/// Releases the reservation of a call that failed.
pub(super) async fn release(meetings: &Meetings, meeting: &Meeting) {
    match meetings.store.meetings().abandon(meeting.id, meetings.clock.now()).await {
        Ok(true) => meetings.live.withdraw_meeting(meeting),
        // Another gateway has taken it over: a poll finds out what has become of it.
        Ok(false) => {}
        // It stays among the meetings, where no server ever lists it: a later poll ends it.
        Err(error) => tracing::error!(%error, meeting = %meeting.id, "failed to release the reservation of a meeting"),
    }
}
