//! The server that a new meeting is placed on.

use std::sync::Arc;

use super::order::Order;
use crate::{
    domain::{ids::ServerId, placement::choose, tenant::Server},
    live::servers::Placing,
    meetings::Meetings,
};

/// The server for a meeting, of the first pool that has one. The meeting counts there from now on: many may be looking
/// for a place at once.
pub(super) fn place(meetings: &Meetings, order: &Order, tried: &[ServerId]) -> Option<(Arc<Server>, Placing)> {
    let pools = order.tenant.pools.iter();
    pools.map(|pool| order.directory.pool(pool)).find_map(|pool| place_in(meetings, pool, order.expected, tried))
}

fn place_in(
    meetings: &Meetings,
    pool: &[Arc<Server>],
    expected: u32,
    tried: &[ServerId],
) -> Option<(Arc<Server>, Placing)> {
    loop {
        let candidates = meetings.live.servers.candidates(pool);
        let server = choose(&candidates, tried, meetings.sight, chance())?;
        let state = meetings.live.servers.of(&server.id);
        let placing = Arc::clone(&state).place(expected);
        // The operator may drain it in between: only what weighs already keeps it from being found empty.
        if state.mode().takes_meetings() {
            return Some((Arc::clone(server), placing));
        }
    }
}

/// A random number for the choice of a server.
fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the first of those with room is as good as another.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
