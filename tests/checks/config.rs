//! The configuration: what is refused and in which words, what a reload takes over, and what it keeps.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anteroom::{
    config::{Fault, Loaded, Loader, Reload, SlugKey, Watcher, schema},
    domain::{
        directory::Directory,
        limits::Limit,
        time::{Clock, Timestamp},
    },
    net::{connections, rates, rates::RateOf},
};
use proptest::prelude::*;
use tempfile::TempDir;

mod defaults;
mod refused;
mod reload;

const KEY: SlugKey = SlugKey([7; 32]);

const GATEWAY: &str = r#"base_domains = ["meet.example"]

[listen]
http = ["127.0.0.1:0"]

[servers.bbb-01]
url = "https://bbb-01.meet.example"
secret = "secret of the first server"
pool = "members"
"#;

const POLICY: &str = r#"title = "Small"
pool = "members"

[limits]
accounts = 2
rooms = 3
participants = 4
duration = "1h"
recording = "never"
own_domains = 1
branding = false
"#;

/// A configuration in a directory of its own.
struct Config(TempDir);

impl Config {
    fn empty() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// A sound one: one server, the policy `small`, and the tenant `wagtail`.
    fn new() -> Self {
        let config = Self::empty();
        config.write("anteroom.toml", GATEWAY).write("policies/small.toml", POLICY).tenant("wagtail", "");
        config
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(file);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
        fs::write(&path, content).expect("a file");
        self.mode(file, 0o600)
    }

