//! `anteroom.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Acme, Count};

/// `anteroom.toml`: the gateway and its BBB servers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    /// The operator's own domains. A tenant may have hosts below them at any level; all other hosts are *own domains*
    /// of the tenant.
    pub base_domains: Option<Vec<String>>,
    /// `Strict-Transport-Security` on each answer over TLS, or `"off"`; a tenant may override it. The default has no
    /// `includeSubDomains`, since hosts below may belong to somebody else. Default: `"max-age=31536000"`.
    pub hsts: Option<String>,
    /// Where the gateway listens. A change takes effect at the next start.
    #[schemars(required)]
    pub listen: Option<Listen>,
    /// Where meetings and seats are stored.
    pub store: Option<Store>,
    /// How the BBB servers are reached.
    pub upstream: Option<Upstream>,
    /// Limits of client connections.
    pub connections: Option<Connections>,
    /// Rate limits of addresses and tenants.
    pub rates: Option<Rates>,
    /// The BBB servers: a table each, by the server's id.
    pub servers: Option<BTreeMap<String, Server>>,
    /// Ids of servers that are gone for good. `getRecordings` leaves their recordings out; it fails for those of a server
    /// that is neither here nor in `servers` (docs/operations.md, "Drain a server"). Default: none.
    pub retired_servers: Option<Vec<String>>,
    /// The call `getUser`, by which one Greenlight for all tenants asks for the address and the secret of each
    /// (docs/clients.md, "One Greenlight for all tenants"). Default: none, and there is no such call.
    pub get_user: Option<GetUser>,
    /// Certificates by ACME for hosts that have none in `certs/` (docs/certificates.md, "Certificates"). Default: none
    /// are ordered.
    pub acme: Option<Acme>,
}

/// Where the gateway listens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Addresses for TLS, such as `"0.0.0.0:443"`. At least one address in `https` or `http` must be there.
    pub https: Option<Vec<String>>,
    /// Addresses for plain HTTP. They redirect the hosts of tenants to https and answer nothing else.
    pub http: Option<Vec<String>>,
    /// Address of health, metrics and the admin API (docs/reference/admin-api.md, "Admin API"). Never make it public.
    /// With port 0 the commands cannot find it.
    pub admin: Option<String>,
    /// Whether HTTP/2 is offered. Default: `true`.
    pub http2: Option<bool>,
    /// Whether browsers may open WebSockets on the HTTP/2 connection of their page (RFC 8441) rather than on
    /// connections of their own. On trial: see docs/explanation/request-life.md, "4. WebSockets". Default: `false`.
    pub http2_websockets: Option<bool>,
    /// Load balancers in front, as addresses or networks such as `"192.0.2.7"` or `"10.0.0.0/8"`. Each connection to
    /// `https` and `http` from there must begin with a PROXY header (version 1 or 2); the address in it counts for
    /// limits, rates, log and `X-Forwarded-For`. A PROXY header from any other address is refused.
    pub proxy_protocol_from: Option<Vec<String>>,
    /// Fronts that terminate TLS and set `X-Request-Id`, as addresses or networks: the id of their requests is taken
    /// over, if it is 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`. What counts is the address that
    /// the connection itself comes from. Do not list a load balancer that passes TLS through, since there the header
    /// is the client's. All other requests get an id from the gateway.
    pub request_id_from: Option<Vec<String>>,
}

/// Limits of client connections (docs/configuration.md, "Connections and rates"). A change takes effect at the next
/// start.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connections {
    /// Maximum number of client connections, WebSockets included, on all of `https` and `http`. Default: half of the
    /// process's file handles, less a reserve, which is also the most it can be.
    pub max: Option<i64>,
    /// Connections from one IPv4 address or one IPv6 /64. Default: a quarter of all, at most 16384.
    pub per_address: Option<i64>,
    /// How long a connection may be idle, from `"1s"` to `"1h"`. If a client reads nothing of an answer, the
    /// connection closes after five times as long. Default: `"75s"`.
    pub idle_timeout: Option<String>,
}

/// Rate limits, per second (docs/configuration.md, "Connections and rates"). A number of at least 1, or
/// `"unlimited"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rates {
    /// Whether what exceeds a rate is only counted, and not refused. Default: `false`.
    pub count_only: Option<bool>,
    /// New connections from one address. Default: `1000`.
    pub connections: Option<Count>,
    /// Failed TLS handshakes from one address, including those for unknown names. Default: `50`.
    pub failed_handshakes: Option<Count>,
    /// Requests from one address for an unknown host, or for a host other than that of the TLS handshake. Default:
    /// `50`.
    pub unknown_hosts: Option<Count>,
    /// API calls from one address with a wrong checksum, and callbacks that no server has signed. Default: `50`.
    pub wrong_checksums: Option<Count>,
    /// Requests from one address with an invalid session. Default: `500`.
    pub unknown_sessions: Option<Count>,
    /// Requests to one tenant. Default: `10000`.
    pub tenant_requests: Option<Count>,
    /// Joins of one tenant with a valid checksum. Default: `500`.
    pub tenant_joins: Option<Count>,
}

