//! Deliveries from the store, for callbacks and for webhooks.
//!
//! Every gateway delivers. What is due is claimed before it is sent, and what has become of it is written afterwards: a gateway
//! that dies in between leaves it to the others, which then send it a second time at worst.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    domain::time::Timestamp,
    store::{Claim, Error},
};

/// Deliveries of a gateway at a time.
pub(super) const CONCURRENCY: usize = 32;
/// Of these, those of one tenant: receivers that hang are to stop no other tenant's.
const OF_TENANT: u32 = 2;
/// Between two looks for what is due; what has just come is delivered at once.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long something is held: longer than its delivery takes.
const HELD: Duration = Duration::from_secs(60);
/// How long a gateway tries to write down what has become of it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);
/// The same at a stop: what waits for it is closed soon.
const WRITTEN_AT_STOP_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A claim of so many.
pub(super) fn claim(most: usize, now: Timestamp) -> Claim {
    Claim { most, of_tenant: OF_TENANT, now, until: now.saturating_add(HELD) }
}

/// What is to be delivered, of one kind.
pub(super) trait Queue: Send + Sync + 'static {
    /// One of it.
    type Due: Send + 'static;

    /// Notified when there may be something.
    fn wake(&self) -> &Notify;

    /// What is done every five seconds.
    fn tick(&self) -> impl Future<Output = ()> + Send;

    /// Claims so many that are due.
    fn claim(&self, most: usize) -> impl Future<Output = Result<Vec<Self::Due>, Error>> + Send;

    /// Delivers one, and writes down what has become of it; in less time when told to stop.
    fn deliver(&self, due: Self::Due, stopping: watch::Receiver<bool>) -> impl Future<Output = ()> + Send;
}

/// Delivers until told to stop, and then finishes what it has begun.
pub(super) async fn run(queue: Arc<impl Queue>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Tasks of their own: they go on while this one waits for the store.
    let mut open = JoinSet::new();
    let stopping = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stop.wait_for(|stop| *stop).map(drop) => break,
            _ = ticks.tick() => queue.tick().await,
            () = queue.wake().notified() => {}
            Some(_) = open.join_next() => {}
        }
        let room = CONCURRENCY.saturating_sub(open.len());
        for due in claimed(&*queue, room).await {
            let (queue, stopping) = (Arc::clone(&queue), stopping.clone());
            open.spawn(async move { queue.deliver(due, stopping).await });
        }
    }
    while open.join_next().await.is_some() {}
}

async fn claimed<Q: Queue>(queue: &Q, most: usize) -> Vec<Q::Due> {
    if most == 0 {
        return Vec::new();
    }
    queue.claim(most).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "failed to read what is to be delivered from the store: retrying");
        Vec::new()
    })
}

/// Writes down what has become of a delivery. `None` where that was not possible: a store that is away gives it to no other
/// gateway either.
pub(super) async fn written<T, F>(stopping: &watch::Receiver<bool>, write: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, Error>>,
{
    let begun = Instant::now();
    loop {
        if let Ok(written) = write().await {
            return Some(written);
        }
        let limit = if *stopping.borrow() { WRITTEN_AT_STOP_WITHIN } else { WRITTEN_WITHIN };
        if begun.elapsed() >= limit {
            tracing::error!("failed to write the result of a delivery: it may be sent again");
            return None;
        }
        tokio::time::sleep(WRITE_INTERVAL).await;
    }
}
