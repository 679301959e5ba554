//! A BigBlueButton server as its callers and browsers see it, of one of several releases ([`Profile`]): the API with its
//! checksums, errors and quirks, the life of meetings, sessions and cookies, a small client page, and the sockets.
//!
//! It carries no media and converts no documents. Plain HTTP/1.1: TLS is for whoever stands in front.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

mod answer;
mod api;
mod breakout;
mod broken;
mod callbacks;
mod checksum;
mod client;
mod config;
mod dashboard;
mod errors;
mod faults;
mod hooks;
mod ids;
mod images;
mod log;
mod meeting;
mod modules;
mod outgoing;
mod params;
mod playback;
mod plugin;
mod presentation;
mod profile;
mod recording;
mod recordings;
mod rest;
mod server;
mod session;
mod sockets;
mod static_file;
mod user;
mod view;
mod world;

pub use breakout::{BreakoutPlan, BreakoutView};
pub use broken::Breakage;
pub use callbacks::SentCallback;
pub use checksum::accepts_checksum;
pub(crate) use client::CHUNKS;
pub use config::Config;
pub use faults::{CannedAnswer, Faults};
pub use hooks::deliver::SentEvent;
pub use log::Received;
pub use outgoing::CallbackRoute;
pub use profile::{Notes, Profile};
pub use recording::{RecordingFormat, RecordingSeed, RecordingState, TextTrack};
pub use view::{MeetingView, RecordingView};

use crate::clock;
use meeting::{Meeting, Pace};
use world::World;

/// What all parts of one server share.
struct Shared {
    config: Config,
    pace: Pace,
    world: Arc<Mutex<World>>,
    faults: Faults,
    log: log::Log,
    outgoing: Arc<outgoing::Outgoing>,
    callbacks: Arc<callbacks::Callbacks>,
    hook_calls: Arc<hooks::deliver::Deliveries>,
    client: Mutex<Arc<client::Assets>>,
    /// Holds one receiver per open WebSocket, so that `stop` can wait for them.
    open_sockets: watch::Sender<()>,
    stop: watch::Sender<bool>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Dropping it stops it as well, without waiting.
pub struct Sim {
    shared: Arc<Shared>,
    addr: SocketAddr,
    serving: JoinHandle<()>,
    ticking: JoinHandle<()>,
}

impl Sim {
    /// Binds the address and serves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let world = Arc::new(Mutex::new(World::new(config.attendees, config.profile.rooms_inherit_recording)));
        Self::start_with(config, world).await
    }

