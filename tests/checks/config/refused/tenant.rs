//! Tenants: secrets, events, branding, lengths of time, addresses.

use super::Broken;

pub(super) const BROKEN: &[Broken] = &[
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
        name: "mail from nowhere",
        file: "tenants/wagtail.toml",
        text: r#"name = "Wagtail"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
main = "secret"
[mail]
from = "Wagtail <noreply@wagtail.example>"
dkim_selectors = ["s1", "s 2", "s1"]
spf_include = "include:spf.meet.example"
"#,
        faults: &[
            r#"tenants/wagtail.toml:7: mail.from: must be an address, such as "noreply@wagtail.example""#,
            "tenants/wagtail.toml:8: mail.dkim_selectors[1]: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
            "tenants/wagtail.toml:8: mail.dkim_selectors[2]: is the same as mail.dkim_selectors[0]",
            "tenants/wagtail.toml:9: mail.spf_include: a host name has letters, digits, hyphens and dots only, without scheme, port or path",
        ],
    },
    Broken {
        name: "mail without a sender",
        file: "tenants/wagtail.toml",
        text: r#"name = "Wagtail"
policy = "small"
hosts = ["wagtail.meet.example"]
[secrets]
main = "secret"
[mail]
dkim_selectors = ["s1"]
"#,
        faults: &["tenants/wagtail.toml:6: mail.from: is missing"],
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
];
