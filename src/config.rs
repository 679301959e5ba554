//! The configuration: files of an operator in, an immutable [`Directory`](crate::domain::directory::Directory) out.
//!
//! Every file is parsed in two steps: into its raw shape (`raw`, checked against its own JSON schema so that all faults
//! of a file come at once), then into the domain's types, which is the only place that knows what is valid. What
//! several files must agree on (hosts, secrets, policies, pools, certificates) is decided when they are joined
//! (`join`). At the start every fault counts; while running, the last good version of whatever is faulty stays in
//! service.

use std::path::Path;

use crate::domain::time::Clock;

mod acme;
mod branding;
mod certs;
mod convert;
mod document;
mod duration;
mod events;
mod fault;
mod files;
mod gateway;
mod get_user;
mod http_address;
mod join;
mod keypath;
mod limits;
mod loaded;
mod loader;
mod mail;
mod moment;
mod params;
mod pointing;
mod policy;
mod raw;
mod scan;
mod secrets;
mod settings;
mod shape;
mod sources;
mod tenant;
mod values;
mod watch;
mod wording;

pub(crate) use duration::parse as length_of_time;
pub use fault::Fault;
pub use loaded::{Loaded, Reload};
pub use loader::Loader;
pub use settings::{Connections, Listen, Settings, SlugKey};
pub use watch::Watcher;

use files::Source;

/// What `anteroom.toml` says of the gateway as a whole: where a running one listens, and where its store is. What is wrong
/// elsewhere, be it a secret that only the gateway's own environment has, does not matter here.
///
/// # Errors
/// The faults of the listeners and the store, or all of a file that is none.
pub fn settings(dir: &Path, clock: &Clock) -> Result<Settings, Vec<Fault>> {
    let found = gateway::read(Source { dir, now: clock.now() }, &SlugKey([0; 32]));
    let Some(settings) = found.value.settings else { return Err(found.faults) };
    let matters = |fault: &Fault| fault.key.starts_with("listen") || fault.key.starts_with("store");
    let faults: Vec<_> = found.faults.into_iter().filter(matters).collect();
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// The JSON schemas of the files, for editors and for the documentation: `anteroom.toml`, `tenant`,
/// `policy`, and `language` for the texts of pages.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "anteroom.toml": shape::GATEWAY.as_value(),
        "tenant": shape::TENANT.as_value(),
        "policy": shape::POLICY.as_value(),
        "language": shape::LANGUAGE.as_value(),
    })
}
