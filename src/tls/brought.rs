//! [`Certs`]: the certificates that the operator brought, found by host name on every handshake.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use super::{certs::CertName, slot::Slot};
use crate::domain::{host::Host, time::Timestamp};

/// The file of the chain in the directory of a certificate.
pub const CHAIN: &str = "fullchain.pem";
/// The file of the key beside it.
pub const KEY: &str = "privkey.pem";
/// Maximum size of either.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All certificates of the operator, with the look-up that a handshake needs. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Certs(Arc<ByName>);

/// The certificates by their names.
#[derive(Debug, Default)]
struct ByName {
    exact: HashMap<Host, Arc<Slot>>,
    /// Wildcards by their parent name.
    below: HashMap<Host, Arc<Slot>>,
}

impl Certs {
    /// Whether there is a certificate for a host (lower case).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.find(host).any(|_| true)
    }

    /// Whether there is a certificate for exactly this name.
    #[must_use]
    pub fn has(&self, name: &CertName) -> bool {
        match name {
            CertName::Exact(host) => self.0.exact.contains_key(host),
            CertName::Below(parent) => self.0.below.contains_key(parent),
        }
    }

    /// The certificates for a host (lower case): its own, then the wildcard of the name above it.
    pub fn find(&self, host: &str) -> impl Iterator<Item = &Arc<Slot>> {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let below = move || parent.and_then(|parent| self.0.below.get(parent));
        self.0.exact.get(host).into_iter().chain(std::iter::once_with(below).flatten())
    }

    /// Each name, and the last second its certificate is good.
    pub fn expiries(&self) -> impl Iterator<Item = (&CertName, Timestamp)> {
        self.0.exact.values().chain(self.0.below.values()).map(|slot| (&slot.name, slot.not_after))
    }

    /// Number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.exact.len() + self.0.below.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<Arc<Slot>> for Certs {
    fn from_iter<I: IntoIterator<Item = Arc<Slot>>>(slots: I) -> Self {
        let mut all = ByName::default();
        for slot in slots {
            match &slot.name {
                CertName::Exact(host) => all.exact.insert(host.clone(), slot),
                CertName::Below(parent) => all.below.insert(parent.clone(), slot),
            };
        }
        Self(Arc::new(all))
    }
}

/// Chain and key in a directory, as bytes. Blocking.
pub(super) fn read(folder: &Path) -> Result<(Vec<u8>, Vec<u8>), String> {
    let bytes = |file: &str| bytes(&folder.join(file)).map_err(|error| format!("{file} cannot be read: {error}"));
    Ok((bytes(CHAIN)?, bytes(KEY)?))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would never end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certs::Cert;

    fn slot(name: &str) -> Arc<Slot> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a legal name");
        let name: CertName = name.parse().expect("a name");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let cert = Cert::parse(&name, chain.as_bytes(), key.as_bytes()).expect("sound");
        Arc::new(Slot::of_files(name, Path::new("certs").into(), &cert, true))
    }

    #[test]
    fn a_host_finds_its_own_certificate_before_the_wildcard_above_it() {
        let certs: Certs = ["own.b.example", "*.b.example"].map(slot).into_iter().collect();
        let found = |host: &str| certs.find(host).map(|slot| slot.name.to_string()).collect::<Vec<_>>();
        assert_eq!(found("own.b.example"), ["own.b.example", "*.b.example"]);
        assert_eq!(found("any.b.example"), ["*.b.example"]);
        for host in ["b.example", "x.any.b.example", "example", "c.example"] {
            assert!(found(host).is_empty(), "{host}");
            assert!(!certs.covers(host), "{host}");
        }
        let mut names: Vec<String> = certs.expiries().map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        assert_eq!((names.len(), certs.len()), (2, 2));
        assert_eq!(names, ["*.b.example", "own.b.example"]);
    }
}
