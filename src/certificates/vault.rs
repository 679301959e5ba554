//! [`Vault`]: private keys in the store, encrypted. What of a certificate is needed for handshakes comes from here.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::seal::{Kind, SealError, Sealer};
use crate::{
    acme::{AccountKey, Progress},
    domain::issuance::SealingKey,
    store::{CertificateRow, Store},
    tls::{
        certs::CertName,
        issued::{Pair, Source},
    },
};

/// The name of the account's key. One for all authorities.
const ACCOUNT: &str = "acme-account";

/// The store, with the keys to what is encrypted in it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Vault {
    pub(super) store: Store,
    sealer: Arc<Sealer>,
}

impl Vault {
    /// With the keys of `store.encryption_key`, the newest first. Without any, nothing can be read or kept.
    #[must_use]
    pub fn new(store: Store, keys: &[SealingKey]) -> Self {
        Self { store, sealer: Arc::new(Sealer::new(keys)) }
    }

    /// The key of the ACME account, made where there is none yet.
    ///
    /// # Errors
    /// In words: the store fails, or the key is encrypted with one that is not configured.
    pub(super) async fn account(&self) -> Result<AccountKey, String> {
        let fresh = AccountKey::generate().map_err(|failure| failure.text)?;
        let fresh = self.seal(Kind::Account, ACCOUNT, fresh.to_bytes())?;
        let certificates = self.store.certificates();
        let sealed = certificates.sealed_key(ACCOUNT, &fresh).await.map_err(|error| error.to_string())?;
        let opened = self.sealer.open(Kind::Account, ACCOUNT, &sealed);
        let opened = opened.map_err(|why| format!("the key of the ACME account: {why}"))?;
        if opened.is_old {
            let again = self.seal(Kind::Account, ACCOUNT, &opened.plain)?;
            certificates.reseal_key(ACCOUNT, &sealed, &again).await.map_err(|error| error.to_string())?;
        }
        AccountKey::from_bytes(&opened.plain).map_err(|failure| failure.text)
    }

    /// The private key of a certificate, PKCS#8 in DER. One that is encrypted with an old key is encrypted with the newest.
    pub(super) async fn key_of(&self, row: &CertificateRow) -> Result<Vec<u8>, String> {
        let opened = self.sealer.open(Kind::Certificate, &row.name, &row.key);
        let opened = opened.map_err(|why| format!("the key of the certificate of {}: {why}", row.name))?;
        if opened.is_old {
            let again = self.seal(Kind::Certificate, &row.name, &opened.plain)?;
            // The key is there, whether this can be written or not.
            if let Err(error) = self.store.certificates().reseal(&row.name, row.version, &again).await {
                tracing::warn!(name = row.name, %error, "failed to encrypt a key with the newest encryption key");
            }
        }
        Ok(opened.plain)
    }

    /// Encrypts the private key of a certificate.
    pub(super) fn seal_key(&self, name: &str, key: &[u8]) -> Result<Vec<u8>, String> {
        self.seal(Kind::Certificate, name, key)
    }

    /// Encrypts where an order is.
    pub(super) fn seal_progress(&self, name: &str, authority: &str, progress: &Progress) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        for part in [authority.as_bytes(), progress.order.as_bytes()] {
            text.extend_from_slice(part);
            text.push(0);
        }
        text.extend_from_slice(&progress.key);
        self.seal(Kind::Progress, name, &text)
    }

    /// Where an order is, and with which authority; `None` for what cannot be read.
    pub(super) fn open_progress(&self, name: &str, sealed: &[u8]) -> Option<(String, Progress)> {
        let opened = match self.sealer.open(Kind::Progress, name, sealed) {
            Ok(opened) => opened,
            Err(why @ (SealError::Cipher | SealError::UnknownKey | SealError::Damaged)) => {
                tracing::warn!(name, %why, "the order of a certificate cannot be resumed: ordering another one");
                return None;
            }
        };
        let mut parts = opened.plain.splitn(3, |byte| *byte == 0);
        let mut text = || String::from_utf8(parts.next()?.to_vec()).ok();
        let (authority, order) = (text()?, text()?);
        let key = parts.next()?.to_vec();
        Some((authority, Progress { order, key }))
    }

    fn seal(&self, kind: Kind, name: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        self.sealer.seal(kind, name, plain).map_err(|why| format!("{why}: is store.encryption_key set?"))
    }

    async fn pair(&self, name: String) -> Result<Option<Pair>, String> {
        let row = self.store.certificates().certificate(&name).await.map_err(|error| error.to_string())?;
        let Some(row) = row else { return Ok(None) };
        let key = self.key_of(&row).await?;
        Ok(Some((row.chain.into_bytes(), key)))
    }
}

impl Source for Vault {
    fn load(&self, name: &CertName) -> BoxFuture<'static, Result<Option<Pair>, String>> {
        let (vault, name) = (self.clone(), name.to_string());
        Box::pin(async move { vault.pair(name).await })
    }
}
