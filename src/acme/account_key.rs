//! [`AccountKey`]: the key of our accounts, and the signatures (JWS, RFC 8555, 6.2) of the requests that instant-acme cannot make:
//! it registers either with a key of one's own or with contact and external account, not with both.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::{BASE64URL_NOPAD, Encoding};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::{
    ExternalAccount,
    challenge::is_token,
    failure::{Failure, FailureKind},
};

/// One ECDSA P-256 key for the accounts at all CAs, so that one thumbprint answers the challenges of all. Clones share it.
#[derive(Clone)]
pub struct AccountKey(Arc<Inner>);

struct Inner {
    pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
    thumbprint: String,
}

impl AccountKey {
    /// A new key.
    ///
    /// # Errors
    /// [`FailureKind::Local`] when the system gives no randomness.
    pub fn generate() -> Result<Self, Failure> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| Failure::new(FailureKind::Local, "no account key can be made"))?;
        Self::from_bytes(made.as_ref())
    }

    /// A key as [`AccountKey::to_bytes`] has written it: PKCS#8 in DER.
    ///
    /// # Errors
    /// [`FailureKind::Local`] when it is no ECDSA P-256 key.
    pub fn from_bytes(pkcs8: &[u8]) -> Result<Self, Failure> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| Failure::new(FailureKind::Local, "the account key is no ECDSA P-256 key in PKCS#8"))?;
        let [x, y] = coordinates(&pair);
        // RFC 7638: the members in this order, without blanks.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = BASE64URL_NOPAD.encode(digest(&SHA256, canonical.as_bytes()).as_ref());
        Ok(Self(Arc::new(Inner { pkcs8: pkcs8.to_vec(), pair, thumbprint })))
    }

    /// The key, to be kept secret: PKCS#8 in DER.
    #[must_use]
    pub fn to_bytes(&self) -> &[u8] {
        &self.0.pkcs8
    }

    /// The thumbprint of the public key (RFC 7638), 43 characters.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// The answer to a challenge with this token, whichever order and CA it belongs to; `None` for what is no token.
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> Option<String> {
        is_token(token).then(|| format!("{token}.{}", self.0.thumbprint))
    }

    pub(super) fn pkcs8(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(self.to_bytes())
    }

    /// A `newAccount` request: signed by the key, which it shows. `None` when the system gives no randomness.
    pub(super) fn sign(&self, payload: &Value, nonce: &str, url: &str) -> Option<Vec<u8>> {
        let protected = json!({ "alg": "ES256", "jwk": self.jwk(), "nonce": nonce, "url": url });
        let signed = signed(&protected, payload, |text| {
            let signature = self.0.pair.sign(&SystemRandom::new(), text);
            signature.map(|signature| signature.as_ref().to_vec()).ok()
        })?;
        Some(signed.to_string().into_bytes())
    }

    /// The proof that the account belongs to a customer of the CA (RFC 8555, 7.3.4).
    pub(super) fn binding(&self, to: &ExternalAccount, url: &str) -> Result<Value, Failure> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &mac_key(to)?);
        let protected = json!({ "alg": "HS256", "kid": to.id, "url": url });
        let bound = signed(&protected, &self.jwk(), |text| Some(hmac::sign(&key, text).as_ref().to_vec()));
        bound.ok_or_else(|| Failure::new(FailureKind::Local, "the external account cannot be bound"))
    }

    fn jwk(&self) -> Value {
        let [x, y] = coordinates(&self.0.pair);
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }
}

fn coordinates(pair: &EcdsaKeyPair) -> [String; 2] {
    // An uncompressed point: a byte 4, and two numbers of 32 bytes.
    let point = pair.public_key().as_ref();
    [1..33, 33..65].map(|part| BASE64URL_NOPAD.encode(point.get(part).unwrap_or_default()))
}

fn signed(protected: &Value, payload: &Value, sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Value> {
    let [protected, payload] = [protected, payload].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Some(json!({ "protected": protected, "payload": payload, "signature": BASE64URL_NOPAD.encode(&signature) }))
}

/// The key as CAs print it: base64 with either alphabet, padded or not.
fn mac_key(of: &ExternalAccount) -> Result<Vec<u8>, Failure> {
    const ENCODING: Encoding = BASE64URL_NOPAD;
    let text = of.key.reveal().trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    match ENCODING.decode(text.as_bytes()) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(Failure::new(FailureKind::Local, "the key of the external account is no base64")),
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountKey").field(&self.0.thumbprint).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    #[test]
    fn a_key_that_was_kept_has_the_same_thumbprint_and_does_not_show_itself() {
        let key = AccountKey::generate().expect("randomness");
        let again = AccountKey::from_bytes(key.to_bytes()).expect("a key");
        assert_eq!(key.thumbprint(), again.thumbprint());
        assert_eq!(key.thumbprint().len(), 43);
        assert_eq!(format!("{key:?}"), format!("AccountKey({:?})", key.thumbprint()));
        assert_eq!(key.key_authorization("a-token_1"), Some(format!("a-token_1.{}", key.thumbprint())));
        assert_eq!(key.key_authorization("../etc"), None);
        assert_eq!(AccountKey::from_bytes(b"no key").map_err(|failure| failure.kind).err(), Some(FailureKind::Local));
    }

    #[test]
    fn the_key_of_an_external_account_is_read_in_the_forms_that_cas_print() {
        let key = |text: &str| mac_key(&ExternalAccount { id: "a".into(), key: Secret::new(text) });
        for text in ["-_-_", "+/+/", " -_-_\n"] {
            assert_eq!(key(text), Ok(vec![0xfb, 0xff, 0xbf]), "{text:?}");
        }
        assert_eq!(key("YQ=="), Ok(b"a".to_vec()));
        for text in ["", "not base64!", "a"] {
            assert_eq!(key(text).map_err(|failure| failure.kind), Err(FailureKind::Local), "{text:?}");
        }
    }
}
