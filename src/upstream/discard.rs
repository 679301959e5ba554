//! Discards the rest of a request body that is not used, within bounds, before or while the answer is sent.
//!
//! A client that is still sending may read the answer only after that, and closing its connection earlier can destroy the answer
//! (RFC 9112, 9.6). In HTTP/2 the stream could be reset "without an error" instead (RFC 9113, 8.1), which older clients take for a
//! failure (Java's before 21, .NET before 3.0). Beyond the bounds the body is cut: in HTTP/2 by that reset, in HTTP/1.1 by the orderly end of its connection
//! (`net::orderly`).

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::{incoming::Coming, rate::LeastRate};
use crate::{
    net::{activity::Activity, peer::Peer},
    shares::{Limits, Shares},
};

/// Maximum of discarded bytes of a body.
const BYTES_MAX: usize = 128 * 1024 * 1024;
/// Maximum time. Shorter than the idle timeout of a connection.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Longest pause, and minimum bytes per second.
const STOP_MAX: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: u32 = 4096;
/// Bodies discarded at the same time: in total, and by address. Further ones are cut at once.
const PLACES: Limits = Limits { total: 256, outer: 256, inner: 32, both: 32, waiting: 0 };

/// Slots for discarded bodies.
#[derive(Debug, Clone)]
pub struct Discards(Arc<Shares<(), Peer>>);

impl Default for Discards {
    fn default() -> Self {
        Self(Shares::new(PLACES))
    }
}

/// Origin of a body, and the slots for discarding its rest.
#[derive(Debug)]
pub struct Source {
    /// Slots for its rest.
    pub discards: Discards,
    /// The address it comes from.
    pub peer: Peer,
    /// Activity of its connection, which is not idle while the rest is read.
    pub activity: Arc<Activity>,
    /// Whether the client waits for `100 Continue` (RFC 9110, 10.1.1). Without it nothing is discarded.
    pub waits_for_leave: bool,
    /// Turns true when the body is cut: its connection is then closed in order.
    pub is_cut: Arc<AtomicBool>,
}

impl Source {
    /// The body is read: a client that waits for `100 Continue` gets it.
    pub(super) fn begin(&mut self) {
        self.waits_for_leave = false;
    }

    /// The rest of the body is not waited for.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
    }
}

/// Reads on, in a task of its own.
pub(super) fn discard(coming: Box<Coming>) {
    let source = &coming.source;
    let place = if source.waits_for_leave { None } else { source.discards.0.try_take(&(), &source.peer, 1) };
    // There is no runtime where the whole program ends.
    match (place, Handle::try_current()) {
        (Some(place), Ok(runtime)) => {
            let held = (place, source.activity.busy());
            drop(runtime.spawn(async move {
                let _held = held;
                read_on(coming).await;
            }));
        }
        _ => source.cut(),
    }
}

async fn read_on(mut coming: Box<Coming>) {
    let (end, mut left) = (Instant::now() + TIME_MAX, BYTES_MAX);
    let mut rate = LeastRate::new(STOP_MAX, BYTES_PER_SECOND);
    loop {
        let began = Instant::now();
        let frame = timeout_at(end, timeout(rate.credit(), poll_fn(|cx| coming.poll_frame(cx)))).await;
        match frame {
            Ok(Ok(Some(Ok(frame)))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                rate.came(bytes, began.elapsed());
                left = left.saturating_sub(bytes);
            }
            // Ended, or broken.
            Ok(Ok(None | Some(Err(_)))) => return,
            // It has stopped, or had its time.
            Ok(Err(_)) | Err(_) => left = 0,
        }
        if left == 0 {
            return coming.source.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_to_others() {
        let Discards(places) = Discards::default();
        let take =
            |peer: u32| std::iter::from_fn(|| places.try_take(&(), &Peer::V4(peer), 1)).take(1000).collect::<Vec<_>>();
        let first = take(1);
        assert_eq!(first.len(), PLACES.both);
        let others: Vec<_> = (2..20).flat_map(take).collect();
        assert_eq!(first.len() + others.len(), PLACES.total);
        drop(first);
        assert_eq!(take(20).len(), PLACES.both);
    }
}
