//! The configuration: what is refused and in which words, what a reload takes over, and what it keeps.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anteroom::{
    config::{Fault, Loaded, Loader, Reload, SlugKey, Watcher, schema},
    domain::{directory::Directory, limits::Limit},
};
use proptest::prelude::*;
use tempfile::TempDir;

const KEY: SlugKey = SlugKey([7; 32]);

const GATEWAY: &str = r#"base_domains = ["meet.example"]

[listen]
http = ["127.0.0.1:0"]

[servers.bbb-01]
url = "https://bbb-01.meet.example"
secret = "server-secret"
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
        fs::write(path, content).expect("a file");
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
            format!("\n[secrets]\nmain = \"secret of {id}\"\n")
        };
        let text = format!("name = \"{id}\"\npolicy = \"small\"\nhosts = {hosts:?}\n{more}{secrets}");
        self.write(&format!("tenants/{id}.toml"), text)
    }

    /// A self-signed certificate in `certs/<folder>/`.
    fn cert(&self, folder: &str, names: &[&str]) -> &Self {
        let (chain, key) = pems(names);
        self.write(&format!("certs/{folder}/fullchain.pem"), chain).write(&format!("certs/{folder}/privkey.pem"), key)
    }

    fn loader(&self) -> Loader {
        Loader::new(self.0.path())
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

/// One file of the sound configuration that is written anew, or added, and every fault that this makes.
struct Broken {
    name: &'static str,
    file: &'static str,
    text: &'static str,
    faults: &'static [&'static str],
}