    fn mode(&self, file: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(file), fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    fn remove(&self, file: &str) -> &Self {
        fs::remove_file(self.path(file)).expect("the file is there");
        self
    }

    /// A tenant of the policy `small` on `<id>.meet.example`, with more lines from line 4 on.
    fn tenant(&self, id: &str, more: &str) -> &Self {
        self.tenant_at(id, &[&format!("{id}.meet.example")], more)
    }

    fn tenant_at(&self, id: &str, hosts: &[&str], more: &str) -> &Self {
        let secrets = if more.contains("[secrets]") {
            String::new()
        } else {
            format!("\n[secrets]\nmain = \"the secret of {id}\"\n")
        };
        let text = format!("name = \"{id}\"\npolicy = \"small\"\nhosts = {hosts:?}\n{more}{secrets}");
        self.write(&format!("tenants/{id}.toml"), text)
    }

    /// A self-signed certificate in `certs/<folder>/`.
    fn cert(&self, folder: &str, names: &[&str]) -> &Self {
        let (chain, key) = pems(names);
        self.write(&format!("certs/{folder}/fullchain.pem"), chain).write(&format!("certs/{folder}/privkey.pem"), key)
    }

    /// The same with its dates.
    fn dated_cert(&self, name: &str, from: time::OffsetDateTime, until: time::OffsetDateTime) -> &Self {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("the name is legal");
        (params.not_before, params.not_after) = (from, until);
        let key = rcgen::KeyPair::generate().expect("a key");
        let chain = params.self_signed(&key).expect("a certificate").pem();
        self.write(&format!("certs/{name}/fullchain.pem"), chain)
            .write(&format!("certs/{name}/privkey.pem"), key.serialize_pem())
    }

    fn loader(&self) -> Loader {
        Loader::new(self.0.path(), Clock::system())
    }

    /// A loader that has this configuration in service.
    fn started(&self) -> Loader {
        let mut loader = self.loader();
        loader.load(&KEY).unwrap_or_else(|faults| panic!("not sound: {}", lines(&faults)));
        loader
    }

    fn load(&self) -> Result<Loaded, Vec<Fault>> {
        self.loader().load(&KEY)
    }

    fn faults(&self) -> String {
        self.load().map_or_else(|faults| lines(&faults), |_| String::new())
    }

    fn warnings(&self) -> String {
        self.load().map_or_else(|faults| panic!("not sound: {}", lines(&faults)), |loaded| lines(&loaded.warnings))
    }
}

fn pems(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("the names are legal");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

fn tenants(directory: &Directory) -> Vec<&str> {
    directory.tenants().map(|tenant| tenant.id.as_str()).collect()
}

fn took_over(reload: Reload) -> Loaded {
    reload.loaded.unwrap_or_else(|| panic!("nothing was taken over: {}", lines(&reload.faults)))
}

#[test]
fn a_configuration_becomes_the_types_of_the_domain() {
    let config = Config::new();
    config.write("secrets/old", "the old one\n").write("secrets/bbb", "server two\r\n").write(
        "anteroom.toml",
        format!(
            "{GATEWAY}\n[servers.bbb-02]\nurl = \"https://bbb-02.internal\"\npublic_url = \"https://bbb-02.meet.example\"\n\
             secret = \"file:secrets/bbb\"\npool = \"rented\"\nweight = 1.5\nmeetings_max = 40\nrewrite_frames = false\nsockets_per_second = 90\n[store]\nurl = \"sqlite:data/a.db\"\n\
             [upstream]\nresolver = [\"10.0.0.53\", \"[fd00::53]:5353\"]\n"
        ),
    );
    config.tenant_at(
        "wagtail",
        &["Meet.Wagtail.Example", "wagtail.meet.example"],
        "hsts = \"max-age=63072000; includeSubDomains\"\npool = [\"rented\", \"members\"]\naccount_param = \"meta_owner\"\nfrontend = \"http://127.0.0.1:3000\"\nsuspended = true\nuncovered_forms = false\n\
         embedded_by = [\"https://Moodle.example\", \"https://*.school.example:8443\"]\n[limits]\nparticipants = \"unlimited\"\nduration = \"1h30m\"\nroom_retention = \"90s\"\n\
         [secrets]\nmoodle = [\"the new one\", \"file:secrets/old\"]\n",
    );
    let loaded = config.load().expect("it is sound");

    assert!(loaded.settings.listen.http2);
    let resolver: Vec<String> = loaded.settings.resolver.iter().map(ToString::to_string).collect();
    assert_eq!(resolver, ["10.0.0.53:53", "[fd00::53]:5353"]);
    assert_eq!(loaded.settings.store_url.reveal(), format!("sqlite:{}", config.path("data/a.db").display()));

    let tenant =
        loaded.directory.tenant_of_host("meet.wagtail.example", Timestamp::EPOCH).expect("the host is in lower case");
    assert_eq!((tenant.id.as_str(), tenant.suspended, tenant.uncovered_forms), ("wagtail", true, false));
    let pools: Vec<&str> = tenant.pools.iter().map(|pool| pool.as_str()).collect();
    assert_eq!(pools, ["rented", "members"], "in its own order");
    assert_eq!(*tenant.policy.pools, ["members".parse().expect("an id")]);
    let servers: Vec<&str> = loaded.directory.servers_of(tenant).map(|server| server.id.as_str()).collect();
    assert_eq!(servers, ["bbb-02", "bbb-01"]);
    assert_eq!(tenant.policy.title, "Small");
    assert_eq!(tenant.limits.rooms, Limit::AtMost(3), "the policy's");
    assert_eq!(tenant.limits.participants, Limit::Unlimited, "its own");
    assert_eq!(tenant.limits.duration, Limit::AtMost(Duration::from_secs(5400)));
    assert_eq!(tenant.limits.room_retention, Duration::from_secs(90));
    assert_eq!(tenant.account_param.as_deref(), Some("meta_owner"));
    let sites: Vec<&str> = tenant.embedded_by.iter().map(|site| &**site).collect();
    assert_eq!(sites, ["https://moodle.example", "https://*.school.example:8443"]);
    let hsts = loaded.directory.hsts_of(tenant).header().expect("on");
    assert_eq!(hsts, "max-age=63072000; includeSubDomains");
    let secrets: Vec<&str> = tenant.credentials[0].secrets.iter().map(|secret| secret.secret.reveal()).collect();
    assert_eq!(secrets, ["the new one", "the old one"]);

    let server = loaded.directory.server("bbb-02").expect("it is there");
    let names: Vec<&str> = server.names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["bbb-02.internal", "bbb-02.meet.example"]);
    assert_eq!(server.secret.reveal(), "server two");
    assert_eq!(server.slug, KEY.slug(&server.id));
    assert_eq!((server.weight.get(), server.meetings_max), (1.5, Limit::AtMost(40)));
    assert_eq!((server.rewrites_frames, server.sockets_per_second), (false, 90));
    let like_others = loaded.directory.server("bbb-01").expect("it is there");
    assert_eq!((like_others.rewrites_frames, like_others.sockets_per_second), (true, 40));
    assert_eq!((like_others.weight.get(), like_others.meetings_max), (1.0, Limit::Unlimited));
    assert!(loaded.directory.server_of_slug(server.slug.as_str()).is_some());
}

#[test]
fn connections_and_rates_have_limits() {
    let config = Config::new();
    let loaded = config.load().expect("it is sound");
    assert_eq!(loaded.settings.rates, rates::Limits::default());
    assert!(loaded.settings.listen.proxies.is_empty() && !loaded.settings.rates.count_only);
    assert_eq!(loaded.settings.connections.limits(4_096), connections::Limits { max: 1_920, per_address: 480 });

    let listen = "[listen]\nproxy_protocol_from = [\"10.0.0.0/8\", \"2001:db8::7\"]";
    let more = "[connections]\nmax = 1000\nper_address = 900\nidle_timeout = \"10s\"\n\
                [rates]\ncount_only = true\nconnections = 7\ntenant_joins = \"unlimited\"\n";
    config.write("anteroom.toml", GATEWAY.replace("[listen]", listen) + more);
    let mut loader = config.loader();
    let settings = loader.load(&KEY).expect("it is sound").settings;
    assert!(settings.listen.proxies.iter().any(|network| network.contains([10, 1, 2, 3].into())));
    assert_eq!(settings.connections.limits(1 << 20), connections::Limits { max: 1_000, per_address: 900 });
    assert_eq!(settings.connections.limits(1_024), connections::Limits { max: 448, per_address: 448 });
    assert_eq!(settings.connections.idle_timeout, Duration::from_secs(10));
    assert!(settings.rates.count_only);
    for (kind, limit) in [(RateOf::Connections, 7), (RateOf::TenantJoins, u32::MAX), (RateOf::UnknownHosts, 50)] {
        assert_eq!(settings.rates.of(kind), limit, "{kind:?}");
    }

    // Rates are taken over at once, the others at the next start.
    let changed = more.replace("connections = 7", "connections = 8").replace("max = 1000", "max = 2000");
    config.write("anteroom.toml", GATEWAY.replace("[listen]", listen) + &changed);
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "anteroom.toml:11: connections: has changed: takes effect at the next start");
    let settings = took_over(reload).settings;
    assert_eq!((settings.rates.of(RateOf::Connections), settings.connections.max), (8, Some(1_000)));
}

