//! Breakout rooms: meetings that the server itself makes for a running one, without a call of `create`, and the addresses
//! that lead its users into them. They end with their parent, in `World::end`.

use std::time::Instant;

use super::ids;
use super::meeting::Meeting;
use super::modules::Modules;
use super::params::Params;
use super::user::{Role, User};
use super::world::World;
use super::{Config, Shared};
use crate::sign::{self, Algorithm};

/// As many as the client of BBB lets a moderator open.
const ROOMS_MAX: u32 = 16;

/// What a moderator chooses when opening breakout rooms.
#[derive(Clone, Copy, Debug)]
pub struct BreakoutPlan {
    /// How many; at most 16 are opened.
    pub rooms: u32,
    /// Whether everybody may choose a room; otherwise each viewer is told of one only.
    pub free_join: bool,
    /// The `record` flag of the rooms. As in BBB, nothing asks whether the parent may be recorded.
    pub record: bool,
    /// Minutes from opening; 0 is no limit.
    pub duration_min: u32,
}

impl Default for BreakoutPlan {
    fn default() -> Self {
        Self { rooms: 2, free_join: true, record: false, duration_min: 15 }
    }
}

/// A breakout room that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakoutView {
    /// `meetingID`, which BBB has made.
    pub ext_id: String,
    /// `internalMeetingID`.
    pub int_id: String,
    /// The internal id of the meeting it was opened in.
    pub parent_int_id: String,
    /// Its number in there, from 1.
    pub sequence: u32,
}

impl World {
    /// Opens rooms in the meeting of an internal id. None where they are switched off, or open already, or the meeting is one
    /// itself.
    pub(crate) fn open_breakouts(
        &mut self,
        parent: &str,
        plan: BreakoutPlan,
        now: Instant,
        wall_ms: u64,
    ) -> Vec<BreakoutView> {
        let Some(parent) = self.by_int_id(parent).filter(|parent| allowed(parent)) else {
            return Vec::new();
        };
        if self.breakouts_of(parent).next().is_some() {
            return Vec::new();
        }
        let wall_ms = self.next_create_ms(wall_ms);
        let inherited = if self.rooms_inherit_recording { INHERITED } else { &[] };
        let rooms: Vec<Meeting> = (1..=plan.rooms.min(ROOMS_MAX))
            .map(|sequence| room(parent, sequence, plan, inherited, now, wall_ms))
            .collect();
        let parent = parent.int_id.clone();
        let opened = rooms.iter().map(|room| BreakoutView {
            ext_id: room.ext_id.clone(),
            int_id: room.int_id.clone(),
            parent_int_id: parent.clone(),
            sequence: sequence(room),
        });
        let opened = opened.collect();
        for room in rooms {
            self.insert(room);
        }
        self.changed(&parent);
        opened
    }

    pub(crate) fn breakouts_of<'a>(&'a self, parent: &'a Meeting) -> impl Iterator<Item = &'a Meeting> {
        self.meetings().filter(|other| other.is_breakout_of(parent))
    }
}

/// The number of a room among those of its parent.
pub(crate) fn sequence(room: &Meeting) -> u32 {
    u32::try_from(room.params.int_or("sequence", 0)).unwrap_or(0)
}

/// The external id that bbb-web gives a room that is made by a call of `create`: of its parent, the time in its internal id, and
/// its number.
pub(crate) fn ext_id(room: &Meeting) -> String {
    let time = room.int_id.split_once('-').map_or("", |(_, time)| time);
    let parent = room.parent.as_deref().unwrap_or_default();
    format!("{}-{time}", ids::meeting_hash(&format!("{parent}-{time}-{}", sequence(room))))
}

/// Whether a meeting may have breakout rooms.
pub(crate) fn allowed(meeting: &Meeting) -> bool {
    !meeting.is_breakout
        && !meeting.disables("breakoutRooms")
        && meeting.params.is_true_or("breakoutRoomsEnabled", true)
}

/// How a meeting is recorded, if it is.
const INHERITED: &[&str] = &["autoStartRecording", "allowStartStopRecording"];

fn room(
    parent: &Meeting,
    sequence: u32,
    plan: BreakoutPlan,
    inherited: &[&str],
    now: Instant,
    wall_ms: u64,
) -> Meeting {
    let hash = ids::meeting_hash(&format!("{}-{wall_ms}-{sequence}", parent.int_id));
    let ext_id = format!("{hash}-{wall_ms}");
    let given = [
        ("name", format!("{} (Room {sequence})", parent.name)),
        ("meetingID", ext_id.clone()),
        ("isBreakout", true.to_string()),
        ("parentMeetingID", parent.int_id.clone()),
        ("sequence", sequence.to_string()),
        ("freeJoin", plan.free_join.to_string()),
        ("record", plan.record.to_string()),
        ("duration", plan.duration_min.to_string()),
        ("attendeePW", parent.attendee_pw.clone()),
        ("moderatorPW", parent.moderator_pw.clone()),
        ("dialNumber", parent.dial_number.clone()),
        ("voiceBridge", format!("{}{sequence}", parent.voice_bridge)),
    ];
    let metadata = parent.metadata.iter().map(|(key, value)| (format!("meta_{key}"), value.clone()));
    let inherited = inherited.iter().filter_map(|name| Some((*name, parent.params.first(name)?.to_owned())));
    let given = given.into_iter().chain(inherited).map(|(name, value)| (name.to_owned(), value));
    let params = Params::of(given.chain(metadata));
    let mut room = Meeting::new(&ext_id, &params, Modules::default(), now, wall_ms);
    // A room made by a call of `create` has the given id as its internal one; a room of the server's own has not.
    room.int_id = format!("{}-{wall_ms}", ids::meeting_hash(&ext_id));
    let viewers = parent.users.values().filter(|user| user.role == Role::Viewer);
    let turns = (1..=plan.rooms.min(ROOMS_MAX)).cycle();
    room.assigned =
        viewers.zip(turns).filter(|(_, turn)| *turn == sequence).map(|(user, _)| user.int_id.clone()).collect();
    room
}

/// The address by which a user of the parent comes into a room, as akka makes it; none if the user is not to.
pub(crate) fn join_url(room: &Meeting, user: &User, config: &Config) -> Option<String> {
    let may = user.role == Role::Moderator || room.params.is_true("freeJoin") || room.assigned.contains(&user.int_id);
    let params = [
        ("fullName", user.full_name.as_str()),
        ("isBreakout", "true"),
        ("joinViaHtml5", "true"),
        ("meetingID", &room.ext_id),
        ("password", &room.moderator_pw),
        ("redirect", "true"),
        ("userID", &format!("{}-{}", user.int_id, sequence(room))),
    ];
    let base = match &config.breakout_base_url {
        Some(base) => base.clone(),
        None => format!("{}/bigbluebutton/api", config.server_url),
    };
    may.then(|| format!("{base}/join?{}", sign::signed_query("join", &params, &config.secret, Algorithm::Sha256)))
}

/// The same, for the user of a session and the room of that number.
pub(crate) fn join_url_of(session_token: &str, number: u32, shared: &Shared) -> Option<String> {
    let world = shared.world();
    let (parent, user) = world.session(session_token)?;
    let room = world.breakouts_of(parent).find(|room| sequence(room) == number)?;
    join_url(room, user, &shared.config)
}
