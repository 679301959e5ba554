//! What goes to the CA to be signed, and the check of what comes back.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use tokio::task::spawn_blocking;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{
    Issued, KeyKind,
    failure::{Failure, FailureKind, printable},
};
use crate::domain::time::Timestamp;

/// Certificates of a chain that are kept: those of known CAs have two to four.
const CHAIN_MAX: usize = 10;

/// The private key of a certificate.
pub(super) struct Key(KeyPair);

impl Key {
    /// A new key. RSA takes a good part of a second, so that it is made aside.
    pub(super) async fn generate(kind: KeyKind) -> Result<Self, Failure> {
        let made = spawn_blocking(move || match kind {
            KeyKind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        });
        match made.await {
            Ok(Ok(pair)) => Ok(Self(pair)),
            Ok(Err(error)) => Err(Failure::local("no key can be made", &error.to_string())),
            Err(_) => Err(Failure::new(FailureKind::Local, "no key can be made")),
        }
    }

    /// A key that was kept: PKCS#8 in DER.
    pub(super) fn read(der: &[u8]) -> Result<Self, Failure> {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(der))
            .map(Self)
            .map_err(|_| Failure::new(FailureKind::Local, "the key of the order cannot be read"))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    /// The request for these names, without a common name: that is limited to 64 characters, and no client looks at it.
    pub(super) fn request(&self, names: &[String]) -> Result<Vec<u8>, Failure> {
        let made = CertificateParams::new(names).and_then(|mut params| {
            params.distinguished_name = DistinguishedName::new();
            params.serialize_request(&self.0)
        });
        made.map(|request| request.der().to_vec())
            .map_err(|error| Failure::local("no request can be made", &error.to_string()))
    }

    /// Checks a chain against what was asked for, and puts it in the form in which it is kept.
    pub(super) fn accept(&self, names: &[String], pem: &str) -> Result<Issued, Failure> {
        let wrong = |what: &str| Failure::new(FailureKind::Refused, format!("the CA has issued {what}"));
        let unreadable = || wrong("a chain that cannot be read");
        let mut chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .take(CHAIN_MAX)
            .collect::<Result<_, _>>()
            .map_err(|_| unreadable())?;
        let is_root = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der).is_ok_and(|(_, root)| root.subject().as_raw() == root.issuer().as_raw())
        };
        while chain.len() > 1 && chain.last().is_some_and(is_root) {
            chain.pop();
        }
        let first = chain.first().ok_or_else(unreadable)?;
        let (_, leaf) = X509Certificate::from_der(first).map_err(|_| unreadable())?;
        if leaf.public_key().subject_public_key.data.as_ref() != self.0.public_key_raw() {
            return Err(wrong("a certificate for another key"));
        }
        let (asked, got) = (names.iter().cloned().collect::<BTreeSet<_>>(), names_of(&leaf));
        if asked != got {
            let got: Vec<_> = got.iter().map(String::as_str).collect();
            return Err(wrong(&format!("a certificate for other names: {}", printable(&got.join(", ")))));
        }
        let [not_before, not_after] =
            [leaf.validity().not_before, leaf.validity().not_after].map(|at| Timestamp::from_secs(at.timestamp()));
        if not_after <= not_before {
            return Err(wrong("a certificate that is never good"));
        }
        let issuer = leaf.issuer();
        let mut by = issuer.iter_common_name().chain(issuer.iter_organization());
        let issuer = by.find_map(|name| name.as_str().ok()).map(printable).unwrap_or_default();
        let chain = chain.iter().map(|der| pem_of(der)).collect();
        Ok(Issued { chain, key: self.to_bytes(), not_before, not_after, issuer, warnings: Vec::new() })
    }
}

/// The names of a certificate, in lower case. What is no DNS name is there by its kind, so that it equals no name.
fn names_of(leaf: &X509Certificate<'_>) -> BTreeSet<String> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => name.to_ascii_lowercase(),
        _ => "(no DNS name)".to_owned(),
    };
    names.into_iter().flat_map(|names| &names.value.general_names).map(name).collect()
}

fn pem_of(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The first certificate of a chain.
pub(super) fn leaf(chain_pem: &str) -> Result<CertificateDer<'static>, Failure> {
    CertificateDer::from_pem_slice(chain_pem.as_bytes())
        .ok()
        .filter(|der| X509Certificate::from_der(der).is_ok())
        .ok_or_else(|| Failure::new(FailureKind::Local, "the certificate cannot be read"))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateSigningRequestParams, DnType, IsCa, Issuer};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn root() -> (String, Issuer<'static, KeyPair>) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "A root");
        let key = KeyPair::generate().expect("randomness");
        let pem = params.self_signed(&key).expect("signed").pem();
        (pem, Issuer::new(params, key))
    }

    fn leaf_for(key: &Key, of: &[&str], issuer: &Issuer<'static, KeyPair>) -> String {
        CertificateParams::new(names(of)).expect("names").signed_by(&key.0, issuer).expect("signed").pem()
    }

    #[tokio::test]
    async fn a_request_has_the_names_and_no_common_name() {
        for kind in [KeyKind::Ecdsa, KeyKind::Rsa] {
            let key = Key::generate(kind).await.expect("a key");
            let again = Key::read(&key.to_bytes()).expect("the same");
            let der = again.request(&names(&["a.example", "*.b.example"])).expect("a request");
            let read = CertificateSigningRequestParams::from_der(&der.into()).expect("readable");
            let sans = read.params.subject_alt_names.len();
            let common_name = read.params.distinguished_name.get(&DnType::CommonName);
            assert_eq!((sans, common_name), (2, None), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_chain_is_taken_when_it_has_our_key_and_exactly_our_names() {
        let (root_pem, issuer) = root();
        let key = Key::generate(KeyKind::Ecdsa).await.expect("a key");
        let other = Key::generate(KeyKind::Ecdsa).await.expect("a key");
        let asked = names(&["a.example", "*.b.example"]);
        let good = leaf_for(&key, &["*.B.example", "A.example"], &issuer);
        for (what, pem, text) in [
            ("case and order", good.clone(), None),
            ("with its root", format!("{good}{root_pem}"), None),
            ("a name more", leaf_for(&key, &["a.example", "*.b.example", "c.example"], &issuer), Some("other names")),
            ("a name less", leaf_for(&key, &["a.example"], &issuer), Some("other names")),
            ("an address", leaf_for(&key, &["a.example", "*.b.example", "192.0.2.1"], &issuer), Some("other names")),
            ("another key", leaf_for(&other, &["a.example", "*.b.example"], &issuer), Some("another key")),
            ("nothing", String::new(), Some("cannot be read")),
            ("no certificate", good.replacen("MI", "QQ", 1), Some("cannot be read")),
        ] {
            let accepted = key.accept(&asked, &pem);
            match (accepted, text) {
                (Ok(issued), None) => {
                    assert_eq!(issued.chain.matches("BEGIN CERTIFICATE").count(), 1, "{what}");
                    assert_eq!(issued.issuer, "A root");
                    assert_eq!(leaf(&issued.chain).expect("read"), leaf(&pem).expect("read"), "{what}");
                }
                (Err(failure), Some(text)) => {
                    assert_eq!(failure.kind, FailureKind::Refused);
                    assert!(failure.text.contains(text), "{what}: {failure}");
                }
                (accepted, _) => panic!("{what}: {accepted:?}"),
            }
        }
    }
}
