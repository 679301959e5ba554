//! Reads `anteroom.toml`: the gateway and its BBB servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    acme,
    convert::{self, At, Convert, Outcome},
    fault::Fault,
    files::Source,
    get_user, http_address,
    keypath::KeyPath,
    pointing, raw,
    settings::{Connections, Listen, Settings, SlugKey},
    shape::GATEWAY,
    sources, values,
};
use crate::{
    domain::{
        host::Host,
        ids::{PoolId, ServerId, Slug},
        issuance::{Issuance, SealingKey},
        limits::Limit,
        network::Network,
        secret::Secret,
        tenant::{Server, Weight},
    },
    net::rates,
    store,
};

/// The name of the file.
pub(super) const FILE: &str = "anteroom.toml";

const STORE_URL: &str = "sqlite:var/anteroom.db";
/// Default of `answers_max_age`: shared by many viewers of one page, but not noticeable.
const ANSWERS_MAX_AGE: Duration = Duration::from_secs(2);

/// BBB's graphql-middleware takes 50 or 100 by its release
/// (docs/reference/bbb-protocol.md, "GraphQL sockets").
const SOCKETS_PER_SECOND: u32 = 40;

/// Contents of the file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Gateway {
    /// `None` when the file is not there or no TOML: then nothing can be said about pools and base domains.
    pub settings: Option<Settings>,
    pub servers: Vec<Arc<Server>>,
    /// What takes effect at the start only, as text that has no secret in it, to tell whether it has changed.
    pub at_start: Vec<At<String>>,
    /// The pools that are named, be their servers sound or not.
    pub pools: BTreeSet<PoolId>,
    /// Those of them that have a server of BBB 2.7.
    pub meteor_pools: BTreeSet<PoolId>,
}

/// Reads `anteroom.toml`.
pub(super) fn read(from: Source<'_>, key: &SlugKey) -> Outcome<Gateway> {
    convert::read(from, Path::new(FILE), &GATEWAY, |raw, cx| convert(raw, key, cx))
}

fn convert(raw: raw::Gateway, key: &SlugKey, cx: &mut Convert<'_>) -> Gateway {
    let base_domains = cx.list::<Host>(&"base_domains".into(), &raw.base_domains.unwrap_or_default());
    let listen = listen(raw.listen, cx);
    let store = raw.store.unwrap_or_default();
    let store_url = store_url(store.url.as_deref().unwrap_or(STORE_URL), cx);
    let encryption_keys = acme::encryption_keys(store.encryption_key, cx);
    let upstream = raw.upstream.unwrap_or_default();
    let answers_max_age = match upstream.answers_max_age {
        Some(text) => values::length(&KeyPath::from("upstream.answers_max_age"), &text, cx).unwrap_or_default(),
        None => ANSWERS_MAX_AGE,
    };
    let hsts = raw.hsts.and_then(|text| cx.parse(&"hsts".into(), &text)).unwrap_or_default();
    let resolver = resolver(&upstream.resolver.unwrap_or_default(), cx);
    let server_ca = upstream.ca.and_then(|name| {
        let path = KeyPath::from("upstream.ca");
        let (file, bytes) = sources::file(&path, &name, cx)?;
        if CertificateDer::from_pem_slice(&bytes).is_err() {
            cx.fault(&path, format!("the file {name:?} has no certificate in PEM form"));
        }
        Some(file)
    });
    let connections = connections(raw.connections.unwrap_or_default(), cx);
    let rates = rates(&raw.rates.unwrap_or_default(), cx);
    let pointing = raw.acme.as_ref().map(|acme| (pointing::expected(acme, cx), pointing::issuers(acme)));
    let (expected, issuers) = pointing.unwrap_or_default();
    let acme = raw.acme.and_then(|raw| {
        acme::check_key(&encryption_keys, cx);
        acme::read(raw, &expected, &listen, cx).map(Arc::new)
    });
    let all = KeyPath::from("servers");
    let mut census = Census::default();
    let servers = raw.servers.unwrap_or_default().into_iter();
    let servers = servers.filter_map(|(id, raw)| server(&all.key(&id), &id, raw, key, &mut census, cx));
    let servers: Vec<Arc<Server>> = servers.map(Arc::new).collect();
    census.check_meteor(cx);
    let is_https = |server: &Arc<Server>| server.upstream.scheme == http::uri::Scheme::HTTPS;
    if server_ca.is_some() && !Vec::is_empty(&servers) && !servers.iter().any(is_https) {
        cx.warn(&"upstream.ca".into(), "has no effect: every server's url is http://");
    }
    let retired_servers = retired_servers(&raw.retired_servers.unwrap_or_default(), &servers, cx);
    let base_domains: Vec<Host> = base_domains.into_iter().map(|host| host.value).collect();
    let get_user = raw.get_user.and_then(|raw| get_user::read(raw, &base_domains, cx)).map(Arc::new);
    let settings = Settings {
        base_domains,
        hsts,
        listen,
        store_url,
        encryption_keys,
        acme,
        server_ca,
        answers_max_age,
        resolver,
        connections,
        rates,
        expected,
        issuers,
        get_user,
        retired_servers,
    };
    let meteor_pools = census.meteor.into_keys().collect();
    let pools = census.pools.into_keys().collect();
    Gateway { at_start: at_start(&settings, cx), settings: Some(settings), servers, pools, meteor_pools }
}