#[test]
fn a_server_of_2_7_has_a_pool_and_a_tenant_of_its_own() {
    let server = |id: &str, pool: &str, more: &str| {
        format!("[servers.{id}]\nurl = \"https://{id}.internal\"\nsecret = \"s\"\npool = \"{pool}\"\n{more}\n")
    };
    let (alone, other) = (server("old-1", "old", "version = \"2.7\""), server("bbb-02", "old", ""));
    let (reason, own) = (
        "has a server of BBB 2.7, which takes whole hosts: it must be the tenant's own and only pool",
        "pool = \"old\"",
    );
    let event = "[[events]]\nfrom = \"2100-01-01\"\nuntil = \"2100-01-02\"\npool = \"old\"\n";
    for (name, servers, keys, event, expected) in [
        ("alone", alone.clone(), own, "", None),
        ("unused", alone.clone(), "", "", None),
        (
            "with others in its pool",
            format!("{alone}{other}"),
            own,
            "",
            Some(
                "servers.old-1.version: a server of BBB 2.7 needs a pool of its own, and \"old\" has others as well"
                    .to_owned(),
            ),
        ),
        (
            "as one of two",
            alone.clone(),
            "pool = [\"old\", \"members\"]",
            "",
            Some(format!("pool[0]: \"old\" {reason}")),
        ),
        ("for a day", alone.clone(), "", event, Some(format!("events[0].pool: \"old\" {reason}"))),
    ] {
        let config = Config::new();
        config.write("anteroom.toml", format!("{GATEWAY}\n{servers}"));
        config.tenant_at("wagtail", &["wagtail.meet.example"], &format!("{keys}\n{event}"));
        let found = config.load().map_err(|faults| lines(&faults));
        match expected {
            None => assert!(found.is_ok(), "{name}: {:?}", found.err()),
            Some(expected) => {
                let found = found.err().unwrap_or_default();
                assert!(found.contains(&expected), "{name}: {found}");
            }
        }
    }
    let config = Config::new();
    config.write("anteroom.toml", format!("{GATEWAY}\n{alone}"));
    for id in ["heron", "wagtail"] {
        config.tenant_at(id, &[&format!("{id}.meet.example")], own);
    }
    let found = config.load().map_err(|faults| lines(&faults)).expect_err("two tenants");
    let expected =
        "\"old\" has a server of BBB 2.7, which takes whole hosts, and is the pool of tenants/heron.toml as well";
    assert!(found.contains(expected), "{found}");
}

