//! [`Loads`]: chains and keys on their way into memory. One load at a time for a name, a bounded number in all, each with
//! a time limit; a name that has failed is not tried again for a moment.
//!
//! A load belongs to no client: who gives up ends nobody else's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    brought,
    certs::{Cert, CertError, CertName},
    issued::{Pair, Source},
    slot::{Origin, Slot},
};
use crate::domain::time::Clock;

/// Loads at the same time: enough to keep a store busy, and few enough to leave it to others.
const AT_ONCE: usize = 16;
/// Names that wait for their load, are being loaded, or have failed a moment ago.
const NAMES_MAX: usize = 4096;
/// Time limit of a load, with its wait for a turn: shorter than that of a handshake.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a name that has failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// With more names than this, those that have failed keep no place of others.
const PAUSED_MAX: usize = NAMES_MAX / 2;
/// Between two lines in the log about loads that have failed.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(1);

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Underway,
    Done,
    Failed,
}

/// A load that has begun. It holds its slot, so that no other has the same address.
#[derive(Debug)]
struct Flight {
    _slot: Arc<Slot>,
    stage: watch::Receiver<Stage>,
}

/// The loads.
#[derive(Debug)]
pub(super) struct Loads {
    /// By the address of their slot.
    flights: Mutex<HashMap<usize, Flight>>,
    turns: Arc<Semaphore>,
    /// Loads that succeeded.
    pub(super) done: AtomicU64,
    /// Loads that failed, and those that did not begin because there were too many.
    pub(super) failed: AtomicU64,
    /// Tells that files of the operator have another chain than when they were last checked.
    pub(super) changed: Notify,
    complained_at: Mutex<Option<Instant>>,
}

impl Default for Loads {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self {
            flights: Mutex::default(),
            turns,
            done: AtomicU64::default(),
            failed: AtomicU64::default(),
            changed: Notify::new(),
            complained_at: Mutex::default(),
        }
    }
}

/// Removes a load, however it ended.
struct Underway {
    loads: Arc<Loads>,
    at: usize,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.loads.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.at);
    }
}

impl Loads {
    /// Loads chain and key into a slot, or waits for the load that is under way. Returns whether they are there.
    pub(super) async fn load(self: &Arc<Self>, slot: &Arc<Slot>, source: Option<&Arc<dyn Source>>) -> bool {
        let Some(mut stage) = self.begin(slot, source) else { return false };
        stage.wait_for(|stage| *stage != Stage::Underway).await.is_ok_and(|stage| *stage == Stage::Done)
    }

    /// Names that wait, are being loaded, or have failed a moment ago.
    fn underway(&self) -> usize {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Says that a load has failed, once in a second for all: strangers choose the names.
    fn complain(&self, name: &CertName, why: &str) {
        let mut last = self.complained_at.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| COMPLAINT_PAUSE <= last.elapsed()) {
            *last = Some(Instant::now());
            tracing::warn!(host = %name, why, "failed to load a certificate");
        }
    }

    /// Begins to load in the background, unless it has begun.
    pub(super) fn refresh(self: &Arc<Self>, slot: &Arc<Slot>, source: Option<&Arc<dyn Source>>) {
        self.begin(slot, source);
    }

    fn begin(self: &Arc<Self>, slot: &Arc<Slot>, source: Option<&Arc<dyn Source>>) -> Option<watch::Receiver<Stage>> {
        let at = Arc::as_ptr(slot).addr();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&at) {
            return Some(flight.stage.clone());
        }
        if flights.len() >= NAMES_MAX {
            self.failed.fetch_add(1, Relaxed);
            return None;
        }
        let (told, stage) = watch::channel(Stage::Underway);
        flights.insert(at, Flight { _slot: Arc::clone(slot), stage: stage.clone() });
        let underway = Underway { loads: Arc::clone(self), at };
        let (slot, source) = (Arc::clone(slot), source.map(Arc::clone));
        tokio::spawn(async move {
            let loads = &underway.loads;
            let read = timeout(TIMEOUT, read(&slot, source, Arc::clone(&loads.turns)));
            match read.await.unwrap_or_else(|_| Err("it took too long".into())) {
                Ok(cert) => {
                    if slot.is_other(&cert) {
                        loads.changed.notify_one();
                    }
                    slot.fill(cert.key);
                    loads.done.fetch_add(1, Relaxed);
                    told.send_replace(Stage::Done);
                }
                Err(why) => {
                    loads.failed.fetch_add(1, Relaxed);
                    loads.complain(&slot.name, &why);
                    told.send_replace(Stage::Failed);
                    if loads.underway() <= PAUSED_MAX {
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        Some(stage)
    }
}

async fn read(slot: &Arc<Slot>, source: Option<Arc<dyn Source>>, turns: Arc<Semaphore>) -> Result<Cert, String> {
    let turn = turns.acquire_owned().await.map_err(|error| error.to_string())?;
    let from_store = match (&slot.origin, source) {
        (Origin::Files { .. }, _) => None,
        (Origin::Store { .. }, None) => return Err("there is no store to load it from".into()),
        (Origin::Store { .. }, Some(source)) => {
            Some(source.load(&slot.name).await?.ok_or("the store does not have it any more")?)
        }
    };
    let slot = Arc::clone(slot);
    let parsed = tokio::task::spawn_blocking(move || {
        // A file system that hangs keeps its turn.
        let _turn = turn;
        let pair = match (from_store, &slot.origin) {
            (Some(pair), _) => pair,
            (None, Origin::Files { folder, .. }) => brought::read(folder)?,
            (None, Origin::Store { .. }) => return Err("there is no store to load it from".into()),
        };
        parse(&slot, &pair)
    });
    parsed.await.map_err(|error| error.to_string())?
}

/// Reads chain and key. Files that have been changed since they were last checked count as they are now, unless their certificate
/// is outside its dates: the slot was chosen by those that it had.
fn parse(slot: &Slot, (chain, key): &Pair) -> Result<Cert, String> {
    let in_words = |error: &CertError| match error {
        CertError::Chain(why) => format!("its chain {why}"),
        CertError::Key(why) => format!("its key {why}"),
    };
    match Cert::parse(&slot.name, chain, key) {
        Ok(cert) if slot.is_other(&cert) && !cert.is_good(Clock::system().now()) => {
            Err("its files have another certificate by now, which has expired or is not valid yet".into())
        }
        Ok(cert) => Ok(cert),
        Err(errors) => Err(errors.iter().map(in_words).collect::<Vec<_>>().join("; ")),
    }
}
