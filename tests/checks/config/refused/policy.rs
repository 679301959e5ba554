//! Policies: their numbers, their rules of parameters, their pools.

use super::Broken;

pub(super) const BROKEN: &[Broken] = &[
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
webhooks = -1
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
            r#"policies/small.toml:12: limits.webhooks: must be from 0 to 4294967295, or "unlimited""#,
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
            "policies/small.toml:15: create.meta_endcallbackurl: is answered by the gateway: it can only be dropped",
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
];