const BROKEN: &[Broken] = &[
    Broken {
        name: "not TOML",
        file: "anteroom.toml",
        text: r#"[listen
http = ["127.0.0.1:0"]
[servers.a]
url = hunter2
secret = "hunter2
"#,
        faults: &[
            "anteroom.toml:1: is not TOML: unclosed table, expected `]`",
            "anteroom.toml:4: is not TOML: string values must be quoted, expected literal string",
            r#"anteroom.toml:5: is not TOML: invalid basic string, expected `"`"#,
        ],
    },
    Broken {
        name: "bytes that are no text",
        file: "tenants/wagtail.toml",
        text: "name = \"a\0b\"\n",
        faults: &[
            r"tenants/wagtail.toml:1: is not TOML: invalid basic string, expected non-double-quote visible characters, `\`",
        ],
    },
    Broken {
        name: "an empty gateway",
        file: "anteroom.toml",
        text: "",
        faults: &[
            "anteroom.toml: listen: is missing",
            r#"tenants/wagtail.toml:2: policy: no server belongs to its pool "members""#,
        ],
    },
    Broken {
        name: "an empty tenant",
        file: "tenants/wagtail.toml",
        text: "",
        faults: &[
            "tenants/wagtail.toml: hosts: is missing",
            "tenants/wagtail.toml: name: is missing",
            "tenants/wagtail.toml: policy: is missing",
            "tenants/wagtail.toml: secrets: is missing",
        ],
    },
    Broken {
        name: "an empty policy",
        file: "policies/small.toml",
        text: "",
        faults: &[
            "policies/small.toml: limits: is missing",
            "policies/small.toml: pool: is missing",
            "policies/small.toml: title: is missing",
        ],
    },
    Broken {
        name: "a policy without its limits",
        file: "policies/small.toml",
        text: r#"title = "Small"
pool = "members"
[limits]
rooms = 1
"#,
        faults: &[
            "policies/small.toml:3: limits.accounts: is missing",
            "policies/small.toml:3: limits.branding: is missing",
            "policies/small.toml:3: limits.duration: is missing",
            "policies/small.toml:3: limits.own_domains: is missing",
            "policies/small.toml:3: limits.participants: is missing",
            "policies/small.toml:3: limits.recording: is missing",
        ],
    },
    Broken {
        name: "unknown keys",
        file: "tenants/wagtail.toml",
        text: r#"nmae = "W"
name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
zebra = 1
[limits]
participant = 3
[secrets]
a = "s"
"#,
        faults: &[
            r#"tenants/wagtail.toml:1: nmae: this key is not known; did you mean "name"?"#,
            "tenants/wagtail.toml:5: zebra: this key is not known; there are account_param, branding, create, frontend, hosts, join, limits, name, policy, pool, secrets and suspended",
            r#"tenants/wagtail.toml:7: limits.participant: this key is not known; did you mean "participants"?"#,
        ],
    },
    Broken {
        name: "wrong types, everywhere at once",
        file: "tenants/wagtail.toml",
        text: r#"name = 5
policy = ["small"]
hosts = ["wagtail.meet.example", 7, "no host"]
suspended = "no"
limits = { accounts = "hunter2", rooms = 1.5, duration = 60, recording = "sometimes", branding = 1979-05-27 }
[secrets]
a = 99999999999999999999
b = [1, ""]
c = { hunter2 = 1 }
"#,
        faults: &[
            "tenants/wagtail.toml:1: name: must be a text, not a number",
            "tenants/wagtail.toml:2: policy: must be a text, not a list",
            "tenants/wagtail.toml:3: hosts[1]: must be a text, not a number",
            "tenants/wagtail.toml:3: hosts[2]: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            "tenants/wagtail.toml:4: suspended: must be true or false, not a text",
            r#"tenants/wagtail.toml:5: limits.accounts: must be a whole number or "unlimited""#,
            "tenants/wagtail.toml:5: limits.branding: must be true or false, not a date",
            "tenants/wagtail.toml:5: limits.duration: must be a text, not a number",
            r#"tenants/wagtail.toml:5: limits.recording: must be "never", "per-room" or "always-allowed""#,
            r#"tenants/wagtail.toml:5: limits.rooms: must be a whole number or "unlimited", not a number with a fraction"#,
            "tenants/wagtail.toml:7: secrets.a: must be a text, a table or a list, not a number",
            "tenants/wagtail.toml:8: secrets.b[0]: must be a text or a table, not a number",
            "tenants/wagtail.toml:8: secrets.b[1]: must not be empty",
            "tenants/wagtail.toml:9: secrets.c: a key in it is not known; there are name, not_after and secret",
            "tenants/wagtail.toml:9: secrets.c.secret: is missing",
        ],
    },
    Broken {
        name: "numbers out of range",
        file: "policies/small.toml",
        text: r#"title = " "
pool = "Members"
[limits]
accounts = 0
rooms = -1
participants = 4294967296
duration = "0s"
recording = "never"
own_domains = -1
branding = false
room_retention = "unlimited"
"#,
        faults: &[
            "policies/small.toml:1: title: must not be empty",
            "policies/small.toml:2: pool: a name here has 1 to 32 of the characters a-z, 0-9 and -",
            r#"policies/small.toml:4: limits.accounts: must be from 1 to 4294967295, or "unlimited""#,
            r#"policies/small.toml:5: limits.rooms: must be from 1 to 4294967295, or "unlimited""#,
            r#"policies/small.toml:6: limits.participants: must be from 1 to 4294967295, or "unlimited""#,
            r#"policies/small.toml:7: limits.duration: must be a length of time such as "90s", "60m" or "1h30m", or "unlimited""#,
            r#"policies/small.toml:9: limits.own_domains: must be from 0 to 4294967295, or "unlimited""#,
            r#"policies/small.toml:11: limits.room_retention: must be a length of time such as "0s", "90s" or "1h30m""#,
        ],
    },
    Broken {
        name: "bad lengths of time",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
a = "s"
[limits]
duration = "soon"
room_retention = "1h 30m"
"#,
        faults: &[
            r#"tenants/wagtail.toml:7: limits.duration: must be a length of time such as "90s", "60m" or "1h30m", or "unlimited""#,
            r#"tenants/wagtail.toml:8: limits.room_retention: must be a length of time such as "0s", "90s" or "1h30m""#,
        ],
    },
    Broken {
        name: "bad hosts",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = [
  "wagtail.meet.example",
  "https://wagtail.example",
  "*.meet.example",
  "Wagtail.Meet.Example",
  "meet.example",
]
[secrets]
a = "s"
"#,
        faults: &[
            "tenants/wagtail.toml:5: hosts[1]: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            "tenants/wagtail.toml:6: hosts[2]: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            "tenants/wagtail.toml:7: hosts[3]: is the same as hosts[0]",
            r#"tenants/wagtail.toml:8: hosts[4]: "meet.example" is a base domain itself; tenants live below it"#,
        ],
    },
    Broken {
        name: "no host",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = []
[secrets]
"#,
        faults: &[
            "tenants/wagtail.toml:3: hosts: must name at least one host",
            "tenants/wagtail.toml:4: secrets: must name at least one secret",
        ],
    },
    Broken {
        name: "more own domains than the level has",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["a.example", "wagtail.meet.example", "b.example", "c.example"]
[secrets]
a = "s"
"#,
        faults: &[
            r#"tenants/wagtail.toml:3: hosts[2]: "b.example" is below no base domain, and the level allows 1 own domain"#,
            r#"tenants/wagtail.toml:3: hosts[3]: "c.example" is below no base domain, and the level allows 1 own domain"#,
        ],
    },
    Broken {
        name: "an own domain where the tenant's exception has none",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["a.example"]
[secrets]
a = "s"
[limits]
own_domains = 0
"#,
        faults: &[
            r#"tenants/wagtail.toml:3: hosts[0]: "a.example" is below no base domain, and the level allows no own domain"#,
        ],
    },
    Broken {
        name: "an unknown policy and an unknown pool",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "smal"
pool = "demo"
hosts = ["wagtail.meet.example"]
[secrets]
a = "s"
"#,
        faults: &[
            r#"tenants/wagtail.toml:2: policy: the policy "smal" is not known; did you mean "small"?"#,
            r#"tenants/wagtail.toml:3: pool: no server belongs to the pool "demo""#,
        ],
    },
    Broken {
        name: "names that are none",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "../small"
pool = ""
hosts = ["wagtail.meet.example"]
[secrets]
"a b" = "s"
"#,
        faults: &[
            "tenants/wagtail.toml:2: policy: a name here has 1 to 32 of the characters a-z, 0-9 and -",
            "tenants/wagtail.toml:3: pool: a name here has 1 to 32 of the characters a-z, 0-9 and -",
            r#"tenants/wagtail.toml:6: secrets."a b": the name of a secret has 1 to 64 letters, digits, dots, hyphens or underscores"#,
        ],
    },
    Broken {
        name: "a policy whose pool has no server",
        file: "policies/small.toml",
        text: r#"title = "Small"
pool = "demo"
[limits]
accounts = 1
rooms = 1
participants = 1
duration = "1h"
recording = "never"
own_domains = 0
branding = false
"#,
        faults: &[r#"tenants/wagtail.toml:2: policy: no server belongs to its pool "demo""#],
    },
    Broken {
        name: "a host of another tenant",
        file: "tenants/heron.toml",
        text: r#"name = "H"
policy = "small"
hosts = ["heron.meet.example", "wagtail.meet.example"]
[secrets]
a = "s"
"#,
        faults: &[
            r#"tenants/wagtail.toml:3: hosts[0]: "wagtail.meet.example" is a host of tenants/heron.toml as well"#,
        ],
    },
    Broken {
        name: "a secret of another tenant",
        file: "tenants/heron.toml",
        text: r#"name = "H"
policy = "small"
hosts = ["heron.meet.example"]
[secrets]
a = ["s", "secret of wagtail"]
"#,
        faults: &["tenants/wagtail.toml:6: secrets.main: is the same secret as secrets.a[1] of tenants/heron.toml"],
    },
    Broken {
        name: "a secret of another account",
        file: "tenants/wagtail.toml",
        text: r#"name = "H"
policy = "small"
hosts = ["heron.meet.example"]
[secrets]
a = "s"
b = ["t", "s"]
"#,
        faults: &["tenants/wagtail.toml:6: secrets.b[1]: is the same secret as secrets.a: every account needs its own"],
    },
    Broken {
        name: "secrets that cannot be had",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
a = "file:secrets/none"
b = "env:ANTEROOM_TEST_NO_SUCH_NAME"
c = ["", "file:", "env:", "file:tenants"]
d = []
"#,
        faults: &[
            r#"tenants/wagtail.toml:5: secrets.a: its file "secrets/none" does not exist"#,
            r#"tenants/wagtail.toml:6: secrets.b: the environment has no variable "ANTEROOM_TEST_NO_SUCH_NAME""#,
            "tenants/wagtail.toml:7: secrets.c[0]: must not be empty",
            r#"tenants/wagtail.toml:7: secrets.c[1]: needs a path after "file:""#,
            r#"tenants/wagtail.toml:7: secrets.c[2]: needs the name of a variable after "env:""#,
            r#"tenants/wagtail.toml:7: secrets.c[3]: its file "tenants" is not a regular file"#,
            "tenants/wagtail.toml:8: secrets.d: must not be an empty list",
        ],
    },
    Broken {
        name: "a frontend with a path",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
frontend = "http://127.0.0.1:3000/b"
account_param = "meta owner"
[secrets]
a = "s"
"#,
        faults: &[
            "tenants/wagtail.toml:4: frontend: must be without a path: http:// or https://, a host and perhaps a port",
            r#"tenants/wagtail.toml:5: account_param: must be the name of a create parameter, such as "meta_owner""#,
        ],
    },
    Broken {
        name: "a file whose name is no id",
        file: "tenants/Wag_Tail.toml",
        text: r#"name = "W"
"#,
        faults: &["tenants/Wag_Tail.toml: its name is no id: a name here has 1 to 32 of the characters a-z, 0-9 and -"],
    },
    Broken {
        name: "bad servers",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
[listen]
http = ["127.0.0.1:0"]
[servers.bbb-01]
url = "https://bbb-01.meet.example/bigbluebutton/"
secret = "hunter2"
pool = "members"
[servers.bbb-02]
url = "https://root:hunter2@bbb-02.meet.example"
secret = "file:secrets/none"
pool = "members"
[servers.bbb-03]
url = "ftp://bbb-03.meet.example"
secrt = "hunter2"
pool = "members"
[servers.Bbb_04]
url = "https://bbb-04.meet.example"
secret = "hunter2"
pool = "members"
[servers.bbb-05]
url = "https://BBB-04.meet.example:443"
secret = "hunter2"
pool = "the members"
"#,
        faults: &[
            "anteroom.toml:5: servers.bbb-01.url: must be without a path: http:// or https://, a host and perhaps a port",
            "anteroom.toml:9: servers.bbb-02.url: must not have a user or password in it",
            r#"anteroom.toml:10: servers.bbb-02.secret: its file "secrets/none" does not exist"#,
            "anteroom.toml:12: servers.bbb-03.secret: is missing",
            "anteroom.toml:13: servers.bbb-03.url: must be http:// or https://, a host and perhaps a port",
            r#"anteroom.toml:14: servers.bbb-03.secrt: this key is not known; did you mean "secret"?"#,
            "anteroom.toml:16: servers.Bbb_04: a name here has 1 to 32 of the characters a-z, 0-9 and -",
            "anteroom.toml:21: servers.bbb-05.url: is the address of servers.Bbb_04 as well",
            "anteroom.toml:23: servers.bbb-05.pool: a name here has 1 to 32 of the characters a-z, 0-9 and -",
        ],
    },
    Broken {
        name: "bad listeners, store, trust root and ACME",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example", "meet.example.", "a b"]
[listen]
http = ["127.0.0.1:80", ":80"]
https = ["127.0.0.1:80"]
admin = "localhost:9000"
[store]
url = "postgres://root:hunter2@db/anteroom"
[upstream]
ca = "ca.pem"
[acme]
directory = "http://acme.example"
contact = ["ops@meet.example"]
[servers.bbb-01]
url = "https://bbb-01.meet.example"
secret = "s"
pool = "members"
"#,
        faults: &[
            "anteroom.toml:1: base_domains[1]: is the same as base_domains[0]",
            "anteroom.toml:1: base_domains[2]: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            "anteroom.toml:3: listen.http[0]: is the same address as listen.https[0]",
            r#"anteroom.toml:3: listen.http[1]: must be an address and a port, such as "0.0.0.0:443" or "[::]:443""#,
            r#"anteroom.toml:5: listen.admin: must be an address and a port, such as "0.0.0.0:443" or "[::]:443""#,
            r#"anteroom.toml:7: store.url: must be "sqlite:" and a path: there is no other store yet"#,
            r#"anteroom.toml:9: upstream.ca: the file "ca.pem" does not exist"#,
            "anteroom.toml:11: acme.directory: must be an https:// address",
            r#"anteroom.toml:12: acme.contact[0]: must be "mailto:" and an address"#,
        ],
    },
    Broken {
        name: "no listener",
        file: "anteroom.toml",
        text: r#"[listen]
admin = "127.0.0.1:9000"
[servers.a]
url = "http://a"
secret = "s"
pool = "members"
"#,
        faults: &["anteroom.toml:1: listen: needs an address in https or http"],
    },
];

#[test]
fn everything_that_is_wrong_is_told_at_once_with_file_line_key_and_reason() {
    for Broken { name, file, text, faults } in BROKEN {
        let config = Config::new();
        config.write(file, text);
        let found = config.faults();
        assert_eq!(found.lines().collect::<Vec<_>>(), *faults, "{name}");
        assert!(!found.contains("hunter2"), "{name}: a secret is shown");
    }
}

#[test]
fn the_faults_of_all_files_come_together_in_the_order_of_the_files() {
    let config = Config::new();
    config
        .write("tenants/heron.toml", "name = 1\n")
        .write("policies/large.toml", "title = \"Large\"\npool = 1\n[limits]\n")
        .write("certs/a.example/fullchain.pem", "")
        .write("anteroom.toml", "[listen]\nhttp = [1]\n");
    let files: Vec<String> =
        config.load().expect_err("it is broken").iter().map(|fault| fault.file.display().to_string()).collect();
    let mut distinct = files.clone();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            "anteroom.toml",
            "certs/a.example/fullchain.pem",
            "certs/a.example/privkey.pem",
            "policies/large.toml",
            "tenants/heron.toml",
            "tenants/wagtail.toml",
        ]
    );
}