    async fn start_with(config: Config, world: Arc<Mutex<World>>) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let pace = Pace::new(config.speed);
        let (outbox, calls) = mpsc::unbounded_channel();
        world.lock().unwrap_or_else(PoisonError::into_inner).outbox = Some(outbox);
        let outgoing = Arc::<outgoing::Outgoing>::default();
        let callbacks = Arc::new(callbacks::Callbacks::new(Arc::clone(&outgoing)));
        tokio::spawn(callbacks::run(calls, Arc::clone(&callbacks), config.secret.clone(), pace));
        let (posts, calls) = mpsc::unbounded_channel();
        let desk = hooks::Desk { posts, service: config.profile.webhooks, server_url: config.server_url.clone() };
        world.lock().unwrap_or_else(PoisonError::into_inner).desk = Some(desk);
        let hook_calls = Arc::new(hooks::deliver::Deliveries::new(&config, Arc::clone(&outgoing), &world));
        tokio::spawn(hooks::deliver::run(calls, Arc::clone(&hook_calls)));
        let shared = Arc::new(Shared {
            pace,
            faults: Faults::new(Arc::clone(&world)),
            log: log::Log::new(config.log_entries_max),
            outgoing,
            callbacks,
            hook_calls,
            client: Mutex::new(Arc::new(client::Assets::new(&config, pace, 1))),
            open_sockets: watch::Sender::new(()),
            stop: watch::Sender::new(false),
            world,
            config,
        });
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        let ticking = tokio::spawn(tick(Arc::clone(&shared.world), pace, shared.stop.subscribe()));
        Ok(Self { shared, addr, serving, ticking })
    }

    /// The address that is listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` and that address.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The latest requests received, oldest first.
    pub fn log(&self) -> Vec<Received> {
        self.shared.log.entries()
    }

    /// Forgets what was received so far.
    pub fn clear_log(&self) {
        self.shared.log.clear();
    }

    /// All meetings of now, by internal id.
    pub fn meetings(&self) -> Vec<MeetingView> {
        self.shared.world().meetings().map(MeetingView::new).collect()
    }

    /// The meeting of an external id.
    pub fn meeting(&self, ext_id: &str) -> Option<MeetingView> {
        self.shared.world().meetings().find(|meeting| meeting.ext_id == ext_id).map(MeetingView::new)
    }

    /// A moderator ends the meeting of this external id in the client. Returns whether there is such a meeting.
    pub fn end_meeting(&self, ext_id: &str) -> bool {
        let mut world = self.shared.world();
        let found = world.meetings().find(|meeting| meeting.ext_id == ext_id).map(|meeting| meeting.int_id.clone());
        found.map(|int_id| world.run_out(&int_id, Instant::now(), wall_ms())).is_some()
    }

    /// A moderator opens breakout rooms in the meeting of this external id. Returns them in order: none if there is no such
    /// meeting, or it has rooms already, or may have none (`breakoutRooms` in `disabledFeatures`).
    pub fn open_breakouts(&self, parent_ext_id: &str, plan: BreakoutPlan) -> Vec<BreakoutView> {
        let mut world = self.shared.world();
        let parent =
            world.meetings().find(|meeting| meeting.ext_id == parent_ext_id).map(|meeting| meeting.int_id.clone());
        parent.map_or_else(Vec::new, |parent| world.open_breakouts(&parent, plan, Instant::now(), wall_ms()))
    }

    /// The address of the breakout room of this number that the user of a session of its parent is given, on
    /// [`Config::breakout_base_url`]. None if there is no such session or room, or it is not for this user.
    pub fn breakout_join_url(&self, session_token: &str, sequence: u32) -> Option<String> {
        breakout::join_url_of(session_token, sequence, &self.shared)
    }

    /// A moderator of the meeting of this external id presses the record button. Returns whether there is such a meeting,
    /// and one that may be recorded (`record=true`, and `allowStartStopRecording` not `false`).
    pub fn press_record(&self, ext_id: &str) -> bool {
        let mut world = self.shared.world();
        let meeting = world.meetings().find(|meeting| meeting.ext_id == ext_id).map(|meeting| meeting.int_id.clone());
        let Some(meeting) = meeting else { return false };
        let is_recorded = world.meeting_mut(&meeting).is_some_and(Meeting::press_record);
        if let Some(meeting) = world.by_int_id(&meeting).filter(|_| is_recorded) {
            world.tell_of(meeting, "meeting-recording-started", serde_json::json!({}));
        }
        is_recorded
    }

    /// A moderator lets the user of a session in, or turns them away. Returns whether there is such a session.
    pub fn judge_guest(&self, session_token: &str, allow: bool) -> bool {
        let status = if allow { user::GuestStatus::Allow } else { user::GuestStatus::Deny };
        self.shared.world().judge_guest(session_token, status)
    }

    /// The token of an upload that the user of a session has asked for in the client; good once. `None` for no session.
    pub fn upload_token(&self, session_token: &str) -> Option<String> {
        let mut world = self.shared.world();
        let (meeting, user) = world.session(session_token)?;
        let (meeting, user, token) = (meeting.int_id.clone(), user.int_id.clone(), ids::upload_token());
        world.meeting_mut(&meeting)?.upload_tokens.insert(token.clone(), user);
        Some(token)
    }

    /// The token for LiveKit that the client of a session gets. `None` for no session.
    pub fn livekit_token(&self, session_token: &str) -> Option<String> {
        let world = self.shared.world();
        let (meeting, user) = world.session(session_token)?;
        Some(sockets::livekit::token(meeting, user, &self.shared))
    }

    /// Puts a recording on the server, as if its meeting had been held, and returns its record id.
    pub fn add_recording(&self, seed: RecordingSeed) -> String {
        self.shared.world().recordings.seed(seed, wall_ms())
    }

    /// All recordings of now, whatever their state, by record id.
    pub fn recordings(&self) -> Vec<RecordingView> {
        self.shared.world().recordings.iter().map(RecordingView::new).collect()
    }

    /// Makes a recording once more. Returns whether there is one with this id.
    pub fn rebuild(&self, record_id: &str) -> bool {
        self.shared.world().rebuild(record_id)
    }

    /// Has callbacks and the calls of hooks go to this address, whatever the names of their hosts lead to.
    pub fn route_callbacks(&self, route: CallbackRoute) {
        self.shared.outgoing.set_route(Some(route));
    }

    /// The callbacks that were made so far, in order.
    pub fn callbacks(&self) -> Vec<SentCallback> {
        self.shared.callbacks.sent()
    }

    /// The calls of hooks that were made so far, in the order of their first tries.
    pub fn hook_calls(&self) -> Vec<SentEvent> {
        self.shared.hook_calls.sent()
    }

    /// Something happens in the meeting of this external id that is not simulated otherwise: its hooks get an event of
    /// this type, with these attributes beside those that name the meeting. Returns whether there is such a meeting.
    pub fn tell_hooks(&self, ext_id: &str, event: &str, attributes: serde_json::Value) -> bool {
        let world = self.shared.world();
        let meeting = world.meetings().find(|meeting| meeting.ext_id == ext_id);
        meeting.map(|meeting| world.tell_of(meeting, event, attributes)).is_some()
    }

    /// Puts another release of the client on the server.
    pub fn release(&self, release: u32) {
        let assets = client::Assets::new(&self.shared.config, self.shared.pace, release);
        *self.shared.client.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(assets);
    }

    /// The run-time switches.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Stops: the port is free and all connections and sockets are closed when this returns.
    pub async fn stop(mut self) -> Stopped {
        self.shared.stop.send_replace(true);
        self.shared.faults.cut_sockets();
        // A task that panicked has been reported where it did.
        let _ = (&mut self.serving).await;
        let _ = (&mut self.ticking).await;
        self.shared.open_sockets.closed().await;
        let config = Config { listen: self.addr, ..self.shared.config.clone() };
        Stopped { config, world: Arc::clone(&self.shared.world) }
    }
}

/// A server that does not run: nobody listens on its port. Timers of its meetings stand still.
pub struct Stopped {
    config: Config,
    world: Arc<Mutex<World>>,
}

impl Stopped {
    /// Starts it again on its port, with its meetings and sessions, and without faults.
    ///
    /// # Errors
    /// When somebody else has the port by now.
    pub async fn start(self) -> io::Result<Sim> {
        Sim::start_with(self.config, self.world).await
    }

    /// The same without them: only recordings outlive a restart of BBB.
    ///
    /// # Errors
    /// When somebody else has the port by now.
    pub async fn start_anew(self) -> io::Result<Sim> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.start().await
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
        self.shared.faults.cut_sockets();
    }
}

/// Runs the meetings' timers, once a simulated second.
async fn tick(world: Arc<Mutex<World>>, pace: Pace, mut stop: watch::Receiver<bool>) {
    let period = pace.scale(Duration::from_secs(1)).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => world.lock().unwrap_or_else(PoisonError::into_inner).tick(Instant::now(), wall_ms(), pace),
        }
    }
}

/// Returns once the server is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Milliseconds since 1970.
fn wall_ms() -> u64 {
    u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX)
}
