//! ACME (RFC 8555): certificates from a CA such as Let's Encrypt. One [`Client`] for each CA: accounts, orders, challenges,
//! renewal information (RFC 9773), revocation.
//!
//! It speaks the protocol and nothing else: no store, no tenants, no schedule. What an order needs from its owner (show the
//! answer to a challenge, keep the progress) it asks of a [`Work`]. It stands on the crate instant-acme, and adds what that leaves
//! to its caller: time limits, bounded answers, tries, `Retry-After`, and reasons in words.

mod account;
mod account_key;
mod answers;
mod certificate;
mod challenge;
mod client;
mod directory;
mod failure;
mod order;
mod proof;
mod renewal;
mod transport;
mod tries;

use std::{
    fmt,
    future::{Future, ready},
    time::Duration,
};

use crate::{domain::time::Timestamp, tls::certs::CertName};

pub use self::{
    account::Account,
    account_key::AccountKey,
    challenge::{Kind, RECORD_PREFIX, Shown, is_token, tls_alpn_certificate},
    client::{Client, Reason},
    failure::{Failure, FailureKind},
    renewal::Renewal,
};

pub use crate::domain::issuance::{Authority, ExternalAccount, KeyKind};

/// How long a [`Client`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one request: connection, TLS and the whole answer.
    pub request: Duration,
    /// For the CA to check the challenges, and again for it to issue.
    pub order: Duration,
    /// Before the first of the further tries when a CA does not answer; it doubles.
    pub pause: Duration,
}

impl Default for Limits {
    /// A minute for a request, since small CAs check and issue while the client waits; three for each phase of an order.
    fn default() -> Self {
        Self { request: Duration::from_secs(60), order: Duration::from_secs(180), pause: Duration::from_secs(1) }
    }
}

/// What is ordered.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The names; those that appear twice are ordered once. Wildcards need [`Kind::Dns01`].
    pub names: &'a [CertName],
    /// The kind of a new key.
    pub key: KeyKind,
    /// How it is proved that the names are ours.
    pub challenge: Kind,
    /// The chain, as PEM, that the new one replaces (RFC 9773, 5). A CA that does not want to hear of it gets an order without.
    pub replaces: Option<&'a str>,
    /// An order of the same names that was begun at the same CA and not finished, by this gateway or another.
    pub resume: Option<Progress>,
}

/// What it takes to finish an order from another place.
#[derive(Clone, PartialEq, Eq)]
pub struct Progress {
    /// The address of the order at the CA.
    pub order: String,
    /// The private key of its certificate, PKCS#8 in DER.
    pub key: Vec<u8>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("order", &self.order).finish_non_exhaustive()
    }
}

/// What an order asks of its owner. When the future of the order is dropped, nothing more is asked: what is shown then stays so
/// until the owner removes it.
pub trait Work: Sync {
    /// A new order is about to be placed; whether it names the certificate that it replaces. Where the CA refuses such an order
    /// and it is placed without, this is called once more. Not called for an order that is resumed.
    ///
    /// # Errors
    /// What the order ends with: the CA is not asked for it.
    fn begin(&self, _replaces: bool) -> impl Future<Output = Result<(), Failure>> + Send {
        ready(Ok(()))
    }

    /// The order that was begun last is none: the CA has refused it, or has not answered.
    fn not_begun(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Makes the answer to a challenge visible to the CA; it is ready when this returns. HTTP-01 may have nothing to do here.
    ///
    /// # Errors
    /// The reason in words, for the operator: the order ends with it.
    fn show(&self, challenge: &Shown) -> impl Future<Output = Result<(), String>> + Send;

    /// Removes the answer, also one whose [`Work::show`] has failed.
    fn hide(&self, challenge: &Shown) -> impl Future<Output = ()> + Send;

    /// Keeps the progress of the order. From here on the CA may issue.
    ///
    /// # Errors
    /// The reason in words: without a record the certificate is not asked for.
    fn save(&self, progress: &Progress) -> impl Future<Output = Result<(), String>> + Send;
}

/// A certificate that has come, checked: it has all names that were asked for and no other, and our key.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate and those that lead to the CA's root, which is not among them; PEM.
    pub chain: String,
    /// The private key, PKCS#8 in DER.
    pub key: Vec<u8>,
    /// The first second it is good.
    pub not_before: Timestamp,
    /// The last second it is good.
    pub not_after: Timestamp,
    /// Who has issued it: the common name, else the organisation.
    pub issuer: String,
    /// What the operator should know, each a sentence: a profile that the CA does not have.
    pub warnings: Vec<String>,
}

impl Issued {
    /// From the first second it is good to the last.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.not_after.saturating_duration_since(self.not_before)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("issuer", &self.issuer)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