#[test]
fn a_policy_that_is_broken_is_not_missed_as_well() {
    let config = Config::new();
    config.write("policies/small.toml", "title =\n");
    assert_eq!(config.faults().lines().count(), 1);
}

#[test]
fn a_configuration_becomes_the_types_of_the_domain() {
    let config = Config::new();
    config.write("secrets/old", "the old one\n").write("secrets/bbb", "server two\r\n").write(
        "anteroom.toml",
        format!(
            "{GATEWAY}\n[servers.bbb-02]\nurl = \"https://bbb-02.internal\"\npublic_url = \"https://bbb-02.meet.example\"\n\
             secret = \"file:secrets/bbb\"\npool = \"rented\"\n[store]\nurl = \"sqlite:data/a.db\"\n"
        ),
    );
    config.tenant_at(
        "wagtail",
        &["Meet.Wagtail.Example", "wagtail.meet.example"],
        "pool = \"rented\"\naccount_param = \"meta_owner\"\nfrontend = \"http://127.0.0.1:3000\"\nsuspended = true\n\
         [limits]\nparticipants = \"unlimited\"\nduration = \"1h30m\"\nroom_retention = \"90s\"\n\
         [secrets]\nmoodle = [\"the new one\", \"file:secrets/old\"]\n",
    );
    let loaded = config.load().expect("it is sound");

    assert!(loaded.settings.listen.http2);
    assert_eq!(loaded.settings.store_url, format!("sqlite:{}", config.path("data/a.db").display()));

    let tenant = loaded.directory.tenant_of_host("meet.wagtail.example").expect("the host is in lower case");
    assert_eq!((tenant.id.as_str(), tenant.pool.as_str(), tenant.suspended), ("wagtail", "rented", true));
    assert_eq!(tenant.policy.title, "Small");
    assert_eq!(tenant.limits.rooms, Limit::AtMost(3), "the policy's");
    assert_eq!(tenant.limits.participants, Limit::Unlimited, "its own");
    assert_eq!(tenant.limits.duration, Limit::AtMost(Duration::from_secs(5400)));
    assert_eq!(tenant.limits.room_retention, Duration::from_secs(90));
    assert_eq!(tenant.account_param.as_deref(), Some("meta_owner"));
    let secrets: Vec<&str> = tenant.credentials[0].secrets.iter().map(|secret| secret.secret.reveal()).collect();
    assert_eq!(secrets, ["the new one", "the old one"]);

    let server = loaded.directory.server("bbb-02").expect("it is there");
    let names: Vec<&str> = server.names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["bbb-02.internal", "bbb-02.meet.example"]);
    assert_eq!(server.secret.reveal(), "server two");
    assert_eq!(server.slug, KEY.slug(&server.id));
    assert!(loaded.directory.server_of_slug(server.slug.as_str()).is_some());
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
    let acme = "\n[acme]\ndirectory = \"https://acme.example/directory\"\ncontact = [\"mailto:ops@meet.example\"]\n";
    let config = Config::new();
    config
        .write("anteroom.toml", format!("{gateway}{acme}"))
        .tenant_at("heron", &["heron.meet.example", "a.heron.meet.example"], "")
        .tenant("wagtail", "[secrets]\na = \"1\"\nb = \"2\"\nc = \"3\"\n")
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
            "anteroom.toml:13: acme: ACME is not built yet: every host needs a certificate in certs/",
            "tenants/heron.toml:3: hosts[1]: \"a.heron.meet.example\" has no certificate: not served over TLS until \
             certs/a.heron.meet.example/ has one or a wildcard does",
            "tenants/wagtail.toml:5: secrets: 3 secrets are named, but only 2 accounts may have rooms at once",
        )
    );
    assert!(warnings[2].starts_with("certs/old.example/fullchain.pem: has expired "), "{}", warnings[2]);
    assert_eq!(warnings.len(), 5);
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
            "certs/a example: its name is no id: a host name has letters, digits, hyphens and dots only, without scheme, \
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

