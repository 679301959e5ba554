//! `anteroom.toml`: servers, limits of connections, listeners, store.

use super::Broken;

pub(super) const BROKEN: &[Broken] = &[
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
        name: "bad retired servers",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
retired_servers = ["bbb-09", "bbb-01", "bbb-09", "Bbb"]
[listen]
http = ["127.0.0.1:0"]
[servers.bbb-01]
url = "https://bbb-01.meet.example"
secret = "hunter2"
pool = "members"
"#,
        faults: &[
            "anteroom.toml:2: retired_servers[1]: is in servers as well: a server is there or retired",
            "anteroom.toml:2: retired_servers[2]: is the same as retired_servers[0]",
            "anteroom.toml:2: retired_servers[3]: a name here has 1 to 32 of the characters a-z, 0-9 and -",
        ],
    },
    Broken {
        name: "bad limits of connections",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
[listen]
http = ["127.0.0.1:0"]
proxy_protocol_from = ["10.0.0.0/8", "10.0.0.1/8", "balancer", "10.0.0.0/8"]
[connections]
max = 10
per_address = 11
idle_timeout = "0s"
[rates]
connections = 0
unknown_hosts = -1
tenant_joins = "none"
tenant_join = 1
[servers.a]
url = "http://a"
secret = "s"
pool = "members"
"#,
        faults: &[
            r#"anteroom.toml:4: listen.proxy_protocol_from[1]: has bits set beyond the prefix length"#,
            r#"anteroom.toml:4: listen.proxy_protocol_from[2]: must be an address or a network, such as "10.0.0.7" or "10.0.0.0/8""#,
            "anteroom.toml:4: listen.proxy_protocol_from[3]: is the same as listen.proxy_protocol_from[0]",
            "anteroom.toml:7: connections.per_address: is more than connections.max",
            r#"anteroom.toml:8: connections.idle_timeout: must be from "1s" to "1h""#,
            r#"anteroom.toml:10: rates.connections: must be from 1 to 4294967295, or "unlimited""#,
            r#"anteroom.toml:11: rates.unknown_hosts: must be from 1 to 4294967295, or "unlimited""#,
            r#"anteroom.toml:12: rates.tenant_joins: must be a whole number or "unlimited""#,
            r#"anteroom.toml:13: rates.tenant_join: this key is not known; did you mean "tenant_joins"?"#,
        ],
    },
    Broken {
        name: "a bad call getUser",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
[listen]
http = ["127.0.0.1:0"]
[get_user]
host = "https://wagtail.meet.example"
secret = "file:secrets/none"
sources = []
acount = "moodle"
[servers.a]
url = "http://a"
secret = "s"
pool = "members"
"#,
        faults: &[
            "anteroom.toml:5: get_user.host: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            r#"anteroom.toml:6: get_user.secret: its file "secrets/none" does not exist"#,
            "anteroom.toml:7: get_user.sources: must name at least one address or network",
            r#"anteroom.toml:8: get_user.acount: this key is not known; did you mean "account"?"#,
        ],
    },
    Broken {
        name: "a tenant with the secret of getUser",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
[listen]
http = ["127.0.0.1:0"]
[get_user]
host = "wagtail.meet.example"
secret = "the secret of wagtail"
sources = ["10.0.0.7"]
[servers.a]
url = "http://a"
secret = "s"
pool = "members"
"#,
        faults: &[
            "tenants/wagtail.toml:6: secrets.main: is the same secret as get_user.secret, which tells those of all tenants",
        ],
    },
    Broken {
        name: "bad numbers of a server",
        file: "anteroom.toml",
        text: r#"base_domains = ["meet.example"]
[listen]
http = ["127.0.0.1:0"]
[servers]
a = { url = "http://a", secret = "s", pool = "members", weight = 0, meetings_max = 0 }
b = { url = "http://b", secret = "s", pool = "members", weight = -1.5, meetings_max = 1.5 }
c = { url = "http://c", secret = "s", pool = "members", weight = nan, meetings_max = "none" }
d = { url = "http://d", secret = "s", pool = "members", weight = inf }
e = { url = "http://e", secret = "s", pool = "members", weight = 1000.1 }
f = { url = "http://f", secret = "s", pool = "members", weight = "2" }
g = { url = "http://g", secret = "s", pool = "members", weight = 0.001, meetings_max = 1 }
h = { url = "http://h", secret = "s", pool = "members", weight = 1_000, meetings_max = "unlimited" }
l = { url = "http://l", secret = "s", pool = "members", version = "2.6" }
i = { url = "http://i", secret = "s", pool = "members", sockets_per_second = 0, rewrite_frames = "no" }
j = { url = "http://j", secret = "s", pool = "members", sockets_per_second = 1001, rewrite_frames = false }
k = { url = "http://k", secret = "s", pool = "members", sockets_per_second = 1000, rewrite_frames = true }
"#,
        faults: &[
            r#"anteroom.toml:5: servers.a.meetings_max: must be from 1 to 4294967295, or "unlimited""#,
            "anteroom.toml:5: servers.a.weight: must be a number from 0.001 to 1000",
            r#"anteroom.toml:6: servers.b.meetings_max: must be a whole number or "unlimited", not a number with a fraction"#,
            "anteroom.toml:6: servers.b.weight: must be a number from 0.001 to 1000",
            r#"anteroom.toml:7: servers.c.meetings_max: must be a whole number or "unlimited""#,
            "anteroom.toml:7: servers.c.weight: must be a number from 0.001 to 1000",
            "anteroom.toml:8: servers.d.weight: must be a number from 0.001 to 1000",
            "anteroom.toml:9: servers.e.weight: must be a number from 0.001 to 1000",
            "anteroom.toml:10: servers.f.weight: must be a number, not a text",
            r#"anteroom.toml:13: servers.l.version: must be "2.7" or, for all later ones, "3.0""#,
            "anteroom.toml:14: servers.i.rewrite_frames: must be true or false, not a text",
            "anteroom.toml:14: servers.i.sockets_per_second: must be a whole number from 1 to 1000",
            "anteroom.toml:15: servers.j.sockets_per_second: must be a whole number from 1 to 1000",
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
url = "mysql://root:hunter2@db/anteroom"
[upstream]
ca = "ca.pem"
resolver = ["10.0.0.53", "dns.example"]
[acme]
directory = "http://acme.example"
contact = ["ops@meet.example"]
key_type = "dsa"
challenges = ["dns-01"]
dns_hook = ["hook"]
addresses = ["192.0.2.7", "gateway.meet.example"]
target = "https://gateway.meet.example"
on_demand_wait = "1m"
external_account = { id = "k", key = "no base64!" }
[acme.fallback]
root = "root.pem"
[acme.budget]
at_once = 65
orders_of_name = 0
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
            r#"anteroom.toml:7: store.url: must be "sqlite:" and a path, or the address of a PostgreSQL, "postgres://...""#,
            r#"anteroom.toml:9: upstream.ca: the file "ca.pem" does not exist"#,
            r#"anteroom.toml:10: upstream.resolver[1]: must be an address, such as "10.0.0.53" or "10.0.0.53:5353""#,
            "anteroom.toml:11: acme: store.encryption_key is missing, and [acme] needs it to encrypt private keys in the store: make one with `openssl rand -base64 32 > secrets/encryption-key`, chmod 600, and set store.encryption_key = \"file:secrets/encryption-key\"",
            "anteroom.toml:12: acme.directory: must be an https:// address",
            r#"anteroom.toml:13: acme.contact[0]: must be "mailto:" and an address"#,
            r#"anteroom.toml:14: acme.key_type: must be "ecdsa" or "rsa""#,
            r#"anteroom.toml:15: acme.challenges[0]: must be "http-01" or "tls-alpn-01"; wildcards need dns_hook"#,
            r#"anteroom.toml:16: acme.dns_hook: "hook" is no file that can be executed"#,
            r#"anteroom.toml:17: acme.addresses[1]: must be an address, such as "192.0.2.7" or "2001:db8::7""#,
            "anteroom.toml:18: acme.target: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            r#"anteroom.toml:19: acme.on_demand_wait: must be from "0s" to "30s""#,
            "anteroom.toml:20: acme.external_account.key: must be base64url, as the certificate authority shows it",
            "anteroom.toml:21: acme.fallback.directory: is missing",
            r#"anteroom.toml:22: acme.fallback.root: the file "root.pem" does not exist"#,
            "anteroom.toml:24: acme.budget.at_once: must be a whole number from 1 to 64",
            "anteroom.toml:25: acme.budget.orders_of_name: must be a whole number of at least 1",
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
