//! [`Slot`]: a certificate that is known by its name and its date. Chain and key come when they are first asked for.

use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use rustls::sign::CertifiedKey;

use super::{
    brought,
    certs::{Cert, CertName, Digest},
};
use crate::domain::time::Timestamp;

/// A certificate that can be served, or loaded and then served.
pub struct Slot {
    /// What it is for.
    pub name: CertName,
    /// The first second it is good, as far as that is known.
    pub not_before: Timestamp,
    /// The last second it is good.
    pub not_after: Timestamp,
    pub(super) origin: Origin,
    ready: ArcSwapOption<CertifiedKey>,
    /// What is ready is the version before this one.
    is_old: AtomicBool,
}

/// Where chain and key are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the operator's files in this directory. They had this chain when they were last checked.
    Files { folder: Arc<Path>, digest: Digest },
    /// In the store, in this version.
    Store { version: i64 },
}

impl Slot {
    /// A certificate in a directory of the operator. Its key is `kept`, or read again when somebody asks for it.
    #[must_use]
    pub fn of_files(name: CertName, folder: Arc<Path>, cert: &Cert, kept: bool) -> Self {
        let origin = Origin::Files { folder, digest: cert.digest() };
        let ready = kept.then(|| Arc::clone(&cert.key));
        Self {
            name,
            not_before: cert.not_before,
            not_after: cert.not_after,
            origin,
            ready: ArcSwapOption::new(ready),
            is_old: AtomicBool::new(false),
        }
    }

    /// A certificate in the store. Until it has been loaded, the version `before` it is served.
    pub(super) fn of_store(name: CertName, not_after: Timestamp, version: i64, before: Option<&Self>) -> Self {
        let ready = before.and_then(Self::ready);
        let is_old = AtomicBool::new(ready.is_some());
        let (not_before, origin) = (Timestamp::MIN, Origin::Store { version });
        Self { name, not_before, not_after, origin, ready: ArcSwapOption::new(ready), is_old }
    }

    /// Whether it is within its dates.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether a certificate is another one than the operator's files had when they were last checked.
    pub(super) fn is_other(&self, cert: &Cert) -> bool {
        matches!(&self.origin, Origin::Files { digest, .. } if *digest != cert.digest())
    }

    /// The name of the operator's directory that it is in; `None` for one that is not.
    #[must_use]
    pub fn folder_name(&self) -> Option<&OsStr> {
        match &self.origin {
            Origin::Files { folder, .. } => folder.file_name(),
            Origin::Store { .. } => None,
        }
    }

    /// The chain (PEM) in the operator's files as they are now; `None` where it is not there. Blocking.
    #[must_use]
    pub fn chain_in_files(&self) -> Option<Vec<u8>> {
        match &self.origin {
            Origin::Files { folder, .. } => brought::read(folder).ok().map(|(chain, _)| chain),
            Origin::Store { .. } => None,
        }
    }

    /// Chain and key, if they have been loaded.
    pub(super) fn ready(&self) -> Option<Arc<CertifiedKey>> {
        self.ready.load_full()
    }

    /// Whether chain and key are there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load().is_some()
    }

    /// Whether what is ready is the version before this one.
    pub(super) fn is_old(&self) -> bool {
        self.is_old.load(Relaxed)
    }

    pub(super) fn fill(&self, key: Arc<CertifiedKey>) {
        self.ready.store(Some(key));
        self.is_old.store(false, Relaxed);
    }
}

/// The same name and the same chain, loaded or not.
impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.origin == other.origin
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("name", &self.name).field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}
