//! [`Cert`]: a certificate with its key, parsed and checked against each other and against the name that it is for.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::intermediates;
use crate::domain::{
    host::{Host, HostError},
    time::Timestamp,
};

/// SHA-256 of a chain.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// What a certificate is for: one host, or every host one label below a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertName {
    /// This host only.
    Exact(Host),
    /// `*.<name>`.
    Below(Host),
}

impl FromStr for CertName {
    type Err = HostError;

    /// Reads the name of a directory: a host, `*.<name>` or, friendlier to shells, `_.<name>`.
    fn from_str(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix("*.").or_else(|| text.strip_prefix("_.")) {
            Some(parent) => parent.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// A fault of a certificate or key, by the file to correct. Never shows the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertError {
    /// The chain.
    Chain(String),
    /// The key, or that it belongs to another certificate.
    Key(String),
}

/// A certificate with its key, ready to sign.
#[derive(Debug)]
pub struct Cert {
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// The first second it is good.
    pub not_before: Timestamp,
    /// The last second it is good.
    pub not_after: Timestamp,
    unlinked: Option<usize>,
}

impl Cert {
    /// Reads a chain (the certificate of the host first) in PEM and its key in PEM or DER, and checks that they belong
    /// together and to `name`. The dates are left to the caller.
    ///
    /// # Errors
    /// Everything that is wrong with either file.
    pub fn parse(name: &CertName, chain: &[u8], key: &[u8]) -> Result<Self, Vec<CertError>> {
        let (chain, key) = (unmarked(chain), unmarked(key));
        let signer = read_key(key).and_then(|der| {
            any_supported_type(&der).map_err(|_| {
                CertError::Key("is a kind of key that is not supported; ECDSA P-256 and RSA 2048 are".into())
            })
        });
        let leaf = read_chain(chain).and_then(|chain| {
            let (dates, unlinked) = check_chain(name, &chain)?;
            Ok((chain, dates, unlinked))
        });
        let (signer, (chain, (not_before, not_after), unlinked)) = match (signer, leaf) {
            (Ok(signer), Ok(leaf)) => (signer, leaf),
            (signer, leaf) => return Err(leaf.err().into_iter().chain(signer.err()).collect()),
        };
        let key = CertifiedKey::new(intermediates::shared(chain), signer);
        match key.keys_match() {
            Ok(()) => Ok(Self { key: Arc::new(key), not_before, not_after, unlinked }),
            Err(_) => Err(vec![CertError::Key("does not fit the first certificate of fullchain.pem".into())]),
        }
    }
}

impl Cert {
    /// Whether it is within its dates.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// The first certificate of the chain, from 1, that the one behind it has not issued: clients may find no way to a root.
    #[must_use]
    pub fn unlinked(&self) -> Option<usize> {
        self.unlinked
    }

    /// What tells this chain from others. The same chain has the same key: `parse` has tied each key to its certificate.
    pub(super) fn digest(&self) -> Digest {
        let mut of = digest::Context::new(&SHA256);
        for der in &self.key.cert {
            of.update(&der.len().to_be_bytes());
            of.update(der);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(of.finish().as_ref());
        digest
    }
}

/// The key in a file (PEM) or a row (DER).
fn read_key(bytes: &[u8]) -> Result<PrivateKeyDer<'_>, CertError> {
    match PrivateKeyDer::try_from(bytes) {
        Ok(der) => Ok(der),
        Err(_) => PrivateKeyDer::from_pem_slice(bytes).map_err(|_| CertError::Key(no_key(bytes).into())),
    }
}

/// Removes a byte order mark, which some editors write and PEM parsers do not accept.
fn unmarked(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem)
}

/// The reason why a file has no usable key.
fn no_key(pem: &[u8]) -> &'static str {
    let is_encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
    if is_encrypted { "is encrypted: a key without a password is needed" } else { "has no private key in PEM form" }
}

