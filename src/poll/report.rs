//! What the gateway that polls writes down for the others.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{health::State, tenant::Server},
    live::servers::Version,
    meetings::Meetings,
};

/// A server as it was found. What a later release adds is ignored, what an earlier one lacks is as if it were nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Report {
    state: String,
    version: Version,
    load: u32,
}

pub(super) async fn write(meetings: &Meetings, server: &Server) {
    let state = meetings.live.servers.of(&server.id);
    let version = Version {
        bbb: state.reported.bbb().as_deref().cloned().unwrap_or_default(),
        plugin_sdk: state.reported.plugin_sdk().as_deref().cloned().unwrap_or_default(),
        before_3: state.reported.is_before_3(),
    };
    let report = Report { state: state.health.state().as_str().to_owned(), version, load: state.load.people() };
    let Ok(text) = serde_json::to_string(&report) else { return };
    if let Err(error) = meetings.store.gateways().report(&server.id, &text, meetings.clock.now()).await {
        tracing::debug!(%error, "failed to share the health of a server with other gateways");
    }
}

/// Takes over what the gateway that polls has found.
pub(super) async fn read(meetings: &Meetings) {
    let Ok(reports) = meetings.store.gateways().reports().await else { return };
    let directory = meetings.directory.load_full();
    for (server, text, _) in reports {
        let (Some(server), Ok(report)) = (directory.server(&server), serde_json::from_str::<Report>(&text)) else {
            continue;
        };
        let state = meetings.live.servers.of(&server.id);
        if let Some(found) = State::named(&report.state)
            && state.health.set_state(found) != found
        {
            tracing::info!(server = %server.id, state = found.as_str(), "server state received from the polling gateway");
        }
        state.reported.set(report.version);
        state.load.correct(report.load);
    }
}
