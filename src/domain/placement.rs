//! Placement: which server of a pool gets the next meeting.

use std::sync::Arc;

use super::{ids::ServerId, tenant::Server};

/// What a meeting weighs beside the people in it: an empty one will fill.
pub const MEETING_WEIGHT: u32 = 10;

/// A server that could take a meeting, as the caller sees it now.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The server.
    pub server: Arc<Server>,
    /// Meetings times [`MEETING_WEIGHT`] plus seats taken, meetings that are just being created included.
    pub load: u32,
    /// Whether it answers.
    pub up: bool,
}

/// Chooses the least loaded server that answers and has not been tried yet; `chance` breaks a tie.
pub fn choose<'a>(candidates: &'a [Candidate], tried: &[ServerId], chance: u32) -> Option<&'a Arc<Server>> {
    let free = |c: &&Candidate| c.up && !tried.contains(&c.server.id);
    let least = candidates.iter().filter(free).map(|c| c.load).min()?;
    let ties = || candidates.iter().filter(free).filter(|c| c.load == least);
    let nth = chance as usize % ties().count();
    ties().nth(nth).map(|c| &c.server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::server;

    fn candidate(id: &str, load: u32, up: bool) -> Candidate {
        Candidate { server: Arc::new(server(id, "members")), load, up }
    }

    #[test]
    fn the_least_loaded_server_that_answers_is_chosen() {
        let pool = [candidate("a", 30, true), candidate("b", 10, true), candidate("c", 0, false)];
        let chosen = |tried: &[&str]| {
            let tried: Vec<_> = tried.iter().map(|id| id.parse().expect("an id")).collect();
            choose(&pool, &tried, 0).map(|s| s.id.to_string())
        };
        assert_eq!(chosen(&[]).as_deref(), Some("b"));
        assert_eq!(chosen(&["b"]).as_deref(), Some("a"), "the next one after a failed try");
        assert_eq!(chosen(&["a", "b"]), None, "a server that does not answer is not chosen");
    }

    #[test]
    fn a_tie_is_broken_by_chance() {
        let pool = [candidate("a", 10, true), candidate("b", 10, true), candidate("c", 20, true)];
        let chosen: Vec<_> = (0..4).filter_map(|chance| choose(&pool, &[], chance)).map(|s| s.id.to_string()).collect();
        assert_eq!(chosen, ["a", "b", "a", "b"]);
    }
}
