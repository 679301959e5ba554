//! Supervision of long-lived tasks: a task that panics is restarted after a pause; one that cannot be restarted ends the process,
//! so that a service manager restarts it. [`Rounds`] has the last progress of each loop, to detect one that hangs.
//!
//! Panics are counted and logged by task, where [`note_panic`] is the hook of the process: also those of connections and other
//! tasks that are not supervised.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};

/// First pause before a restart.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The pause doubles with each panic, up to this maximum.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After a run of this length the pause starts from the minimum again.
const STEADY: Duration = Duration::from_secs(60);

/// The name of what is not supervised: connections, sockets, and what is done once.
const OTHER: &str = "other";

tokio::task_local! {
    /// The supervised task that runs.
    static TASK: &'static str;
}

/// Panics by task. The keys are names in the source: a closed set.
static PANICS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());
/// Origin of the time stamps.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Panics by task since the start of the process; only tasks that have panicked.
#[must_use]
pub fn panics() -> Vec<(&'static str, u64)> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(task, n)| (*task, *n)).collect()
}

/// Counts and logs a panic: the hook of the process.
///
/// A text that was made at run time may quote what has come from outside, and is left out: those of the language, such as of a
/// sum that overflows, are constants.
pub fn note_panic(panic: &PanicHookInfo<'_>) {
    let task = TASK.try_with(|task| *task).unwrap_or(OTHER);
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    let n = panics.entry(task).or_default();
    *n = n.saturating_add(1);
    let n = *n;
    drop(panics);
    let (file, line) = panic.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
    let text = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(task, panics = n, file, line, text, "task panicked");
}

/// Runs one step of a task. Returns `None` after a panic; the task continues.
///
/// Shared state must be consistent at each await point, as if the task were cancelled there.
pub async fn caught<T>(task: &'static str, work: impl Future<Output = T>) -> Option<T> {
    TASK.scope(task, AssertUnwindSafe(work).catch_unwind()).await.ok()
}

/// Runs a task to its end. Restarts it after each panic, with a growing pause.
pub async fn run<F: Future<Output = ()>>(task: &'static str, mut start: impl FnMut() -> F) {
    let mut pause = None;
    loop {
        let begun = Instant::now();
        if caught(task, async { start().await }).await.is_some() {
            return;
        }
        tokio::time::sleep(*pause.insert(next_pause(pause, begun.elapsed()))).await;
    }
}

/// The same in a new task.
pub fn spawn<F>(task: &'static str, start: impl FnMut() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(run(task, start))
}

/// The same for a thread.
pub fn run_thread(task: &'static str, mut work: impl FnMut()) {
    let mut pause = None;
    loop {
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| TASK.sync_scope(task, &mut work))).is_ok() {
            return;
        }
        thread::sleep(*pause.insert(next_pause(pause, begun.elapsed())));
    }
}

/// The pause after a panic, by the one before it and how long the task has run since.
fn next_pause(last: Option<Duration>, ran: Duration) -> Duration {
    match last {
        Some(last) if ran < STEADY => last.saturating_mul(2).min(PAUSE_MAX),
        _ => PAUSE_MIN,
    }
}

/// Notices the panic of a task that cannot be restarted.
#[derive(Debug, Clone)]
pub struct Vital(watch::Sender<Option<&'static str>>);

impl Default for Vital {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Vital {
    /// Runs a task that cannot be restarted: its panic ends the process.
    pub fn spawn(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let lost = self.0.clone();
        tokio::spawn(async move {
            if caught(task, work).await.is_none() {
                lost.send_replace(Some(task));
            }
        })
    }

    /// Waits for the panic of such a task, and returns its name.
    pub async fn lost(&self) -> &'static str {
        let mut lost = self.0.subscribe();
        // This holds a sender, so that it does not end without one.
        let lost = lost.wait_for(Option::is_some).await.ok().and_then(|task| *task);
        lost.unwrap_or("unknown")
    }
}

/// Last progress of a loop (watchdog).
#[derive(Debug)]
pub struct Round {
    /// Name of the loop.
    pub name: &'static str,
    /// Without progress for longer than this, the loop hangs.
    pub late_after: Duration,
    /// Milliseconds since [`START`] plus 1; 0 while the loop has no work.
    last: AtomicU64,
    /// Whether the next progress panics.
    #[cfg(test)]
    fails: std::sync::atomic::AtomicBool,
}

impl Round {
    /// A loop that has not started.
    #[must_use]
    pub const fn new(name: &'static str, late_after: Duration) -> Self {
        Self {
            name,
            late_after,
            last: AtomicU64::new(0),
            #[cfg(test)]
            fails: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Has the loop panic where it notes progress next.
    #[cfg(test)]
    pub(crate) fn fail_once(&self) {
        self.fails.store(true, Relaxed);
    }

    /// Notes progress.
    pub fn beat(&self) {
        #[cfg(test)]
        assert!(!self.fails.swap(false, Relaxed), "as it must");
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now.saturating_add(1), Relaxed);
    }

    /// Notes that there is no work.
    pub fn rest(&self) {
        self.last.store(0, Relaxed);
    }

    /// Time since the last progress; zero while there is no work.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = self.last.load(Relaxed);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        if last == 0 { Duration::ZERO } else { Duration::from_millis(now.saturating_sub(last)) }
    }

    /// Whether it hangs.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late_after < self.age()
    }
}