/// Where meetings and seats are stored. A change takes effect at the next start.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    /// `"sqlite:PATH"`, relative to the configuration directory, for one gateway (a second gateway cannot open the
    /// file); `"postgres://USER:PASSWORD@HOST/DATABASE"` for several; or `"file:PATH"` or `"env:NAME"` that contains
    /// such an address. Default: `"sqlite:var/anteroom.db"`.
    pub url: Option<String>,
    /// The key that private keys of certificates are encrypted with in the store: `"file:PATH"` or `"env:NAME"` with 32
    /// bytes as base64 or hex (`openssl rand -base64 32`), the same on all gateways; or a list of those, newest first:
    /// the first encrypts, all decrypt. `[acme]` needs it. Default: none.
    pub encryption_key: Option<Sources>,
}

/// Where one value is, or several of it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Sources {
    /// One.
    One(String),
    /// Several, newest first.
    Many(Vec<String>),
}

/// How the BBB servers are reached. A change takes effect at the next start.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// PEM file with additional trust roots for https servers, relative to the configuration directory.
    pub ca: Option<String>,
    /// DNS servers, such as `"10.0.0.53"` or `"10.0.0.53:5353"`, that resolve the host names of documents which BBB
    /// servers fetch, and those of callback addresses (docs/callbacks.md, "Callbacks"): if no resolver answers,
    /// deliveries to names fail. Use the same DNS servers as the BBB servers. `anteroom domain check` asks them, too.
    /// Default: the system's.
    pub resolver: Option<Vec<String>>,
    /// Maximum age of a cached answer of `getMeetings`, `getMeetingInfo` or `isMeetingRunning` (the header `Age`
    /// states the age); `"0s"` does not cache. Changes made through the gateway are visible at once. Default: `"2s"`.
    pub answers_max_age: Option<String>,
}

/// A BBB server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// `http://` or `https://`, a host and an optional port. Use http only inside a network that you trust.
    #[schemars(required)]
    pub url: Option<String>,
    /// Another address that the server uses for itself (its `serverURL`); the gateway rewrites it too. Default:
    /// `url`.
    pub public_url: Option<String>,
    /// The API secret of the server: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// The pool that the server belongs to.
    #[schemars(required)]
    pub pool: Option<String>,
    /// Share of people compared with other servers: a server of weight 2 gets twice as many. From 0.001 to 1000.
    /// Default: `1`.
    pub weight: Option<f64>,
    /// Number of meetings at which the server takes no new one, as far as this gateway knows them. Default:
    /// `"unlimited"`.
    pub meetings_max: Option<Count>,
    /// Whether the gateway searches GraphQL frames of the server for addresses that name the server (slides, breakout
    /// rooms). Set `false` to save this work if the server's own settings (docs/getting-started.md, "Settings of the
    /// BBB server") make all addresses relative. Default: `true`.
    pub rewrite_frames: Option<bool>,
    /// `"2.7"` for a server of BBB 2.7 (docs/configuration.md, "A server of BBB 2.7"), `"3.0"` for all later
    /// releases. Default: `"3.0"`.
    pub version: Option<String>,
    /// New GraphQL sockets that the gateway opens to the server in a second, from 1 to 1000. More sockets wait;
    /// tenants take turns, and so do the meetings of a tenant. BBB refuses more than 50 or 100 a second, depending on
    /// its release. Each of several gateways has this number for itself. Default: `40`.
    pub sockets_per_second: Option<i64>,
}

/// The call `getUser` (docs/clients.md, "One Greenlight for all tenants").
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetUser {
    /// The host that answers it: a host of a tenant.
    #[schemars(required)]
    pub host: Option<String>,
    /// The secret that signs it, and is used for nothing else: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// Addresses or networks that may ask, such as `"10.0.0.7"` or `"10.0.0.0/8"`. To all others there is no such
    /// call.
    #[schemars(required)]
    pub sources: Option<Vec<String>>,
    /// The name of the secret of a tenant that `getUser` answers with. Tenants without it are unknown to the call.
    /// Default: `"greenlight"`.
    pub account: Option<String>,
}
