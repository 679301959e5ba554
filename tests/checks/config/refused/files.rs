//! Files as such: their text, their names, keys that are missing, unknown or of a wrong type.

use super::Broken;

pub(super) const BROKEN: &[Broken] = &[
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
            "tenants/wagtail.toml:5: zebra: this key is not known; there are account_param, branding, certificate_key, create, embedded_by, events, frontend, hosts, hsts, join, limits, mail, name, policy, pool, secrets, suspended and uncovered_forms",
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
        name: "a file whose name is no id",
        file: "tenants/Wag_Tail.toml",
        text: r#"name = "W"
"#,
        faults: &[
            "tenants/Wag_Tail.toml: its name is not a valid id: a name here has 1 to 32 of the characters a-z, 0-9 and -",
        ],
    },
];
