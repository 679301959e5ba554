//! Switches that make the server misbehave while it runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::broken::Breakage;
use super::world::World;

/// An answer given instead of the real one, whatever was asked.
#[derive(Clone, Debug)]
pub struct CannedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: String,
    /// The body, not necessarily of that type.
    pub body: Vec<u8>,
}

/// The run-time switches; all of them may be used from any thread, and take effect on the next request.
pub struct Faults {
    down: AtomicBool,
    api: Mutex<ApiFaults>,
    world: Arc<Mutex<World>>,
    connections: watch::Sender<u64>,
    sockets: watch::Sender<u64>,
}

#[derive(Default)]
struct ApiFaults {
    delay: Duration,
    every_call: Option<CannedAnswer>,
    joins_elsewhere: Option<String>,
    by_call: HashMap<String, CallFaults>,
}

/// What is wrong with the calls of one name.
#[derive(Default)]
struct CallFaults {
    delay: Duration,
    answer: Option<CannedAnswer>,
    breakage: Option<Breakage>,
}

impl CannedAnswer {
    /// A page in HTML, as nginx or Grails show it when something is wrong.
    #[must_use]
    pub fn page(status: u16) -> Self {
        let body = format!("<!doctype html><html><body><h1>Error {status}</h1></body></html>").into_bytes();
        Self { status, content_type: "text/html;charset=utf-8".to_owned(), body }
    }
}

impl Faults {
    pub(crate) fn new(world: Arc<Mutex<World>>) -> Self {
        Self {
            down: AtomicBool::new(false),
            api: Mutex::default(),
            world,
            connections: watch::Sender::new(0),
            sockets: watch::Sender::new(0),
        }
    }

    /// While down, a connection is accepted and closed at once, and those that were open are cut. Meetings stay.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
        if down {
            self.cut_all();
        }
    }

    /// Waits this long before each API answer.
    pub fn set_api_delay(&self, delay: Duration) {
        self.api().delay = delay;
    }

    /// Answers every API call, the version call included, with this; `None` ends it.
    pub fn set_api_answer(&self, answer: Option<CannedAnswer>) {
        self.api().every_call = answer;
    }

    /// Waits this long before each answer to a call of this name, besides what is set for all.
    pub fn set_call_delay(&self, call: &str, delay: Duration) {
        self.api().by_call.entry(call.to_owned()).or_default().delay = delay;
    }

    /// Answers calls of this name with this; `None` ends it. Goes before what is set for every call.
    pub fn set_call_answer(&self, call: &str, answer: Option<CannedAnswer>) {
        self.api().by_call.entry(call.to_owned()).or_default().answer = answer;
    }

    /// Redirects joins to the `join` of another server, as a balancer does: to this scheme and host with the path and query of
    /// the call; `None` ends it.
    pub fn set_joins_elsewhere(&self, server: Option<&str>) {
        self.api().joins_elsewhere = server.map(str::to_owned);
    }

    /// Does calls of this name, and then breaks their answers; `None` ends it. The empty name is the version call.
    pub fn set_call_breakage(&self, call: &str, breakage: Option<Breakage>) {
        self.api().by_call.entry(call.to_owned()).or_default().breakage = breakage;
    }

    /// While on, the id of a meeting that ends by itself or by its moderators stays taken (`idNotUnique`) until `end` is
    /// called for it, as issue 18913 tells of 2.6. Ids that are stuck remain so when it is switched off.
    pub fn set_ids_stick(&self, stick: bool) {
        lock(&self.world).ids_stick = stick;
    }

    /// While on, the server has no service of webhooks: its calls are not found, and its hooks are not called.
    pub fn set_hooks_missing(&self, missing: bool) {
        lock(&self.world).hooks.missing = missing;
    }

    /// All hooks are gone, as after a loss of Redis.
    pub fn lose_hooks(&self) {
        lock(&self.world).hooks.clear();
    }

    /// The server starts anew: all meetings and sessions are gone, what was open is cut, the port stays.
    pub fn restart(&self) {
        // In this order, so that open sockets break instead of hearing that their meeting has ended.
        self.cut_all();
        lock(&self.world).clear();
    }

    /// Cuts the open WebSockets, and nothing else, without a close frame.
    pub fn cut_sockets(&self) {
        self.sockets.send_modify(|cuts| *cuts += 1);
    }

    fn cut_all(&self) {
        self.cut_sockets();
        self.connections.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    pub(crate) fn api_delay(&self, call: &str) -> Duration {
        let api = self.api();
        api.delay + api.by_call.get(call).map_or(Duration::ZERO, |faults| faults.delay)
    }

    pub(crate) fn api_answer(&self, call: &str) -> Option<CannedAnswer> {
        let api = self.api();
        let own = api.by_call.get(call).and_then(|faults| faults.answer.as_ref());
        own.or(api.every_call.as_ref()).cloned()
    }

    pub(crate) fn joins_elsewhere(&self) -> Option<String> {
        self.api().joins_elsewhere.clone()
    }

    pub(crate) fn api_breakage(&self, call: &str) -> Option<Breakage> {
        self.api().by_call.get(call)?.breakage
    }

    /// Changes when open connections are to be dropped.
    pub(crate) fn connection_cuts(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Changes when open WebSockets are to be dropped.
    pub(crate) fn socket_cuts(&self) -> watch::Receiver<u64> {
        self.sockets.subscribe()
    }

    fn api(&self) -> MutexGuard<'_, ApiFaults> {
        lock(&self.api)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
