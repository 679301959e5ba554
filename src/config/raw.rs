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
    /// `Strict-Transport-Security` on each answer, such as `"max-age=31536000; includeSubDomains"`, or `"off"`. A tenant may say
    /// otherwise. Default: `"max-age=31536000"`.
    pub hsts: Option<String>,
    /// Where the gateway listens.
    #[schemars(required)]
    pub listen: Option<Listen>,
    /// Where meetings and seats are written down.
    pub store: Option<Store>,
    /// How the BBB servers are reached.
    pub upstream: Option<Upstream>,
    /// How many connections there may be, and how long one may do nothing.
    pub connections: Option<Connections>,
    /// What an address, and a tenant, may do in a second.
    pub rates: Option<Rates>,
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
    /// The balancers in front, as addresses or networks such as `"10.0.0.0/8"`: each connection from there has to begin with a
    /// PROXY header (version 1 or 2), and is its client's from then on. No other connection may have one. Default: none.
    pub proxy_protocol_from: Option<Vec<String>>,
}

/// How many connections of people and programs there may be, and how long one may do nothing. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connections {
    /// In total, on all of `https` and `http`. Default, and the most that is taken: what the process's file handles are enough
    /// for, two for each.
    pub max: Option<i64>,
    /// From one address (of IPv6: from one /64). Default: a quarter of all, but at most 16384.
    pub per_address: Option<i64>,
    /// How long one may be open with nothing to do, from `"1s"` to `"1h"`. An answer of which its reader takes nothing for
    /// five times as long ends too. Default: `"75s"`.
    pub idle_timeout: Option<String>,
}

/// What an address, and a tenant, may do in a second: a number of at least 1, or `"unlimited"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rates {
    /// Whether what is too much is only counted, not refused. Default: false.
    pub count_only: Option<bool>,
    /// New connections from one address. Default: 1000.
    pub connections: Option<Count>,
    /// Handshakes from one address that fail, or are for a host that nobody has. Default: 50.
    pub failed_handshakes: Option<Count>,
    /// Requests from one address for a host that nobody has, or other than that of their handshake. Default: 50.
    pub unknown_hosts: Option<Count>,
    /// Calls from one address whose checksum does not fit. Default: 50.
    pub wrong_checksums: Option<Count>,
    /// Requests from one address with a session that is none. Default: 500.
    pub unknown_sessions: Option<Count>,
    /// Requests to one tenant. Default: 10000.
    pub tenant_requests: Option<Count>,
    /// Joins of one tenant. Default: 500.
    pub tenant_joins: Option<Count>,
}

/// Where meetings and seats are written down. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// `"sqlite:PATH"`, relative to this directory, for one gateway; `"postgres://USER:PASSWORD@HOST/DATABASE"` for
    /// several, or `"file:PATH"` or `"env:NAME"` with such an address. Default: `"sqlite:var/anteroom.db"`.
    pub url: Option<String>,
}

