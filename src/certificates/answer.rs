//! [`Answers`]: what certificate authorities read on port 80 (HTTP-01, RFC 8555, 8.3).
//!
//! The answer to a challenge follows from its token and the key of the account, so that any gateway answers any challenge, and
//! there is nothing to be told or stored before. One key for all authorities makes one answer good for all.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::names::Names;
use crate::{
    acme::{AccountKey, is_token},
    domain::host::Host,
    tls::Tls,
};

/// Where challenges are, before their token.
pub const PATH: &str = "/.well-known/acme-challenge/";

/// Answers challenges for the hosts that need a certificate.
#[derive(Debug)]
pub struct Answers {
    /// None where nothing is ordered.
    key: Option<AccountKey>,
    names: ArcSwap<Names>,
    tls: Arc<Tls>,
}

impl Answers {
    /// With the key of the account; without one nothing is answered.
    pub(super) fn new(key: Option<AccountKey>, tls: Arc<Tls>) -> Self {
        Self { key, names: ArcSwap::default(), tls }
    }

    /// A request for a host has come here, as its DNS leads: one that waits for that is looked at soon.
    pub fn came(&self, host: &Host) {
        self.tls.came(host);
    }

    /// The key of the account.
    pub(super) fn key(&self) -> Option<&AccountKey> {
        self.key.as_ref()
    }

    /// The names that need a certificate.
    pub(super) fn names(&self) -> Arc<Names> {
        self.names.load_full()
    }

    pub(super) fn set(&self, names: Arc<Names>) {
        self.names.store(names);
    }

    /// What is read at a path of a host; `None` where that is no challenge, or the host needs no certificate.
    #[must_use]
    pub fn find(&self, host: &Host, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH).filter(|token| is_token(token))?;
        let key = self.key.as_ref()?;
        if !self.names.load().has_host(host) {
            return None;
        }
        key.key_authorization(token)
    }
}
