//! [`Tenant`], [`Policy`] and [`Server`]: what the operator wrote down, once it has been found to be sound.

use std::sync::Arc;

use http::uri::{Authority, Scheme};

use super::{
    branding::Branding,
    host::Host,
    hsts::Hsts,
    ids::{PolicyId, PoolId, ServerId, Slug, TenantId},
    issuance::KeyKind,
    limits::{Limit, Limits},
    mail::MailFrom,
    rules::Rules,
    secret::Secret,
    time::Timestamp,
};

/// A service level.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name of its file.
    pub id: PolicyId,
    /// What people call it.
    pub title: String,
    /// Where its meetings run, unless a tenant has pools of its own: one at least, the preferred one first.
    pub pools: Arc<[PoolId]>,
    /// What it allows.
    pub limits: Arc<Limits>,
    /// What becomes of the parameters of `create` and `join`.
    pub rules: Arc<Rules>,
}

/// One named API credential of a tenant.
#[derive(Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name, which is the account of the calls it signs.
    pub name: Arc<str>,
    /// The secrets that are good for it, newest first.
    pub secrets: Vec<ApiSecret>,
}

/// One of the secrets of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSecret {
    /// The secret itself.
    pub secret: Secret,
    /// What it is called in metrics and in the log: `<credential>/<name>`.
    pub label: Arc<str>,
    /// The last moment at which it is good.
    pub not_after: Option<Timestamp>,
}

impl ApiSecret {
    /// Whether it is good at a moment.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|last| now <= last)
    }
}

/// A customer of the operator.
#[derive(Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The name of its file.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// The service level it has.
    pub policy: Arc<Policy>,
    /// The level's limits with the tenant's exceptions; shared with the level where there are none.
    pub limits: Arc<Limits>,
    /// The level's rules of parameters with the tenant's own.
    pub rules: Arc<Rules>,
    /// What its meetings look like, where its level allows that.
    pub branding: Arc<Branding>,
    /// Where its meetings run: one at least. The next one is for when no server of those before takes a meeting.
    pub pools: Arc<[PoolId]>,
    /// Where people find it; the first is its main address.
    pub hosts: Vec<Host>,
    /// Who may call the API.
    pub credentials: Vec<Credential>,
    /// The create parameter whose values are the accounts, where credentials are not.
    pub account_param: Option<String>,
    /// What answers the paths that are not BBB's.
    pub frontend: Option<Arc<Upstream>>,
    /// The sites whose pages may show its meetings in a frame, as `frame-ancestors` names them; none for nobody in particular.
    pub embedded_by: Vec<Box<str>>,
    /// What browsers are told about TLS, if not what the gateway tells all.
    pub hsts: Option<Arc<Hsts>>,
    /// The kind of key of its certificates, if not the gateway's.
    pub certificate_key: Option<KeyKind>,
    /// From where its frontend sends mail, if that is known.
    pub mail: Option<Arc<MailFrom>>,
    /// Whether its API calls may have a form of which their checksum covers nothing.
    pub uncovered_forms: bool,
    /// Whether its file suspends it. The operator of a running gateway may have done so too.
    pub suspended: bool,
}

/// Where an HTTP server is: scheme (`http` or `https`) and authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, where it is not the scheme's own, port.
    pub authority: Authority,
}

/// A BBB server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its key below `[servers]`.
    pub id: ServerId,
    /// Its name in a browser's path.
    pub slug: Slug,
    /// Where it is.
    pub upstream: Upstream,
    /// The names under which it may speak of itself in its answers: its address and its `public_url`.
    pub names: Vec<Authority>,
    /// Its API secret.
    pub secret: Secret,
    /// The pool it belongs to.
    pub pool: PoolId,
    /// How many people it takes beside the others.
    pub weight: Weight,
    /// The meetings on it at which it takes no new one.
    pub meetings_max: Limit<u32>,
    /// Whether addresses that name it are looked for in what its GraphQL sends.
    pub rewrites_frames: bool,
    /// New GraphQL sockets that it is asked for in a second.
    pub sockets_per_second: u32,
    /// Whether it is of BBB 2.7, whose client is a Meteor application: that knows no prefix, and has the host to itself.
    pub is_meteor: bool,
}

/// How many people a server takes beside one of weight 1, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(u32);

impl Weight {
    /// That of a server that is like the others.
    pub const ONE: Self = Self(1000);

    /// A weight from 0.001 to 1000; `None` for what is beyond that or no number.
    #[must_use]
    pub fn new(weight: f64) -> Option<Self> {
        let thousandths = (weight * 1000.0).round();
        (1.0..=1e6).contains(&thousandths).then_some(Self(thousandths as u32))
    }

    /// The weight as a number, which is positive.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}
