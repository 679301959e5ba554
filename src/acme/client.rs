//! [`Client`]: one CA, with the account of ours that it knows.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::Request;
use instant_acme::{BodyWrapper, Error, RevocationReason, RevocationRequest};
use rustls::RootCertStore;

use super::{
    Authority, Issued, Limits, Wanted, Work,
    account::{self, Account, checked},
    account_key::AccountKey,
    certificate,
    directory::Directory,
    failure::{Asked, Failure, FailureKind},
    order,
    renewal::{self, Renewal},
    transport::Transport,
    tries::tried,
};
use crate::domain::time::Clock;

/// A CA may move its addresses; what is known of it is asked for again after this time.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// The client of one CA. Nothing is asked of the CA before it is needed. Calls may run at the same time.
pub struct Client {
    ca: Authority,
    pub(super) limits: Limits,
    transport: Transport,
    directory: Mutex<Option<(Instant, Arc<Directory>)>>,
    account: Mutex<Option<(Instant, Account)>>,
    /// Whether the contacts of an account that was there have been changed.
    contact_told: AtomicBool,
}

/// Why a certificate is revoked (RFC 5280, 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not said.
    Unspecified,
    /// Others may know its key.
    KeyCompromise,
    /// It has been replaced.
    Superseded,
    /// Its names are not served any more.
    CessationOfOperation,
}

impl Client {
    /// A client that trusts `roots` for the connection to the CA.
    #[must_use]
    pub fn new(ca: Authority, roots: RootCertStore, clock: Clock) -> Self {
        Self::with_limits(ca, roots, clock, Limits::default())
    }

    /// The same with time limits of its own.
    #[must_use]
    pub fn with_limits(ca: Authority, roots: RootCertStore, clock: Clock, limits: Limits) -> Self {
        let transport = Transport::new(roots, limits.request, clock);
        Self {
            ca,
            limits,
            transport,
            directory: Mutex::default(),
            account: Mutex::default(),
            contact_told: AtomicBool::new(false),
        }
    }

    /// The CA.
    #[must_use]
    pub fn ca(&self) -> &Authority {
        &self.ca
    }

    /// The names by which CAA records know the CA; may be empty.
    ///
    /// # Errors
    /// When the CA does not show its directory.
    pub async fn issuers(&self) -> Result<Vec<String>, Failure> {
        Ok(self.directory().await?.meta.caa_identities.clone())
    }

    /// The account of a key, which is registered if need be. It is kept in memory for an hour. Contacts of an account that is there
    /// are changed to those of the configuration.
    ///
    /// # Errors
    /// [`FailureKind::Account`] when the CA does not want us, and all others.
    pub async fn account(&self, key: &AccountKey) -> Result<Account, Failure> {
        let known = known(&self.account);
        if let Some(account) = known.filter(|account| account.key.thumbprint() == key.thumbprint()) {
            return Ok(account);
        }
        let directory = self.directory().await?;
        // Boxed, as orders are: what waits for a CA waits long, and its callers are to be small.
        let opened = Box::pin(account::open(&self.ca, &directory, &self.transport, self.limits, key));
        let (account, is_dated) = opened.await?;
        // Once: some CAs show no contacts even after an update.
        if is_dated && !self.contact_told.swap(true, Relaxed) {
            let told = Box::pin(account::tell_contact(&account, &self.ca, self.limits)).await;
            if let Err(failure) = told {
                tracing::warn!(directory = self.ca.directory, why = failure.text, "the CA does not take acme.contact");
            }
        }
        keep(&self.account, account.clone());
        Ok(account)
    }

    /// Orders a certificate, or finishes an order that was begun. An account that the CA does not know any more is registered
    /// again, once.
    ///
    /// # Errors
    /// Every kind.
    pub async fn order<W: Work>(&self, account: &Account, wanted: &Wanted<'_>, work: &W) -> Result<Issued, Failure> {
        match Box::pin(order::order(self, account, wanted, work)).await {
            Err(failure) if failure.is_unknown_account() => {
                self.forget();
                let account = self.account(&account.key).await?;
                Box::pin(order::order(self, &account, wanted, work)).await
            }
            done => done,
        }
    }

    /// When the CA wants a certificate to be renewed (RFC 9773); `None` where it does not say.
    ///
    /// # Errors
    /// [`FailureKind::Local`] for a chain that cannot be read, and those of the CA.
    pub async fn renewal(&self, chain_pem: &str) -> Result<Option<Renewal>, Failure> {
        let leaf = certificate::leaf(chain_pem)?;
        let directory = self.directory().await?;
        let Some(base) = &directory.renewal_info else { return Ok(None) };
        let Some(url) = renewal::address(base, &leaf) else { return Ok(None) };
        let asked = tried!(self.limits, Asked::Renewal, self.get(&url));
        match asked {
            Ok((body, seen)) => renewal::read(&body, &leaf, seen.retry_after).map(Some),
            // It knows others' certificates no more than those that it has forgotten.
            Err(failure) if failure.kind == FailureKind::Refused => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Revokes a certificate that this account has been issued. One that is revoked already is no failure.
    ///
    /// # Errors
    /// [`FailureKind::Local`] for a chain that cannot be read, and those of the CA.
    pub async fn revoke(&self, account: &Account, chain_pem: &str, reason: Reason) -> Result<(), Failure> {
        let leaf = certificate::leaf(chain_pem)?;
        let reason = match reason {
            Reason::Unspecified => RevocationReason::Unspecified,
            Reason::KeyCompromise => RevocationReason::KeyCompromise,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
        };
        let request = RevocationRequest { certificate: &leaf, reason: Some(reason) };
        match tried!(self.limits, Asked::Revocation, account.inner.revoke(&request)) {
            Ok(_) => Ok(()),
            Err(failure) if failure.problem == "alreadyRevoked" => Ok(()),
            Err(failure) if failure.is_unknown_account() => {
                self.forget();
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn directory(&self) -> Result<Arc<Directory>, Failure> {
        if let Some(known) = known(&self.directory) {
            return Ok(known);
        }
        let (directory, _) = tried!(self.limits, Asked::Directory, self.read_directory())?;
        let directory = Arc::new(directory);
        keep(&self.directory, Arc::clone(&directory));
        Ok(directory)
    }

    async fn read_directory(&self) -> Result<Directory, Error> {
        Ok(serde_json::from_slice(&self.get(&self.ca.directory).await?)?)
    }

    async fn get(&self, url: &str) -> Result<bytes::Bytes, Error> {
        let request = Request::get(url).body(BodyWrapper::default())?;
        let answer = self.transport.exchange(request).await.map_err(|error| Error::Other(Box::new(error)))?;
        Ok(checked(answer)?.1)
    }

    fn forget(&self) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn known<T: Clone>(slot: &Mutex<Option<(Instant, T)>>) -> Option<T> {
    let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.as_ref().filter(|(since, _)| since.elapsed() < KNOWN_FOR).map(|(_, value)| value.clone())
}

fn keep<T>(slot: &Mutex<Option<(Instant, T)>>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), value));
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("directory", &self.ca.directory).finish_non_exhaustive()
    }
}
