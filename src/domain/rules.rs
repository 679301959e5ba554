//! The rules of the parameters of `create` and `join`: one table, one rule each.
//!
//! What is not in a table does not go on to a server: each release of BBB adds parameters with reach
//! (docs/reference/bbb-protocol.md, "Parameters of create"). A service level and a tenant's own file may set other rules
//! ([`Changes`]), but for the rows that are held: through those a limit could be gone round, or another tenant be reached.
//! What a rule does to a call is in `bbb::params`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

/// What becomes of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// It goes on as it is.
    Pass,
    /// It does not go on.
    Drop,
    /// It goes on, and this does where it is missing or empty.
    Default(Box<str>),
    /// This goes on, whatever was asked.
    Force(Box<str>),
    /// A number from 1 to `most`; `most` for what is no such number, `unasked` where it is missing.
    AtMost {
        /// The ceiling.
        most: u32,
        /// What is sent where nothing was asked: servers differ in their defaults.
        unasked: u32,
    },
    /// A list (`a,b`) to which these are added.
    Append(Vec<Box<str>>),
    /// It goes on if its value is of this kind; else the call is refused.
    Check(Check),
    /// Set from the limits of the level, asked for or not.
    Limit,
    /// `true` only where the level allows recording.
    RecordingFlag,
    /// The address of a callback: the server gets one of the gateway's instead.
    Callback,
}

/// A kind of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// What BBB takes for a boolean.
    Boolean,
    /// A whole number.
    Integer,
    /// The address of something on a public host, which a server may fetch.
    PublicUrl,
    /// The address of a page that people are led to: `http` or `https`.
    WebUrl,
    /// One of these, in any case.
    OneOf(Vec<Box<str>>),
}

/// A row of the tables: a parameter, or all whose names have anything where there is a `*`.
struct Row {
    name: &'static str,
    rule: Shipped,
    held: bool,
}

/// The rules of the tables.
#[derive(Clone, Copy)]
enum Shipped {
    Pass,
    Drop,
    Limit,
    RecordingFlag,
    AtMost { most: u32, unasked: u32 },
    Append(&'static [&'static str]),
    PublicUrl,
    WebUrl,
    Callback,
}

use Shipped::{Append, AtMost, Callback, Drop, Limit as FromLimits, Pass, PublicUrl, RecordingFlag, WebUrl};

/// A rule that levels and tenants may change.
const fn free(name: &'static str, rule: Shipped) -> Row {
    Row { name, rule, held: false }
}

/// A rule that they may not.
const fn held(name: &'static str, rule: Shipped) -> Row {
    Row { name, rule, held: true }
}

