//! Certificates of issuers, each once in memory: the chains of one CA share them.
//!
//! What is shared stays until the process ends, so there is a bound on how many are; a chain beyond it has its own copy.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use rustls::pki_types::CertificateDer;

/// A CA has some four issuing certificates in use, and new ones every year.
const SHARED_MAX: usize = 256;
/// Issuing certificates have 1 to 2 KB.
const BYTES_MAX: usize = 8 * 1024;

/// The same chain, with the certificates behind the first one shared.
pub(super) fn shared(mut chain: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    static SHARED: LazyLock<Mutex<HashSet<&'static [u8]>>> = LazyLock::new(Mutex::default);
    for der in chain.iter_mut().skip(1).filter(|der| der.len() <= BYTES_MAX) {
        let mut all = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&**der).copied();
        let kept = known.or_else(|| {
            let is_full = all.len() >= SHARED_MAX;
            (!is_full).then(|| &*Box::leak(der.to_vec().into_boxed_slice())).inspect(|kept| {
                all.insert(kept);
            })
        });
        if let Some(kept) = kept {
            *der = CertificateDer::from_slice(kept);
        }
    }
    // What a parser grew has room to spare.
    chain.shrink_to_fit();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_one_issuer_share_its_certificate_and_no_leaf() {
        let chain = || shared(vec![CertificateDer::from(vec![1; 40]), CertificateDer::from(vec![2; 40])]);
        let (one, two) = (chain(), chain());
        assert_eq!(one, two);
        assert_eq!(one[1].as_ptr(), two[1].as_ptr());
        assert_ne!(one[0].as_ptr(), two[0].as_ptr());
        let long = || shared(vec![CertificateDer::from(vec![1; 40]), CertificateDer::from(vec![2; BYTES_MAX + 1])]);
        assert_ne!(long()[1].as_ptr(), long()[1].as_ptr(), "no stranger's file stays for ever");
    }
}