fn at_start(settings: &Settings, cx: &Convert<'_>) -> Vec<At<String>> {
    let Settings {
        listen, store_url, encryption_keys, acme, server_ca, answers_max_age, resolver, connections, ..
    } = settings;
    [
        ("listen.https", format!("{:?}", listen.https)),
        ("listen.http", format!("{:?}", listen.http)),
        ("listen.admin", format!("{:?}", listen.admin)),
        ("listen.http2", listen.http2.to_string()),
        ("listen.http2_websockets", listen.http2_websockets.to_string()),
        ("listen.proxy_protocol_from", format!("{:?}", listen.proxies)),
        ("listen.request_id_from", format!("{:?}", listen.fronts)),
        ("store.url", HEXLOWER.encode(digest(&SHA256, store_url.reveal().as_bytes()).as_ref())),
        ("store.encryption_key", secret_digest(encryption_keys)),
        ("acme", acme_text(acme.as_deref())),
        ("upstream.ca", format!("{server_ca:?}")),
        ("upstream.answers_max_age", format!("{answers_max_age:?}")),
        ("upstream.resolver", format!("{resolver:?}")),
        ("connections", format!("{connections:?}")),
    ]
    .into_iter()
    .map(|(key, text)| cx.at_path(&key.into(), text))
    .collect()
}

/// What tells one list of keys from another, and shows none.
fn secret_digest(keys: &[SealingKey]) -> String {
    let all: Vec<u8> = keys.iter().flat_map(|key| *key.reveal()).collect();
    HEXLOWER.encode(digest(&SHA256, &all).as_ref())
}

/// What tells one table from another: `Debug` has no secret in it, so those are added as a digest.
fn acme_text(acme: Option<&Issuance>) -> String {
    let authorities = acme.into_iter().flat_map(|acme| acme.fallback.iter().chain([&acme.authority]));
    let keys: String =
        authorities.filter_map(|one| one.external_account.as_ref()).map(|account| account.key.reveal()).collect();
    format!("{acme:?} {}", HEXLOWER.encode(digest(&SHA256, keys.as_bytes()).as_ref()))
}

impl Gateway {
    /// Warns of each changed setting that takes effect at the start only.
    pub(super) fn restart_faults(&self, started: &Self) -> impl Iterator<Item = Fault> {
        let pairs = self.at_start.iter().zip(&started.at_start);
        let changed = pairs.filter(|(now, then)| now.value != then.value);
        changed.map(|(now, _)| now.fault(Path::new(FILE), "has changed: takes effect at the next start"))
    }

