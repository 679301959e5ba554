//! What an operator should hear of the releases that the servers run.

use super::Meetings;
use crate::{
    bbb::release::advice::Advice,
    domain::{directory::Directory, tenant::Server},
};

/// The warnings about each server of a configuration; none for one that does not tell its release.
pub(crate) fn warnings(meetings: &Meetings, directory: &Directory) -> impl Fn(&Server) -> Vec<String> {
    let advice = Advice::new(directory);
    move |server| {
        let release = meetings.live.servers.of(&server.id).reported.release();
        release.map_or_else(Vec::new, |release| advice.warnings(server, release))
    }
}
