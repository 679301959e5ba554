//! Lists webhooks, has the events of one tried again, and removes one.

use std::{collections::HashMap, sync::Arc};

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
    domain::ids::{ExternalId, TenantId},
    meetings::webhooks::registry,
    store::WebhookRow,
};

/// Filter: the webhooks of all tenants or of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    tenant: Option<String>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Answer, Answer> {
    let Query(Filter { tenant }) = filter.map_err(|error| refused::invalid(&error.body_text()))?;
    // A tenant that is not configured any more may have some left.
    let tenant = tenant.map(|id| id.parse::<TenantId>().map_err(|_| refused::unknown_tenant(&id))).transpose()?;
    let meetings = Arc::clone(&admin.meetings);
    let read = admin.in_gateway(async move {
        let waiting = meetings.store.webhooks().waiting().await?;
        Ok::<_, crate::store::Error>((meetings.store.webhooks().all().await?, waiting))
    });
    let (rows, waiting) = read.await.ok_or_else(refused::failed)??;
    let waiting: HashMap<_, _> = waiting.into_iter().collect();
    let is_meant = |row: &&WebhookRow| tenant.as_ref().is_none_or(|tenant| row.tenant == *tenant);
    let told: Vec<_> = rows.iter().filter(is_meant).map(|row| told(row, waiting.get(&row.id).copied())).collect();
    Ok(Answer::ok(json!({ "webhooks": told })))
}

pub(super) async fn retry_one(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<Answer, Answer> {
    let meetings = Arc::clone(&admin.meetings);
    let row = admin.in_gateway(async move { registry::retry(&meetings, &id).await });
    let row = row.await.ok_or_else(refused::failed)??.ok_or_else(refused::unknown_webhook)?;
    let (tenant, id) = (&row.tenant, &row.id);
    tracing::info!(target: "audit", %tenant, id, operator, "webhook to be tried again by operator");
    Ok(Answer::ok(told(&row, None)))
}

pub(super) async fn remove_one(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<Answer, Answer> {
    let meetings = Arc::clone(&admin.meetings);
    let row = admin.in_gateway(async move { registry::remove(&meetings, &id).await });
    let row = row.await.ok_or_else(refused::failed)??.ok_or_else(refused::unknown_webhook)?;
    let (tenant, id) = (&row.tenant, &row.id);
    tracing::info!(target: "audit", %tenant, id, operator, "webhook removed by operator");
    Ok(Answer::ok(told(&row, None)))
}

/// What the operator may know: no path and no query of the address, in which there may be secrets.
fn told(row: &WebhookRow, waiting: Option<u64>) -> Value {
    let receiver = row.url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(|host| host.to_string()));
    json!({
        "id": row.id,
        "tenant": row.tenant.as_str(),
        "meeting_id": row.meeting.as_ref().map(ExternalId::as_str),
        "events": row.events,
        "receiver": receiver,
        "created_at": row.created_at.rfc3339(),
        "waiting": waiting.unwrap_or(0),
        "due_at": row.due_at.rfc3339(),
        "tries": row.tries,
        "failing_since": row.failing_since.map(|since| since.rfc3339()),
        "result": row.result,
    })
}
