//! The shapes of the files, as they are written.
//!
//! The doc comments of the fields are what an operator reads in the JSON schema, and the tables of
//! docs/configuration.md are made from them: "Default: ..." at the end fills the column "default", and
//! `docs/PAGE.md, "HEADING"` becomes a link. Every field is an `Option`, so that a file that lacks one can still be
//! read for its other faults; `schemars(required)` says which ones must be there. No `Debug`: there are secrets in
//! them.

mod acme;
mod gateway;
mod language;
mod policy;
mod tenant;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use acme::{Acme, Budget, ExternalAccount, Fallback};
pub(super) use gateway::{Connections, Gateway, GetUser, Listen, Rates, Server, Sources};
pub(super) use language::Language;
pub(super) use policy::{Limits, ParamCheck, ParamRule, ParamTable, ParamValue, ParamWord, Policy, Recording};
pub(super) use tenant::{Branding, Event, Mail, NamedSecret, Secret, Secrets, Tenant};

/// One pool, or several in the order of preference.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Pools {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// A number of at least 1, or `"unlimited"`.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Count {
    /// A number.
    Number(i64),
    /// No bound.
    Word(Unlimited),
}

/// The word for no bound.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Unlimited {
    /// No bound.
    Unlimited,
}
