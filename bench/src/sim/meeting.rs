//! One meeting: what was asked for at its creation, who is in it, and when it ends by itself.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::ids;
use super::modules::Modules;
use super::params::Params;
use super::profile::Profile;
use super::user::{GuestStatus, Origin, Presence, Role, User};

/// How long somebody without a socket still counts as joined.
const USERS_TIMEOUT: Duration = Duration::from_secs(60);

/// Real durations to simulated ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(f64);

impl Pace {
    /// Timers run `speed` times faster; what is no positive number counts as 1.
    pub(crate) fn new(speed: f64) -> Self {
        Self(if speed.is_finite() && 0.0 < speed { speed } else { 1.0 })
    }

    pub(crate) fn scale(self, duration: Duration) -> Duration {
        Duration::try_from_secs_f64(duration.as_secs_f64() / self.0).unwrap_or(Duration::MAX)
    }

    pub(crate) fn minutes(self, minutes: u32) -> Duration {
        self.scale(Duration::from_secs(60 * u64::from(minutes)))
    }
}

/// Everything fixed at creation, and the users.
pub(crate) struct Meeting {
    pub(crate) int_id: String,
    pub(crate) ext_id: String,
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    pub(crate) is_breakout: bool,
    pub(crate) attendee_pw: String,
    pub(crate) moderator_pw: String,
    pub(crate) voice_bridge: String,
    pub(crate) dial_number: String,
    pub(crate) create_time_ms: u64,
    pub(crate) start_time_ms: u64,
    /// 0 is no limit.
    pub(crate) max_users: u32,
    /// 0 is no limit.
    pub(crate) duration_min: u32,
    pub(crate) record: bool,
    pub(crate) logout_url: Option<String>,
    pub(crate) guest_policy: String,
    pub(crate) needs_http_session: bool,
    /// Lower-case keys without `meta_`.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) params: Params,
    pub(crate) modules: Modules,
    pub(crate) presentation_id: String,
    /// By internal user id.
    pub(crate) users: BTreeMap<String, User>,
    /// The internal id of the presenter.
    pub(crate) presenter: Option<String>,
    /// Internal ids of all who were ever in the meeting.
    pub(crate) participants: HashSet<String>,
    /// Whether recording was running at some time.
    pub(crate) is_recorded: bool,
    /// Session tokens that were ever given out for this meeting.
    pub(crate) tokens: Vec<String>,
    /// Of a breakout room: the internal ids of the viewers of its parent who are sent to it.
    pub(crate) assigned: HashSet<String>,
    /// Tokens of uploads that were asked for, each with the user's internal id; gone once used.
    pub(crate) upload_tokens: HashMap<String, String>,
    /// Images of chat and notes, by their names.
    pub(crate) images: BTreeMap<String, Bytes>,
    /// What the learning dashboard's data are found by.
    pub(crate) dashboard_token: String,
    /// The text of the shared notes.
    pub(crate) notes: String,
    /// Told when something has changed that open subscriptions show.
    pub(crate) changes: watch::Sender<()>,
    created: Instant,
    empty_since: Option<Instant>,
    expire_unjoined_min: u32,
    expire_empty_min: u32,
    /// Internal ids of the users of an external id that was given, oldest first.
    accesses: HashMap<String, VecDeque<String>>,
}

impl Meeting {
    /// Whether a feature is disabled: listed, and not excluded from that. The items of the first list are trimmed, those of the
    /// second are not.
    pub(crate) fn disables(&self, feature: &str) -> bool {
        let listed = self.params.list("disabledFeatures").iter().any(|item| item == feature);
        let mut excluded = self.params.text("disabledFeaturesExclude").unwrap_or_default().split(',');
        listed && !excluded.any(|item| item == feature)
    }