#[test]
fn a_reload_of_what_has_not_changed_takes_nothing_over() {
    let config = Config::new();
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    let mut loader = config.started();
    for text in [GATEWAY.to_owned(), format!("# a comment only\n{GATEWAY}")] {
        config.write("anteroom.toml", text);
        let reload = loader.reload(&KEY);
        assert!(reload.loaded.is_none() && reload.faults.is_empty());
    }
}

#[test]
fn a_reload_takes_over_what_was_added_changed_and_removed() {
    let config = Config::new();
    let mut loader = config.loader();
    let before = loader.load(&KEY).expect("it is sound").directory;

    config.tenant("heron", "");
    let after = took_over(loader.reload(&KEY)).directory;
    assert_eq!(tenants(&after), ["heron", "wagtail"]);
    let wagtail = |directory: &Directory| directory.tenant("wagtail").cloned().expect("it is there");
    assert!(Arc::ptr_eq(&wagtail(&before), &wagtail(&after)), "who has not changed is the same as before");

    config.tenant("heron", "suspended = true\n");
    assert!(took_over(loader.reload(&KEY)).directory.tenant("heron").is_some_and(|heron| heron.suspended));

    config.remove("tenants/heron.toml");
    assert_eq!(tenants(&took_over(loader.reload(&KEY)).directory), ["wagtail"]);

    config.write("policies/small.toml", POLICY.replace("rooms = 3", "rooms = 5"));
    assert_eq!(wagtail(&took_over(loader.reload(&KEY)).directory).limits.rooms, Limit::AtMost(5));

    config.write("anteroom.toml", GATEWAY.replace("server-secret", "changed"));
    let directory = took_over(loader.reload(&KEY)).directory;
    assert!(directory.server("bbb-01").is_some_and(|server| server.secret.reveal() == "changed"));
    assert!(loader.reload(&KEY).loaded.is_none(), "once is enough");
}