/// How the BBB servers are reached. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// A PEM file with further trust roots for https servers, relative to this directory.
    pub ca: Option<String>,
    /// The name servers that are asked where documents are, which servers are told to fetch: such as `"10.0.0.53"` or
    /// `"10.0.0.53:5353"`. Default: those of the system.
    pub resolver: Option<Vec<String>>,
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
    /// How many people it takes beside the others: a server of weight 2 gets twice as many as one of weight 1. A number
    /// from 0.001 to 1000. Default: 1.
    pub weight: Option<f64>,
    /// The meetings on it at which it takes no new one. Default: `"unlimited"`.
    pub meetings_max: Option<Count>,
    /// Whether addresses that name it are looked for in what its GraphQL sends, and led to the tenant's host. Default: true;
    /// false spares the search where its own settings make all of them relative.
    pub rewrite_frames: Option<bool>,
    /// Its BBB: `"2.7"`, which has a pool and a tenant of its own, or `"3.0"` for all later ones. Default: `"3.0"`.
    pub version: Option<String>,
    /// New GraphQL sockets that it is asked for in a second; more wait for their turn. From 1 to 1000. Default: 40, below
    /// what BBB takes.
    pub sockets_per_second: Option<i64>,
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
    /// first, each a literal, `"file:PATH"` or `"env:NAME"`, or a table with more about it.
    #[schemars(required)]
    pub secrets: Option<BTreeMap<String, Secrets>>,
    /// Exceptions to the limits of the policy.
    pub limits: Option<Limits>,
    /// Rules of parameters of `create`, beside the policy's.
    pub create: Option<BTreeMap<String, ParamRule>>,
    /// Rules of parameters of `join`, beside the policy's.
    pub join: Option<BTreeMap<String, ParamRule>>,
    /// What its meetings look like, where the level allows branding.
    pub branding: Option<Branding>,
    /// The pool its meetings run in, instead of the policy's, or several, the preferred one first: the next one is for
    /// when no server of those before takes a meeting.
    pub pool: Option<Pools>,
    /// The create parameter whose values are the accounts, such as `"meta_owner"`. Default: each secret is an account.
    pub account_param: Option<String>,
    /// What answers the paths that are not BBB's: `http://` or `https://`, a host and perhaps a port.
    pub frontend: Option<String>,
    /// The sites whose pages show its meetings in a frame, such as `"https://moodle.example"` or `"https://*.school.example"`.
    /// Their browsers get cookies that work there, and no other site may.
    pub embedded_by: Option<Vec<String>>,
    /// `Strict-Transport-Security` on each answer of its hosts, such as `"max-age=63072000; includeSubDomains"`, or `"off"`.
    /// Default: the gateway's.
    pub hsts: Option<String>,
    /// Whether it gets no new meeting and no new participant for now; what runs goes on. Default: false.
    pub suspended: Option<bool>,
    /// Stretches of time for which it has another pool or other limits. No two of them are on at the same time.
    pub events: Option<Vec<Event>>,
}

/// A stretch of time for which a tenant has another pool, other limits, or both. Meetings that run when it ends keep what
/// they have.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    /// When it begins: `"2026-12-01"` (with the day, UTC) or `"2026-12-01T08:00:00Z"`.
    #[schemars(required)]
    pub from: Option<String>,
    /// When it ends: `"2026-12-01"` (with the day, UTC) or `"2026-12-01T20:00:00Z"`.
    #[schemars(required)]
    pub until: Option<String>,
    /// The pool its meetings run in meanwhile, or several, the preferred one first.
    pub pool: Option<Pools>,
    /// Exceptions to the limits that the tenant has otherwise: any of them but `own_domains`.
    pub limits: Option<Limits>,
}

/// `policies/<id>.toml`: a service level.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// What people call it.
    #[schemars(required)]
    pub title: Option<String>,
    /// The pool its meetings run in, or several, the preferred one first: the next one is for when no server of those
    /// before takes a meeting.
    #[schemars(required)]
    pub pool: Option<Pools>,
    /// What it allows. All of them but `breakouts`, `room_retention`, `duration_window`, `documents` and `body` must be
    /// there.
    #[schemars(required, extend("required" = ["accounts", "rooms", "participants", "duration", "recording", "own_domains", "branding"]))]
    pub limits: Option<Limits>,
    /// Rules of parameters of `create`.
    pub create: Option<BTreeMap<String, ParamRule>>,
    /// Rules of parameters of `join`.
    pub join: Option<BTreeMap<String, ParamRule>>,
}

/// One pool, or several in the order of preference.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Pools {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// What becomes of a parameter on its way to a server.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ParamRule {
    /// It goes on as it is, or not at all.
    Word(ParamWord),
    /// Something is made of it: exactly one of the keys.
    Table(ParamTable),
}

/// Whether a parameter goes on.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ParamWord {
    /// It goes on as it is.
    Pass,
    /// It does not go on.
    Drop,
}

