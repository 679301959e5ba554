//! Lists the BBB servers, and sets their modes.

use std::sync::Arc;

use axum::{Extension, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    extract::{Named, Operator, Wanted},
    refused,
};
use crate::{
    admin::state::Admin,
    domain::{
        server_mode::{ModeError, ServerMode},
        tenant::Server,
    },
    meetings::{operate, releases},
};

pub(super) async fn list(State(admin): State<Admin>) -> Answer {
    let directory = admin.meetings.directory.load_full();
    let warnings = releases::warnings(&admin.meetings, &directory);
    let servers: Vec<_> = directory.servers().map(|server| told(&admin, server, warnings(server))).collect();
    Answer::ok(json!({ "servers": servers }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    mode: String,
}

pub(super) async fn set_mode(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Named(id): Named,
    Wanted(wish): Wanted<Wish>,
) -> Result<Answer, Answer> {
    let mode: ServerMode = wish.mode.parse().map_err(|error: ModeError| refused::invalid(&error.to_string()))?;
    let directory = admin.meetings.directory.load_full();
    let server = directory.server(&id).ok_or_else(|| refused::unknown_server(&id))?;
    let (meetings, id) = (Arc::clone(&admin.meetings), server.id.clone());
    admin
        .in_gateway(async move { operate::set_mode(&meetings, &id, mode, &operator).await })
        .await
        .ok_or_else(refused::failed)??;
    let warnings = releases::warnings(&admin.meetings, &directory)(server);
    Ok(Answer::ok(told(&admin, server, warnings)))
}

fn told(admin: &Admin, server: &Server, warnings: Vec<String>) -> Value {
    let state = admin.meetings.live.servers.of(&server.id);
    json!({
        "id": server.id.as_str(),
        "pool": server.pool.as_str(),
        "mode": state.mode().as_str(),
        "up": state.is_up(),
        "state": state.health.state().as_str(),
        "version": state.reported.bbb().as_deref().filter(|version| !version.is_empty()),
        "plugin_sdk": state.reported.plugin_sdk().as_deref().filter(|version| !version.is_empty()),
        "meetings": state.load.meetings(),
        "seats": state.load.seats(),
        "load": state.load.people(),
        "note": state.strange().map(|strange| strange.to_string()),
        "warnings": warnings,
    })
}
