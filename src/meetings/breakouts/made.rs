//! Breakout rooms that a tenant makes by a call of `create`. They are rooms of their meeting like those that its server makes:
//! they have no record of their own, and their people take the seats of its breakout rooms.
//!
//! The server takes the `meetingID` of such a call as the internal id of the room: the gateway makes one as the server itself would.
//! The time in it follows from the tenant's own id, so that the room is found again in what its server lists.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderValue;

use crate::{
    bbb::{
        answer::Failure,
        meeting_id::{RoomIds, time_of_room},
        query::Params,
        release, xml,
    },
    domain::{
        backend_error::BackendError,
        denial::Denial,
        directory::Directory,
        ids::TenantId,
        rules::Of,
        tenant::{Server, Tenant},
        time::{Deadline, Timestamp},
    },
    live::{Meeting, breakouts::Breakout},
    meetings::{Meetings, about, documents::Given, end::tell_to_end, find, listing, lists},
    net::peer::Peer,
    upstream::{ApiCall, Body, Caller},
};

/// Rooms of a meeting: as many as the client of BBB lets a moderator open.
const ROOMS_MAX: usize = 16;
/// How old the list of a server may be in which a room is looked for that another gateway may have made.
const LIST_MAX_AGE: Duration = Duration::from_secs(1);

/// A `create` of a breakout room whose parameters are what the level allows.
pub(crate) struct RoomOrder {
    pub(crate) server: Arc<Server>,
    /// The meeting that it belongs to.
    pub(crate) parent: Arc<Meeting>,
    /// The tenant's id of the room.
    pub(crate) ext_id: String,
    /// Its number among those of its meeting.
    pub(crate) sequence: u32,
    /// The parameters as a server gets them, without its ids.
    pub(crate) params: Params,
    /// The XML body.
    pub(crate) modules: Option<Bytes>,
    /// The documents in it, which count for the meeting.
    pub(crate) given: Given,
    pub(crate) caller: Caller,
    pub(crate) now: Timestamp,
}

/// A room of a tenant by the tenant's own id, as far as it is known here.
pub(crate) fn known(meetings: &Meetings, tenant: &TenantId, ext_id: &str) -> Option<Arc<Breakout>> {
    let room = meetings.live.breakouts.of_time(tenant, &time_of_room(tenant, ext_id));
    room.filter(|room| meetings.live.meetings.runs(&room.meeting))
}

/// The same; where other gateways may have made it, it is looked for in what the servers of the tenant's meetings list.
///
/// # Errors
/// As those of [`find::meeting_of_internal`].
pub(crate) async fn by_ext_id(
    meetings: &Meetings,
    (tenant, peer): (&Tenant, Peer),
    directory: &Directory,
    ext_id: &str,
) -> Result<Option<Arc<Breakout>>, Denial> {
    let room = known(meetings, &tenant.id, ext_id);
    if room.is_some() || !meetings.store.is_shared() || !may_have_rooms(meetings, tenant) {
        return Ok(room);
    }
    let (time, now) = (time_of_room(&tenant.id, ext_id), meetings.clock.now());
    // No server has an empty id: a room of a server's own has another key.
    let key = format!("{}//{time}", tenant.id);
    if meetings.live.breakouts.is_missed(&key, now) {
        return Ok(None);
    }
    look_for(meetings, (&tenant.id, peer), directory, &time).await?;
    let room = known(meetings, &tenant.id, ext_id);
    if room.is_none() {
        meetings.live.breakouts.miss(&key, now);
    }
    Ok(room)
}

/// Whether a meeting of a tenant that runs may have breakout rooms.
fn may_have_rooms(meetings: &Meetings, tenant: &Tenant) -> bool {
    let servers = meetings.live.presence.servers_of(&tenant.id);
    let has_rooms = |meeting: &Arc<Meeting>| meeting.limits(tenant).breakouts;
    servers.iter().any(|(server, _)| {
        tenant.limits.breakouts || meetings.live.meetings.of_tenant_on(&tenant.id, server).iter().any(has_rooms)
    })
}

/// Learns the rooms with this time from what the servers of a tenant's meetings list.
async fn look_for(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    directory: &Directory,
    time: &str,
) -> Result<(), Denial> {
    let servers = meetings.live.presence.servers_of(account.0);
    let known = servers.iter().filter_map(|(id, touched)| Some((directory.server(id.as_str())?, *touched)));
    let lists = known.map(async |(server, touched)| {
        let (state, now) = (meetings.live.servers.of(&server.id), meetings.clock.now());
        let ask = || lists::meetings_of(meetings, server);
        (server, listing::fresh((now, LIST_MAX_AGE), &state, &state.list, touched, ask).await)
    });
    for (server, held) in join_all(lists).await {
        let Some(Ok(list)) = held.as_ref().map(|held| &held.answer) else { continue };
        for found in list.breakouts.values().filter(|found| found.internal_id.ends_with(time)) {
            if let Some(parent) = find::meeting_of_internal(meetings, account, &found.parent).await? {
                meetings.live.breakouts.learn(&meetings.live.meetings, &parent, &server.id, found);
            }
        }
    }
    Ok(())
}

