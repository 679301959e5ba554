//! Breakout rooms (a stand-in until the simulator has them).

use std::time::Instant;

use super::{Sim, ids, meeting::Meeting, modules::Modules, params::Params, wall_ms};
use crate::sign::{Algorithm, encode_value};

/// What a moderator chooses.
#[derive(Clone, Debug, Default)]
pub struct BreakoutPlan {
    /// How many.
    pub rooms: u32,
    /// Whether people choose.
    pub free_join: bool,
    /// The flag.
    pub record: bool,
    /// 0 for none.
    pub duration_min: u32,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct BreakoutView {
    /// External.
    pub ext_id: String,
    /// Internal.
    pub int_id: String,
    /// Of the meeting.
    pub parent_int_id: String,
    /// From 1.
    pub sequence: u32,
}

impl Sim {
    /// Opens them.
    pub fn open_breakouts(&self, parent_ext_id: &str, plan: BreakoutPlan) -> Vec<BreakoutView> {
        let mut world = self.shared.world();
        let Some(parent) = world.meetings().find(|meeting| meeting.ext_id == parent_ext_id) else { return Vec::new() };
        let parent_int_id = parent.int_id.clone();
        let ms = wall_ms();
        let mut views = Vec::new();
        for sequence in 1..=plan.rooms {
            let ext_id = format!("{}-{ms}", ids::meeting_hash(&format!("{parent_int_id}-{ms}-{sequence}")));
            let int_id = format!("{}-{ms}", ids::meeting_hash(&ext_id));
            let params = Params::parse(&format!(
                "name=Room&isBreakout=true&parentMeetingID={parent_int_id}&sequence={sequence}&freeJoin={}&record={}&duration={}",
                plan.free_join, plan.record, plan.duration_min
            ));
            let mut meeting = Meeting::new(&ext_id, &params, Modules::default(), Instant::now(), ms);
            meeting.int_id.clone_from(&int_id);
            world.add_breakout(meeting);
            views.push(BreakoutView { ext_id, int_id, parent_int_id: parent_int_id.clone(), sequence });
        }
        views
    }

    /// The address for somebody.
    pub fn breakout_join_url(&self, session_token: &str, sequence: u32) -> Option<String> {
        let world = self.shared.world();
        let (parent, user) = world.session(session_token)?;
        let room = world.meetings().find(|room| {
            room.is_breakout_of(parent) && room.params.int_or("sequence", 0).to_string() == sequence.to_string()
        })?;
        let query = format!(
            "fullName={}&isBreakout=true&joinViaHtml5=true&meetingID={}&password={}&redirect=true&userID={}",
            encode_value(&user.full_name),
            room.ext_id,
            room.moderator_pw,
            encode_value(&format!("{}-{sequence}", user.int_id)),
        );
        let sum = Algorithm::Sha256.hex(format!("join{query}{}", self.shared.config.secret).as_bytes());
        Some(format!("{}/bigbluebutton/api/join?{query}&checksum={sum}", self.shared.config.server_url))
    }
}
