//! `policies/<id>.toml`, and the tables that tenants and events share with it: limits, rules for parameters.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Count, Pools};

/// `policies/<id>.toml`: a service level.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// The display name.
    #[schemars(required)]
    pub title: Option<String>,
    /// Where the meetings run: a pool, or a list in order of preference. The next pool is used if no server of the
    /// pools before takes a meeting, because it does not answer or is full (`meetings_max`).
    #[schemars(required)]
    pub pool: Option<Pools>,
    /// The limits of the level.
    #[schemars(required, extend("required" = [
        "accounts", "rooms", "participants", "duration", "recording", "own_domains", "branding",
    ]))]
    pub limits: Option<Limits>,
    /// Rules for parameters of `create`, by their names (docs/configuration.md, "Rules for the parameters of `create`
    /// and `join`"). Default: the rules that ship.
    pub create: Option<BTreeMap<String, ParamRule>>,
    /// Rules for parameters of `join`, as `create`. Default: the rules that ship.
    pub join: Option<BTreeMap<String, ParamRule>>,
}

/// Limits of a service level. A tenant and an event name those that differ.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Accounts that may have rooms at the same time.
    pub accounts: Option<Count>,
    /// Rooms per account: distinct meeting ids that have a running meeting.
    pub rooms: Option<Count>,
    /// Participants per meeting. Every open session counts, whatever its `userID`.
    pub participants: Option<Count>,
    /// Length of one meeting, from its creation: `"90s"`, `"60m"`, `"1h30m"`, `"1d"` or `"unlimited"`.
    pub duration: Option<String>,
    /// Whether meetings may be recorded: never, if the `create` asks for it, or the same without a condition of the
    /// level.
    pub recording: Option<Recording>,
    /// Hosts outside of `base_domains` that a tenant may have; 0 for none.
    pub own_domains: Option<Count>,
    /// Whether the tenant's branding is applied.
    pub branding: Option<bool>,
    /// Whether meetings may have breakout rooms (docs/configuration.md, "Breakout rooms"). If not, the gateway adds
    /// `breakoutRooms` to `disabledFeatures`. All levels that ship have them, except `free`. Default: `false`.
    pub breakouts: Option<bool>,
    /// How long a room keeps its place after its meeting has ended; at most `"7d"`. Default: `"0s"`.
    pub room_retention: Option<String>,
    /// For how long ended runs of a room count towards its `duration`, so that a second `create` does not make a
    /// meeting longer; at most `"7d"`. With `"0s"` each run has the whole duration. Default: `"0s"`.
    pub duration_window: Option<String>,
    /// Documents that one meeting may receive, in the body of `create` and by `insertDocument`. Counted in memory: a
    /// restart sets the count to 0. Default: `100`.
    pub documents: Option<Count>,
    /// The largest body with documents of a `create` or an `insertDocument`, such as `"45MB"` (base64 makes slides a
    /// third larger); from `"64KB"` to `"64MB"`. Above 1 MB the BBB server must accept it too
    /// (docs/getting-started.md, "Settings of the BBB server"). The gateway holds the body in memory until the server
    /// has answered: at most 64 MB for a tenant, 256 MB for all. If there is no room for 2 s, the caller gets
    /// `overloaded`. Default: `"2MB"`.
    pub body: Option<String>,
    /// Webhooks that the tenant may have (docs/webhooks.md, "Webhooks"). Those that are there stay when it is lowered;
    /// with 0 they get no events. Default: `100`.
    pub webhooks: Option<Count>,
    /// Whether events of webhooks have the addresses and browsers of participants (`ip-address`, `user-agent`).
    /// Default: `false`.
    pub webhook_addresses: Option<bool>,
    /// Whether webhooks get what people write, say and answer: chat, shared notes, polls, captions. Events are in the
    /// store until they are delivered. Default: `false`.
    pub webhook_content: Option<bool>,
}

/// Whether meetings may be recorded.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Recording {
    /// The recording parameters are forced off.
    Never,
    /// When the `create` of the room asks for it.
    PerRoom,
    /// When the `create` asks for it, without any condition of the level.
    AlwaysAllowed,
}

/// Rule for a parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ParamRule {
    /// Forward or drop.
    Word(ParamWord),
    /// Change or check: exactly one of the keys.
    Table(ParamTable),
}

/// Whether a parameter is forwarded.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum ParamWord {
    /// Forward it unchanged.
    Pass,
    /// Drop it.
    Drop,
}

/// Change or check of a parameter: exactly one of these keys.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamTable {
    /// Value if it is missing or empty.
    pub default: Option<ParamValue>,
    /// Value in any case.
    pub force: Option<ParamValue>,
    /// Maximum of a number; also the value if it is missing or not a number from 1.
    pub at_most: Option<i64>,
    /// Entries added to a list, such as `disabledFeatures`.
    pub append: Option<Vec<String>>,
    /// Required kind of value, else the call is refused: `public-url` is an address on a public host, since servers
    /// fetch it; `web-url` one of `http` or `https`.
    pub check: Option<ParamCheck>,
    /// Allowed values, else the call is refused.
    pub one_of: Option<Vec<String>>,
}

/// The value of a parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ParamValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// A boolean.
    Flag(bool),
}

/// A kind of values.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ParamCheck {
    /// `true` or `false`, as BBB reads them.
    Boolean,
    /// A whole number.
    Integer,
    /// An address on a public host, for servers fetch it.
    PublicUrl,
    /// An address that people are led to: `http` or `https`.
    WebUrl,
}
