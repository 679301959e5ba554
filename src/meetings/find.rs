//! Finds meetings and sessions: in memory, else in the store at the first miss, where another gateway may have made them.
//! With one gateway what is not in memory does not exist.

use std::sync::Arc;

use super::{Meetings, adopt, rows};
use crate::{
    domain::{
        denial::Denial,
        ids::{ServerId, TenantId},
        session::{Held, LEASE, TokenHash},
        time::Timestamp,
    },
    live::{Meeting, sessions::Session},
    net::peer::Peer,
};

/// A running meeting of a tenant, by the tenant's own id. Links to one that is over are in many hands.
///
/// # Errors
/// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
/// many ask.
pub(crate) async fn meeting(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    ext_id: &str,
) -> Result<Option<Arc<Meeting>>, Denial> {
    let (tenant, _) = account;
    if let Some(meeting) = meetings.live.meetings.find(tenant, ext_id) {
        return Ok(Some(meeting));
    }
    if !meetings.store.is_shared() {
        return Ok(None);
    }
    let _turn = meetings.finding.turn(account).await?;
    let found = meetings.store.meetings().find(tenant, ext_id).await?;
    Ok(found.and_then(|row| adopt::meeting(meetings, row)))
}

/// A meeting of a tenant by its internal id, or by that of one of its breakout rooms; one that has ended a moment ago
/// included. Anybody may ask for one, so that not many are looked for at a time.
///
/// # Errors
/// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
/// many ask.
pub(crate) async fn meeting_of_internal(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    internal_id: &str,
) -> Result<Option<Arc<Meeting>>, Denial> {
    let (tenant, _) = account;
    if let Some(meeting) = meetings.live.meetings.of_internal(internal_id) {
        return Ok(Some(meeting).filter(|meeting| meeting.tenant == *tenant));
    }
    if let Some(room) = meetings.live.breakouts.of_internal(tenant, internal_id) {
        return Ok(Some(Arc::clone(&room.meeting)));
    }
    if !meetings.store.is_shared() {
        return Ok(None);
    }
    let _turn = meetings.finding.turn(account).await?;
    let found = meetings.store.meetings().find_internal(tenant, internal_id).await?;
    if let Some(row) = found {
        return Ok(adopt::meeting(meetings, row));
    }
    let found = meetings.store.meetings().find_breakout(tenant, internal_id).await?;
    if let Some(meeting) = found.and_then(|row| adopt::meeting(meetings, row)) {
        meetings.live.breakouts.add(&meetings.live.meetings, &meeting, internal_id);
        return Ok(Some(meeting));
    }
    let found = meetings.store.ended().find(tenant, internal_id, meetings.clock.now()).await?;
    Ok(found.and_then(|row| adopt::ended(meetings, row)))
}

/// A session by the hash of its token. Anybody may ask for one, so that not many are looked for at a time.
///
/// # Errors
/// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
/// many ask.
pub(crate) async fn session(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    token: &TokenHash,
) -> Result<Option<Arc<Session>>, Denial> {
    if let Some(session) = meetings.live.sessions.find(token) {
        return Ok(Some(session));
    }
    if !meetings.store.is_shared() {
        return Ok(None);
    }
    let _turn = meetings.finding.turn(account).await?;
    let found = meetings.store.seats().find(token).await?;
    if let Some((row, meeting)) = found {
        let Some(meeting) = adopt::meeting(meetings, meeting) else { return Ok(None) };
        rows::add_session(&meetings.live, &row, &meeting);
        return Ok(meetings.live.sessions.find(token));
    }
    let found = meetings.store.ended().find_session(token, meetings.clock.now()).await?;
    let Some((row, meeting)) = found else { return Ok(None) };
    let Some(meeting) = adopt::ended(meetings, meeting) else { return Ok(None) };
    rows::add_session(&meetings.live, &row, &meeting);
    Ok(meetings.live.sessions.find(token))
}

/// Whether the guest of a session still waits to be let in: another gateway may have let them in since. Who waits on may
/// be asked for many times, so that this takes its turn too.
pub(crate) async fn is_waiting(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    session: &Session,
    token: &TokenHash,
) -> bool {
    if session.is_waiting()
        && let Ok(Some(held)) = held_elsewhere(meetings, account, token).await
    {
        session.hold(held);
    }
    session.is_waiting()
}

/// Whether a session has a seat: it may have got one, or one again, through another gateway.
///
/// # Errors
/// [`Denial::StoreUnavailable`] when it has none here and the store cannot be asked; [`Denial::Overloaded`] when too many ask.
pub(crate) async fn has_seat(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    session: &Session,
) -> Result<bool, Denial> {
    if !session.has_seat(meetings.clock.now())
        && meetings.store.is_shared()
        && let Some(token) = meetings.live.sessions.token_of(session)
        && let Some(held) = held_elsewhere(meetings, account, &token).await?
        && held.counts(meetings.clock.now())
    {
        session.hold(held);
    }
    Ok(session.has_seat(meetings.clock.now()))
}

/// How long the store holds the seat of a session that does not wait, where other gateways may have said so: a lease at the most,
/// since none of them says when somebody leaves.
async fn held_elsewhere(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    token: &TokenHash,
) -> Result<Option<Held>, Denial> {
    if !meetings.store.is_shared() {
        return Ok(None);
    }
    let _turn = meetings.finding.turn(account).await?;
    let found = meetings.store.seats().find(token).await?;
    let until = Held::Until(meetings.clock.now().saturating_add(LEASE));
    Ok(found.filter(|(row, _)| !row.waits).map(|(row, _)| row.held.min(until)))
}

/// Whether a tenant has, or had a moment ago, a meeting on a server.
///
/// # Errors
/// [`Denial::StoreUnavailable`] when none is known here and the store cannot be asked; [`Denial::Overloaded`] when too
/// many ask.
pub(crate) async fn reaches(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    server: &ServerId,
    now: Timestamp,
) -> Result<bool, Denial> {
    let (tenant, _) = account;
    if meetings.live.presence.reaches(tenant, server, now) {
        return Ok(true);
    }
    if !meetings.store.is_shared() {
        return Ok(false);
    }
    let _turn = meetings.finding.turn(account).await?;
    for row in meetings.store.meetings().find_on(tenant, server).await? {
        let _ = adopt::meeting(meetings, row);
    }
    if let Some(row) = meetings.store.ended().find_on(tenant, server, now).await? {
        let _ = adopt::ended(meetings, row);
    }
    Ok(meetings.live.presence.reaches(tenant, server, now))
}
