//! `tenants/<id>.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Limits, ParamRule, Pools};

/// `tenants/<id>.toml`: a customer of the operator.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    /// The name on pages.
    #[schemars(required)]
    pub name: Option<String>,
    /// The service level: the name of a file in `policies/`, without `.toml`.
    #[schemars(required)]
    pub policy: Option<String>,
    /// The hosts of the tenant; the first is its main address.
    #[schemars(required)]
    pub hosts: Option<Vec<String>>,
    /// The API secrets by name; the name is the account. A value is one secret, or a list, newest first, for a
    /// rotation. Each is a literal, `"file:PATH"`, `"env:NAME"`, or a table with more about it. At least one must be
    /// there.
    #[schemars(required)]
    pub secrets: Option<BTreeMap<String, Secrets>>,
    /// Exceptions to the limits of the policy, higher or lower. Default: the policy's.
    pub limits: Option<Limits>,
    /// Rules for parameters of `create`, by their names, in place of the policy's (docs/configuration.md, "Rules for
    /// the parameters of `create` and `join`"). Default: the policy's.
    pub create: Option<BTreeMap<String, ParamRule>>,
    /// Rules for parameters of `join`, as `create`. Default: the policy's.
    pub join: Option<BTreeMap<String, ParamRule>>,
    /// Branding of the tenant's meetings, if the level has `branding`.
    pub branding: Option<Branding>,
    /// A dedicated pool (`"wagtail"`), another shared pool, or a list in order of preference (`["wagtail",
    /// "members"]`). The next pool is used if no server of the pools before takes a meeting, because it does not
    /// answer or is full (`meetings_max`). Default: the policy's.
    pub pool: Option<Pools>,
    /// The `create` parameter, such as `"meta_owner"`, whose values are the accounts. Default: none, and the names of
    /// the secrets are the accounts.
    pub account_param: Option<String>,
    /// Address (`http://` or `https://`, a host and an optional port) that receives all requests whose path is not
    /// BBB's, such as a Greenlight container. Requests to it contain nothing of a meeting's session
    /// (docs/explanation/cookies-and-headers.md, "What a frontend does not get"). Default: none, and the gateway
    /// shows a plain landing page.
    pub frontend: Option<String>,
    /// Sites that show this tenant's meetings in a frame, such as `"https://moodle.example"` or
    /// `"https://*.school.example"`. The cookies of servers get `SameSite=None; Partitioned`, and pages get
    /// `frame-ancestors` with these sites, which replaces what a server says about frames
    /// (docs/explanation/cookies-and-headers.md, "Headers of a server in the browser"). Without it a meeting in a
    /// frame of another site has no session. The frame must allow what a meeting uses: `<iframe allow="camera;
    /// microphone; display-capture; fullscreen; autoplay; clipboard-write; screen-wake-lock">`.
    pub embedded_by: Option<Vec<String>>,
    /// `Strict-Transport-Security` on the tenant's hosts, such as `"max-age=63072000; includeSubDomains"`, or
    /// `"off"`. Browsers remember the value: to withdraw it, send `"max-age=0"` for a while. Default: the gateway's.
    pub hsts: Option<String>,
    /// The kind of key of the certificates that the gateway orders for the tenant's hosts: `"ecdsa"`, or `"rsa"` for
    /// clients that know nothing newer. A new value counts from the next renewal. Default: that of `acme.key_type`.
    pub certificate_key: Option<String>,
    /// From where the tenant's frontend sends mail, for `anteroom domain check` (docs/domains.md, "Mail"). The gateway
    /// sends none. Default: none, and nothing about mail is checked.
    pub mail: Option<Mail>,
    /// Whether an API call may have a form that its checksum does not cover, as BBB 3.0 allows it. With `false` such
    /// a call gets `checksumError`: set it if the tenant's integrations send no forms, or sign them
    /// (docs/decisions/0009-forms-and-checksums.md, "9. Forms and what their checksums cover"). Default: `true`.
    pub uncovered_forms: Option<bool>,
    /// No new meeting and no new participant; running meetings continue. `anteroom tenant suspend` does the same
    /// without a file. Default: `false`.
    pub suspended: Option<bool>,
    /// Periods with another pool or other limits (docs/configuration.md, "Events"). They must not overlap.
    pub events: Option<Vec<Event>>,
}

/// A period in which a tenant has another pool, other limits, or both. Meetings that run at its end keep them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// When it begins: a day (`"2026-12-01"`, UTC), which belongs to it as a whole, or a moment
    /// (`"2026-12-01T08:00:00Z"`).
    #[schemars(required)]
    pub from: Option<String>,
    /// When it ends, in the form of `from`.
    #[schemars(required)]
    pub until: Option<String>,
    /// The pool meanwhile, or a list in order of preference. Default: the tenant's.
    pub pool: Option<Pools>,
    /// Exceptions to the limits that the tenant has otherwise: any of them but `own_domains`. Default: the tenant's.
    pub limits: Option<Limits>,
}

/// From where a tenant's frontend sends mail. Nothing is sent: `anteroom domain check` looks at the DNS records.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    /// The sender's address, such as `"noreply@wagtail.example"`.
    #[schemars(required)]
    pub from: Option<String>,
    /// The DKIM selectors that the mail server signs with, such as `["s1"]`; at most 16. Default: none, and no key is
    /// checked.
    pub dkim_selectors: Option<Vec<String>>,
    /// What the SPF record of the sender's domain must include, such as `"spf.meet.example"`. Default: none.
    pub spf_include: Option<String>,
}

/// Branding of a tenant's meetings. Files are relative to the configuration directory.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branding {
    /// An image for the client: a file (`svg`, `png`, `jpg`, `webp`, `gif`, up to 1 MB) or an `https://` address.
    pub logo: Option<String>,
    /// The logo for dark backgrounds, as `logo`.
    pub dark_logo: Option<String>,
    /// A line above the meeting.
    pub banner_text: Option<String>,
    /// The background of `banner_text`, such as `"#0a4b78"`.
    pub banner_color: Option<String>,
    /// The message at the top of the chat, with BBB's placeholders and simple HTML.
    pub welcome: Option<String>,
    /// Where people go when they leave a meeting. Default: the tenant's host.
    pub logout_url: Option<String>,
    /// The title of the browser tab.
    pub client_title: Option<String>,
    /// A style sheet for the client: a `css` file or an `https://` address.
    pub style: Option<String>,
    /// The slides of meetings that have none: a file (`pdf`, `odp`, `pptx`, `png`, `jpg`, up to 20 MB) or an
    /// `https://` address.
    pub slides: Option<String>,
    /// The line below the client's settings.
    pub copyright: Option<String>,
}

/// One secret, or several of the same name.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Secrets {
    /// One: a literal, `"file:PATH"` or `"env:NAME"`.
    Plain(String),
    /// One, with more about it.
    Named(NamedSecret),
    /// Several, newest first.
    Many(Vec<Secret>),
}

/// One of several secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Secret {
    /// A literal, `"file:PATH"` or `"env:NAME"`.
    Plain(String),
    /// The same with more about it.
    Named(NamedSecret),
}

/// A secret with a name and an expiry.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-hide-keys" = true))]
pub(crate) struct NamedSecret {
    /// A literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub secret: Option<String>,
    /// Its label in metrics and log. Default: its file or variable, else its place in the list.
    pub name: Option<String>,
    /// Its last day (`"2026-12-31"`, UTC) or its last moment (`"2026-12-31T18:00:00Z"`). Default: none, it does not
    /// expire.
    pub not_after: Option<String>,
}
