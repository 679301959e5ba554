//! [`LargeBodies`]: room for bodies that are larger than what every call may have.
//!
//! Documents in the body of a `create` are held whole while a server is asked. A tenant holds one such body at a time, all
//! tenants together [`HELD_BYTES_MAX`]; while a body is being looked through there is a second copy of it. Room is asked for when
//! the first bytes beyond the usual bound have come, by a caller whose checksum fits; who waits longer than [`WAIT_MAX`] is
//! refused, and is not read meanwhile.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::{denial::Denial, ids::TenantId};

/// Four bodies of the largest size that a level may allow.
const HELD_BYTES_MAX: usize = 256 << 20;
/// A caller's own time-out is mostly 30 s or more, and the server has to answer yet.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What is held of large bodies.
#[derive(Debug)]
pub(crate) struct LargeBodies {
    kilobytes: Arc<Semaphore>,
    /// One turn for each tenant that has sent such a body.
    turns: DashMap<TenantId, Arc<Semaphore>>,
}

/// Room for one body until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Default for LargeBodies {
    fn default() -> Self {
        Self { kilobytes: Arc::new(Semaphore::new(HELD_BYTES_MAX >> 10)), turns: DashMap::new() }
    }
}

impl LargeBodies {
    /// Waits for room for a body of a tenant.
    ///
    /// # Errors
    /// [`Denial::Overloaded`] where there is none within [`WAIT_MAX`].
    pub(crate) async fn hold(&self, tenant: &TenantId, bytes: usize) -> Result<Held, Denial> {
        let turn = Arc::clone(&self.turns.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let kilobytes = u32::try_from(bytes.min(HELD_BYTES_MAX).div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let both = async {
            let turn = turn.acquire_owned().await.ok()?;
            let room = Arc::clone(&self.kilobytes).acquire_many_owned(kilobytes).await.ok()?;
            Some(Held { _turn: turn, _room: room })
        };
        timeout(WAIT_MAX, both).await.ok().flatten().ok_or(Denial::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantId {
        format!("t{n}").parse().expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn all_bodies_together_and_those_of_a_tenant_have_a_bound() {
        let (all, largest) = (LargeBodies::default(), 64 << 20);
        let first = all.hold(&tenant(0), 3 << 20).await.expect("room");
        assert_eq!(all.hold(&tenant(0), 3 << 20).await.err(), Some(Denial::Overloaded), "one at a time");
        drop(first);
        let mut held = Vec::new();
        for n in 0..4 {
            held.push(all.hold(&tenant(n), largest).await.expect("room"));
        }
        assert_eq!(all.hold(&tenant(4), largest).await.err(), Some(Denial::Overloaded), "256 MB are held");
        held.pop();
        assert!(all.hold(&tenant(4), largest).await.is_ok(), "what is done with makes room");
    }
}
