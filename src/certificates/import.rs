//! Certificates that come from elsewhere, such as from another ACME client, into the store.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Certificates, schedule};
use crate::{
    domain::time::Timestamp,
    store::{self, CertificateRow},
    tls::certs::{Cert, CertError, CertName},
};

/// Why a certificate is not taken.
#[derive(Debug)]
pub enum ImportError {
    /// It does not fit: the reason in words.
    Unfit(String),
    /// The store has failed.
    Store(store::Error),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(why) => f.write_str(why),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<store::Error> for ImportError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The names that it is kept for.
    pub names: Vec<String>,
    /// The last second it is good.
    pub not_after: Timestamp,
}

impl Certificates {
    /// Takes a chain and its key, both PEM, for each of its names that a host of the configuration has. It is renewed like one
    /// that was ordered here.
    ///
    /// # Errors
    /// When chain and key do not fit, the certificate has expired, is not valid yet or is good for less long than the one that is
    /// there, or no host of the configuration has one of its names.
    pub async fn import(&self, chain: &str, key: &str) -> Result<Imported, ImportError> {
        let unfit = |why: &str| ImportError::Unfit(why.to_owned());
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes())
            .map_err(|_| unfit("the chain has no certificate in PEM form"))?;
        let (names, issuer) = read(&leaf).ok_or_else(|| unfit("the first certificate of the chain cannot be read"))?;
        let hosts = self.hosts.load_full();
        let wanted: Vec<CertName> = names.into_iter().filter(|name| hosts.covered(name).next().is_some()).collect();
        if wanted.is_empty() {
            return Err(unfit("no tenant has a host that the certificate names"));
        }
        let secret = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| unfit("the key file has no private key in PEM form"))?;
        let now = self.clock.now();
        let mut taken = Imported { names: Vec::new(), not_after: Timestamp::EPOCH };
        for name in wanted {
            let cert = Cert::parse(&name, chain.as_bytes(), key.as_bytes()).map_err(in_words)?;
            if cert.not_after < now {
                return Err(ImportError::Unfit(format!("the certificate has expired at {}", cert.not_after)));
            }
            if now < cert.not_before {
                let why = format!("the certificate is not valid before {}: import it then", cert.not_before);
                return Err(ImportError::Unfit(why));
            }
            let text = name.to_string();
            let old = self.store().certificates().certificate(&text).await?;
            if let Some(old) = old.as_ref().filter(|old| cert.not_after < old.not_after) {
                let why =
                    format!("the store has a certificate for {text} that is good until {}, longer", old.not_after);
                return Err(ImportError::Unfit(why));
            }
            let sealed = self.vault.seal_key(&text, secret.secret_der()).map_err(ImportError::Unfit)?;
            let version = old.map_or(now.as_ms(), |old| now.as_ms().max(old.version.saturating_add(1)));
            let row = CertificateRow {
                name: text.clone(),
                chain: chain.to_owned(),
                key: sealed,
                issuer: issuer.clone(),
                authority: String::new(),
                not_before: cert.not_before,
                not_after: cert.not_after,
                version,
            };
            self.put(&name, &row, now).await?;
            self.note_import(&row, now).await?;
            taken.not_after = cert.not_after;
            taken.names.push(text);
        }
        self.wake.notify_one();
        Ok(taken)
    }

    /// A name that needs a certificate has one now.
    async fn note_import(&self, certificate: &CertificateRow, now: Timestamp) -> Result<(), store::Error> {
        let store = self.store().certificates();
        let Some(mut row) = store.domain(&certificate.name).await? else { return Ok(()) };
        row.good_until = certificate.not_after;
        row.authority = None;
        row.renew_at = schedule::renewal(&row.name, certificate.not_before, certificate.not_after);
        let renew_at = row.renew_at;
        row.become_active(now, renew_at);
        store.set_domain(&row).await
    }
}

fn in_words(errors: Vec<CertError>) -> ImportError {
    let texts: Vec<String> = errors
        .into_iter()
        .map(|error| match error {
            CertError::Chain(why) => format!("the chain {why}"),
            CertError::Key(why) => format!("the key {why}"),
        })
        .collect();
    ImportError::Unfit(texts.join("; "))
}

/// The names of a certificate, and who has issued it.
fn read(leaf: &CertificateDer<'_>) -> Option<(Vec<CertName>, String)> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let names = leaf.subject_alternative_name().ok()?;
    let names = names.into_iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => name.parse::<CertName>().ok(),
        _ => None,
    });
    Some((names.collect(), issuer_of(&leaf)))
}

/// The common name of the issuer, else its organisation.
fn issuer_of(leaf: &X509Certificate<'_>) -> String {
    let issuer = leaf.issuer();
    let name = issuer.iter_common_name().chain(issuer.iter_organization()).find_map(|name| name.as_str().ok());
    name.unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(200).collect()
}