#[test]
fn a_tenant_is_another_one_while_an_event_is_on() {
    let config = Config::new();
    let rented = "[servers.bbb-02]\nurl = \"https://bbb-02\"\nsecret = \"s\"\npool = \"rented\"\n";
    config.write("anteroom.toml", format!("{GATEWAY}{rented}")).tenant(
        "wagtail",
        "[limits]\nrooms = 7\n[[events]]\nfrom = \"1970-01-02\"\nuntil = \"1970-01-02\"\npool = [\"rented\", \"members\"]\n\
         [events.limits]\nparticipants = 300\n[[events]]\nfrom = \"1970-01-03T00:00:00Z\"\n\
         until = \"1970-01-03T02:00:00+01:00\"\nlimits = { rooms = \"unlimited\" }\n[[events]]\nfrom = \"1970-01-04\"\n\
         until = \"1970-01-05T12:00:00Z\"\nlimits = { rooms = \"unlimited\" }\n[secrets]\nmain = \"s\"\n",
    );
    let directory = config.load().expect("it is sound").directory;
    let usual = directory.tenant("wagtail").expect("it is there");
    let hours = |n: i64| Timestamp::from_secs(n * 3_600);
    let before = |at: Timestamp| at.saturating_sub(Duration::from_millis(1));
    for (now, first_pool, participants, rooms) in [
        (before(hours(24)), "members", 4, Limit::AtMost(7)),
        (hours(24), "rented", 300, Limit::AtMost(7)),
        (before(hours(48)), "rented", 300, Limit::AtMost(7)),
        (hours(48), "members", 4, Limit::Unlimited),
        (before(hours(49)), "members", 4, Limit::Unlimited),
        (hours(49), "members", 4, Limit::AtMost(7)),
        (hours(72), "members", 4, Limit::Unlimited),
        (before(hours(108)), "members", 4, Limit::Unlimited),
        (hours(108), "members", 4, Limit::AtMost(7)),
    ] {
        let tenant = directory.tenant_of_host("wagtail.meet.example", now).expect("it is there at any time");
        assert_eq!(tenant.pools[0].as_str(), first_pool, "{now}");
        assert_eq!(tenant.limits.participants, Limit::AtMost(participants), "{now}");
        assert_eq!(tenant.limits.rooms, rooms, "{now}");
        assert_eq!((&tenant.hosts, &tenant.credentials), (&usual.hosts, &usual.credentials), "all else is the same");
    }
    assert_eq!(tenants(&directory), ["wagtail"], "it is one tenant");
    assert_eq!(usual.limits.rooms, Limit::AtMost(7));
}

#[test]
fn a_slug_is_the_same_everywhere_and_tells_nothing_without_the_key() {
    let id = "bbb-01".parse().expect("an id");
    // HMAC-SHA256 over "bbb-01" with 32 bytes of 7, its first 40 bits in base32; by Python's hmac and base64.
    assert_eq!(KEY.slug(&id).as_str(), "5hyo4qsc");
    assert_ne!(SlugKey([8; 32]).slug(&id), KEY.slug(&id));
    assert_eq!(format!("{KEY:?}"), "[redacted]");
}

