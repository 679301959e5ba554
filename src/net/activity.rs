//! [`Activity`]: open requests of a connection, and its idle timeouts.
//!
//! A request costs two atomic additions; a timer of the connection runs once per idle timeout. A connection is closed when
//!
//! * no request arrives within 30 s of its start, or within a shorter idle timeout;
//! * no request is open for one to two idle timeouts (HTTP/2; HTTP/1 has its own timer);
//! * a client reads nothing of an answer for four to five idle timeouts. Reading any part resets that; the last part, some
//!   100 KB, has five of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// Time for the first request: a browser that connects in advance uses the connection soon or never.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Ages, of one idle timeout each, of answers that the client does not read: the oldest age ends the connection.
const AGES: usize = 5;
/// Requests that a peer may have given up before their answer was whole; beyond that, as many as it has waited for.
const RESETS_MAX: u32 = 256;

/// Why the gateway closes a healthy connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// No request in time.
    Unused = 1,
    /// Idle timeout.
    Idle,
    /// The client does not read its answer.
    Stalled,
    /// Closed while idle, to free its slot.
    MadeRoom,
    /// The client cancels most of its requests (HTTP/2 rapid reset).
    Resets,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unused, Self::Idle, Self::Stalled, Self::MadeRoom, Self::Resets];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::MadeRoom => "made_room",
            Self::Resets => "resets",
        }
    }

    /// Whether open requests are answered first.
    #[must_use]
    pub fn is_graceful(self) -> bool {
        matches!(self, Self::Idle | Self::Resets)
    }
}

/// Activity of a connection.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests so far.
    begun: AtomicU32,
    /// Requests whose answer is not complete.
    open: AtomicU32,
    /// Requests that were cancelled.
    given_up: AtomicU32,
    /// WebSockets on streams of it.
    sockets: AtomicU32,
    /// Those of them that have found their server.
    carried: AtomicU32,
    /// Answers that the client does not read, by the age in which that began.
    waiting: [AtomicU32; AGES],
    age: AtomicU32,
    /// An [`End`], or 0.
    end: AtomicU8,
    ended: Notify,
}

impl Activity {
    /// Counts a request, from now until its answer is handed over or given up. It waits until somebody works on it: of several
    /// that come at once HTTP/1 begins with the next one when there is room for its answer.
    pub fn begin(self: &Arc<Self>) -> Open {
        let begun = self.begun.fetch_add(1, Relaxed).saturating_add(1);
        self.open.fetch_add(1, Relaxed);
        let given_up = self.given_up.load(Relaxed);
        if RESETS_MAX < given_up && begun / 2 < given_up {
            self.end(End::Resets);
        }
        let mut open = Open { of: Arc::clone(self), waits_since: None, is_whole: false };
        open.waits();
        open
    }

