//! Values of certificates.

use crate::domain::time::Timestamp;

/// A certificate as it is kept. Its key is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// A host, or `*.<name>`.
    pub name: String,
    /// PEM; empty for one that was removed.
    pub chain: String,
    /// PKCS#8, encrypted.
    pub key: Vec<u8>,
    /// The name of its issuer.
    pub issuer: String,
    /// The ACME directory; empty for an imported one.
    pub authority: String,
    /// The first second it is good.
    pub not_before: Timestamp,
    /// The last second it is good.
    pub not_after: Timestamp,
    /// Another one for each chain of the name.
    pub version: i64,
}

/// What a gateway keeps in memory of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCertificate {
    /// A host, or `*.<name>`.
    pub name: String,
    /// The last second it is good.
    pub not_after: Timestamp,
    /// Another one for each chain of the name.
    pub version: i64,
    /// Whether it was removed.
    pub is_removed: bool,
    /// When the row was written.
    pub changed_at: Timestamp,
}

/// Where a name is on its way to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DomainState {
    /// Nothing has been done for it yet.
    Configured,
    /// DNS does not lead here, or a CAA record forbids the order.
    WaitingForDns,
    /// An order is under way.
    Ordering,
    /// It has a certificate.
    Active,
    /// The last order has failed.
    Failing,
}

impl DomainState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Configured, Self::WaitingForDns, Self::Ordering, Self::Active, Self::Failing];

    /// The word in columns, answers and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::WaitingForDns => "waiting_for_dns",
            Self::Ordering => "ordering",
            Self::Active => "active",
            Self::Failing => "failing",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Which names are wanted of those whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Those that have a certificate; else those that have none.
    pub have_certificate: bool,
    /// How many.
    pub most: u32,
}

/// A name that needs a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRow {
    /// A host, or `*.<name>`.
    pub name: String,
    /// Whose it is; empty for a wildcard.
    pub tenant: String,
    /// Where it is on its way.
    pub state: DomainState,
    /// Since when.
    pub since: Timestamp,
    /// Why it waits or has failed.
    pub reason: Option<String>,
    /// What DNS says, if that was looked at.
    pub found: Option<String>,
    /// What it should say.
    pub expected: Option<String>,
    /// Failed orders in a row.
    pub failures: u32,
    /// When it is looked at next.
    pub next_at: Timestamp,
    /// The last second its certificate is good; the epoch without one.
    pub good_until: Timestamp,
    /// When its certificate is to be renewed; the epoch without one.
    pub renew_at: Timestamp,
    /// The authority of the order under way, or of the last one.
    pub authority: Option<String>,
    /// The gateway that orders.
    pub owner: Option<String>,
    /// Of the order under way, encrypted.
    pub progress: Option<Vec<u8>>,
}

impl DomainRow {
    /// A name of which nothing is known yet.
    #[must_use]
    pub fn new(name: String, tenant: String, now: Timestamp) -> Self {
        Self {
            name,
            tenant,
            state: DomainState::Configured,
            since: now,
            reason: None,
            found: None,
            expected: None,
            failures: 0,
            next_at: now,
            good_until: Timestamp::EPOCH,
            renew_at: Timestamp::EPOCH,
            authority: None,
            owner: None,
            progress: None,
        }
    }
}

/// Which names are listed, in the order of the names.
#[derive(Debug, Clone, Copy)]
pub struct DomainFilter<'a> {
    /// Those behind this one.
    pub after: &'a str,
    /// Of this tenant; of all with `None`.
    pub tenant: Option<&'a str>,
    /// In this state; in all with `None`.
    pub state: Option<DomainState>,
    /// So many at most.
    pub most: u32,
}

/// An order, for the budgets.
#[derive(Debug, Clone, Copy)]
pub struct NewOrder<'a> {
    /// The ACME directory.
    pub authority: &'a str,
    /// What it is for.
    pub name: &'a str,
    /// The registered domain that the name is below.
    pub registered: &'a str,
    /// Now.
    pub at: Timestamp,
    /// Whether it is a renewal that the authority has suggested.
    pub is_exempt: bool,
}

/// What of an authority has been used up. Exempt orders do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Orders of the account in three hours.
    pub of_account: u32,
    /// Orders below the registered domain in seven days.
    pub of_domain: u32,
    /// Orders of the name in seven days.
    pub of_name: u32,
    /// Failed orders of the name in an hour.
    pub failures_of_name: u32,
}

/// Since when orders count.
#[derive(Debug, Clone, Copy)]
pub struct SpentSince {
    /// Those of the account.
    pub of_account: Timestamp,
    /// Those of the registered domain, and of the name.
    pub of_domain: Timestamp,
    /// Failures of the name.
    pub failures: Timestamp,
}

/// A challenge that is open on port 443, or in a TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeRow {
    /// The host, or the name of the TXT record (`_acme-challenge.<name>`).
    pub host: String,
    /// The answer: on port 443 the key authorization, in DNS the value of the record.
    pub key_authorization: String,
    /// When it is of no use any more.
    pub until: Timestamp,
}