#[test]
fn what_is_broken_stays_as_it_was_until_it_is_mended_and_holds_nobody_up() {
    let config = Config::new();
    let mut loader = config.started();
    for (broken, fault) in [
        ("name =", "tenants/wagtail.toml:1: is not TOML: string values must be quoted, expected literal string"),
        (
            "name = \"W\"\nhosts = [\"wagtail.meet.example\"]\npolicy = \"none\"\n[secrets]\na = \"s\"\n",
            "tenants/wagtail.toml:3: policy: the policy \"none\" is not known; there are small",
        ),
    ] {
        config.write("tenants/wagtail.toml", broken).tenant("heron", "");
        let reload = loader.reload(&KEY);
        let fault_now = lines(&reload.faults);
        assert!(fault_now.starts_with(fault), "{fault_now}");
        let directory = took_over(reload).directory;
        assert_eq!(tenants(&directory), ["heron", "wagtail"]);
        assert!(directory.tenant_of_host("wagtail.meet.example").is_some());

        let again = loader.reload(&KEY);
        assert!(again.loaded.is_none() && lines(&again.faults) == fault_now, "it is told again while it lasts");

        config.tenant("wagtail", "suspended = true\n").remove("tenants/heron.toml");
        let mended = loader.reload(&KEY);
        assert!(mended.faults.is_empty());
        assert!(took_over(mended).directory.tenant("wagtail").is_some_and(|wagtail| wagtail.suspended));
        config.tenant("wagtail", "");
        took_over(loader.reload(&KEY));
    }

    config.write("anteroom.toml", "nothing").tenant("heron", "");
    let reload = loader.reload(&KEY);
    assert_eq!(reload.faults.len(), 1);
    let loaded = took_over(reload);
    assert!(loaded.directory.server("bbb-01").is_some() && loaded.directory.tenant("heron").is_some());
}

