//! The releases of BigBlueButton that are simulated, as data: each says what it changes of the one before. The rest of the
//! simulator asks its profile and compares no versions.

use super::hooks::Webhooks;

/// One release, as far as releases differ as seen from in front of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What `bbb-sim --profile` takes.
    pub name: &'static str,
    /// `bbbVersion`.
    pub number: &'static str,
    /// `html5PluginSdkVersion`; 2.7 has none.
    pub plugin_sdk: Option<&'static str>,
    /// The client that is installed.
    pub(crate) client: Client,
    /// Whether the client takes an empty address of LiveKit for one (`??`), or for none (`||`).
    pub(crate) takes_empty_address: bool,
    /// Where `join` sends a browser, below the server's URL.
    pub client_path: &'static str,
    /// Whether that address has `shouldWaitForLayout`.
    pub(crate) tells_of_layout: bool,
    /// API calls that it does not know, of those that another release has.
    unknown_calls: &'static [&'static str],
    /// Whether `join` is taken as a POST.
    pub(crate) joins_by_post: bool,
    /// How `join` refuses a call that breaks the rules.
    pub(crate) early_refusal: Refusal,
    /// How `join` refuses a person after that.
    pub(crate) late_refusal: Refusal,
    /// Whether a wrong password of `join` breaks the rules where there is no role.
    pub(crate) compares_password: bool,
    /// Whether `getJoinUrl` lets a moderator say who comes in by it.
    pub(crate) mints_join_urls: bool,
    /// Whether a content type with `;charset=` is another one.
    pub(crate) minds_charset: bool,
    /// How many parameters `checksum` a call may have.
    pub(crate) checksums_max: usize,
    /// Parameters of `create` that it ignores, of those that another release reads.
    unknown_params: &'static [&'static str],
    /// The values of `meetingLayout`, the default first.
    pub layouts: &'static [&'static str],
    /// The queries below `/api/rest/`.
    pub rest_queries: &'static [&'static str],
    /// Whether nginx has `/ws`, the socket of SIP.js.
    pub has_sip: bool,
    /// The editor of the shared notes.
    pub notes: Notes,
    /// Whether breakout rooms take after their meeting in how it is recorded, beside whether.
    pub(crate) rooms_inherit_recording: bool,
    /// The service of webhooks that is installed beside it.
    pub(crate) webhooks: Webhooks,
}

/// A client, by the steps that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A Meteor application on a sockjs socket.
    Meteor,
    /// Settings first, then all else over GraphQL; the token stays in the address.
    Early,
    /// All that it needs at once; the token leaves the address.
    Static,
}

/// How a join is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether `redirect=false` is honoured.
    pub(crate) may_be_xml: bool,
    /// The parameters with an address to send people to; the first one that is there counts.
    pub(crate) pages: &'static [&'static str],
}

/// The editors of the shared notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// Below `/pad`.
    Etherpad,
    /// Below `/hocuspocus`.
    BlockNote,
}

const LOGOUT: &[&str] = &["logoutURL"];
const ERROR: &[&str] = &["errorRedirectUrl", "logoutURL"];

/// New in 4.0.
const NEW_PARAMS: &[&str] =
    &["lockSettingsPresenterPolicy", "requireUserConsentBeforeUnmuting", "notifyRecordingAppend"];

impl Profile {
    /// A Meteor client on a sockjs socket, a lobby page for guests, `enter`; no GraphQL.
    pub const V2_7: Self = Self {
        name: "2.7",
        number: "2.7.20",
        plugin_sdk: None,
        client: Client::Meteor,
        takes_empty_address: false,
        client_path: "/html5client/join",
        tells_of_layout: false,
        unknown_calls: &["getJoinUrl", "sendChatMessage", "feedback"],
        joins_by_post: true,
        early_refusal: Refusal { may_be_xml: false, pages: LOGOUT },
        late_refusal: Refusal { may_be_xml: false, pages: LOGOUT },
        compares_password: true,
        mints_join_urls: false,
        minds_charset: false,
        checksums_max: usize::MAX,
        unknown_params: NEW_PARAMS,
        layouts: &["CUSTOM_LAYOUT", "SMART_LAYOUT", "PRESENTATION_FOCUS", "VIDEO_FOCUS"],
        rest_queries: &[],
        has_sip: true,
        notes: Notes::Etherpad,
        rooms_inherit_recording: false,
        webhooks: Webhooks::V2_6,
    };