    /// Its layout: the one that was asked for, if the release has it.
    pub(crate) fn layout(&self, profile: &Profile) -> &'static str {
        let asked = self.params.text("meetingLayout");
        let known = profile.layouts.iter().copied();
        known.clone().find(|layout| Some(*layout) == asked).or(known.clone().next()).unwrap_or_default()
    }

    /// A meeting from the parameters of `create`, which have been validated.
    pub(crate) fn new(ext_id: &str, params: &Params, modules: Modules, now: Instant, create_time_ms: u64) -> Self {
        let is_breakout = params.is_true("isBreakout");
        let int_id =
            if is_breakout { ext_id.to_owned() } else { format!("{}-{create_time_ms}", ids::meeting_hash(ext_id)) };
        let password = |name| params.text(name).map_or_else(ids::password, str::to_owned);
        let positive = |name, default| u32::try_from(params.int_or(name, default)).unwrap_or(0);
        Self {
            int_id,
            ext_id: ext_id.to_owned(),
            name: params.first("name").unwrap_or_default().to_owned(),
            parent: params.text("parentMeetingID").filter(|_| is_breakout).map(str::to_owned),
            is_breakout,
            attendee_pw: password("attendeePW"),
            moderator_pw: password("moderatorPW"),
            voice_bridge: params.text("voiceBridge").unwrap_or_default().to_owned(),
            dial_number: params.text("dialNumber").unwrap_or("613-555-1234").to_owned(),
            create_time_ms,
            start_time_ms: 0,
            max_users: positive("maxParticipants", 0),
            duration_min: positive("duration", 0),
            record: params.is_true("record"),
            logout_url: params.text("logoutURL").map(str::to_owned),
            guest_policy: params.text("guestPolicy").unwrap_or("ALWAYS_ACCEPT").to_owned(),
            needs_http_session: !params.is_true("allowRequestsWithoutSession"),
            metadata: params.metadata(),
            params: params.clone(),
            modules,
            presentation_id: format!("{}-{create_time_ms}", ids::meeting_hash("default.pdf")),
            users: BTreeMap::new(),
            presenter: None,
            participants: HashSet::new(),
            is_recorded: params.is_true("record") && params.is_true("autoStartRecording"),
            tokens: Vec::new(),
            assigned: HashSet::new(),
            upload_tokens: HashMap::new(),
            images: BTreeMap::new(),
            dashboard_token: ids::auth_token(),
            notes: String::new(),
            changes: watch::Sender::new(()),
            created: now,
            empty_since: None,
            expire_unjoined_min: positive("meetingExpireIfNoUserJoinedInMinutes", 5),
            expire_empty_min: positive("meetingExpireWhenLastUserLeftInMinutes", 1),
            accesses: HashMap::new(),
        }
    }

    /// Lets this many people in who stay without a socket, the first of them as moderator: a full meeting for little.
    pub(crate) fn fill(&mut self, attendees: u32, wall_ms: u64) {
        for number in 1..=attendees {
            let user = User {
                int_id: ids::user_id(),
                ext_id: format!("attendee-{number}"),
                full_name: format!("Attendee {number}"),
                role: if number == 1 { Role::Moderator } else { Role::Viewer },
                bot: false,
                guest_status: GuestStatus::Allow,
                is_outside: false,
                was_refused: false,
                presence: Presence::Registered,
                params: Params::default(),
                origin: Origin::default(),
                alive: watch::Sender::new(()),
            };
            let int_id = user.int_id.clone();
            self.users.insert(int_id.clone(), user);
            self.enter(&int_id, wall_ms);
        }
    }

    /// Takes in a user who joins. Returns the internal id of one who has to go for it: the oldest of the same external id,
    /// if there are more than `accesses_max` of them now. 0 is no limit.
    pub(crate) fn register(&mut self, user: User, accesses_max: usize) -> Option<String> {
        let is_named = user.params.text("userID").is_some();
        let (int_id, ext_id) = (user.int_id.clone(), user.ext_id.clone());
        self.users.insert(int_id.clone(), user);
        self.changes.send_replace(());
        if !is_named || accesses_max == 0 {
            return None;
        }
        let accesses = self.accesses.entry(ext_id).or_default();
        accesses.push_back(int_id);
        if accesses_max < accesses.len() { accesses.pop_front() } else { None }
    }

    /// Ejects a user.
    pub(crate) fn eject(&mut self, user: &str, now: Instant) {
        self.presenter.take_if(|presenter| presenter == user);
        let was_online = self.users.remove(user).is_some_and(|user| user.is_online());
        if was_online && !self.users.values().any(User::is_online) {
            self.empty_since = Some(now);
        }
    }

    /// A moderator presses the record button. Tells whether there is one: not in a meeting that must not be recorded.
    pub(crate) fn press_record(&mut self) -> bool {
        let has_button = self.record && self.params.is_true_or("allowStartStopRecording", true);
        self.is_recorded |= has_button;
        has_button
    }

    /// Whether anybody is in the user map.
    pub(crate) fn is_running(&self) -> bool {
        self.users.values().any(User::is_joined)
    }

    pub(crate) fn is_breakout_of(&self, parent: &Self) -> bool {
        self.parent.as_ref().is_some_and(|id| *id == parent.ext_id || *id == parent.int_id)
    }

    pub(crate) fn has_user_joined(&self) -> bool {
        self.start_time_ms != 0
    }

    /// Whether one more user of this external id is too many. Only those who have joined count, each external id once, so
    /// that many who join at the same time all pass.
    pub(crate) fn is_full_for(&self, ext_user_id: &str, bot: bool) -> bool {
        self.has_no_place(self.max_users, ext_user_id, bot)
    }

    /// The same, rejecting one too early: a fault that the second check once had.
    pub(crate) fn is_nearly_full_for(&self, ext_user_id: &str, bot: bool) -> bool {
        self.has_no_place(self.max_users.saturating_sub(1), ext_user_id, bot)
    }

    fn has_no_place(&self, places: u32, ext_user_id: &str, bot: bool) -> bool {
        let joined: HashSet<&str> =
            self.users.values().filter(|user| user.is_joined() && !user.bot).map(|user| user.ext_id.as_str()).collect();
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        0 < self.max_users && !bot && places <= joined.len() && !joined.contains(ext_user_id)
    }

    /// A GraphQL socket of a user opened.
    pub(crate) fn enter(&mut self, user: &str, wall_ms: u64) {
        let Some(user) = self.users.get_mut(user) else {
            return;
        };
        user.presence = match user.presence {
            Presence::Online(sockets) => Presence::Online(sockets + 1),
            Presence::Registered | Presence::Left(_) => Presence::Online(1),
        };
        self.participants.insert(user.int_id.clone());
        self.empty_since = None;
        if self.start_time_ms == 0 {
            self.start_time_ms = wall_ms;
        }
    }

    /// A GraphQL socket of a user closed.
    pub(crate) fn leave(&mut self, user: &str, now: Instant) {
        let Some(user) = self.users.get_mut(user) else {
            return;
        };
        user.presence = match user.presence {
            Presence::Online(sockets) if 1 < sockets => Presence::Online(sockets - 1),
            Presence::Online(_) => Presence::Left(now),
            other => other,
        };
        if !self.users.values().any(User::is_online) {
            self.empty_since = Some(now);
        }
    }

    /// Lets go of users whose timeout is over. Returns their internal ids.
    pub(crate) fn forget_left(&mut self, now: Instant, pace: Pace) -> Vec<String> {
        let timeout = pace.scale(USERS_TIMEOUT);
        let mut forgotten = Vec::new();
        for user in self.users.values_mut() {
            if let Presence::Left(left) = user.presence
                && timeout <= now.duration_since(left)
            {
                user.presence = Presence::Registered;
                forgotten.push(user.int_id.clone());
            }
        }
        self.presenter.take_if(|presenter| forgotten.contains(presenter));
        forgotten
    }

    /// Whether one of the timers has run out: nobody joined, the last user left, or the duration is over.
    pub(crate) fn is_over(&self, now: Instant, pace: Pace) -> bool {
        let past = |since: Instant, minutes: u32| 0 < minutes && pace.minutes(minutes) <= now.duration_since(since);
        let unjoined = !self.has_user_joined() && past(self.created, self.expire_unjoined_min);
        let left = self.empty_since.is_some_and(|since| past(since, self.expire_empty_min));
        unjoined || left || past(self.created, self.duration_min)
    }

    /// The status of somebody who joins, with the stock setting `authenticatedGuest=true`.
    pub(crate) fn guest_status(&self, role: Role, guest: bool, auth: bool) -> GuestStatus {
        match self.guest_policy.as_str() {
            _ if role == Role::Moderator => GuestStatus::Allow,
            "ALWAYS_DENY" => GuestStatus::Deny,
            "ASK_MODERATOR" if guest || auth => GuestStatus::Wait,
            "ALWAYS_ACCEPT_AUTH" if guest => GuestStatus::Wait,
            _ => GuestStatus::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meeting(query: &str, now: Instant) -> Meeting {
        Meeting::new("room", &Params::parse(query), Modules::default(), now, 1_700_000_000_000)
    }

    fn with_user(mut meeting: Meeting, ext_id: &str) -> Meeting {
        let user = User {
            int_id: ext_id.into(),
            ext_id: ext_id.into(),
            full_name: "A".into(),
            role: Role::Viewer,
            bot: false,
            guest_status: GuestStatus::Allow,
            is_outside: false,
            was_refused: false,
            presence: Presence::Registered,
            params: Params::default(),
            origin: Origin::default(),
            alive: watch::Sender::new(()),
        };
        meeting.users.insert(ext_id.into(), user);
        meeting
    }

    #[test]
    fn a_meeting_ends_by_its_own_timers() {
        let start = Instant::now();
        let (minute, pace) = (Duration::from_secs(60), Pace::new(60.0));
        let left = |query| {
            let mut meeting = with_user(meeting(query, start), "a");
            meeting.enter("a", 1);
            meeting.leave("a", start + minute);
            meeting
        };
        let stays = |query| {
            let mut meeting = with_user(meeting(query, start), "a");
            meeting.enter("a", 1);
            meeting
        };
        for (name, meeting, real_minutes) in [
            ("nobody joined", meeting("", start), Some(5)),
            ("nobody joined, own limit", meeting("meetingExpireIfNoUserJoinedInMinutes=2", start), Some(2)),
            ("the last user left", left(""), Some(60 + 1)),
            ("the last user left, own limit", left("meetingExpireWhenLastUserLeftInMinutes=3"), Some(60 + 3)),
            ("no limit for an empty meeting", left("meetingExpireWhenLastUserLeftInMinutes=0"), None),
            ("the duration is over", stays("duration=7"), Some(7)),
            ("somebody is there", stays("duration=0"), None),
        ] {
            let over = |minutes: u32| meeting.is_over(start + minute * minutes / 60, pace);
            match real_minutes {
                Some(minutes) => {
                    assert!(!over(minutes - 1), "{name}: a minute before");
                    assert!(over(minutes), "{name}: at the minute");
                }
                None => assert!(!over(100_000), "{name}"),
            }
        }
    }

    #[test]
    fn only_joined_users_fill_a_meeting() {
        let now = Instant::now();
        let mut meeting = with_user(meeting("maxParticipants=1", now), "a");
        assert!(!meeting.is_full_for("b", false), "a is registered only");
        meeting.enter("a", 1);
        for (ext_id, bot, full) in [("b", false, true), ("b", true, false), ("a", false, false)] {
            assert_eq!(meeting.is_full_for(ext_id, bot), full, "{ext_id} {bot}");
        }
        meeting.leave("a", now);
        meeting.forget_left(now + Duration::from_secs(59), Pace::new(1.0));
        assert!(meeting.is_full_for("b", false), "a still counts");
        meeting.forget_left(now + Duration::from_secs(60), Pace::new(1.0));
        assert!(!meeting.is_full_for("b", false), "a is forgotten");
    }
}
