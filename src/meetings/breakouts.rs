//! Breakout rooms, which servers make by themselves: found when somebody joins one.

use std::sync::Arc;

use super::{Meetings, find};
use crate::{
    bbb::{query::Params, xml},
    domain::{backend_error::BackendError, denial::Denial, ids::TenantId, tenant::Server},
    live::breakouts::Breakout,
    net::peer::Peer,
    upstream::ApiCall,
};

/// A breakout room of a running meeting of this tenant on a server, by the server's external id: one that is listed, or
/// that the server says it has.
///
/// # Errors
/// As those of a call to the server, and of [`find::meeting_of_internal`].
pub(crate) async fn find(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    server: &Server,
    ext_id: &str,
) -> Result<Option<Arc<Breakout>>, Denial> {
    let (tenant, _) = account;
    let known = || meetings.live.breakouts.of(tenant, &server.id, ext_id);
    let runs = |room: &Arc<Breakout>| meetings.live.meetings.runs(&room.meeting);
    if let Some(room) = known() {
        return Ok(Some(room).filter(runs));
    }
    let key = format!("{tenant}/{}/{ext_id}", server.id);
    let _turn = meetings.seeking.hold(&key).await;
    if let Some(room) = known() {
        return Ok(Some(room).filter(runs));
    }
    if meetings.live.breakouts.is_missed(&key, meetings.clock.now()) {
        return Ok(None);
    }
    let found = ask(meetings, account, server, ext_id).await?;
    if found.is_none() {
        meetings.live.breakouts.miss(&key, meetings.clock.now());
    }
    Ok(found)
}

async fn ask(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    server: &Server,
    ext_id: &str,
) -> Result<Option<Arc<Breakout>>, Denial> {
    let mut params = Params::default();
    params.set("meetingID", ext_id);
    let reply =
        meetings.backends.call(ApiCall::new("getMeetingInfo", &params), server).await.map_err(BackendError::denial)?;
    let found = xml::breakout(&reply.body).map_err(|_| {
        meetings.backends.note_failure("getMeetingInfo", server, BackendError::Broken);
        Denial::ServerUnavailable
    })?;
    let Some(found) = found.filter(|found| found.ext_id == ext_id) else { return Ok(None) };
    let Some(meeting) = find::meeting_of_internal(meetings, account, &found.parent).await? else { return Ok(None) };
    let room = meetings.live.breakouts.learn(&meetings.live.meetings, &meeting, &server.id, &found);
    if room.is_none() {
        let (tenant, server, recorded) = (&meeting.tenant, &server.id, found.records);
        tracing::info!(%tenant, %server, recorded, "breakout room rejected: joins are refused");
    }
    Ok(room)
}