    /// The same with the slugs of another key; `None` where two servers would have the same, which is a fault of the file.
    pub(super) fn with_slugs(&self, key: &SlugKey) -> Option<Self> {
        let servers = self.servers.iter().map(|server| {
            let slug = key.slug(&server.id);
            Arc::new(Server { slug, ..Server::clone(server) })
        });
        let servers: Vec<_> = servers.collect();
        let slugs: BTreeSet<&Slug> = servers.iter().map(|server| &server.slug).collect();
        if slugs.len() < servers.len() {
            return None;
        }
        let (at_start, pools, meteor_pools) = (self.at_start.clone(), self.pools.clone(), self.meteor_pools.clone());
        Some(Self { settings: self.settings.clone(), servers, at_start, pools, meteor_pools })
    }

    /// The settings, as far as they can change without a start.
    pub(super) fn settings_after(&self, started: &Self) -> Settings {
        let now = self.settings.clone().unwrap_or_default();
        let Settings { base_domains, hsts, rates, expected, issuers, get_user, retired_servers, .. } = now;
        let started = started.settings.clone().unwrap_or_default();
        Settings { base_domains, hsts, rates, expected, issuers, get_user, retired_servers, ..started }
    }
}

/// Servers that are gone for good: none of those that are configured.
fn retired_servers(raw: &[String], servers: &[Arc<Server>], cx: &mut Convert<'_>) -> BTreeSet<ServerId> {
    let retired = cx.list::<ServerId>(&"retired_servers".into(), raw);
    for id in retired.iter().filter(|id| servers.iter().any(|server| server.id == id.value)) {
        cx.fault_at(id, "is in servers as well: a server is there or retired");
    }
    retired.into_iter().map(|id| id.value).collect()
}

fn listen(raw: Option<raw::Listen>, cx: &mut Convert<'_>) -> Listen {
    let path = KeyPath::from("listen");
    let present = raw.is_some();
    let raw = raw.unwrap_or_default();
    let mut taken = BTreeMap::new();
    let https = addresses(&path.key("https"), raw.https.unwrap_or_default(), &mut taken, cx);
    let http = addresses(&path.key("http"), raw.http.unwrap_or_default(), &mut taken, cx);
    let admin = raw.admin.and_then(|text| address(&path.key("admin"), &text, &mut taken, cx));
    if present && https.is_empty() && http.is_empty() && !cx.is_faulty(&path) {
        cx.fault(&path, "needs an address in https or http");
    }
    if admin.is_some_and(|address| !address.ip().is_loopback()) {
        cx.warn(&path.key("admin"), "is not a loopback address: keep it away from public networks");
    }
    let mut networks = |key: &str, list: Option<Vec<String>>| {
        let networks = cx.list::<Network>(&path.key(key), &list.unwrap_or_default());
        networks.into_iter().map(|network| network.value).collect()
    };
    let proxies = networks("proxy_protocol_from", raw.proxy_protocol_from);
    let fronts = networks("request_id_from", raw.request_id_from);
    let (http2, http2_websockets) = (raw.http2.unwrap_or(true), raw.http2_websockets.unwrap_or(false));
    Listen { https, http, admin, http2, http2_websockets, proxies, fronts }
}

fn connections(raw: raw::Connections, cx: &mut Convert<'_>) -> Connections {
    let path = KeyPath::from("connections");
    let mut number = |key: &str, number: Option<i64>| {
        let number = u32::try_from(number?).ok().filter(|number| *number >= 1);
        cx.keep(&path.key(key), number.ok_or("must be a whole number of at least 1"))
    };
    let (max, per_address) = (number("max", raw.max), number("per_address", raw.per_address));
    if let (Some(max), Some(per_address)) = (max, per_address)
        && max < per_address
    {
        cx.fault(&path.key("per_address"), "is more than connections.max");
    }
    let idle_timeout = raw.idle_timeout.and_then(|text| {
        let path = path.key("idle_timeout");
        let length = values::length(&path, &text, cx)?;
        let is_legal = (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&length);
        cx.keep(&path, is_legal.then_some(length).ok_or("must be from \"1s\" to \"1h\""))
    });
    Connections { max, per_address, idle_timeout: idle_timeout.unwrap_or(Connections::default().idle_timeout) }
}