#[test]
fn what_works_but_is_hardly_meant_is_a_warning() {
    let gateway = GATEWAY.replace("[listen]", "[listen]\nhttps = [\"127.0.0.1:0\"]\nadmin = \"0.0.0.0:9000\"");
    let gateway = format!("{gateway}\n[store]\nencryption_key = \"file:key\"\n");
    let acme = "\n[acme]\ndirectory = \"https://acme.example/directory\"\ncontact = [\"mailto:ops@meet.example\"]\n";
    let config = Config::new();
    config
        .write("anteroom.toml", format!("{gateway}{acme}"))
        .write("key", "5e".repeat(32))
        .tenant_at("heron", &["heron.meet.example", "a.heron.a.meet.example"], "")
        .tenant(
            "wagtail",
            "[secrets]\na = \"secret of account 1\"\nb = \"secret of account 2\"\nc = \"secret of account 3\"\n",
        )
        .cert("_.meet.example", &["*.meet.example"]);
    let mut expired = rcgen::CertificateParams::new(vec!["old.example".to_owned()]).expect("the name is legal");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    config
        .write("certs/old.example/fullchain.pem", expired.self_signed(&key).expect("a certificate").pem())
        .write("certs/old.example/privkey.pem", key.serialize_pem());
    let warnings = config.warnings();
    let warnings: Vec<&str> = warnings.lines().collect();
    assert_eq!(
        (warnings[0], warnings[1], warnings[3], warnings[4]),
        (
            "anteroom.toml:5: listen.admin: is not a loopback address: keep it away from public networks",
            "anteroom.toml:16: acme: has neither addresses nor target: DNS is checked for whether hosts have addresses at all",
            "tenants/heron.toml:3: hosts[1]: \"a.heron.a.meet.example\" has four labels or more with one of them repeated, \
             which Let's Encrypt refuses: put a certificate into certs/a.heron.a.meet.example/",
            "tenants/wagtail.toml:5: secrets: 3 secrets are named, but only 2 accounts may have rooms at once",
        )
    );
    assert!(warnings[2].starts_with("certs/old.example/fullchain.pem: has expired "), "{}", warnings[2]);
    assert_eq!(warnings.len(), 5);
}

#[test]
fn a_secret_that_others_may_read_is_a_warning() {
    let config = Config::new();
    config
        .write("anteroom.toml", GATEWAY.replace("\"secret of the first server\"", "\"file:secrets/bbb\""))
        .write("secrets/bbb", "secret of the first server")
        .write("var/anteroom.db", "")
        .tenant("wagtail", "[secrets]\nmain = \"file:secrets/wagtail\"\n")
        .write("secrets/wagtail", "secret of wagtail")
        .tenant("heron", "")
        .cert("_.meet.example", &["*.meet.example"]);
    assert_eq!(config.warnings(), "", "all of them are private");
    config
        .mode("anteroom.toml", 0o644)
        .mode("tenants/heron.toml", 0o604)
        .mode("secrets/bbb", 0o640)
        .mode("secrets/wagtail", 0o644)
        .mode("var/anteroom.db", 0o664)
        .mode("certs/_.meet.example/privkey.pem", 0o640);
    assert_eq!(
        config.warnings(),
        "anteroom.toml: store.url: its file may be read by others than its owner (mode 0664): chmod 600 \
             var/anteroom.db\n\
             anteroom.toml:8: servers.bbb-01.secret: its file may be read by others than its owner (mode 0640): chmod 600 \
             secrets/bbb\n\
             certs/_.meet.example/privkey.pem: may be read by others than its owner (mode 0640): chmod 600 \
             certs/_.meet.example/privkey.pem\n\
             tenants/heron.toml: has a secret in it, and may be read by others than its owner (mode 0604): chmod 600 \
             tenants/heron.toml\n\
             tenants/wagtail.toml:5: secrets.main: its file may be read by others than its owner (mode 0644): chmod 600 \
             secrets/wagtail"
    );
}

#[test]
fn an_event_that_is_over_or_changes_nothing_is_a_warning() {
    let config = Config::new();
    config.tenant(
        "wagtail",
        "[[events]]\nfrom = \"2020-12-01\"\nuntil = \"2020-12-01\"\nlimits = { rooms = 50 }\n\
         [[events]]\nfrom = \"9998-12-01\"\nuntil = \"9998-12-01\"\npool = \"members\"\nlimits = { rooms = 3 }\n",
    );
    assert_eq!(
        config.warnings(),
        "tenants/wagtail.toml:4: events[0]: is over\n\
         tenants/wagtail.toml:8: events[1]: has no effect: pool and limits are the same without it"
    );
}

