//! Encryption of keys at rest: AES-256-GCM with a key of the operator. What a text is and whose is authenticated with it, so that
//! no row can stand in for another one.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
};

use crate::domain::issuance::SealingKey;

/// The form of what is sealed: this byte, the name of the key, the nonce, the ciphertext with its tag.
const FORM: u8 = 1;
const KEY_NAME_LEN: usize = 4;
const NONCE_LEN: usize = 12;
const HEAD_LEN: usize = 1 + KEY_NAME_LEN + NONCE_LEN;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The private key of a certificate.
    Certificate,
    /// The key of an ACME account.
    Account,
    /// The private key and the address of an order under way.
    Progress,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Account => "account",
            Self::Progress => "progress",
        }
    }
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealError {
    /// No key is configured, or the cipher failed.
    Cipher,
    /// It is sealed with a key that is not in `store.encryption_key`.
    UnknownKey,
    /// It was changed, is of another name, or is nothing sealed.
    Damaged,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cipher => "encryption failed",
            Self::UnknownKey => "it is encrypted with a key that store.encryption_key does not have",
            Self::Damaged => "what the store has is damaged, or of another name",
        })
    }
}

/// What was sealed.
pub(super) struct Opened {
    pub(super) plain: Vec<u8>,
    /// Whether it is sealed with a key that is not the newest.
    pub(super) is_old: bool,
}

/// Seals with the newest key, and opens with all.
pub(super) struct Sealer {
    keys: Vec<([u8; KEY_NAME_LEN], RandomizedNonceKey)>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish()
    }
}

impl Sealer {
    /// With these keys, the newest first.
    pub(super) fn new(keys: &[SealingKey]) -> Self {
        let named = keys.iter().filter_map(|key| {
            let hash = digest(&SHA256, key.reveal());
            let name = hash.as_ref().first_chunk().copied()?;
            Some((name, RandomizedNonceKey::new(&AES_256_GCM, key.reveal()).ok()?))
        });
        Self { keys: named.collect() }
    }

    /// Seals a text.
    pub(super) fn seal(&self, kind: Kind, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (key_name, key) = self.keys.first().ok_or(SealError::Cipher)?;
        let mut text = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(about(kind, name)), &mut text);
        let nonce = nonce.map_err(|_| SealError::Cipher)?;
        let mut sealed = Vec::with_capacity(HEAD_LEN + text.len());
        sealed.push(FORM);
        sealed.extend_from_slice(key_name);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens a sealed text.
    pub(super) fn open(&self, kind: Kind, name: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        let (head, text) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Damaged)?;
        let (form, key_name, nonce) = (head[0], &head[1..=KEY_NAME_LEN], &head[1 + KEY_NAME_LEN..]);
        if form != FORM {
            return Err(SealError::Damaged);
        }
        let place = self.keys.iter().position(|(name, _)| name == key_name).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = text.to_vec();
        let opened = self.keys[place].1.open_in_place(nonce, Aad::from(about(kind, name)), &mut text);
        let plain = opened.map_err(|_| SealError::Damaged)?.to_vec();
        Ok(Opened { plain, is_old: place > 0 })
    }
}

/// What is authenticated beside the text.
fn about(kind: Kind, name: &str) -> Vec<u8> {
    format!("anteroom {}\0{name}", kind.as_str()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        data_encoding::HEXLOWER.encode(&[byte; 32]).parse().expect("a key")
    }

    fn opened(by: &Sealer, kind: Kind, name: &str, sealed: &[u8]) -> Result<(Vec<u8>, bool), SealError> {
        by.open(kind, name, sealed).map(|opened| (opened.plain, opened.is_old))
    }

    #[test]
    fn what_is_sealed_opens_with_its_kind_and_name_only() {
        let sealer = Sealer::new(&[key(1)]);
        let sealed = sealer.seal(Kind::Certificate, "a.example", b"hush").expect("sealed");
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        assert_ne!(sealed, sealer.seal(Kind::Certificate, "a.example", b"hush").expect("sealed"), "another nonce");
        assert_eq!(opened(&sealer, Kind::Certificate, "a.example", &sealed), Ok((b"hush".to_vec(), false)));
        assert_eq!(opened(&sealer, Kind::Certificate, "b.example", &sealed), Err(SealError::Damaged));
        assert_eq!(opened(&sealer, Kind::Account, "a.example", &sealed), Err(SealError::Damaged));
        for at in [0, 6, HEAD_LEN, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&sealer, Kind::Certificate, "a.example", &changed), Err(SealError::Damaged), "{at}");
        }
        assert_eq!(opened(&sealer, Kind::Certificate, "a.example", b"short"), Err(SealError::Damaged));
    }

    #[test]
    fn the_newest_key_seals_and_all_open() {
        let (old, both) = (Sealer::new(&[key(1)]), Sealer::new(&[key(2), key(1)]));
        let sealed = old.seal(Kind::Account, "account", b"hush").expect("sealed");
        assert_eq!(opened(&both, Kind::Account, "account", &sealed), Ok((b"hush".to_vec(), true)));
        let again = both.seal(Kind::Account, "account", b"hush").expect("sealed");
        assert_eq!(opened(&old, Kind::Account, "account", &again), Err(SealError::UnknownKey));
        assert_eq!(Sealer::new(&[]).seal(Kind::Account, "account", b"hush"), Err(SealError::Cipher));
    }
}
