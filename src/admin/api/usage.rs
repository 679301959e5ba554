//! Usage of the tenants.

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer::Answer, refused};
use crate::{
    admin::state::Admin,
    usage::{Month, cells},
};

/// The month of the query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    month: String,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Answer, Answer> {
    let Query(Wish { month }) = wish.map_err(|error| refused::invalid(&error.body_text()))?;
    let (from, to) = month.parse::<Month>().map_err(|error| refused::invalid(&format!("month {error}")))?.days();
    let meetings = Arc::clone(&admin.meetings);
    let read = async move { meetings.store.usage().by_day(&from, &to, meetings.clock.now()).await };
    let rows = admin.in_gateway(read).await.ok_or_else(refused::failed)??;
    let usage: Vec<Value> = rows.iter().map(cells).collect();
    Ok(Answer::ok(json!({ "usage": usage })))
}
