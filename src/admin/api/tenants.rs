//! Lists the tenants, suspends and resumes them.

use std::sync::Arc;

use axum::{Extension, extract::State};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    extract::{Named, Operator},
    refused,
};
use crate::{admin::state::Admin, domain::tenant::Tenant, meetings::operate};

pub(super) async fn list(State(admin): State<Admin>) -> Answer {
    let directory = admin.meetings.directory.load_full();
    let tenants: Vec<_> = directory.tenants().map(|tenant| told(&admin, tenant)).collect();
    Answer::ok(json!({ "tenants": tenants }))
}

pub(super) async fn suspend(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    Named(id): Named,
) -> Result<Answer, Answer> {
    set(&admin, operator, id, true).await
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    Named(id): Named,
) -> Result<Answer, Answer> {
    set(&admin, operator, id, false).await
}

async fn set(admin: &Admin, Operator(operator): Operator, id: String, suspended: bool) -> Result<Answer, Answer> {
    let directory = admin.meetings.directory.load_full();
    let tenant = directory.tenant(&id).ok_or_else(|| refused::unknown_tenant(&id))?;
    let (meetings, id) = (Arc::clone(&admin.meetings), tenant.id.clone());
    admin
        .in_gateway(async move { operate::suspend(&meetings, &id, suspended, &operator).await })
        .await
        .ok_or_else(refused::failed)??;
    Ok(Answer::ok(told(admin, tenant)))
}

fn told(admin: &Admin, tenant: &Tenant) -> Value {
    let live = &admin.meetings.live;
    let by = [("file", tenant.suspended), ("operator", live.suspended.contains(&tenant.id))];
    let by: Vec<_> = by.into_iter().filter(|(_, suspended)| *suspended).map(|(who, _)| who).collect();
    json!({
        "id": tenant.id.as_str(),
        "name": tenant.name,
        "policy": tenant.policy.id.as_str(),
        "hosts": tenant.hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>(),
        "suspended_by": by,
        "meetings": live.presence.meetings_of(&tenant.id),
    })
}
