//! [`FirstHello`]: hosts that are configured and have no certificate yet. A handshake may wait a bounded time for the first
//! one, and the worker that orders certificates gets the name of the host: it shows that DNS leads here.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};

use crate::domain::host::Host;

/// Handshakes that wait at the same time.
const WAITERS_MAX: usize = 256;
/// Those of one host.
const WAITERS_PER_HOST: usize = 8;
/// Capacity of the queue of hosts for the worker that orders.
const ASKED_MAX: usize = 64;
/// A host is told to the worker no more often than once in this time, however many come for it.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// The hosts that wait for their first certificate, and the handshakes that wait with them.
pub struct FirstHello {
    awaited: ArcSwap<Awaited>,
    waiting: Mutex<Waiting>,
    told: mpsc::Sender<Host>,
    /// What times are counted from.
    began: Instant,
    /// Behind a lock that is held while waiting, so that a task that is started again can go on.
    asked: tokio::sync::Mutex<mpsc::Receiver<Host>>,
    arrived: Arc<Notify>,
    /// Handshakes that have waited.
    pub waited: AtomicU64,
    /// Handshakes that were refused because too many wait.
    pub refused: AtomicU64,
}

/// What is waited for.
#[derive(Default)]
struct Awaited {
    /// Zero: no handshake waits.
    wait: Duration,
    /// Each with the time from which on it is told again, in ms since the beginning.
    hosts: HashMap<Host, AtomicU64>,
}

#[derive(Default)]
struct Waiting {
    all: usize,
    by_host: HashMap<Host, usize>,
}

/// The place of a handshake that waits.
struct Place<'f> {
    of: &'f FirstHello,
    host: &'f Host,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.of.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all -= 1;
        if let Some(here) = waiting.by_host.get_mut(self.host) {
            *here -= 1;
            if *here == 0 {
                waiting.by_host.remove(self.host);
            }
        }
    }
}

impl FirstHello {
    /// Nothing is waited for. `arrived` tells that there may be a certificate.
    pub(super) fn new(arrived: Arc<Notify>) -> Self {
        let (told, asked) = mpsc::channel(ASKED_MAX);
        Self {
            awaited: ArcSwap::default(),
            waiting: Mutex::default(),
            told,
            began: Instant::now(),
            asked: tokio::sync::Mutex::new(asked),
            arrived,
            waited: AtomicU64::default(),
            refused: AtomicU64::default(),
        }
    }

    /// Replaces the hosts that may get their first certificate, and says how long a handshake waits for one; zero: not at
    /// all. A host that has one does not wait.
    pub fn set(&self, wait: Duration, hosts: impl IntoIterator<Item = Host>) {
        let before = self.awaited.load();
        let as_before = |host: Host| {
            let again_at = before.hosts.get(&host).map_or(0, |at| at.load(Relaxed));
            (host, AtomicU64::new(again_at))
        };
        let hosts = hosts.into_iter().map(as_before).collect();
        self.awaited.store(Arc::new(Awaited { wait, hosts }));
    }

    /// Somebody has come for a host: it is told to the worker if it has no certificate yet. With a full queue it is dropped, and
    /// told when the next one comes.
    pub fn came(&self, host: &Host) {
        let awaited = self.awaited.load();
        let Some(again_at) = awaited.hosts.get(host) else { return };
        let whole_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (now, seen) = (whole_ms(self.began.elapsed()), again_at.load(Relaxed));
        // Of those that come at once, one tells it.
        let next = now.saturating_add(whole_ms(TOLD_EVERY));
        if seen <= now
            && again_at.compare_exchange(seen, next, Relaxed, Relaxed).is_ok()
            && self.told.try_send(host.clone()).is_err()
        {
            again_at.store(seen, Relaxed);
        }
    }

    /// Waits for a host that a client has come for and that has no certificate yet: see [`Self::came`].
    ///
    /// May be dropped at any time: no host is lost.
    pub async fn asked(&self) -> Host {
        match self.asked.lock().await.recv().await {
            Some(host) => host,
            // Not while this exists: it has the other end.
            None => std::future::pending().await,
        }
    }

    /// Whether a handshake for a host may wait.
    pub(super) fn awaits(&self, host: &Host) -> bool {
        let awaited = self.awaited.load();
        !awaited.wait.is_zero() && awaited.hosts.contains_key(host)
    }

    /// Waits until a host has a certificate; whether it has.
    pub(super) async fn wait(&self, host: &Host, is_there: impl Fn() -> bool) -> bool {
        if !self.awaits(host) {
            return false;
        }
        let wait = self.awaited.load().wait;
        self.came(host);
        let Some(_place) = self.place(host) else {
            self.refused.fetch_add(1, Relaxed);
            return false;
        };
        self.waited.fetch_add(1, Relaxed);
        let there = async {
            loop {
                let mut arrived = std::pin::pin!(self.arrived.notified());
                // Before the look, so that what arrives after it is heard.
                arrived.as_mut().enable();
                if is_there() {
                    return;
                }
                arrived.await;
            }
        };
        timeout(wait, there).await.is_ok()
    }

    /// A place to wait.
    fn place<'f>(&'f self, host: &'f Host) -> Option<Place<'f>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let here = waiting.by_host.get(host).copied().unwrap_or(0);
        if waiting.all >= WAITERS_MAX || here >= WAITERS_PER_HOST {
            return None;
        }
        waiting.all += 1;
        waiting.by_host.insert(host.clone(), here + 1);
        Some(Place { of: self, host })
    }
}

impl fmt::Debug for FirstHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstHello").field("hosts", &self.awaited.load().hosts.len()).finish_non_exhaustive()
    }
}
