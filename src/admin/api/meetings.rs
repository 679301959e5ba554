//! Lists running meetings, and ends one.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    extract::{Operator, Wanted},
    refused,
};
use crate::{
    admin::state::Admin,
    domain::{
        denial::Denial,
        ids::{InternalId, TenantId},
        limits::Limit,
    },
    live::Meeting,
    meetings::{Meetings, end, find},
    store::Seats,
    upstream::Caller,
};

/// On whose account the operator looks for a meeting: an address that nobody has.
const OPERATOR: crate::net::peer::Peer = crate::net::peer::Peer::V4(0);

/// Filter: all meetings, or those of a tenant or a server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    tenant: Option<String>,
    server: Option<String>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Answer, Answer> {
    let Query(Filter { tenant, server }) = filter.map_err(|error| refused::invalid(&error.body_text()))?;
    let directory = admin.meetings.directory.load_full();
    // A slip of the pen is told from a tenant or a server without meetings.
    if let Some(id) = tenant.as_ref().filter(|id| directory.tenant(id).is_none()) {
        return Err(refused::unknown_tenant(id));
    }
    if let Some(id) = server.as_ref().filter(|id| directory.server(id).is_none()) {
        return Err(refused::unknown_server(id));
    }
    let wanted = |meeting: &Arc<Meeting>| {
        tenant.as_ref().is_none_or(|id| meeting.tenant.as_str() == id)
            && server.as_ref().is_none_or(|id| meeting.server.as_str() == id)
    };
    let mut running = admin.meetings.live.meetings.all();
    running.retain(wanted);
    running.sort_by(|a, b| (&a.tenant, &a.ext_id).cmp(&(&b.tenant, &b.ext_id)));
    // From the store, since people have come through other gateways too; what was noted a moment ago is not in it yet.
    let meetings = Arc::clone(&admin.meetings);
    let seats = admin
        .in_gateway(async move { meetings.store.seats().in_use(meetings.clock.now()).await })
        .await
        .ok_or_else(refused::failed)??;
    let seats_of = |meeting: &Meeting| seats.get(&meeting.id).copied().unwrap_or_default();
    let meetings: Vec<_> = running.iter().map(|meeting| told(meeting, seats_of(meeting))).collect();
    Ok(Answer::ok(json!({ "meetings": meetings })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    tenant: String,
    /// The tenant's own.
    meeting_id: String,
}

pub(super) async fn end(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Wanted(Ending { tenant, meeting_id }): Wanted<Ending>,
) -> Result<Answer, Answer> {
    let Ok(id) = tenant.parse::<TenantId>() else { return Err(refused::unknown_tenant(&tenant)) };
    let meetings = Arc::clone(&admin.meetings);
    if meetings.directory.load().tenant(&tenant).is_none() && meetings.live.presence.meetings_of(&id) == 0 {
        return Err(refused::unknown_tenant(&tenant));
    }
    let ended = json!({ "tenant": tenant, "meeting_id": meeting_id });
    let work = async move {
        let meeting =
            find::meeting(&meetings, (&id, OPERATOR), &meeting_id).await?.ok_or_else(refused::unknown_meeting)?;
        end_now(&meetings, &meeting, &operator).await
    };
    admin.in_gateway(work).await.ok_or_else(refused::failed)??;
    Ok(Answer::ok(ended))
}

async fn end_now(meetings: &Meetings, meeting: &Arc<Meeting>, operator: &str) -> Result<(), Answer> {
    let directory = meetings.directory.load_full();
    let server = directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
    let end = end::end(meetings, meeting, server, Caller::default()).await?;
    if !end.over {
        return Err(refused::by_server(&end.answer.message_key, &end.answer.message));
    }
    let (tenant, server) = (&meeting.tenant, &meeting.server);
    tracing::info!(target: "audit", %tenant, %server, meeting = %meeting.id, operator, "meeting ended by operator");
    Ok(())
}

fn told(meeting: &Meeting, Seats { taken, present }: Seats) -> Value {
    json!({
        "tenant": meeting.tenant.as_str(),
        "meeting_id": meeting.ext_id.as_str(),
        "account": meeting.account,
        "server": meeting.server.as_str(),
        "internal_id": meeting.internal_id().map(InternalId::as_str),
        "created_at": meeting.created_at.rfc3339(),
        "seats": taken,
        "present": present,
        "participants": match meeting.seats() {
            Limit::AtMost(most) => Some(most),
            Limit::Unlimited => None,
        },
    })
}