    /// Counts what goes on beside its answers, for as long as this lives: it is not idle.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Relaxed);
        Busy { of: Arc::clone(self), is_socket: false, is_carried: false }
    }

    /// The same for a WebSocket on a stream of it; and whether it is the only one.
    pub fn socket(self: &Arc<Self>) -> (Busy, bool) {
        let mut busy = self.busy();
        busy.is_socket = true;
        (busy, self.sockets.fetch_add(1, Relaxed) == 0)
    }

    /// Whether no request is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.load(Relaxed) == 0
    }

    /// Whether there has been a request.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.begun.load(Relaxed) != 0
    }

    /// Closes the connection. The first reason counts.
    pub fn end(&self, why: End) {
        let _ = self.end.compare_exchange(0, why as u8, Relaxed, Relaxed);
        self.ended.notify_one();
    }

    /// The reason for closing, if it is to be closed.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        let end = self.end.load(Relaxed);
        End::ALL.into_iter().find(|known| *known as u8 == end)
    }

    /// Resolves with the reason when the connection has to be closed. `is_http2`: whether nothing else watches over its idleness.
    pub async fn watch(&self, idle_timeout: Duration, is_http2: bool) -> End {
        tokio::select! {
            end = self.look(idle_timeout, is_http2) => end,
            end = self.told() => end,
        }
    }

    /// Resolves when the connection is closed from elsewhere.
    pub async fn told(&self) -> End {
        loop {
            self.ended.notified().await;
            if let Some(end) = self.ended() {
                return end;
            }
        }
    }

    async fn look(&self, idle_timeout: Duration, is_http2: bool) -> End {
        tokio::time::sleep(idle_timeout.min(FIRST_REQUEST_TIMEOUT)).await;
        if !self.is_used() {
            return End::Unused;
        }
        let (mut seen, mut quiet) = (0, 0_usize);
        loop {
            tokio::time::sleep(idle_timeout).await;
            let begun = self.begun.load(Relaxed);
            quiet = if self.is_idle() && begun == seen { quiet.saturating_add(1) } else { 0 };
            seen = begun;
            match quiet {
                1 if is_http2 => return End::Idle,
                // hyper's timer runs when the last answer is written: what it holds of that is not taken.
                AGES => return End::Stalled,
                _ => {}
            }
            // Sockets do not end for a download that is paused beside them.
            if self.grow_older() && self.carried.load(Relaxed) == 0 {
                return End::Stalled;
            }
        }
    }

    /// Begins the next age. Returns whether an answer waits since the one before the last four.
    fn grow_older(&self) -> bool {
        let age = self.age.load(Relaxed).wrapping_add(1) as usize % AGES;
        let stalled = self.waiting[age].load(Relaxed) != 0;
        self.age.store(u32::try_from(age).unwrap_or(0), Relaxed);
        stalled
    }
}

/// Something that goes on beside the answers of a connection.
#[derive(Debug)]
pub struct Busy {
    of: Arc<Activity>,
    is_socket: bool,
    is_carried: bool,
}

impl Busy {
    /// Notes that a WebSocket has found its server.
    pub fn carried(&mut self) {
        if !self.is_carried {
            self.is_carried = true;
            self.of.carried.fetch_add(1, Relaxed);
        }
    }

    /// Counts it as a request that was cancelled.
    pub fn given_up(&self) {
        self.of.given_up.fetch_add(1, Relaxed);
    }

    /// The connection.
    #[must_use]
    pub fn of(&self) -> &Arc<Activity> {
        &self.of
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.of.open.fetch_sub(1, Relaxed);
        self.of.sockets.fetch_sub(u32::from(self.is_socket), Relaxed);
        self.of.carried.fetch_sub(u32::from(self.is_carried), Relaxed);
    }
}

/// An open request.
#[derive(Debug)]
pub struct Open {
    of: Arc<Activity>,
    /// The age in which its answer began to wait for its reader.
    waits_since: Option<u8>,
    is_whole: bool,
}

impl Open {
    /// The next piece of its answer is handed over: it waits until it is asked for more.
    pub fn waits(&mut self) {
        let age = self.of.age.load(Relaxed) as u8;
        if self.waits_since != Some(age) {
            self.goes_on();
            self.of.waiting[usize::from(age)].fetch_add(1, Relaxed);
            self.waits_since = Some(age);
        }
    }

    /// The gateway works on it, or the client reads on.
    pub fn goes_on(&mut self) {
        if let Some(age) = self.waits_since.take() {
            self.of.waiting[usize::from(age)].fetch_sub(1, Relaxed);
        }
    }

