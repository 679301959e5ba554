//! The crypto provider of TLS: aws-lc, with the HKDF of RustCrypto for TLS 1.3.
//!
//! A handshake derives some twenty secrets. aws-lc sets up a hash on the heap from the key for each of them; RustCrypto's HMAC
//! keeps the state of a key and copies it.

use std::{
    marker::PhantomData,
    sync::{Arc, LazyLock},
};

use hmac::{Hmac, KeyInit, Mac};
use rustls::{
    SupportedCipherSuite, Tls13CipherSuite,
    crypto::{
        self, CipherSuiteCommon, CryptoProvider, aws_lc_rs,
        hash::HashAlgorithm,
        hmac::Tag,
        tls13::{Hkdf, HkdfUsingHmac},
    },
};
use sha2::{Sha256, Sha384};

/// The cryptography of all TLS, towards browsers and towards servers.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let provider = aws_lc_rs::default_provider();
        let cipher_suites = provider.cipher_suites.into_iter().map(with_own_derivation).collect();
        Arc::new(CryptoProvider { cipher_suites, ..provider })
    });
    Arc::clone(&PROVIDER)
}

fn with_own_derivation(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    static SHA256: HkdfUsingHmac<'_> = HkdfUsingHmac(&Hash::<Hmac<Sha256>>(PhantomData));
    static SHA384: HkdfUsingHmac<'_> = HkdfUsingHmac(&Hash::<Hmac<Sha384>>(PhantomData));
    let SupportedCipherSuite::Tls13(theirs) = suite else { return suite };
    let hkdf_provider: &'static dyn Hkdf = match theirs.common.hash_provider.algorithm() {
        HashAlgorithm::SHA256 => &SHA256,
        HashAlgorithm::SHA384 => &SHA384,
        _ => return suite,
    };
    let common = CipherSuiteCommon { ..theirs.common };
    // Three of them, and once.
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite { common, hkdf_provider, ..*theirs })))
}

/// HMAC as an implementation of the trait of rustls.
struct Hash<M>(PhantomData<fn() -> M>);

/// HMAC state after the key.
struct Keyed<M>(M);

impl<M: Mac + KeyInit + Clone + Send + Sync + 'static> crypto::hmac::Hmac for Hash<M> {
    fn with_key(&self, key: &[u8]) -> Box<dyn crypto::hmac::Key> {
        Box::new(Keyed(<M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")))
    }

    fn hash_output_len(&self) -> usize {
        M::output_size()
    }
}

impl<M: Mac + Clone + Send + Sync> crypto::hmac::Key for Keyed<M> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        middle.iter().for_each(|part| mac.update(part));
        mac.update(last);
        Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        M::output_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivations() -> impl Iterator<Item = (&'static dyn Hkdf, &'static dyn Hkdf)> {
        let of = |suite: &SupportedCipherSuite| suite.tls13().map(|suite| suite.hkdf_provider);
        let (ours, theirs) = (provider(), aws_lc_rs::default_provider());
        assert_eq!(ours.cipher_suites, theirs.cipher_suites, "the same suites in the same order");
        let pairs = ours.cipher_suites.iter().map(of).zip(theirs.cipher_suites.iter().map(of)).collect::<Vec<_>>();
        pairs.into_iter().filter_map(|(ours, theirs)| ours.zip(theirs))
    }

    #[test]
    fn what_is_derived_is_what_aws_lc_derives() {
        let mut looked_at = 0;
        for (ours, theirs) in derivations() {
            assert!(!std::ptr::addr_eq(ours, theirs));
            for salt in [None, Some(&b""[..]), Some(&[7; 32]), Some(&[8; 200])] {
                for secret in [&b""[..], b"secret", &[9; 300]] {
                    let expanders = [ours, theirs].map(|hkdf| {
                        [hkdf.extract_from_secret(salt, secret), hkdf.extract_from_zero_ikm(salt)].map(|expander| {
                            let mut long = [0; 100];
                            let info: [&[u8]; 3] = [b"a", b"", secret];
                            expander.expand_slice(&info, &mut long).expect("not too long");
                            let block = expander.expand_block(&info);
                            let mut again = [0; 12];
                            hkdf.expander_for_okm(&block).expand_slice(&[b"b"], &mut again).expect("not too long");
                            let signed = hkdf.hmac_sign(&block, secret);
                            let too_long = &mut vec![0; 255 * expander.hash_len() + 1];
                            assert!(expander.expand_slice(&info, too_long).is_err());
                            (long, block.as_ref().to_vec(), again, signed.as_ref().to_vec(), expander.hash_len())
                        })
                    });
                    assert_eq!(expanders[0], expanders[1]);
                    looked_at += 1;
                }
            }
        }
        assert_eq!(looked_at, 3 * 4 * 3);
    }
}