#[test]
fn a_tenant_that_was_never_sound_is_not_served() {
    let config = Config::new();
    let mut loader = config.started();
    config.write("tenants/heron.toml", "nothing");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    assert_eq!(reload.faults.len(), 1);
}

#[test]
fn a_host_stays_with_the_tenant_that_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    let owner = |directory: &Directory, host: &str| directory.tenant_of_host(host).map(|t| t.id.to_string());

    // By its id, the thief comes first.
    config.tenant_at("ape", &["ape.meet.example", "wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none(), "a newcomer that claims what another one has is not served");
    let theft = "tenants/ape.toml:3: hosts[1]: \"wagtail.meet.example\" is a host of tenants/wagtail.toml as well";
    assert_eq!(lines(&reload.faults), theft);

    // It was a tenant before: then it stays as it was.
    config.tenant("ape", "");
    took_over(loader.reload(&KEY));
    config.tenant_at("ape", &["b.ape.meet.example", "wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    assert!(lines(&reload.faults).starts_with("tenants/ape.toml:3: hosts[1]"));

    // What ape gave up in vain, another one cannot have.
    config.tenant_at("bat", &["ape.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults).lines().count(), 2, "{}", lines(&reload.faults));
    assert!(reload.loaded.is_none());

    // The owner gives it up: all three get what they ask for.
    config.tenant_at("wagtail", &["new.wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty(), "{}", lines(&reload.faults));
    let directory = took_over(reload).directory;
    assert_eq!(owner(&directory, "wagtail.meet.example").as_deref(), Some("ape"));
    assert_eq!(owner(&directory, "ape.meet.example").as_deref(), Some("bat"));

    // Two tenants change places in one go.
    config.tenant_at("ape", &["ape.meet.example"], "").tenant_at(
        "bat",
        &["b.ape.meet.example", "wagtail.meet.example"],
        "",
    );
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty(), "{}", lines(&reload.faults));
    assert_eq!(owner(&took_over(reload).directory, "wagtail.meet.example").as_deref(), Some("bat"));
}

#[test]
fn a_secret_stays_with_the_tenant_that_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    config.tenant("ape", "[secrets]\nx = \"secret of wagtail\"\n");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    let faults = lines(&reload.faults);
    assert_eq!(faults, "tenants/ape.toml:5: secrets.x: is the same secret as secrets.main of tenants/wagtail.toml");
}

#[test]
fn a_policy_that_is_gone_stays_while_a_tenant_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    config.remove("policies/small.toml").tenant("wagtail", "suspended = true\n");
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "policies/small.toml: is gone, but tenants/wagtail.toml still has this policy: its last version stays"
    );
    let directory = took_over(reload).directory;
    assert!(directory.tenant("wagtail").is_some_and(|w| w.suspended && w.limits.rooms == Limit::AtMost(3)));

    config.write("policies/small.toml", POLICY);
    assert_eq!(lines(&loader.reload(&KEY).faults), "");
    config.remove("policies/small.toml").remove("tenants/wagtail.toml");
    assert_eq!(lines(&loader.reload(&KEY).faults), "", "nobody has it any more");
}

#[test]
fn a_level_that_no_longer_allows_what_a_tenant_has_leaves_the_tenant_as_it_was() {
    let config = Config::new();
    config.tenant_at("wagtail", &["meet.wagtail.example"], "");
    let mut loader = config.started();
    config
        .write(
            "policies/small.toml",
            POLICY.replace("own_domains = 1", "own_domains = 0").replace("rooms = 3", "rooms = 9"),
        )
        .tenant("heron", "");
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "tenants/wagtail.toml:3: hosts[0]: \"meet.wagtail.example\" is below no base domain, and the level allows no own \
         domain"
    );
    let directory = took_over(reload).directory;
    let rooms = |id| directory.tenant(id).map(|tenant| tenant.limits.rooms);
    assert_eq!((rooms("wagtail"), rooms("heron")), (Some(Limit::AtMost(3)), Some(Limit::AtMost(9))));
}

#[test]
fn a_directory_that_vanishes_takes_no_tenant_with_it() {
    let config = Config::new();
    let mut loader = config.started();
    fs::rename(config.path("tenants"), config.path("elsewhere")).expect("it can be moved");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "tenants: does not exist");
    assert!(reload.loaded.is_none());
    fs::rename(config.path("elsewhere"), config.path("tenants")).expect("it can be moved");
    assert_eq!(lines(&loader.reload(&KEY).faults), "");
}

#[test]
fn a_certificate_is_replaced_when_both_files_fit() {
    let host = "wagtail.meet.example";
    let config = Config::new();
    config.cert(host, &[host]);
    let mut loader = config.loader();
    let leaf = |loaded: &Loaded| loaded.certs.find(host).map(|key| key.cert.clone());
    let before = leaf(&loader.load(&KEY).expect("it is sound"));
    assert!(before.is_some());

    let (chain, key) = pems(&[host]);
    config.write(&format!("certs/{host}/fullchain.pem"), chain);
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none(), "the former pair stays");
    assert_eq!(
        lines(&reload.faults),
        format!("certs/{host}/privkey.pem: does not fit the first certificate of fullchain.pem")
    );
    config.write(&format!("certs/{host}/privkey.pem"), key);
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty());
    let after = leaf(&took_over(reload));
    assert!(after.is_some() && after != before);

    fs::remove_dir_all(config.path(&format!("certs/{host}"))).expect("it is there");
    assert_eq!(leaf(&took_over(loader.reload(&KEY))), None);
}

