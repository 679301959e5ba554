//! [`Kind`] of challenges, what is [`Shown`] for them, and the certificate that answers TLS-ALPN-01 (RFC 8737).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use instant_acme::ChallengeType;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    crypto::aws_lc_rs::sign::any_ecdsa_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::failure::Failure;
use crate::domain::host::Host;

/// Tokens of known CAs have 22 to 43 characters.
const TOKEN_MAX: usize = 128;

/// How it is proved that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file at `http://<name>/.well-known/acme-challenge/<token>` (RFC 8555, 8.3).
    Http01,
    /// A certificate for `acme-tls/1` at port 443 (RFC 8737).
    TlsAlpn01,
    /// A TXT record at `_acme-challenge.<name>` (RFC 8555, 8.4); the only one for wildcards.
    Dns01,
}

impl Kind {
    /// As the protocol and the configuration write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    pub(super) fn is(self, theirs: &ChallengeType) -> bool {
        match self {
            Self::Http01 => *theirs == ChallengeType::Http01,
            Self::TlsAlpn01 => *theirs == ChallengeType::TlsAlpn01,
            Self::Dns01 => *theirs == ChallengeType::Dns01,
        }
    }

    pub(super) fn of_crate(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Dns01 => ChallengeType::Dns01,
        }
    }
}

/// The answer to a challenge, public while it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How it is shown.
    pub kind: Kind,
    /// The name that is proved; for a wildcard, the name below `*.`.
    pub name: Host,
    /// The token of the challenge: base64url, 1 to 128 characters.
    pub token: String,
    /// `<token>.<thumbprint of the account key>`.
    pub key_authorization: String,
}

/// What the name of a TXT record begins with (RFC 8555, 8.4).
pub const RECORD_PREFIX: &str = "_acme-challenge.";

impl Shown {
    /// The name of the TXT record for [`Kind::Dns01`].
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{RECORD_PREFIX}{}", self.name)
    }

    /// The value of the TXT record for [`Kind::Dns01`].
    #[must_use]
    pub fn dns_value(&self) -> String {
        BASE64URL_NOPAD.encode(digest(&SHA256, self.key_authorization.as_bytes()).as_ref())
    }
}

/// Whether a text can be the token of a challenge (RFC 8555, 8.3): base64url, 1 to 128 characters.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The certificate that answers a TLS-ALPN-01 challenge: self-signed, with a key of its own (RFC 8737, 3).
///
/// # Errors
/// [`FailureKind::Local`](super::FailureKind::Local) when the system gives no randomness.
pub fn tls_alpn_certificate(name: &Host, key_authorization: &str) -> Result<Arc<CertifiedKey>, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::local("no certificate for TLS-ALPN-01", &why.to_string());
    let mut params = CertificateParams::new(vec![name.to_string()]).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    let proof = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions.push(CustomExtension::new_acme_identifier(proof.as_ref()));
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = any_ecdsa_type(&der).map_err(|error| failed(&error))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn a_token_is_base64url_of_bounded_length() {
        for (text, legal) in [
            ("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", true),
            ("a", true),
            (&"a".repeat(128), true),
            (&"a".repeat(129), false),
            ("", false),
            ("a.b", false),
            ("../x", false),
            ("a=", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(is_token(text), legal, "{text}");
        }
    }

    #[test]
    fn a_record_has_the_digest_of_the_answer() {
        let name: Host = "meet.example".parse().expect("a host");
        let key_authorization = "token.thumbprint".to_owned();
        let shown = Shown { kind: Kind::Dns01, name, token: "token".into(), key_authorization };
        assert_eq!(shown.dns_name(), "_acme-challenge.meet.example");
        // printf token.thumbprint | openssl dgst -sha256 -binary | basenc --base64url
        assert_eq!(shown.dns_value(), "61rBZ_4knHblO0MNoxFsXZ_eTFUHum0B6IVRbhvUn5I");
    }

    #[test]
    fn a_certificate_for_tls_alpn_has_the_name_and_the_digest_in_a_critical_extension() {
        let name: Host = "meet.example".parse().expect("a host");
        let made = tls_alpn_certificate(&name, "token.thumbprint").expect("randomness");
        let (_, leaf) = X509Certificate::from_der(&made.cert[0]).expect("a certificate");
        let public = made.key.public_key().expect("it has one");
        assert_eq!(public.as_ref(), leaf.public_key().raw, "the key fits");
        let extension = leaf.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let extension = extension.expect("the extension of RFC 8737");
        assert!(extension.critical);
        assert_eq!(extension.value[..2], [4, 32], "an octet string");
        assert_eq!(&extension.value[2..], digest(&SHA256, b"token.thumbprint").as_ref());
        let names = leaf.subject_alternative_name().expect("readable").expect("there").value;
        assert_eq!(names.general_names.len(), 1);
    }
}
