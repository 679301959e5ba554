//! A BigBlueButton server as its callers and browsers see it, version 3.0.30 unless another is chosen: the API with its
//! checksums, errors and quirks, the life of meetings, sessions and cookies, a small client page, and the sockets.
//!
//! It carries no media and converts no documents. Plain HTTP/1.1: TLS is for whoever stands in front.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

mod answer;
mod api;
mod broken;
mod checksum;
mod client;
mod errors;
mod faults;
mod ids;
mod log;
mod meeting;
mod modules;
mod params;
mod playback;
mod presentation;
mod recording;
mod rest;
mod server;
mod session;
mod sockets;
mod version;
mod world;

pub use broken::Breakage;
pub use checksum::accepts_checksum;
pub use faults::{CannedAnswer, Faults};
pub use log::Received;
pub use recording::{RecordingFormat, RecordingSeed, RecordingState, RecordingView, TextTrack};
pub use version::Version;

use meeting::{Meeting, Pace};
use world::World;

/// How a simulated server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The shared secret (`securitySalt`); empty switches the checksum check off.
    pub secret: String,
    /// `bigbluebutton.web.serverURL`: scheme and host that the server believes to be its own, and puts into redirects, the
    /// version and settings JSON and slide URLs. No final slash.
    pub server_url: String,
    /// Which BigBlueButton this is.
    pub version: Version,
    /// `presentationBaseURL`, the start of slide URLs; `None` is the stock value, a path on `server_url`.
    pub presentation_base_url: Option<String>,
    /// Whether slides ask for `sessionToken`, cookie and a token of the page, as they do from 3.0.27 on. Off by default,
    /// because the names of all that are not known, and the client page here does not send them.
    pub slides_need_session: bool,
    /// Timers of BBB run this many times faster.
    pub speed: f64,
    /// How the client page finds its server: `false` as the real client does, `https` on port 443 of the page's host name;
    /// `true` with scheme and port of the page, for a demo on another port.
    pub client_uses_port: bool,
    /// `allowRevealOfBBBVersion`: whether `bbbVersion` is filled in.
    pub reveals_version: bool,
    /// `allowFetchAllRecordings`: whether `getRecordings` without any id or limit tells of all recordings.
    pub fetches_all_recordings: bool,
    /// Whether `getMeetings` writes numbers with separators, `1,440`, as a server with another locale may.
    pub groups_digits: bool,
    /// `getJoinUrlUserdataBlocklist`: the `userdata-` parameters that viewers may not put into a join URL.
    pub join_url_userdata_blocklist: Vec<String>,
    /// How many people a new meeting has at once: they count as joined and online, stay for ever and have no sockets.
    pub attendees: u32,
    /// `maxUserConcurrentAccesses`: how many users of one `userID` a meeting has; one more ejects the oldest. 0 is no limit.
    pub user_accesses_max: usize,
    /// Whether the second check of `maxParticipants` is made, when a user's GraphQL socket comes.
    pub checks_limit_on_socket: bool,
    /// Whether that second check lets in one less than the limit, as issue 19426 tells of an alpha of 3.0.
    pub socket_limit_is_one_less: bool,
    /// How many received requests are kept for [`Sim::log`]; 0 keeps none.
    pub log_entries_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret: "sim-secret".to_owned(),
            server_url: "https://bbb-01.internal.test".to_owned(),
            version: Version::default(),
            presentation_base_url: None,
            slides_need_session: false,
            speed: 1.0,
            client_uses_port: false,
            reveals_version: false,
            fetches_all_recordings: true,
            groups_digits: false,
            join_url_userdata_blocklist: Vec::new(),
            attendees: 0,
            user_accesses_max: 3,
            checks_limit_on_socket: true,
            socket_limit_is_one_less: false,
            // A long test run fits, and a load run cannot fill the memory.
            log_entries_max: 10_000,
        }
    }
}