/// What is made of a parameter: exactly one of these.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParamTable {
    /// What is sent where it is missing or empty.
    pub default: Option<ParamValue>,
    /// What is sent, whatever was asked.
    pub force: Option<ParamValue>,
    /// The most that is sent of a number; also where it is missing, or is no number from 1.
    pub at_most: Option<i64>,
    /// What is added to a list, such as `disabledFeatures`.
    pub append: Option<Vec<String>>,
    /// What kind of value it must have: else the call is refused.
    pub check: Option<ParamCheck>,
    /// The values it may have: else the call is refused.
    pub one_of: Option<Vec<String>>,
}

/// The value of a parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ParamValue {
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
pub(super) enum ParamCheck {
    /// `true` or `false`, as BBB reads them.
    Boolean,
    /// A whole number.
    Integer,
    /// An address on a public host, for servers fetch it.
    PublicUrl,
    /// An address that people are led to: `http` or `https`.
    WebUrl,
}

/// What a tenant's meetings look like. Files are relative to this directory, and served from the tenant's own host.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Branding {
    /// A picture for the client: a file (svg, png, jpg, webp, gif) or an `https://` address.
    pub logo: Option<String>,
    /// The same for dark backgrounds.
    pub dark_logo: Option<String>,
    /// A line above the meeting.
    pub banner_text: Option<String>,
    /// Its background, such as `"#0a4b78"`.
    pub banner_color: Option<String>,
    /// The message at the top of the chat; BBB's placeholders and simple HTML.
    pub welcome: Option<String>,
    /// Where people go who leave. Default: the tenant's host.
    pub logout_url: Option<String>,
    /// The title of the browser's tab.
    pub client_title: Option<String>,
    /// A style sheet for the client: a file (css) or an `https://` address.
    pub style: Option<String>,
    /// The slides of meetings that bring none: a file (pdf, odp, pptx, png, jpg) or an `https://` address.
    pub slides: Option<String>,
    /// The line below the client's settings.
    pub copyright: Option<String>,
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
    /// Whether meetings may have breakout rooms. Default: false.
    pub breakouts: Option<bool>,
    /// How long a room keeps its place after its meeting has ended. Default: `"0s"`.
    pub room_retention: Option<String>,
    /// How long ago runs of a room may have ended that still count towards its `duration`, so that nobody gets a longer
    /// meeting by making it again. Default: `"0s"`, each run has the whole duration.
    pub duration_window: Option<String>,
    /// Documents that may be given to one meeting while it runs (`insertDocument`). Default: 100.
    pub documents: Option<Count>,
    /// The largest body with documents of a `create` or an `insertDocument`, from `"64KB"` to `"64MB"`. Default: `"2MB"`.
    pub body: Option<String>,
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

/// One secret, or several of the same name.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Secrets {
    /// One: a literal, `"file:PATH"` or `"env:NAME"`.
    Plain(String),
    /// One, with more about it.
    Named(NamedSecret),
    /// Several, newest first.
    Many(Vec<Secret>),
}

/// One of several secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Secret {
    /// A literal, `"file:PATH"` or `"env:NAME"`.
    Plain(String),
    /// The same with more about it.
    Named(NamedSecret),
}

/// A secret with a name of its own and an end.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-hide-keys" = true))]
pub(super) struct NamedSecret {
    /// A literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// What it is called in metrics and in the log. Default: the name of its file or variable, else that of the account and
    /// its place.
    pub name: Option<String>,
    /// The last moment at which it is good: `"2026-12-31"` (the whole day, UTC) or `"2026-12-31T18:00:00Z"`.
    pub not_after: Option<String>,
}

/// `pages/<language>.toml`: what people read in one language, where it is to be other than what ships.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Language {
    /// What stands on buttons and beside: `again`, `home`, `retries`, `support`.
    pub words: Option<BTreeMap<String, String>>,
    /// The texts of pages by their names, such as `landing`, `notYet` or `maxParticipantsReached`.
    pub pages: Option<BTreeMap<String, PageText>>,
}

/// The texts of one page.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageText {
    /// What is the matter.
    pub title: Option<String>,
    /// What to do.
    pub detail: Option<String>,
}