/// Rules of `create` (docs/reference/bbb-protocol.md, "Parameters of create"). A `*` in a name stands for anything; the first
/// of several such names counts.
const CREATE: &[Row] = &[
    free("name", Pass),
    held("meetingID", Pass),
    free("attendeePW", Pass),
    free("moderatorPW", Pass),
    free("welcome", Pass),
    free("moderatorOnlyMessage", Pass),
    free("dialNumber", Drop),  // people who dial in are counted by nobody
    free("voiceBridge", Drop), // must be unique on the server, and a dial-in PIN must not be guessable
    free("webVoice", Drop),
    held("maxParticipants", FromLimits),
    held("duration", FromLimits),
    free("record", RecordingFlag),
    free("autoStartRecording", RecordingFlag),
    free("allowStartStopRecording", RecordingFlag),
    free("recordFullDurationMedia", RecordingFlag),
    free("meetingKeepEvents", RecordingFlag), // keeps the events of meetings that are not recorded
    free("breakoutRoomsRecord", RecordingFlag),
    free("notifyRecordingIsOn", Pass),
    free("notifyRecordingAppend", Pass),
    held("isBreakout", Drop), // would choose its own internal id
    held("parentMeetingID", Drop),
    held("sequence", Drop),
    held("freeJoin", Drop),
    held("breakoutRoomsEnabled", Drop),
    free("breakoutRoomsPrivateChatEnabled", Pass),
    free("breakoutRoomsCaptureNotes", Pass),
    free("breakoutRoomsCaptureNotesFilename", Pass),
    free("breakoutRoomsCaptureSlides", Pass),
    free("breakoutRoomsCaptureSlidesFilename", Pass),
    free("disabledFeatures", Append(&[])), // what a level or a tenant appends; breakout rooms by the limits
    held("disabledFeaturesExclude", Drop), // comes off the caller's own list (bbb::params); a server would take it off the level's too
    free("guestPolicy", Pass),
    free("allowPromoteGuestToModerator", Pass),
    // Called by the server, with its own ids and signed with its own secret: the gateway stands in between.
    held("meetingEndedURL", Callback),
    held("meta_endCallbackUrl", Callback),
    held("meta_bbb-recording-ready-url", Callback),
    held("meta_bn-recording-ready-url", Callback),
    held("meta_canvas-recording-ready-url", Callback),
    held("meta_analytics-callback-url", Callback),
    held("meta_*-callback-url", Callback),
    free("meta_*", Pass),
    free("logoutURL", WebUrl), // where the client leads people, with the rights of the tenant's page
    free("loginURL", WebUrl),
    free("bannerText", Pass),
    free("bannerColor", Pass),
    free("logo", Pass),
    free("darklogo", Pass),
    free("copyright", Pass),
    free("muteOnStart", Pass),
    free("webcamsOnlyForModerator", Pass),
    free("allowModsToUnmuteUsers", Pass),
    free("allowModsToEjectCameras", Pass),
    free("requireUserConsentBeforeUnmuting", Pass),
    free("multiUserWhiteboardEnabled", Pass),
    free("lockSettings*", Pass),
    free("userCameraCap", Pass),
    free("meetingCameraCap", Pass),
    free("maxPinnedCameras", Pass),
    free("meetingLayout", Pass),
    free("endWhenNoModerator", Pass),
    free("endWhenNoModeratorDelayInMinutes", Pass),
    // An empty room holds a place: as long as BBB's own defaults allow, and some patience.
    free("meetingExpireIfNoUserJoinedInMinutes", AtMost { most: 60, unasked: 5 }),
    free("meetingExpireWhenLastUserLeftInMinutes", AtMost { most: 30, unasked: 1 }),
    free("learningDashboardCleanupDelayInMinutes", AtMost { most: 60, unasked: 2 }),
    free("learningDashboardEnabled", Pass),
    free("virtualBackgroundsDisabled", Pass),
    free("logoutTimer", Pass),
    free("groups", Pass),
    free("preUploadedPresentation", PublicUrl), // fetched by the server
    free("preUploadedPresentationName", Pass),
    free("preUploadedPresentationOverrideDefault", Pass),
    free("maxNumPages", Drop), // would overrule what the server's operator has set
    free("presentationConversionCacheEnabled", Drop), // in a store that is the operator's
    free("sharedNotesEditor", Pass),
    free("sharedNotesInitialContentJson", Pass), // a module of a body, as the next may be
    free("sharedNotesInitialContentMarkdown", Pass),
    free("sharedNotesInitialContentJsonUrl", PublicUrl), // fetched by the server
    free("sharedNotesInitialContentMarkdownUrl", PublicUrl),
    held("presentationUploadExternalUrl", Drop),
    held("presentationUploadExternalDescription", Drop),
    held("allowRequestsWithoutSession", Drop),
    free("pluginManifests", Drop), // code of others in the tenant's origin
    free("pluginManifestsFetchUrl", Drop),
    free("plugin_*", Drop), // fills in manifests, those of the operator's plugins too
    held("clientSettingsOverrideJsonUrl", Drop), // can point the client to another host
    held("clientSettingsOverride", Drop), // is a module of a body; likewise
    free("cameraBridge", Drop),
    free("screenShareBridge", Drop),
    free("audioBridge", Drop),
];

/// Rules of `join` (docs/reference/bbb-protocol.md, "Parameters of join").
const JOIN: &[Row] = &[
    free("fullName", Pass),
    held("meetingID", Pass),
    free("role", Pass),
    free("password", Pass),
    free("createTime", Pass),
    free("userID", Pass),
    free("firstName", Pass),
    free("lastName", Pass),
    free("avatarURL", Pass),
    free("webcamBackgroundURL", Pass),
    free("redirect", Pass),
    free("errorRedirectUrl", WebUrl),
    free("logoutURL", WebUrl),
    free("guest", Pass),
    free("auth", Pass),
    free("bot", Pass), // a server does not count it; its seat is one like any other
    free("excludeFromDashboard", Pass),
    free("enforceLayout", Pass),
    free("defaultLayout", Pass),
    free("userdata-*", Pass),
    held("existingUserID", Drop), // only in addresses that the gateway itself has made
    held("replaceSessionToken", Drop),
    held("sessionName", Drop),
];

