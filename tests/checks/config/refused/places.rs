//! Tenants: hosts, policies and pools.

use super::Broken;

pub(super) const BROKEN: &[Broken] = &[
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
];
