//! The certificate authorities of the configuration, each with its ACME client.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::schedule::RETRY_AFTER_MAX;
use crate::{
    acme::{Client, Failure, Kind},
    domain::{
        issuance::{Challenge, Issuance},
        time::{Clock, Timestamp},
    },
    metrics::AuthorityRole,
};

/// An authority of the configuration.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) role: AuthorityRole,
    pub(super) directory: String,
    pub(super) client: Client,
    pub(super) patience: Patience,
}

/// Until when an authority is not to be asked for a name, by its own word (`Retry-After`). In memory alone: a gateway that has
/// just started asks once, and hears it again.
#[derive(Debug, Default)]
pub(super) struct Patience(Mutex<HashMap<String, Timestamp>>);

impl Patience {
    /// Notes that the authority asks for patience.
    pub(super) fn ask(&self, name: &str, wait: Duration, now: Timestamp) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| now < *until);
        until.insert(name.to_owned(), now.saturating_add(wait.min(RETRY_AFTER_MAX)));
    }

    /// How long the authority is to be left alone.
    pub(super) fn left(&self, name: &str, now: Timestamp) -> Option<Duration> {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Forgets what was asked for.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Known {
    /// The host of its directory, as people know it.
    pub(super) fn host(&self) -> &str {
        host_of(&self.directory)
    }

    /// Notes for how long a failure asks to leave the authority alone, for a name.
    pub(super) fn hear(&self, name: &str, failure: &Failure, now: Timestamp) {
        if let Some(wait) = failure.retry_after {
            self.patience.ask(name, wait, now);
        }
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
        Ok(Known { role, directory: authority.directory.clone(), client, patience: Patience::default() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_left_alone_for_as_long_as_it_asks_and_for_that_name_alone() {
        let (patience, at) = (Patience::default(), Timestamp::from_secs);
        patience.ask("a.example", Duration::from_secs(100), at(1000));
        assert_eq!(patience.left("a.example", at(1040)), Some(Duration::from_secs(60)));
        assert_eq!(patience.left("a.example", at(1100)), None);
        assert_eq!(patience.left("b.example", at(1040)), None);
        patience.ask("b.example", RETRY_AFTER_MAX * 2, at(1100));
        assert_eq!(patience.left("b.example", at(1100)), Some(RETRY_AFTER_MAX));
        assert_eq!(patience.0.lock().expect("sound").len(), 1, "what is over is forgotten");
        patience.forget("b.example");
        assert_eq!(patience.left("b.example", at(1100)), None);
    }
}