impl Shipped {
    fn rule(self) -> Rule {
        match self {
            Self::Pass => Rule::Pass,
            Self::Drop => Rule::Drop,
            Self::Limit => Rule::Limit,
            Self::RecordingFlag => Rule::RecordingFlag,
            Self::AtMost { most, unasked } => Rule::AtMost { most, unasked },
            Self::Append(items) => Rule::Append(items.iter().map(|item| (*item).into()).collect()),
            Self::PublicUrl => Rule::Check(Check::PublicUrl),
            Self::WebUrl => Rule::Check(Check::WebUrl),
            Self::Callback => Rule::Callback,
        }
    }
}

/// Which of the two calls a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// `create`.
    Create,
    /// `join`.
    Join,
}

/// Rules that a level or a tenant sets, by parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of `create`.
    pub create: BTreeMap<Box<str>, Rule>,
    /// Of `join`.
    pub join: BTreeMap<Box<str>, Rule>,
}

impl Changes {
    /// Whether they change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.join.is_empty()
    }
}

/// Why a level or a tenant may not set a rule; `None` where it may.
#[must_use]
pub fn held_by(of: Of, name: &str, rule: &Rule) -> Option<&'static str> {
    if name.contains('*') {
        return Some("a rule is for one parameter, by its whole name");
    }
    let is_meant = |row: &&Row| key_of(row.name) == key_of(name);
    let row = rows(of).iter().find(is_meant).or_else(|| {
        rows(of).iter().find(|row| Pattern::of(row.name).is_some_and(|pattern| pattern.stands_for(name)))
    })?;
    match row.rule {
        _ if row.name == "clientSettingsOverride" => Some(
            "is a module of the body of create, not a parameter, and is never forwarded: it could point the client to another host",
        ),
        FromLimits => Some("is set in [limits]"),
        Append(_) if !matches!(rule, Rule::Append(_)) => Some("can only be appended to"),
        Callback if *rule == Rule::Drop => None,
        Callback => Some("is answered by the gateway: it can only be dropped"),
        _ if row.held => Some("is controlled by the gateway: it could bypass a limit"),
        _ => None,
    }
}

/// Whether BBB knows a parameter of a call, as far as the table that ships tells.
#[must_use]
pub fn is_known(of: Of, name: &str) -> bool {
    SHIPPED.of(of).rule(name).is_some()
}

/// The names of the parameters of a call in the table that ships, without those that stand for several.
pub fn names(of: Of) -> impl Iterator<Item = &'static str> {
    rows(of).iter().map(|row| row.name).filter(|name| !name.contains('*'))
}

const fn rows(of: Of) -> &'static [Row] {
    match of {
        Of::Create => CREATE,
        Of::Join => JOIN,
    }
}

/// The rules of one tenant.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of `create`.
    pub create: Table,
    /// Of `join`.
    pub join: Table,
}

static SHIPPED: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules { create: Table::shipped(CREATE), join: Table::shipped(JOIN) }));

impl Rules {
    /// The rules that ship.
    #[must_use]
    pub fn shipped() -> Arc<Self> {
        Arc::clone(&SHIPPED)
    }

    /// Those of one call.
    #[must_use]
    pub fn of(&self, of: Of) -> &Table {
        match of {
            Of::Create => &self.create,
            Of::Join => &self.join,
        }
    }

    /// These rules with changes. What is held stays as it is.
    #[must_use]
    pub fn with(self: &Arc<Self>, changes: &Changes) -> Arc<Self> {
        if changes.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            create: self.create.with(Of::Create, &changes.create),
            join: self.join.with(Of::Join, &changes.join),
        })
    }
}

/// The rules of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    named: HashMap<Box<str>, Rule>,
    /// Names that stand for several, in order.
    patterns: Vec<(Pattern, Rule)>,
    /// Those that say something where nothing was asked, in the order of their names.
    unasked: Vec<(Box<str>, Rule)>,
}