/// A meeting that the server has now.
#[derive(Clone, Debug)]
pub struct MeetingView {
    /// The `meetingID` of the `create`.
    pub ext_id: String,
    /// `internalMeetingID`.
    pub int_id: String,
    /// All decoded parameters of the `create`, without the checksum; the first of a repeated name.
    pub params: BTreeMap<String, String>,
    /// The limit of participants; 0 is none.
    pub max_users: u32,
    /// Minutes from creation; 0 is no limit.
    pub duration_min: u32,
    /// The `record` flag.
    pub recording: bool,
    /// Users in the meeting: with a GraphQL socket, or with none for less than a minute.
    pub users_joined: usize,
    /// Users with a GraphQL socket now.
    pub users_online: usize,
    /// The decoded parameters of each `join` that was let in, in no certain order.
    pub joins: Vec<BTreeMap<String, String>>,
    /// Time of creation, in milliseconds since 1970.
    pub create_time_ms: u64,
    /// Names of the documents in the body of the `create`.
    pub documents: Vec<String>,
    /// The settings override in the body of the `create`, which a stock server ignores.
    pub settings_override_ignored: Option<String>,
}

impl MeetingView {
    fn new(meeting: &Meeting) -> Self {
        let decoded = |params: &params::Params| {
            let mut decoded = BTreeMap::new();
            for (name, value) in params.iter().filter(|(name, _)| *name != "checksum") {
                decoded.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
            decoded
        };
        Self {
            ext_id: meeting.ext_id.clone(),
            int_id: meeting.int_id.clone(),
            params: decoded(&meeting.params),
            max_users: meeting.max_users,
            duration_min: meeting.duration_min,
            recording: meeting.record,
            users_joined: meeting.users.values().filter(|user| user.is_joined()).count(),
            users_online: meeting.users.values().filter(|user| user.is_online()).count(),
            joins: meeting.users.values().map(|user| decoded(&user.params)).filter(|join| !join.is_empty()).collect(),
            create_time_ms: meeting.create_time_ms,
            documents: meeting.modules.documents.clone(),
            settings_override_ignored: meeting.modules.settings_override.clone(),
        }
    }
}

/// What all parts of one server share.
struct Shared {
    config: Config,
    pace: Pace,
    world: Arc<Mutex<World>>,
    faults: Faults,
    log: log::Log,
    client: client::Assets,
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
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let world = Arc::new(Mutex::new(World::new(config.attendees)));
        let pace = Pace::new(config.speed);
        let shared = Arc::new(Shared {
            pace,
            faults: Faults::new(Arc::clone(&world)),
            log: log::Log::new(config.log_entries_max),
            client: client::Assets::new(&config, pace),
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

    /// A moderator of the meeting of this external id presses the record button. Returns whether there is such a meeting,
    /// and one that may be recorded (`record=true`, and `allowStartStopRecording` not `false`).
    pub fn press_record(&self, ext_id: &str) -> bool {
        let mut world = self.shared.world();
        let meeting = world.meetings().find(|meeting| meeting.ext_id == ext_id).map(|meeting| meeting.int_id.clone());
        meeting.and_then(|meeting| world.meeting_mut(&meeting)).is_some_and(Meeting::press_record)
    }

    /// A moderator lets the user of a session in, or turns them away. Returns whether there is such a session. A socket that
    /// is open while its user waits stays one of somebody who waits; the next one enters.
    pub fn judge_guest(&self, session_token: &str, allow: bool) -> bool {
        let status = if allow { meeting::GuestStatus::Allow } else { meeting::GuestStatus::Deny };
        self.shared.world().judge_guest(session_token, status)
    }

    /// Puts a recording on the server, as if its meeting had been held, and returns its record id.
    pub fn add_recording(&self, seed: RecordingSeed) -> String {
        self.shared.world().recordings.seed(seed, wall_ms())
    }

    /// All recordings of now, whatever their state, by record id.
    pub fn recordings(&self) -> Vec<RecordingView> {
        self.shared.world().recordings.iter().map(RecordingView::new).collect()
    }

    /// The run-time switches.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Stops: the port is free and all connections and sockets are closed when this returns.
    pub async fn stop(mut self) {
        self.shared.stop.send_replace(true);
        self.shared.faults.cut_sockets();
        // A task that panicked has been reported where it did.
        let _ = (&mut self.serving).await;
        let _ = (&mut self.ticking).await;
        self.shared.open_sockets.closed().await;
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
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
