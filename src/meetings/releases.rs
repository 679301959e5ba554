//! What an operator should hear of servers: of their releases, and of services that they lack.

use super::{Meetings, webhooks};
use crate::{
    bbb::release::advice::Advice,
    domain::{directory::Directory, tenant::Server},
};

/// The warnings about each server of a configuration.
pub(crate) fn warnings(meetings: &Meetings, directory: &Directory) -> impl Fn(&Server) -> Vec<String> {
    let advice = Advice::new(directory);
    move |server| {
        let release = meetings.live.servers.of(&server.id).reported.release();
        let mut warnings = release.map_or_else(Vec::new, |release| advice.warnings(server, release));
        warnings.extend(webhooks::servers::warning(meetings, server));
        warnings
    }
}