/// Has the server of a meeting make a room of it, or say that it is there.
///
/// # Errors
/// A rule of BBB's or of the gateway's, or the server does not answer. A refusal of the server is an answer.
pub(crate) async fn create(meetings: &Meetings, order: RoomOrder) -> Result<xml::Answer, Failure> {
    let (parent, server) = (&order.parent, &*order.server);
    let _turn = meetings.creating.hold(parent.server_meeting_id.as_str()).await;
    let internal_id = match known(meetings, &parent.tenant, &order.ext_id) {
        Some(room) if room.meeting.id == parent.id => room.internal_id.as_str().to_owned(),
        Some(_) => return Err(Failure::ID_NOT_UNIQUE),
        None => new_id(meetings, &order).await?,
    };
    let mut params = order.params;
    params.set("meetingID", &*internal_id);
    params.set("duration", duration(&params, parent.ends_at, order.now));
    let release = meetings.live.servers.of(&server.id).reported.release();
    let params = release::fit(Of::Create, &params, release);
    let mut call = ApiCall::new("create", &params);
    call.body = order.modules.map(|xml| (HeaderValue::from_static("application/xml"), Body::from(xml)));
    call.caller = order.caller;
    // Without an answer nothing is ended: the room may have been there, with people in it. A new one is found in what its
    // server lists, and ends if it stays empty.
    let answer = meetings.backends.call_xml(call, server, &parent.tenant, None).await.map_err(BackendError::denial)?;
    if !answer.success {
        return Ok(answer);
    }
    order.given.keep();
    parent.touch();
    if answer.internal_id != internal_id
        || meetings.live.breakouts.add(&meetings.live.meetings, parent, &internal_id).is_none()
    {
        tell_to_end(meetings, server, &answer.internal_id).await;
        return Err(Failure::PARENT_UNKNOWN);
    }
    let body = xml::replace_text(&answer.body, "meetingID", &order.ext_id).map_err(|_| Denial::ServerUnavailable)?;
    Ok(xml::Answer { body, ..answer })
}

/// The internal id of a new room, if its meeting has place for one.
async fn new_id(meetings: &Meetings, order: &RoomOrder) -> Result<String, Failure> {
    let parent = &order.parent;
    // The rooms that the server and other gateways have made count, too.
    let info = about::about(meetings, "getMeetingInfo", parent, &order.server).await.map_err(BackendError::denial)?;
    let rooms = xml::rooms(&info.body).map_err(|_| Denial::ServerUnavailable)?;
    if !info.success {
        return Err(Failure::PARENT_UNKNOWN);
    }
    if rooms >= ROOMS_MAX {
        return Err(Failure::BREAKOUTS_MAX);
    }
    let parent_id = parent.internal_id().ok_or(Failure::PARENT_UNKNOWN)?;
    let time = time_of_room(&parent.tenant, &order.ext_id);
    Ok(RoomIds::new(parent_id.as_str(), &time, order.sequence).internal)
}

/// The minutes of a room, which ends with its meeting at the latest.
fn duration(params: &Params, ends_at: Option<Deadline>, now: Timestamp) -> String {
    let asked = params.get("duration").and_then(|minutes| minutes.parse::<u64>().ok()).filter(|minutes| *minutes > 0);
    let left =
        ends_at.and_then(Deadline::at).map(|end| end.saturating_duration_since(now).as_secs().div_ceil(60).max(1));
    asked.into_iter().chain(left).min().unwrap_or(0).to_string()
}

/// What a server says of a room, with the tenant's id of it.
///
/// # Errors
/// As those of a call to the server.
pub(crate) async fn ask(
    meetings: &Meetings,
    name: &'static str,
    (room, server): (&Breakout, &Server),
    ext_id: &str,
    caller: Caller,
) -> Result<xml::Answer, Denial> {
    let mut params = Params::default();
    params.set("meetingID", room.internal_id.as_str());
    let call = ApiCall { caller, ..ApiCall::new(name, &params) };
    let answer = meetings.backends.call_xml(call, server, &room.meeting.tenant, None).await;
    let answer = answer.map_err(BackendError::denial)?;
    let body = xml::replace_text(&answer.body, "meetingID", ext_id).map_err(|_| Denial::ServerUnavailable)?;
    if about::is_gone(&answer) || (name == "end" && answer.success) {
        meetings.live.breakouts.end(room);
        room.meeting.touch();
    }
    Ok(xml::Answer { body, ..answer })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_room_ends_with_its_meeting() {
        let now = Timestamp::from_ms(1_800_000_000_000);
        let end = |seconds| Some(Deadline::At(now.saturating_add(Duration::from_secs(seconds))));
        for (asked, ends_at, minutes) in [
            ("30", end(3600), "30"),
            ("90", end(3600), "60"),
            ("0", end(3600), "60"),
            ("90", end(61), "2"),
            ("90", end(0), "1"),
            ("90", None, "90"),
            ("0", Some(Deadline::Never), "0"),
            ("", None, "0"),
        ] {
            let mut params = Params::default();
            params.set("duration", asked);
            assert_eq!(duration(&params, ends_at, now), minutes, "{asked} {ends_at:?}");
        }
    }
}