impl Table {
    fn shipped(rows: &[Row]) -> Self {
        let mut table = Self { named: HashMap::new(), patterns: Vec::new(), unasked: Vec::new() };
        for row in rows {
            if let Some(pattern) = Pattern::of(row.name) {
                table.patterns.push((pattern, row.rule.rule()));
            } else {
                table.named.insert(key_of(row.name), row.rule.rule());
            }
        }
        table.note_unasked();
        table
    }

    fn with(&self, of: Of, changes: &BTreeMap<Box<str>, Rule>) -> Self {
        let mut table = self.clone();
        for (name, rule) in changes.iter().filter(|(name, rule)| held_by(of, name, rule).is_none()) {
            let key = key_of(name);
            let rule = match (rule, table.named.get(&key)) {
                // What has to be in a list stays there, and a default stays below the ceiling.
                (Rule::Append(more), Some(Rule::Append(have))) => {
                    let new = more.iter().filter(|item| !have.contains(item));
                    Rule::Append(have.iter().chain(new).cloned().collect())
                }
                (Rule::AtMost { most, .. }, Some(Rule::AtMost { unasked, .. })) => {
                    Rule::AtMost { most: *most, unasked: (*unasked).min(*most) }
                }
                (rule, _) => rule.clone(),
            };
            table.named.insert(key, rule);
        }
        table.note_unasked();
        table
    }

    fn note_unasked(&mut self) {
        let says =
            |rule: &Rule| matches!(rule, Rule::Default(_) | Rule::Force(_) | Rule::AtMost { .. } | Rule::Append(_));
        let unasked = self.named.iter().filter(|(_, rule)| says(rule));
        self.unasked = unasked.map(|(name, rule)| (name.clone(), rule.clone())).collect();
        self.unasked.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    }

    /// The rule of a parameter; `None` for one that nothing is known of, which does not go on.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        let is_key = !name.starts_with("meta_") || name.bytes().all(|b| !b.is_ascii_uppercase());
        let named = if is_key { self.named.get(name) } else { self.named.get(&key_of(name)) };
        named.or_else(|| self.patterns.iter().find(|(pattern, _)| pattern.stands_for(name)).map(|(_, rule)| rule))
    }

    /// Whether a rule would change nothing.
    #[must_use]
    pub fn has(&self, name: &str, rule: &Rule) -> bool {
        match (self.rule(name), rule) {
            (None, rule) => *rule == Rule::Drop,
            (Some(Rule::Append(have)), Rule::Append(more)) => more.iter().all(|item| have.contains(item)),
            (Some(Rule::AtMost { most: have, .. }), Rule::AtMost { most, .. }) => have == most,
            // Both go on as they are where the level has recording, and nowhere else.
            (Some(Rule::RecordingFlag), Rule::Pass) => true,
            (Some(have), rule) => have == rule,
        }
    }

    /// The rules that say something where nothing was asked, in the order of their names.
    pub fn unasked(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.unasked.iter().map(|(name, rule)| (&**name, rule))
    }
}

/// The parameters of `create` that have to do with recording.
pub fn recording_flags() -> impl Iterator<Item = &'static str> {
    CREATE.iter().filter(|row| matches!(row.rule, RecordingFlag)).map(|row| row.name)
}

/// A name that stands for all that have anything in place of its `*`: what is before and behind that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern {
    start: &'static str,
    end: &'static str,
}

impl Pattern {
    /// `None` for a name without a `*`.
    fn of(name: &'static str) -> Option<Self> {
        let (start, end) = name.split_once('*')?;
        Some(Self { start, end })
    }

    /// Whether it stands for a name. BBB reads the ends of names of metadata without their case.
    fn stands_for(self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(self.start) else { return false };
        let is_end = |at| rest.get(at..).is_some_and(|last| last.eq_ignore_ascii_case(self.end));
        rest.len().checked_sub(self.end.len()).is_some_and(|at| at > 0 && is_end(at))
    }
}