#[test]
fn a_secret_file_counts_as_part_of_the_tenant() {
    let config = Config::new();
    config.write("secrets/w", "one\n").tenant("wagtail", "[secrets]\nmain = \"file:secrets/w\"\n");
    let mut loader = config.started();
    let secret = |loaded: Loaded| {
        loaded
            .directory
            .tenant("wagtail")
            .map(|w| w.credentials[0].secrets[0].secret.reveal().to_owned())
            .unwrap_or_default()
    };
    config.write("secrets/w", "two\n");
    assert_eq!(secret(took_over(loader.reload(&KEY))), "two");
    config.remove("secrets/w");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "tenants/wagtail.toml:5: secrets.main: its file \"secrets/w\" does not exist");
    assert!(reload.loaded.is_none());
    config.write("secrets/w", "two\n");
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty() && reload.loaded.is_none(), "it is what it was before");
}

#[test]
fn what_needs_a_start_is_told_and_otherwise_left_alone() {
    let config = Config::new();
    let mut loader = config.started();
    let changed = GATEWAY
        .replace("[\"meet.example\"]", "[\"meet.example\", \"meet.test\"]")
        .replace("http = [\"127.0.0.1:0\"]", "http = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:2\"");
    config.write("anteroom.toml", changed + "[store]\nurl = \"sqlite:b.db\"\n");
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "anteroom.toml:4: listen.http: has changed: takes effect at the next start\n\
         anteroom.toml:5: listen.admin: has changed: takes effect at the next start\n\
         anteroom.toml:12: store.url: has changed: takes effect at the next start"
    );
    let settings = took_over(reload).settings;
    assert_eq!(settings.base_domains.len(), 2, "what needs none is taken over");
    assert!(settings.listen.admin.is_none() && settings.store_url.ends_with("var/anteroom.db"));
    assert_eq!(loader.reload(&KEY).faults.len(), 3, "it is told again while it lasts");
}

