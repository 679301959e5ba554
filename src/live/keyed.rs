//! [`Keyed`]: one at a time per key. Concurrent creates of one meeting id have one winner, the others wait for it.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Locks by key. A key that nobody holds or waits for takes no memory.
///
/// The mutex is tokio's because it is held across the call to the server.
#[derive(Debug, Default)]
pub struct Keyed {
    locks: DashMap<Box<str>, Arc<Mutex<()>>>,
}

/// A key that is held until this is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    keyed: &'a Keyed,
    key: &'a str,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Keyed {
    /// Waits for its turn and holds `key`.
    pub async fn hold<'a>(&'a self, key: &'a str) -> Held<'a> {
        let lock = Arc::clone(&self.locks.entry(key.into()).or_default());
        Held { keyed: self, key, guard: Some(lock.lock_owned().await) }
    }

    /// Whether no key is held.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        // Whoever waits has a handle of its own: one handle left is the map's.
        self.keyed.locks.remove_if(self.key, |_, lock| Arc::strong_count(lock) == 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_per_key_and_nothing_is_left() {
        let (keyed, inside) = (Keyed::default(), AtomicU32::new(0));
        let visits = (0..20).map(|n| {
            let (keyed, inside) = (&keyed, &inside);
            async move {
                let key = if n % 2 == 0 { "a" } else { "b" };
                let _held = keyed.hold(key).await;
                assert!(inside.fetch_add(1, SeqCst) < 2);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
            }
        });
        futures_util::future::join_all(visits).await;
        assert!(keyed.is_empty());
    }
}
