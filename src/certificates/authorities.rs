//! The certificate authorities of the configuration, each with its ACME client.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    acme::{Client, Kind},
    domain::{
        issuance::{Challenge, Issuance},
        time::Clock,
    },
    metrics::AuthorityRole,
};

/// An authority of the configuration.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) role: AuthorityRole,
    pub(super) directory: String,
    pub(super) client: Client,
}

impl Known {
    /// The host of its directory, as people know it.
    pub(super) fn host(&self) -> &str {
        host_of(&self.directory)
    }
}

/// The host of a directory's address.
pub(super) fn host_of(directory: &str) -> &str {
    let rest = directory.strip_prefix("https://").unwrap_or(directory);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Those of a configuration, in the order in which they are asked.
///
/// # Errors
/// In words, when a file with a trust root cannot be read.
pub(super) fn known(issuance: &Issuance, roots: &RootCertStore, clock: &Clock) -> Result<Vec<Known>, String> {
    let main = (AuthorityRole::Main, &issuance.authority);
    let fallback = issuance.fallback.as_ref().map(|authority| (AuthorityRole::Fallback, authority));
    let all = [main].into_iter().chain(fallback);
    all.map(|(role, authority)| {
        let roots = with_root(roots.clone(), authority.root.as_deref())?;
        let client = Client::new(authority.clone(), roots, clock.clone());
        Ok(Known { role, directory: authority.directory.clone(), client })
    })
    .collect()
}

fn with_root(mut roots: RootCertStore, own: Option<&Path>) -> Result<RootCertStore, String> {
    let Some(path) = own else { return Ok(roots) };
    let in_words = |why: String| format!("acme.root {}: {why}", path.display());
    for root in CertificateDer::pem_file_iter(path).map_err(|error| in_words(error.to_string()))? {
        let root = root.map_err(|error| in_words(error.to_string()))?;
        roots.add(root).map_err(|error| in_words(error.to_string()))?;
    }
    Ok(roots)
}

/// The challenge in the words of the protocol.
pub(super) fn challenge(challenge: Challenge) -> Kind {
    match challenge {
        Challenge::Http01 => Kind::Http01,
        Challenge::TlsAlpn01 => Kind::TlsAlpn01,
    }
}
