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

use arc_swap::ArcSwapOption;
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
/// A host is sent to the worker at most once in this time, however many requests come for it.
const TOLD_EVERY: Duration = Duration::from_secs(15);
/// Hosts that are remembered for that. When so many have been told, no other one is until that time is over.
const RECENT_MAX: usize = 1024;

/// The hosts that a handshake may wait for, and the handshakes that wait.
pub struct FirstHello {
    awaited: ArcSwapOption<Awaited>,
    waiting: Mutex<Waiting>,
    told: mpsc::Sender<Host>,
    /// When a host was told last.
    recent: Mutex<HashMap<Host, Instant>>,
    /// Behind a lock that is held while waiting, so that a task that is started again can go on.
    asked: tokio::sync::Mutex<mpsc::Receiver<Host>>,
    arrived: Arc<Notify>,
    /// Handshakes that have waited.
    pub waited: AtomicU64,
    /// Handshakes that were refused because too many wait.
    pub refused: AtomicU64,
}

/// How long and for which hosts a handshake waits that finds no certificate.
struct Awaited {
    /// Zero: no handshake waits.
    wait: Duration,
    is_ours: Box<dyn Fn(&Host) -> bool + Send + Sync>,
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
            awaited: ArcSwapOption::empty(),
            waiting: Mutex::default(),
            told,
            recent: Mutex::default(),
            asked: tokio::sync::Mutex::new(asked),
            arrived,
            waited: AtomicU64::default(),
            refused: AtomicU64::default(),
        }
    }

    /// Has those be heard who come for a host that is to get a certificate, and has a handshake wait so
    /// long for its first one; zero: not at all. Only hosts without a certificate are asked about.
    pub fn set(&self, wait: Duration, is_ours: impl Fn(&Host) -> bool + Send + Sync + 'static) {
        self.awaited.store(Some(Arc::new(Awaited { wait, is_ours: Box::new(is_ours) })));
    }

    /// A request for a host without a certificate has come: the host is sent to the worker if it is to get one. When the queue
    /// is full it is dropped, and sent with the next request.
    pub(super) fn came(&self, host: &Host) {
        if !self.awaited.load().as_ref().is_some_and(|awaited| (awaited.is_ours)(host)) {
            return;
        }
        let now = Instant::now();
        let is_recent = |at: &Instant| now.duration_since(*at) < TOLD_EVERY;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if RECENT_MAX <= recent.len() {
            recent.retain(|_, at| is_recent(at));
        }
        let waits = RECENT_MAX <= recent.len() || recent.get(host).is_some_and(is_recent);
        if !waits && self.told.try_send(host.clone()).is_ok() {
            recent.insert(host.clone(), now);
        }
    }

    /// Waits for a host that a client has come for and that has no certificate yet.
    ///
    /// May be dropped at any time: no host is lost.
    pub async fn asked(&self) -> Host {
        match self.asked.lock().await.recv().await {
            Some(host) => host,
            // Not while this exists: it has the other end.
            None => std::future::pending().await,
        }
    }

    /// Whether a handshake may wait for a host without a certificate.
    pub(super) fn awaits(&self, host: &Host) -> bool {
        self.wait_for(host).is_some()
    }

    fn wait_for(&self, host: &Host) -> Option<Duration> {
        let awaited = self.awaited.load();
        let awaited = awaited.as_ref().filter(|awaited| !awaited.wait.is_zero() && (awaited.is_ours)(host))?;
        Some(awaited.wait)
    }

    /// Waits until a host has a certificate; whether it has.
    pub(super) async fn wait(&self, host: &Host, is_there: impl Fn() -> bool) -> bool {
        let Some(wait) = self.wait_for(host) else { return false };
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
        let wait = self.awaited.load().as_ref().map(|awaited| awaited.wait);
        f.debug_struct("FirstHello").field("wait", &wait).finish_non_exhaustive()
    }
}