fn rates(raw: &raw::Rates, cx: &mut Convert<'_>) -> rates::Limits {
    use rates::RateOf;
    let path = KeyPath::from("rates");
    let mut limits = rates::Limits { count_only: raw.count_only.unwrap_or(false), ..Default::default() };
    for (kind, count) in [
        (RateOf::Connections, raw.connections),
        (RateOf::FailedHandshakes, raw.failed_handshakes),
        (RateOf::UnknownHosts, raw.unknown_hosts),
        (RateOf::WrongChecksums, raw.wrong_checksums),
        (RateOf::UnknownSessions, raw.unknown_sessions),
        (RateOf::TenantRequests, raw.tenant_requests),
        (RateOf::TenantJoins, raw.tenant_joins),
    ] {
        match count.and_then(|count| values::count(&path.key(kind.as_str()), count, 1, cx)) {
            Some(Limit::AtMost(per_second)) => limits.set(kind, per_second),
            Some(Limit::Unlimited) => limits.set(kind, u32::MAX),
            None => {}
        }
    }
    limits
}

/// Addresses in use, with their keys.
type Taken = BTreeMap<SocketAddr, String>;

fn addresses(list: &KeyPath, texts: Vec<String>, taken: &mut Taken, cx: &mut Convert<'_>) -> Vec<SocketAddr> {
    let entries = texts.iter().enumerate();
    entries.filter_map(|(index, text)| address(&cx.entry(list, index), text, taken, cx)).collect()
}

fn address(path: &KeyPath, text: &str, taken: &mut Taken, cx: &mut Convert<'_>) -> Option<SocketAddr> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        cx.fault(path, "must be an address and a port, such as \"0.0.0.0:443\" or \"[::]:443\"");
        return None;
    };
    // Port 0 asks for any free port: two of them are two ports.
    if address.port() != 0
        && let Some(other) = taken.insert(address, path.to_string())
    {
        cx.fault(path, format!("is the same address as {other}"));
    }
    Some(address)
}

/// Name servers: addresses, with a port where it is not 53.
fn resolver(texts: &[String], cx: &mut Convert<'_>) -> Vec<SocketAddr> {
    let list = KeyPath::from("upstream.resolver");
    let entries = texts.iter().enumerate();
    let servers = entries.filter_map(|(index, text)| {
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).or_else(|_| text.parse());
        let path = cx.entry(&list, index);
        cx.keep(&path, address.map_err(|_| "must be an address, such as \"10.0.0.53\" or \"10.0.0.53:5353\""))
    });
    servers.collect()
}

/// The url is never shown: that of a PostgreSQL may have a password in it.
fn store_url(text: &str, cx: &mut Convert<'_>) -> Secret {
    let key = KeyPath::from("store.url");
    let is_literal = !text.starts_with("file:") && !text.starts_with("env:");
    let url = if is_literal { Secret::new(text) } else { sources::hidden(&key, text, cx).unwrap_or_default() };
    let text = url.reveal();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        // There may be a password in it.
        cx.has_secret |= is_literal && text.contains('@');
        if !store::is_postgres(text) {
            cx.fault(&key, "is not a valid address of a PostgreSQL");
        }
    } else if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.ends_with('/') {
            cx.fault(&key, "needs the path of a file after \"sqlite:\"");
        }
        sources::warn_if_exposed(&key, path.split('?').next().unwrap_or_default(), cx);
        return Secret::new(format!("sqlite:{}", cx.dir.join(path).display()));
    } else if !text.is_empty() {
        cx.fault(&key, "must be \"sqlite:\" and a path, or the address of a PostgreSQL, \"postgres://...\"");
    }
    url
}

