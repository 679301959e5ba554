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
    /// Where meetings and seats are stored.
    pub store: Option<Store>,
    /// How the BBB servers are reached.
    pub upstream: Option<Upstream>,
    /// Connection limits and the idle timeout.
    pub connections: Option<Connections>,
    /// Rate limits of addresses and tenants.
    pub rates: Option<Rates>,
    /// The BBB servers, one table each; the key is the server's id.
    pub servers: Option<BTreeMap<String, Server>>,
    /// The call `getUser`, by which one Greenlight asks for the address and the secret of each tenant. Default: there is none.
    pub get_user: Option<GetUser>,
    /// Certificates by ACME for hosts that have none in `certs/`.
    pub acme: Option<Acme>,
}

/// Where the gateway listens. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// Addresses for TLS, such as `"0.0.0.0:443"`.
    pub https: Option<Vec<String>>,
    /// Addresses for plain HTTP, which redirects tenants' hosts to https.
    pub http: Option<Vec<String>>,
    /// Address of health, metrics and the admin API. Must not be public.
    pub admin: Option<String>,
    /// Whether HTTP/2 is offered over TLS. Default: true.
    pub http2: Option<bool>,
    /// Trusted load balancers in front, as addresses or networks such as `"10.0.0.0/8"`: each connection from there must begin
    /// with a PROXY header (version 1 or 2), which has the address of the client. Other connections must not have one. Default:
    /// none.
    pub proxy_protocol_from: Option<Vec<String>>,
    /// Trusted fronts that set `X-Request-Id`, as addresses or networks such as `"10.0.0.0/8"`: the id of their requests is taken
    /// into the log, onto pages and to the servers. It counts where the connection itself comes from, also with a PROXY header.
    /// List no load balancer that passes TLS through: the header is the client's there. Default: none.
    pub request_id_from: Option<Vec<String>>,
}

/// Limits of client connections and the idle timeout. Takes effect at the start only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connections {
    /// In total, on all of `https` and `http`. Default and maximum: half of the file handles of the process, less a reserve.
    pub max: Option<i64>,
    /// From one address (of IPv6: from one /64). Default: a quarter of all, but at most 16384.
    pub per_address: Option<i64>,
    /// Idle timeout, from `"1s"` to `"1h"`. An answer that the client does not read for five times as long is aborted, too.
    /// Default: `"75s"`.
    pub idle_timeout: Option<String>,
}

/// Rate limits, per second: a number of at least 1, or `"unlimited"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rates {
    /// Only count events over a limit, and do not refuse them. Default: false.
    pub count_only: Option<bool>,
    /// New connections from one address. Default: 1000.
    pub connections: Option<Count>,
    /// TLS handshakes from one address that fail, or are for an unknown host. Default: 50.
    pub failed_handshakes: Option<Count>,
    /// Requests from one address for an unknown host, or for a host other than the SNI. Default: 50.
    pub unknown_hosts: Option<Count>,
    /// Calls from one address with a wrong checksum. Default: 50.
    pub wrong_checksums: Option<Count>,
    /// Requests from one address with an unknown session. Default: 500.
    pub unknown_sessions: Option<Count>,
    /// Requests to one tenant. Default: 10000.
    pub tenant_requests: Option<Count>,
    /// Joins of one tenant. Default: 500.
    pub tenant_joins: Option<Count>,
}

/// Where meetings and seats are stored. Takes effect at the start only.
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
    /// DNS servers for the hosts of documents that BBB servers fetch, such as `"10.0.0.53"` or `"10.0.0.53:5353"`. Default:
    /// those of the system.
    pub resolver: Option<Vec<String>>,
    /// Maximum age of a cached answer about meetings. Default: `"2s"`; `"0s"` does not cache.
    pub answers_max_age: Option<String>,
}

/// A BBB server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// Its address: `http://` or `https://`, a host and an optional port.
    #[schemars(required)]
    pub url: Option<String>,
    /// Its public address, if its answers contain another one than `url`. Default: `url`.
    pub public_url: Option<String>,
    /// Its API secret: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// The pool it belongs to.
    #[schemars(required)]
    pub pool: Option<String>,
    /// Weight in the placement: a server of weight 2 gets twice as many people as one of weight 1. A number from 0.001 to 1000.
    /// Default: 1.
    pub weight: Option<f64>,
    /// Maximum number of meetings on it. Default: `"unlimited"`.
    pub meetings_max: Option<Count>,
    /// Rewrite its addresses in GraphQL messages to the tenant's host. Default: true; false saves CPU if its settings make all of
    /// them relative.
    pub rewrite_frames: Option<bool>,
    /// Its BBB: `"2.7"`, which has a pool and a tenant of its own, or `"3.0"` for all later ones. Default: `"3.0"`.
    pub version: Option<String>,
    /// New GraphQL sockets per second; more are queued. From 1 to 1000. Default: 40, below the limit of BBB.
    pub sockets_per_second: Option<i64>,
}

/// The call `getUser`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetUser {
    /// The host that answers it, which has to be a host of a tenant.
    #[schemars(required)]
    pub host: Option<String>,
    /// The secret that signs it, which is no tenant's: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// Who may make it, as addresses or networks such as `"10.0.0.7"` or `"10.0.0.0/8"`.
    #[schemars(required)]
    pub sources: Option<Vec<String>>,
    /// The name of the secret of a tenant that it tells. Default: `"greenlight"`.
    pub account: Option<String>,
}