/// The name under which a rule is found: BBB reads the names of metadata without their case.
fn key_of(name: &str) -> Box<str> {
    if name.starts_with("meta_") { name.to_ascii_lowercase().into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_as_it_is() {
        for name in [
            "maxParticipants",
            "duration",
            "isBreakout",
            "clientSettingsOverrideJsonUrl",
            "meta_ENDCALLBACKURL",
            "disabledFeatures",
            "meta_*",
        ] {
            assert!(held_by(Of::Create, name, &Rule::Pass).is_some(), "{name}");
            let create = [(name.into(), Rule::Pass)].into();
            let rules = Rules::shipped().with(&Changes { create, join: BTreeMap::new() });
            assert_eq!(rules.create.rule(name), Rules::shipped().create.rule(name), "{name}");
        }
        assert!(held_by(Of::Join, "existingUserID", &Rule::Pass).is_some());
        assert!(held_by(Of::Create, "welcome", &Rule::Pass).is_none());
        assert!(held_by(Of::Join, "somethingNew", &Rule::Pass).is_none());
    }

    #[test]
    fn what_does_not_go_on_is_this() {
        let dropped = |table: &[Row]| {
            let rows = table.iter().filter(|row| matches!(row.rule, Drop));
            rows.map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(
            dropped(CREATE),
            [
                "dialNumber",
                "voiceBridge",
                "webVoice",
                "isBreakout",
                "parentMeetingID",
                "sequence",
                "freeJoin",
                "breakoutRoomsEnabled",
                "disabledFeaturesExclude",
                "maxNumPages",
                "presentationConversionCacheEnabled",
                "presentationUploadExternalUrl",
                "presentationUploadExternalDescription",
                "allowRequestsWithoutSession",
                "pluginManifests",
                "pluginManifestsFetchUrl",
                "plugin_*",
                "clientSettingsOverrideJsonUrl",
                "clientSettingsOverride",
                "cameraBridge",
                "screenShareBridge",
                "audioBridge",
            ]
        );
        assert_eq!(dropped(JOIN), ["existingUserID", "replaceSessionToken", "sessionName"]);
    }

    #[test]
    fn a_callback_can_be_dropped_and_nothing_else() {
        for name in ["meetingEndedURL", "meta_endCallbackUrl", "meta_analytics-callback-url", "meta_X-Callback-URL"] {
            assert_eq!(Rules::shipped().create.rule(name), Some(&Rule::Callback), "{name}");
            assert!(held_by(Of::Create, name, &Rule::Pass).is_some(), "{name}");
            let create = [(name.into(), Rule::Drop)].into();
            let rules = Rules::shipped().with(&Changes { create, join: BTreeMap::new() });
            assert_eq!(rules.create.rule(name), Some(&Rule::Drop), "{name}");
        }
        for name in ["meta_-callback-url", "meta_callback-url-of"] {
            assert_eq!(Rules::shipped().create.rule(name), Some(&Rule::Pass), "{name}");
        }
    }

    #[test]
    fn no_parameter_is_in_a_table_twice() {
        for table in [CREATE, JOIN] {
            let mut names: Vec<_> = table.iter().map(|row| key_of(row.name)).collect();
            names.sort_unstable();
            let before = names.len();
            names.dedup();
            assert_eq!(names.len(), before);
        }
    }

    #[test]
    fn a_rule_that_changes_nothing_is_told_from_one_that_does() {
        let create = [("welcome".into(), Rule::Drop), ("disabledFeatures".into(), Rule::Append(vec!["chat".into()]))];
        let rules = Rules::shipped().with(&Changes { create: create.into(), join: BTreeMap::new() });
        for (name, rule, nothing) in [
            ("welcome", Rule::Drop, true),
            ("welcome", Rule::Pass, false),
            ("voiceBridge", Rule::Drop, true),
            ("voiceBridge", Rule::Pass, false),
            ("unheardOf", Rule::Drop, true),
            ("unheardOf", Rule::Pass, false),
            ("meta_x", Rule::Pass, true),
            ("record", Rule::Pass, true),
            ("record", Rule::Drop, false),
            ("disabledFeatures", Rule::Append(vec!["chat".into()]), true),
            ("disabledFeatures", Rule::Append(vec!["polls".into()]), false),
            ("meetingExpireIfNoUserJoinedInMinutes", Rule::AtMost { most: 60, unasked: 60 }, true),
            ("meetingExpireIfNoUserJoinedInMinutes", Rule::AtMost { most: 59, unasked: 59 }, false),
        ] {
            assert_eq!(rules.create.has(name, &rule), nothing, "{name} {rule:?}");
        }
    }
}