/// Addresses and slugs of the servers so far, by the path of the server.
#[derive(Default)]
struct Census {
    /// Each with its servers.
    pools: BTreeMap<PoolId, Vec<String>>,
    /// Pools with a server of BBB 2.7, each with the place where that is said.
    meteor: BTreeMap<PoolId, KeyPath>,
    addresses: BTreeMap<String, String>,
    secrets: Vec<(Secret, KeyPath)>,
    slugs: BTreeMap<Slug, String>,
}

impl Census {
    /// The client of 2.7 has the host to itself: there is no second server to find behind it.
    fn check_meteor(&self, cx: &mut Convert<'_>) {
        for (pool, path) in &self.meteor {
            if self.pools[pool].len() > 1 {
                let reason = format!("a server of BBB 2.7 needs a pool of its own, and {pool:?} has others as well");
                cx.fault(path, reason);
            }
        }
    }
}

fn server(
    path: &KeyPath,
    id: &str,
    raw: raw::Server,
    key: &SlugKey,
    census: &mut Census,
    cx: &mut Convert<'_>,
) -> Option<Server> {
    let id = cx.parse::<ServerId>(path, id);
    let slug = id.as_ref().map(|id| key.slug(id));
    let upstream = raw.url.and_then(|text| http_address::read(&path.key("url"), &text, cx));
    let public = raw.public_url.and_then(|text| http_address::read(&path.key("public_url"), &text, cx));
    let secret = raw.secret.and_then(|text| sources::secret(&path.key("secret"), &text, cx));
    if let Some(secret) = &secret {
        // It works, and a leak of one opens both.
        if let Some((_, other)) = census.secrets.iter().find(|(other, _)| other == secret) {
            let reason = format!("is the same secret as {other}: anyone who has it can call both servers");
            cx.warn(&path.key("secret"), reason);
        }
        census.secrets.push((secret.clone(), path.key("secret")));
    }
    let pool = raw.pool.and_then(|text| cx.parse::<PoolId>(&path.key("pool"), &text));
    let is_meteor = raw.version.is_some_and(|version| {
        if !matches!(&*version, "2.7" | "3.0") {
            cx.fault(&path.key("version"), "must be \"2.7\" or, for all later ones, \"3.0\"");
        }
        version == "2.7"
    });
    if let Some(pool) = &pool {
        census.pools.entry(pool.clone()).or_default().push(path.to_string());
        if is_meteor {
            census.meteor.insert(pool.clone(), path.key("version"));
        }
    }
    let weight = raw.weight.and_then(|number| {
        let weight = Weight::new(number).ok_or("must be a number from 0.001 to 1000");
        cx.keep(&path.key("weight"), weight)
    });
    let meetings_max = raw.meetings_max.and_then(|count| values::count(&path.key("meetings_max"), count, 1, cx));
    let sockets_per_second = raw.sockets_per_second.and_then(|number| {
        let legal = u32::try_from(number).ok().filter(|number| (1..=1000).contains(number));
        cx.keep(&path.key("sockets_per_second"), legal.ok_or("must be a whole number from 1 to 1000"))
    });
    if let Some(upstream) = &upstream {
        let address = format!("{}://{}", upstream.scheme, upstream.authority);
        if let Some(other) = census.addresses.insert(address, path.to_string()) {
            cx.fault(&path.key("url"), format!("is the address of {other} as well"));
        }
    }
    if let Some(other) = slug.clone().and_then(|slug| census.slugs.insert(slug, path.to_string())) {
        // One pair in 2^40.
        cx.fault(path, format!("would have the same name in a browser's path as {other}: give it another id"));
    }
    let upstream = upstream?;
    let mut names = vec![upstream.authority.clone()];
    names.extend(public.map(|public| public.authority).filter(|name| *name != upstream.authority));
    Some(Server {
        id: id?,
        slug: slug?,
        upstream,
        names,
        secret: secret?,
        pool: pool?,
        weight: weight.unwrap_or(Weight::ONE),
        meetings_max: meetings_max.unwrap_or(Limit::Unlimited),
        rewrites_frames: raw.rewrite_frames.unwrap_or(true),
        sockets_per_second: sockets_per_second.unwrap_or(SOCKETS_PER_SECOND),
        is_meteor,
    })
}
