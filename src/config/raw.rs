//! The shapes of the files, as they are written.
//!
//! The doc comments here are what an operator reads in the JSON schema. Every field is an `Option`, so that a file that
//! lacks one can still be read for its other faults; `schemars(required)` says which ones must be there. No `Debug`: there
//! are secrets in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// `anteroom.toml`: the gateway and its BBB servers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gateway {
    /// The operator's own domains. Every tenant may have hosts below them; any other host is an own domain.
    pub base_domains: Option<Vec<String>>,
    /// Where the gateway listens.
    #[schemars(required)]
    pub listen: Option<Listen>,
    /// Where meetings and seats are written down.
    pub store: Option<Store>,
    /// How the BBB servers are reached.
    pub upstream: Option<Upstream>,
    /// The BBB servers, one table each; the key is the server's id.
    pub servers: Option<BTreeMap<String, Server>>,
    /// Certificates by ACME for hosts that have none in `certs/`.
    pub acme: Option<Acme>,
}

/// Where the gateway listens. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// Addresses for TLS, such as `"0.0.0.0:443"`.
    pub https: Option<Vec<String>>,
    /// Addresses for plain HTTP, where tenants' hosts are led to https.
    pub http: Option<Vec<String>>,
    /// The address of health, metrics, admin API and dashboard. Never one that the public reaches.
    pub admin: Option<String>,
    /// Whether HTTP/2 is offered over TLS. Default: true.
    pub http2: Option<bool>,
}

/// Where meetings and seats are written down. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// `"sqlite:PATH"`, relative to this directory. Default: `"sqlite:var/anteroom.db"`.
    pub url: Option<String>,
}

/// How the BBB servers are reached. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// A PEM file with further trust roots for https servers, relative to this directory.
    pub ca: Option<String>,
    /// How old an answer about meetings may be that is given without asking the server again. Default: `"2s"`; `"0s"` asks
    /// each time.
    pub answers_max_age: Option<String>,
}

/// A BBB server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// Where it is: `http://` or `https://`, a host and perhaps a port.
    #[schemars(required)]
    pub url: Option<String>,
    /// Another address under which it speaks of itself in its answers. Default: `url`.
    pub public_url: Option<String>,
    /// Its API secret: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// The pool it belongs to.
    #[schemars(required)]
    pub pool: Option<String>,
}

/// Certificates by ACME.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acme {
    /// The directory of the ACME server.
    #[schemars(required)]
    pub directory: Option<String>,
    /// Whom the certificate authority may write to, as `"mailto:"` addresses.
    pub contact: Option<Vec<String>>,
    /// A PEM file with a further trust root for the ACME server itself, relative to this directory.
    pub root: Option<String>,
    /// Whether DNS is looked at before any order. Default: true.
    #[expect(dead_code, reason = "parsed for its shape until ACME is built")]
    pub precheck: Option<bool>,
}

/// `tenants/<id>.toml`: a customer of the operator.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    /// What people call it.
    #[schemars(required)]
    pub name: Option<String>,
    /// Its service level: the name of a file in `policies/`, without `.toml`.
    #[schemars(required)]
    pub policy: Option<String>,
    /// Where people find it; the first is its main address.
    #[schemars(required)]
    pub hosts: Option<Vec<String>>,
    /// Its API secrets by name. A name is an account, or a client of the API; a value is one secret or a list, newest
    /// first, each a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secrets: Option<BTreeMap<String, OneOrMany>>,
    /// Exceptions to the limits of the policy.
    pub limits: Option<Limits>,
    /// The pool its meetings run in, instead of the policy's.
    pub pool: Option<String>,
    /// The create parameter whose values are the accounts, such as `"meta_owner"`. Default: each secret is an account.
    pub account_param: Option<String>,
    /// What answers the paths that are not BBB's: `http://` or `https://`, a host and perhaps a port.
    pub frontend: Option<String>,
    /// Whether it gets no new meeting and no new participant for now; what runs goes on. Default: false.
    pub suspended: Option<bool>,
}

/// `policies/<id>.toml`: a service level.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// What people call it.
    #[schemars(required)]
    pub title: Option<String>,
    /// The pool its meetings run in.
    #[schemars(required)]
    pub pool: Option<String>,
    /// What it allows. All of them but `room_retention` must be there.
    #[schemars(required, extend("required" = ["accounts", "rooms", "participants", "duration", "recording", "own_domains", "branding"]))]
    pub limits: Option<Limits>,
}

/// What a service level allows.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Accounts that may have rooms at once.
    pub accounts: Option<Count>,
    /// Rooms per account.
    pub rooms: Option<Count>,
    /// Participants per meeting.
    pub participants: Option<Count>,
    /// Length of one meeting, from its creation: `"90s"`, `"60m"`, `"1h30m"`, `"1d"` or `"unlimited"`.
    pub duration: Option<String>,
    /// Whether meetings may be recorded.
    pub recording: Option<Recording>,
    /// Hosts outside the operator's base domains; 0 for none.
    pub own_domains: Option<Count>,
    /// Whether the tenant's branding is applied.
    pub branding: Option<bool>,
    /// How long a room keeps its place after its meeting has ended. Default: `"0s"`.
    pub room_retention: Option<String>,
}

/// A number of at least 1, or `"unlimited"`.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Count {
    /// A number.
    Number(i64),
    /// No bound.
    Word(Unlimited),
}

/// The word for no bound.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Unlimited {
    /// No bound.
    Unlimited,
}

/// Whether meetings may be recorded.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Recording {
    /// The recording parameters are forced off.
    Never,
    /// When the `create` of the room asks for it.
    PerRoom,
    /// When the `create` asks for it, without any condition of the level.
    AlwaysAllowed,
}

/// One text or a list of texts.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum OneOrMany {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}
