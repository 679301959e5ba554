//! [`Directory`]: what a CA offers, and where (RFC 8555, 7.1.1). Read by ourselves, since instant-acme keeps its copy closed.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The parts that are used here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    /// RFC 9773; not at all CAs.
    pub(super) renewal_info: Option<String>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// The names by which CAA records know the CA.
    #[serde(default)]
    pub(super) caa_identities: Vec<String>,
    /// The profiles, with descriptions.
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, serde::de::IgnoredAny>,
}