    /// The whole answer has been written.
    pub fn is_whole(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.goes_on();
        if !self.is_whole {
            self.of.given_up.fetch_add(1, Relaxed);
        }
        self.of.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// How long a connection lives, in idle timeouts, and why it ends. `live` is what it does meanwhile.
    async fn lived(is_http2: bool, live: impl AsyncFn(&Arc<Activity>)) -> (u64, Option<End>) {
        let (activity, begun) = (Arc::<Activity>::default(), tokio::time::Instant::now());
        let end = tokio::select! {
            end = activity.watch(IDLE, is_http2) => Some(end),
            () = live(&activity) => None,
        };
        (begun.elapsed().as_secs() / IDLE.as_secs(), end)
    }

    async fn wait(idle_timeouts: f64) {
        tokio::time::sleep(IDLE.mul_f64(idle_timeouts)).await;
    }

    fn ask(activity: &Arc<Activity>) {
        activity.begin().is_whole();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_given_so_long_to_ask() {
        assert_eq!(lived(true, async |_| wait(100.0).await).await, (0, Some(End::Unused)));
        assert_eq!(lived(false, async |_| wait(100.0).await).await, (0, Some(End::Unused)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_asked_ends_when_nothing_is_open() {
        let once = async |activity: &Arc<Activity>| {
            ask(activity);
            wait(100.0).await;
        };
        let (after, end) = lived(true, once).await;
        assert_eq!(end, Some(End::Idle));
        assert!((1..=2).contains(&after), "{after}");
        let (after, end) = lived(false, once).await;
        assert_eq!(end, Some(End::Stalled), "HTTP/1 has a timer of its own, unless the answer is not taken");
        assert!((5..=6).contains(&after), "{after}");
        let now_and_then = async |activity: &Arc<Activity>| {
            for _ in 0..100 {
                ask(activity);
                wait(0.9).await;
            }
        };
        assert_eq!(lived(true, now_and_then).await.1, None);
        let long_call = async |activity: &Arc<Activity>| {
            let mut open = activity.begin();
            open.goes_on();
            wait(50.0).await;
            drop(open);
        };
        assert_eq!(lived(true, long_call).await, (50, None), "what is under way is not idle");
        let read_on = async |activity: &Arc<Activity>| {
            ask(activity);
            let _busy = activity.busy();
            wait(50.0).await;
        };
        assert_eq!(
            lived(true, read_on).await,
            (50, None),
            "nor is a connection whose body is read on after its answer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_nothing_is_left_and_one_who_takes_little_is_not() {
        for is_http2 in [false, true] {
            let nothing = async |activity: &Arc<Activity>| {
                let mut open = activity.begin();
                open.goes_on();
                open.waits();
                wait(100.0).await;
            };
            let not_even_begun = async |activity: &Arc<Activity>| {
                let _open = activity.begin();
                wait(100.0).await;
            };
            assert_eq!(lived(is_http2, not_even_begun).await.1, Some(End::Stalled));
            let (after, end) = lived(is_http2, nothing).await;
            assert_eq!(end, Some(End::Stalled));
            assert!((4..=5).contains(&after), "{after}");
            let little = async |activity: &Arc<Activity>| {
                let mut open = activity.begin();
                for _ in 0..30 {
                    open.waits();
                    wait(3.5).await;
                    open.goes_on();
                }
            };
            assert_eq!(lived(is_http2, little).await.1, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_who_read_do_not_hide_one_who_does_not() {
        let mixed = async |activity: &Arc<Activity>| {
            let mut stalled = activity.begin();
            stalled.waits();
            for _ in 0..1000 {
                let mut open = activity.begin();
                open.waits();
                wait(0.1).await;
                open.is_whole();
            }
        };
        assert_eq!(lived(true, mixed).await.1, Some(End::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_most_of_what_it_asks_for_is_left() {
        let resets = async |activity: &Arc<Activity>| {
            for _ in 0..=RESETS_MAX + 1 {
                drop(activity.begin());
            }
            wait(1.0).await;
        };
        assert_eq!(lived(true, resets).await, (0, Some(End::Resets)));
        let some = async |activity: &Arc<Activity>| {
            for _ in 0..2 * RESETS_MAX {
                ask(activity);
                ask(activity);
                drop(activity.begin());
            }
            wait(0.9).await;
        };
        assert_eq!(lived(true, some).await.1, None);
    }
}