#[test]
fn files_that_are_none_of_the_configuration_are_left_alone() {
    let config = Config::new();
    config
        .write("tenants/.wagtail.toml.swp", "x")
        .write("tenants/.#heron.toml", "x")
        .write("tenants/wagtail.toml~", "x")
        .write("tenants/README.md", "x")
        .write("certs/README.md", "x");
    assert_eq!(config.faults(), "");
}

/// The ready configurations name secrets in the environment, and nothing else is missing from them.
#[test]
fn the_ready_configurations_lack_their_secrets_only() {
    for (name, faults) in [("one-server", 2), ("co-op", 9)] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let found = Loader::new(&dir).load(&KEY).expect_err("their secrets are not in the environment of a test");
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

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits for what must not come.
const SILENCE: Duration = Duration::from_millis(400);

async fn is_told(watcher: &mut Watcher) -> bool {
    tokio::time::timeout(PATIENCE, watcher.changed()).await.is_ok()
}

/// Lets what has happened so far pass by.
async fn settle(watcher: &mut Watcher) {
    while tokio::time::timeout(SILENCE, watcher.changed()).await.is_ok() {}
}

#[tokio::test]
async fn a_watcher_tells_of_every_change_and_of_nothing_else() {
    let config = Config::new();
    config.write("secrets/w", "one").tenant("wagtail", "[secrets]\nmain = \"file:secrets/w\"\n");
    config.write("anteroom.toml", format!("{GATEWAY}[store]\nurl = \"sqlite:anteroom.db\"\n"));
    let mut loader = config.started();
    let mut watcher = Watcher::new(&loader).expect("files can be watched");
    settle(&mut watcher).await;

    for file in ["anteroom.db", "anteroom.db-wal", "anteroom.db-shm", "var/anteroom.log"] {
        config.write(file, "x");
    }
    // `var` itself is new in the directory.
    settle(&mut watcher).await;
    for file in ["anteroom.db", "anteroom.db-wal", "anteroom.db-shm", "var/anteroom.log"] {
        config.write(file, "y");
    }
    loader.reload(&KEY);
    let told = tokio::time::timeout(SILENCE, watcher.changed()).await.is_ok();
    assert!(!told, "neither the store nor the reading of files is a change");

    for file in ["tenants/heron.toml", "secrets/w", "policies/large.toml", "anteroom.toml"] {
        config.write(file, "x");
        assert!(is_told(&mut watcher).await, "{file}");
        settle(&mut watcher).await;
    }

    // Directories that appear, and what comes into them later.
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    assert!(is_told(&mut watcher).await);
    loader.reload(&KEY);
    watcher.follow(&loader);
    settle(&mut watcher).await;
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    assert!(is_told(&mut watcher).await, "a certificate is replaced");
    settle(&mut watcher).await;

    // Another directory in the place of one that is watched.
    fs::rename(config.path("tenants"), config.path("tenants.old")).expect("it can be moved");
    config.tenant("plover", "");
    settle(&mut watcher).await;
    config.tenant("plover", "suspended = true\n");
    assert!(is_told(&mut watcher).await, "a file of the new directory");
}