#[test]
fn a_certificate_that_cannot_serve_its_host_is_a_fault() {
    let (chain, key) = pems(&["a.example"]);
    let (_, other_key) = pems(&["a.example"]);
    for (name, folder, chain, key, expected) in [
        ("both sound", "a.example", &*chain, &*key, ""),
        (
            "another key",
            "a.example",
            &chain,
            &other_key,
            "certs/a.example/privkey.pem: does not fit the first certificate of fullchain.pem",
        ),
        (
            "another host",
            "b.example",
            &chain,
            &key,
            "certs/b.example/fullchain.pem: its certificate 1 does not name b.example",
        ),
        (
            "a host where a wildcard is meant",
            "_.a.example",
            &chain,
            &key,
            "certs/_.a.example/fullchain.pem: its certificate 1 does not name *.a.example",
        ),
        (
            "files in the place of each other",
            "a.example",
            &key,
            &chain,
            "certs/a.example/fullchain.pem: has no certificate in PEM form\n\
             certs/a.example/privkey.pem: has no private key in PEM form",
        ),
        (
            "no host name",
            "a example",
            &chain,
            &key,
            "certs/a example: its name is not a valid id: a host name has letters, digits, hyphens and dots only, without scheme, \
             port or path",
        ),
    ] {
        let config = Config::new();
        config
            .write(&format!("certs/{folder}/fullchain.pem"), chain)
            .write(&format!("certs/{folder}/privkey.pem"), key);
        assert_eq!(config.faults(), expected, "{name}");
    }
    let config = Config::new();
    config.cert("*.a.example", &["*.a.example"]).cert("_.a.example", &["*.a.example"]);
    assert_eq!(config.faults(), "certs/_.a.example: is for the same name as another one here");
    let config = Config::new();
    config.write("certs/a.example/fullchain.pem", chain);
    assert_eq!(config.faults(), "certs/a.example/privkey.pem: does not exist");
}

/// The ready configurations name secrets in the environment, and nothing else is missing from them.
#[test]
fn the_ready_configurations_lack_their_secrets_only() {
    for (name, faults) in [("one-server", 2), ("replicas", 4), ("co-op", 9)] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let found = Loader::new(&dir, Clock::system())
            .load(&KEY)
            .expect_err("their secrets are not in the environment of a test");
        assert_eq!(found.len(), faults, "{name}: {}", lines(&found));
        for fault in found {
            assert!(fault.reason.starts_with("the environment has no variable "), "{name}: {fault}");
        }
    }
}

#[test]
fn the_schema_describes_every_file_and_every_key() {
    fn undescribed(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            if value["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{path}.{key}"));
            }
            undescribed(&format!("{path}.{key}"), value, found);
        }
        for (key, value) in schema["$defs"].as_object().into_iter().flatten() {
            undescribed(key, value, found);
        }
    }
    let schema = schema();
    for file in ["anteroom.toml", "tenant", "policy"] {
        assert!(schema[file]["properties"].is_object(), "{file}");
        let mut found = Vec::new();
        undescribed(file, &schema[file], &mut found);
        assert_eq!(found, [""; 0]);
        assert!(!schema[file].to_string().contains("\"null\""), "TOML has no null");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_in_a_file_end_in_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let config = Config::new();
        let host = "wagtail.meet.example";
        let files = ["anteroom.toml", "policies/small.toml", "tenants/wagtail.toml"];
        let pems = [format!("certs/{host}/fullchain.pem"), format!("certs/{host}/privkey.pem")];
        for file in files.into_iter().chain(pems.iter().map(String::as_str)) {
            config.write(file, &bytes);
        }
        prop_assert!(config.load().is_err());
    }

    #[test]
    fn no_word_in_a_file_ends_in_a_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "name", "hosts", "policy", "limits", "secrets", "a", "=", "=", "[", "]", "{", "}", ",", ".", "\n", "\n",
                "\"", "'", "\"small\"", "\"x\"", "1", "-0x1", "1e9", "inf", "true", "1979-05-27", "#", "\"\"\"", "\\u{1}", "\r", "é",
            ]),
            0..40,
        ),
    ) {
        let config = Config::new();
        for file in ["anteroom.toml", "policies/small.toml", "tenants/wagtail.toml"] {
            config.write(file, words.join(" "));
        }
        prop_assert!(config.load().is_err());
    }
}