/// Certificates by ACME.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acme {
    /// The directory of the ACME server.
    #[schemars(required)]
    pub directory: Option<String>,
    /// Contacts for the certificate authority, as `"mailto:"` addresses.
    pub contact: Option<Vec<String>>,
    /// A PEM file with a further trust root for the ACME server itself, relative to this directory.
    pub root: Option<String>,
    /// Check DNS before an order. Default: true.
    #[expect(dead_code, reason = "parsed for its shape until ACME is built")]
    pub precheck: Option<bool>,
}

/// `tenants/<id>.toml`: a customer of the operator.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    /// Display name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Its service level: the name of a file in `policies/`, without `.toml`.
    #[schemars(required)]
    pub policy: Option<String>,
    /// Its host names; the first is the main one.
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
    /// Branding of its meetings, if the policy allows it.
    pub branding: Option<Branding>,
    /// The pool its meetings run in, instead of the policy's, or several, the preferred one first: the next one is for
    /// when no server of those before takes a meeting.
    pub pool: Option<Pools>,
    /// The create parameter whose values are the accounts, such as `"meta_owner"`. Default: each secret is an account.
    pub account_param: Option<String>,
    /// Frontend for the paths that are not BBB's: `http://` or `https://`, a host and an optional port.
    pub frontend: Option<String>,
    /// The sites whose pages show its meetings in a frame, such as `"https://moodle.example"` or `"https://*.school.example"`.
    /// Their browsers get cookies that work there, and no other site may.
    pub embedded_by: Option<Vec<String>>,
    /// `Strict-Transport-Security` on each answer of its hosts, such as `"max-age=63072000; includeSubDomains"`, or `"off"`.
    /// Default: the gateway's.
    pub hsts: Option<String>,
    /// Whether an API call may have a form that its checksum does not cover, as BBB 3.0 takes it. Default: true.
    pub uncovered_forms: Option<bool>,
    /// Suspend it: no new meetings and participants; running meetings continue. Default: false.
    pub suspended: Option<bool>,
    /// Periods with another pool or other limits. They must not overlap.
    pub events: Option<Vec<Event>>,
}

/// A period in which a tenant has another pool, other limits, or both. Meetings that run at its end keep them.
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
    /// Display name.
    #[schemars(required)]
    pub title: Option<String>,
    /// The pool its meetings run in, or several, the preferred one first: the next one is for when no server of those
    /// before takes a meeting.
    #[schemars(required)]
    pub pool: Option<Pools>,
    /// Its limits. All of them but `breakouts`, `room_retention`, `duration_window`, `documents`, `body` and those of
    /// webhooks must be there.
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

/// Rule for a parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ParamRule {
    /// Forward or drop.
    Word(ParamWord),
    /// Change or check: exactly one of the keys.
    Table(ParamTable),
}

/// Whether a parameter is forwarded.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ParamWord {
    /// Forward it unchanged.
    Pass,
    /// Drop it.
    Drop,
}

/// Change or check of a parameter: exactly one of these.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParamTable {
    /// Value if it is missing or empty.
    pub default: Option<ParamValue>,
    /// Value in any case.
    pub force: Option<ParamValue>,
    /// Maximum of a number; also the value if it is missing or not a number from 1.
    pub at_most: Option<i64>,
    /// Entries added to a list, such as `disabledFeatures`.
    pub append: Option<Vec<String>>,
    /// Required kind of value: else the call is refused.
    pub check: Option<ParamCheck>,
    /// Allowed values: else the call is refused.
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

/// Branding of a tenant's meetings. Files are relative to this directory, and served from the tenant's host.
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
    /// Address after leaving a meeting. Default: the tenant's host.
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

/// Limits of a service level.
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
    /// Window in which earlier runs of a room count towards its `duration`, so that creating it again does not extend it.
    /// Default: `"0s"`, each run has the whole duration.
    pub duration_window: Option<String>,
    /// Documents that may be given to one meeting while it runs (`insertDocument`). Default: 100.
    pub documents: Option<Count>,
    /// The largest body with documents of a `create` or an `insertDocument`, from `"64KB"` to `"64MB"`. Default: `"2MB"`.
    pub body: Option<String>,
    /// Webhooks that the tenant may have (`hooks/create`); 0 for none. Default: 100.
    pub webhooks: Option<Count>,
    /// Whether their events have the addresses and browsers of participants. Default: false.
    pub webhook_addresses: Option<bool>,
    /// Whether their events have what people write, say and answer: chat, shared notes, polls, captions. Default: false.
    pub webhook_content: Option<bool>,
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

/// A secret with a name and an expiry.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-hide-keys" = true))]
pub(super) struct NamedSecret {
    /// A literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// Name in metrics and in the log. Default: the name of its file or variable, else that of the account and its position.
    pub name: Option<String>,
    /// Expiry: `"2026-12-31"` (at the end of the day, UTC) or `"2026-12-31T18:00:00Z"`.
    pub not_after: Option<String>,
}

/// `pages/<language>.toml`: texts of the pages in one language, in place of the built-in ones.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Language {
    /// Texts of buttons and notes: `again`, `home`, `retries`, `support`.
    pub words: Option<BTreeMap<String, String>>,
    /// The texts of pages by their names, such as `landing`, `notYet` or `maxParticipantsReached`.
    pub pages: Option<BTreeMap<String, PageText>>,
}

/// The texts of one page.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageText {
    /// Title.
    pub title: Option<String>,
    /// Explanation, and what to do.
    pub detail: Option<String>,
}
