//! What is refused, and in which words.

use super::Config;

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
            "tenants/wagtail.toml:5: zebra: this key is not known; there are account_param, branding, create, embedded_by, events, frontend, hosts, hsts, join, limits, name, policy, pool, secrets and suspended",
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
        name: "bad rules of parameters",
        file: "policies/small.toml",
        text: r#"title = "Small"
pool = "members"
[limits]
accounts = 2
rooms = 3
participants = 4
duration = "1h"
recording = "never"
own_domains = 1
branding = false
[create]
duration = { force = 600 }
isBreakout = "pass"
"meta_*" = "drop"
meta_endcallbackurl = "pass"
disabledFeatures = "drop"
welcome = "maybe"
copyright = { default = "a", force = "b" }
muteOnStart = {}
userCameraCap = { at_most = 0 }
guestPolicy = { one_of = ["a,b"] }
logoutTimer = { check = "number" }
logo = { from = "x" }
[join]
existingUserID = "pass"
"#,
        faults: &[
            "policies/small.toml:12: create.duration: is set in [limits]",
            "policies/small.toml:13: create.isBreakout: is controlled by the gateway: it could bypass a limit",
            r#"policies/small.toml:14: create."meta_*": a rule is for one parameter, by its whole name"#,
            "policies/small.toml:15: create.meta_endcallbackurl: is controlled by the gateway: it could bypass a limit",
            "policies/small.toml:16: create.disabledFeatures: can only be appended to",
            r#"policies/small.toml:17: create.welcome: must be "pass", "drop" or a table"#,
            "policies/small.toml:18: create.copyright: must have exactly one of default, force, at_most, append, check and one_of",
            "policies/small.toml:19: create.muteOnStart: must have exactly one of default, force, at_most, append, check and one_of",
            "policies/small.toml:20: create.userCameraCap.at_most: must be from 1 to 4294967295",
            "policies/small.toml:21: create.guestPolicy.one_of: must be a list of words without commas, not empty",
            r#"policies/small.toml:22: create.logoutTimer.check: must be "boolean", "integer", "public-url" or "web-url""#,
            "policies/small.toml:23: create.logo.from: this key is not known; there are append, at_most, check, default, force and one_of",
            "policies/small.toml:25: join.existingUserID: is controlled by the gateway: it could bypass a limit",
        ],
    },
    Broken {
        name: "bad ends of secrets",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
a = { secret = "hunter2", not_after = "soon" }
b = [{ secret = "s1", name = "old one" }, { not_after = "2099-01-01" }, { secret = "s2", not_after = "2099-13-01" }]
"#,
        faults: &[
            r#"tenants/wagtail.toml:5: secrets.a.not_after: must be a day such as "2026-12-31", or a moment such as "2026-12-31T18:00:00Z""#,
            "tenants/wagtail.toml:6: secrets.b[0].name: the name of a secret has 1 to 64 letters, digits, dots, hyphens or underscores",
            "tenants/wagtail.toml:6: secrets.b[1].secret: is missing",
            r#"tenants/wagtail.toml:6: secrets.b[2].not_after: must be a day such as "2026-12-31", or a moment such as "2026-12-31T18:00:00Z""#,
        ],
    },
    Broken {
        name: "bad events",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
a = "s"
[[events]]
from = "2099-12-01"
until = "2099-12-01T08:00:00Z"
pool = "demo"
[[events]]
from = "2099-12-01T07:59:59Z"
until = "2099-12-02"
[events.limits]
rooms = 0
own_domains = 3
[[events]]
from = "2099-12-03T08:00:00Z"
until = "2099-12-03T08:00:00Z"
pool = []
[[events]]
from = "soon"
limits = {}
[[events]]
from = 2099-12-05
until = "2099-12-05"
party = true
[[events]]
from = "2099-12-06"
until = "2099-12-06"
"#,
        faults: &[
            r#"tenants/wagtail.toml:9: events[0].pool: no server belongs to the pool "demo""#,
            "tenants/wagtail.toml:10: events[1]: is on while events[0] is",
            r#"tenants/wagtail.toml:14: events[1].limits.rooms: must be from 1 to 4294967295, or "unlimited""#,
            "tenants/wagtail.toml:15: events[1].limits.own_domains: does not change for an event: a tenant's hosts are its own at any time",
            "tenants/wagtail.toml:18: events[2].until: must be later than from",
            "tenants/wagtail.toml:19: events[2].pool: must not be an empty list",
            "tenants/wagtail.toml:20: events[3].until: is missing",
            r#"tenants/wagtail.toml:21: events[3].from: must be a day such as "2026-12-31", or a moment such as "2026-12-31T18:00:00Z""#,
            "tenants/wagtail.toml:24: events[4].from: must be a text, not a date",
            "tenants/wagtail.toml:26: events[4].party: this key is not known; there are from, limits, pool and until",
            "tenants/wagtail.toml:27: events[5]: has no effect: needs a pool or limits",
        ],
    },
    Broken {
        name: "bad branding",
        file: "tenants/wagtail.toml",
        text: r##"name = "W"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
a = "s"
[branding]
logo = "logo.exe"
dark_logo = "nowhere.png"
banner_color = "blue"
logout_url = "javascript:x"
style = "ftp://example.org/x.css"
slides = "my slides.pdf"
welcome = ""
"##,
        faults: &[
            "tenants/wagtail.toml:7: branding.logo: must be a file whose name is of letters, digits, dots, hyphens and underscores and ends in svg, png, jpg, jpeg, webp, gif",
            r#"tenants/wagtail.toml:8: branding.dark_logo: the file "nowhere.png" does not exist"#,
            r##"tenants/wagtail.toml:9: branding.banner_color: must be a colour such as "#0a4b78""##,
            "tenants/wagtail.toml:10: branding.logout_url: must be an https:// or http:// address",
            "tenants/wagtail.toml:11: branding.style: must be a file, or an https:// address",
            "tenants/wagtail.toml:12: branding.slides: must be a file whose name is of letters, digits, dots, hyphens and underscores and ends in pdf, odp, pptx, png, jpg, jpeg",
            "tenants/wagtail.toml:13: branding.welcome: must not be empty",
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
        name: "bad lists of pools",
        file: "tenants/wagtail.toml",
        text: r#"name = "W"
policy = "small"
pool = ["demo", "members", 7, "members", "My Pool", "rented"]
hosts = ["wagtail.meet.example"]
[secrets]
a = "s"
"#,
        faults: &[
            r#"tenants/wagtail.toml:3: pool[0]: no server belongs to the pool "demo""#,
            "tenants/wagtail.toml:3: pool[2]: must be a text, not a number",
            "tenants/wagtail.toml:3: pool[3]: is the same as pool[1]",
            "tenants/wagtail.toml:3: pool[4]: a name here has 1 to 32 of the characters a-z, 0-9 and -",
            r#"tenants/wagtail.toml:3: pool[5]: no server belongs to the pool "rented""#,
        ],
    },
    Broken {
        name: "no pool",
        file: "policies/small.toml",
        text: r#"title = "Small"
pool = []
[limits]
accounts = 1
rooms = 1
participants = 1
duration = "1h"
recording = "never"
own_domains = 0
branding = false
"#,
        faults: &["policies/small.toml:2: pool: must not be an empty list"],
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
        name: "a policy some of whose pools have no server",
        file: "policies/small.toml",
        text: r#"title = "Small"
pool = ["demo", "members", "custom"]
[limits]
accounts = 1
rooms = 1
participants = 1
duration = "1h"
recording = "never"
own_domains = 0
branding = false
"#,
        faults: &[
            r#"tenants/wagtail.toml:2: policy: no server belongs to its pool "demo""#,
            r#"tenants/wagtail.toml:2: policy: no server belongs to its pool "custom""#,
        ],
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
a = ["s", "the secret of wagtail"]
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
        name: "sites that are none",
        file: "tenants/wagtail.toml",
        text: r#"name = "Wagtail"
policy = "small"
hosts = ["wagtail.meet.example"]
embedded_by = [
  "https://moodle.example",
  "http://moodle.example",
  "https://moodle.example/course",
  "https://*",
  "moodle.example; script-src *",
]
[secrets]
main = "secret"
"#,
        faults: &[
            r#"tenants/wagtail.toml:6: embedded_by[1]: must be "https://" and a host, such as "https://moodle.example" or "https://*.school.example""#,
            r#"tenants/wagtail.toml:7: embedded_by[2]: must be "https://" and a host, such as "https://moodle.example" or "https://*.school.example""#,
            r#"tenants/wagtail.toml:8: embedded_by[3]: must be "https://" and a host, such as "https://moodle.example" or "https://*.school.example""#,
            r#"tenants/wagtail.toml:9: embedded_by[4]: must be "https://" and a host, such as "https://moodle.example" or "https://*.school.example""#,
        ],
    },
    Broken {
        name: "a word about TLS that is none",
        file: "tenants/wagtail.toml",
        text: r#"name = "Wagtail"
policy = "small"
hosts = ["wagtail.meet.example"]
hsts = "a year"
[secrets]
main = "secret"
"#,
        faults: &[
            r#"tenants/wagtail.toml:4: hsts: must be "off", or "max-age=" and seconds, perhaps with "; includeSubDomains" and "; preload""#,
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
        faults: &[
            "tenants/Wag_Tail.toml: its name is not a valid id: a name here has 1 to 32 of the characters a-z, 0-9 and -",
        ],
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
            "anteroom.toml:12: acme.directory: must be an https:// address",
            r#"anteroom.toml:13: acme.contact[0]: must be "mailto:" and an address"#,
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
