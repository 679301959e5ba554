//! Lists callbacks, and has one tried again.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer::Answer, extract::Operator, refused};
use crate::{
    admin::state::Admin,
    domain::{callback, ids::TenantId},
    meetings::callbacks::retry,
    store::CallbackRow,
};

/// Filter: the callbacks of all tenants or of one, in a state: those that wait, unless another is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    tenant: Option<String>,
    state: Option<String>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Answer, Answer> {
    let Query(Filter { tenant, state }) = filter.map_err(|error| refused::invalid(&error.body_text()))?;
    // A tenant that is not configured any more may have some left.
    let tenant = tenant.map(|id| id.parse::<TenantId>().map_err(|_| refused::unknown_tenant(&id))).transpose()?;
    let state = match state.as_deref().unwrap_or("waiting").parse::<callback::State>() {
        Ok(state) => state,
        Err(()) => return Err(refused::invalid("state is one of waiting, delivered, given_up")),
    };
    let meetings = Arc::clone(&admin.meetings);
    let rows = admin.in_gateway(async move { meetings.store.callbacks().list(tenant.as_ref(), state).await });
    let rows = rows.await.ok_or_else(refused::failed)??;
    Ok(Answer::ok(json!({ "callbacks": rows.iter().map(told).collect::<Vec<_>>() })))
}

pub(super) async fn retry_one(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<Answer, Answer> {
    let Ok(number) = id.parse() else { return Err(refused::unknown_callback()) };
    let meetings = Arc::clone(&admin.meetings);
    let row = admin.in_gateway(async move { retry::retry(&meetings, number).await });
    let row = row.await.ok_or_else(refused::failed)??.ok_or_else(refused::unknown_callback)?;
    let (tenant, id) = (&row.tenant, row.id);
    tracing::info!(target: "audit", %tenant, id, operator, "callback to be tried again by operator");
    Ok(Answer::ok(told(&row)))
}

/// What the operator may know: no path and no query of the address, in which there may be secrets.
fn told(row: &CallbackRow) -> Value {
    let receiver = row.url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(|host| host.to_string()));
    json!({
        "id": row.id,
        "tenant": row.tenant.as_str(),
        "meeting_id": row.ext_id.as_str(),
        "parameter": row.parameter,
        "receiver": receiver,
        "state": row.state.as_str(),
        "received_at": row.received_at.rfc3339(),
        "due_at": row.due_at.rfc3339(),
        "tries": row.tries,
        "result": row.result,
    })
}