    /// The first of 3.0, as far as they are known: the notes describe a beta of July 2024.
    pub const V3_0_0: Self = Self {
        name: "3.0.0",
        number: "3.0.0",
        plugin_sdk: Some("0.0.60"),
        client: Client::Early,
        unknown_calls: &["enter"],
        joins_by_post: false,
        early_refusal: Refusal { may_be_xml: true, pages: LOGOUT },
        late_refusal: Refusal { may_be_xml: true, pages: ERROR },
        mints_join_urls: true,
        minds_charset: true,
        layouts: &[
            "CUSTOM_LAYOUT",
            "SMART_LAYOUT",
            "PRESENTATION_FOCUS",
            "VIDEO_FOCUS",
            "CAMERAS_ONLY",
            "PRESENTATION_ONLY",
            "PARTICIPANTS_AND_CHAT_ONLY",
            "MEDIA_ONLY",
        ],
        rest_queries: &["clientSettings", "userMetadata"],
        webhooks: Webhooks::V3_1,
        ..Self::V2_7
    };

    /// 3.0 with `meetingStaticData` (PR 23749).
    pub const V3_0_18: Self = Self {
        name: "3.0.18",
        number: "3.0.18",
        plugin_sdk: Some("0.0.93"),
        client: Client::Static,
        client_path: "/html5client/",
        tells_of_layout: true,
        early_refusal: Refusal { may_be_xml: false, pages: ERROR },
        compares_password: false,
        mints_join_urls: false,
        minds_charset: false,
        rest_queries: &["meetingStaticData", "clientSettings", "userMetadata"],
        webhooks: Webhooks::V3_5,
        ..Self::V3_0_0
    };

    /// 3.0 as it is in the autumn of 2026: one `checksum` only, and no SIP.js (both 3.0.37), BlockNote (PR 25117), breakout rooms
    /// that begin to be recorded as their meeting does (3.0.28, PR 25172).
    pub const V3_0_39: Self = Self {
        name: "3.0.39",
        number: "3.0.39",
        plugin_sdk: Some("0.0.97"),
        checksums_max: 1,
        has_sip: false,
        notes: Notes::BlockNote,
        rooms_inherit_recording: true,
        ..Self::V3_0_18
    };

    /// 4.0: other layouts (PR 24659), without parameters that had long been deprecated (PRs 21791, 25526, 25559), and without
    /// `clientSettings` (PR 24829).
    pub const V4_0: Self = Self {
        name: "4.0",
        number: "4.0.0",
        plugin_sdk: Some("0.1.14"),
        takes_empty_address: true,
        unknown_params: &[
            "copyright",
            "webVoice",
            "lockSettingsDisableNote",
            "learningDashboardEnabled",
            "virtualBackgroundsDisabled",
            "breakoutRoomsEnabled",
        ],
        layouts: &["UNIFIED_LAYOUT", "CAMERAS_ONLY", "PRESENTATION_ONLY", "PARTICIPANTS_AND_CHAT_ONLY", "MEDIA_ONLY"],
        rest_queries: &["meetingStaticData", "userMetadata"],
        ..Self::V3_0_39
    };

    /// All of them, from old to new.
    pub const ALL: [Self; 5] = [Self::V2_7, Self::V3_0_0, Self::V3_0_18, Self::V3_0_39, Self::V4_0];

    /// The profile of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    pub(crate) fn is_meteor(&self) -> bool {
        self.client == Client::Meteor
    }

    /// Whether there is such an API call, as far as releases differ.
    pub(crate) fn knows(&self, call: &str) -> bool {
        !self.unknown_calls.contains(&call)
    }

    /// Whether `create` reads a parameter, as far as releases differ.
    pub fn reads(&self, param: &str) -> bool {
        !self.unknown_params.contains(&param)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::V3_0_18
    }
}