/// The loops that readiness checks; the writer of the store has its own.
#[derive(Debug)]
pub struct Rounds {
    /// The poller, every 5 s and after each server and meeting of a round: none of them may take longer than 30 s.
    pub poll: Round,
    /// The heartbeat, every 5 s. It asks the store four times at most, 5 s each.
    pub heartbeat: Round,
    /// Applies notices of other gateways, and reads everything every 30 s; only with a shared store.
    pub follow: Round,
}

impl Default for Rounds {
    fn default() -> Self {
        let round = |name, seconds| Round::new(name, Duration::from_secs(seconds));
        Self { poll: round("poll", 60), heartbeat: round("heartbeat", 30), follow: round("follow", 120) }
    }
}

impl Rounds {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> [&Round; 3] {
        [&self.poll, &self.heartbeat, &self.follow]
    }
}

/// Counts panics in a test program, which goes on writing of those that fail a test.
#[cfg(test)]
pub(crate) fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note_panic(panic);
            before(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU32};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn counted(task: &str) -> u64 {
        panics().into_iter().find(|(name, _)| *name == task).map_or(0, |(_, n)| n)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_until_it_ends() {
        count_panics();
        let starts = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&starts);
        let begun = tokio::time::Instant::now();
        let task = spawn("test_restart", move || {
            let n = seen.fetch_add(1, Relaxed);
            async move { assert!(n >= 3, "the first three fail") }
        });
        task.await.expect("it has ended");
        assert_eq!((starts.load(Relaxed), counted("test_restart")), (4, 3));
        assert_eq!(begun.elapsed().as_millis(), 100 + 200 + 400, "after pauses that grow");
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew() {
        assert_eq!(next_pause(Some(PAUSE_MAX), Duration::ZERO), PAUSE_MAX);
        assert_eq!(next_pause(Some(PAUSE_MAX), STEADY), PAUSE_MIN);
    }

    #[test]
    fn a_thread_that_panics_goes_on() {
        count_panics();
        let mut n = 0;
        run_thread("test_thread", || {
            n += 1;
            assert!(n > 1, "the first fails");
        });
        assert_eq!((n, counted("test_thread")), (2, 1));
    }

    #[tokio::test]
    async fn a_piece_that_panics_is_lost_alone() {
        count_panics();
        assert_eq!(caught("test_piece", async { panic!("as it must") }).await, None::<()>);
        assert_eq!(caught("test_piece", async { 7 }).await, Some(7));
        assert_eq!(counted("test_piece"), 1);
    }

    #[tokio::test]
    async fn a_panic_that_nobody_supervises_is_counted_and_logged_without_what_came_from_outside() {
        count_panics();
        let before = counted(OTHER);
        let log = Log::default();
        let lines = log.clone();
        let to = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
        let dispatch = tracing::Dispatch::new(to);
        let most = std::hint::black_box(u8::MAX);
        let spawned = |work: fn(u8)| {
            let work = async move { work(most) };
            tokio::spawn(tracing::instrument::WithSubscriber::with_subscriber(work, dispatch.clone()))
        };
        assert!(spawned(|most| panic!("a secret of {most}")).await.is_err());
        assert!(spawned(|most| assert_ne!(most + 1, 7)).await.is_err());
        assert!(counted(OTHER) >= before + 2, "other tests may panic as well");
        let text = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("src/supervise.rs")), "{text}");
        assert!(!text.contains("secret") && lines[1].contains("attempt to add with overflow"), "{text}");
    }

    #[tokio::test]
    async fn a_task_that_cannot_be_started_again_is_told_of() {
        let vital = Vital::default();
        vital.spawn("test_ended", async {}).await.expect("it ends");
        let lost = vital.lost();
        vital.spawn("test_vital", async { panic!("as it must") }).await.expect("caught");
        assert_eq!(lost.await, "test_vital", "one that ends in good order is no loss");
    }

    #[test]
    fn a_loop_that_does_nothing_is_late() {
        let round = Round::new("test", Duration::from_millis(5));
        assert!(!round.is_late(), "it has not begun");
        round.beat();
        let steady = Round::new("x", STEADY);
        steady.beat();
        assert!(!steady.is_late());
        thread::sleep(Duration::from_millis(20));
        assert!(round.is_late() && round.age() >= Duration::from_millis(20));
        round.rest();
        assert!(!round.is_late(), "there is nothing to do");
    }
}