/// Replaces an error by a clearer one when the certificate of the host is in the chain, but not the first.
fn in_order(name: &CertName, chain: &[X509Certificate<'_>], why: CertError) -> CertError {
    match chain.iter().skip(1).position(|cert| check_leaf(name, cert).is_ok()) {
        Some(at) => CertError::Chain(format!(
            "is in the wrong order: the certificate of {name} must come first, and is number {}",
            at + 2
        )),
        None => why,
    }
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let mut chain = Vec::new();
    for (nth, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
        chain.push(der.map_err(|_| unreadable(nth))?);
    }
    if chain.is_empty() {
        return Err(CertError::Chain("has no certificate in PEM form".into()));
    }
    Ok(chain)
}

/// From when to when something is good.
type Dates = (Timestamp, Timestamp);

/// Checks a chain that is not empty: from when to when its leaf is good, and which one the next has not issued, from 1.
fn check_chain(name: &CertName, chain: &[CertificateDer<'_>]) -> Result<(Dates, Option<usize>), CertError> {
    let parsed = chain
        .iter()
        .enumerate()
        .map(|(nth, der)| X509Certificate::from_der(der).map(|(_, cert)| cert).map_err(|_| unreadable(nth)));
    let chain: Vec<X509Certificate<'_>> = parsed.collect::<Result<_, _>>()?;
    let dates = check_leaf(name, &chain[0]).map_err(|why| in_order(name, &chain, why))?;
    let is_linked = |pair: &[X509Certificate<'_>]| pair[0].issuer().as_raw() == pair[1].subject().as_raw();
    let unlinked = chain.windows(2).position(|pair| !is_linked(pair)).map(|at| at + 1);
    Ok((dates, unlinked))
}

/// The fault of the `nth` certificate of a chain, from 0.
fn unreadable(nth: usize) -> CertError {
    CertError::Chain(format!("its certificate {} cannot be read", nth + 1))
}

/// Checks that a certificate names the host; returns from when to when it is good.
fn check_leaf(name: &CertName, leaf: &X509Certificate<'_>) -> Result<Dates, CertError> {
    let names = leaf
        .subject_alternative_name()
        .map_err(|_| CertError::Chain("its certificate 1 has unreadable names".into()))?;
    let mut names = names.into_iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    if !names.any(|san| covers(san, name)) {
        return Err(CertError::Chain(format!("its certificate 1 does not name {name}")));
    }
    let validity = leaf.validity();
    let [from, until] = [validity.not_before, validity.not_after].map(|at| Timestamp::from_secs(at.timestamp()));
    Ok((from, until))
}

/// Whether a name in a certificate covers a host. A wildcard stands for one whole label (RFC 9525, 6.3).
fn covers(san: &str, name: &CertName) -> bool {
    match (san.strip_prefix("*."), name) {
        (Some(parent), CertName::Below(below)) => parent.eq_ignore_ascii_case(below.as_str()),
        (Some(parent), CertName::Exact(host)) => {
            host.as_str().split_once('.').is_some_and(|(_, rest)| parent.eq_ignore_ascii_case(rest))
        }
        (None, CertName::Exact(host)) => san.eq_ignore_ascii_case(host.as_str()),
        (None, CertName::Below(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pems(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("names are legal");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn name(text: &str) -> CertName {
        text.parse().expect("a name")
    }

    fn parse(for_name: &str, names: &[&str]) -> Result<Cert, Vec<CertError>> {
        let (chain, key) = pems(names);
        Cert::parse(&name(for_name), chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_certificate_must_name_what_it_is_for() {
        for (for_name, names, good) in [
            ("a.example", &["a.example"][..], true),
            ("a.example", &["b.example", "A.Example"], true),
            ("a.example", &["b.example"], false),
            ("a.b.example", &["*.b.example"], true),
            ("x.a.b.example", &["*.b.example"], false),
            ("b.example", &["*.b.example"], false),
            ("*.b.example", &["*.b.example"], true),
            ("_.b.example", &["*.b.example"], true),
            ("*.b.example", &["a.b.example", "b.example"], false),
        ] {
            assert_eq!(parse(for_name, names).is_ok(), good, "{for_name} by {names:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_chain_and_key_is_told_for_both() {
        let (chain, key) = pems(&["a.example"]);
        let (_, other_key) = pems(&["a.example"]);
        let broken = chain.replacen("MI", "QQ", 1);
        let read = |chain: &str, key: &str| {
            Cert::parse(&name("a.example"), chain.as_bytes(), key.as_bytes()).err().unwrap_or_default()
        };
        assert_eq!(read(&chain, &key), []);
        assert_eq!(
            read("", "x"),
            [
                CertError::Chain("has no certificate in PEM form".into()),
                CertError::Key("has no private key in PEM form".into()),
            ]
        );
        assert_eq!(read(&broken, &key), [CertError::Chain("its certificate 1 cannot be read".into())]);
        assert_eq!(
            read(&format!("{chain}{broken}"), &key),
            [CertError::Chain("its certificate 2 cannot be read".into())]
        );
        assert_eq!(
            read(&chain, &other_key),
            [CertError::Key("does not fit the first certificate of fullchain.pem".into())]
        );
    }

    #[test]
    fn what_is_hard_to_see_in_a_chain_is_told() {
        let (chain, key) = pems(&["a.example"]);
        let mut other = rcgen::CertificateParams::new(vec!["ca.example".to_owned()]).expect("a name");
        other.distinguished_name.push(rcgen::DnType::CommonName, "another");
        let other = other.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").pem();
        let read = |chain: &str, key: &str| Cert::parse(&name("a.example"), chain.as_bytes(), key.as_bytes());
        let fault = |chain: &str, key: &str| read(chain, key).err().unwrap_or_default();
        assert_eq!(
            fault(&format!("{other}{chain}"), &key),
            [CertError::Chain(
                "is in the wrong order: the certificate of a.example must come first, and is number 2".into()
            )]
        );
        let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert_eq!(fault(&chain, &locked), [CertError::Key("is encrypted: a key without a password is needed".into())]);
        let marked = read(&format!("\u{feff}{chain}"), &format!("\u{feff}{}", key.replace('\n', "\r\n")));
        assert_eq!(marked.ok().and_then(|cert| cert.unlinked()), None);
        assert_eq!(read(&format!("{chain}{other}"), &key).ok().and_then(|cert| cert.unlinked()), Some(1));
        assert!(read(&format!("\u{feff}{chain}"), &key).is_ok(), "a mark hides no certificate");
    }
}
