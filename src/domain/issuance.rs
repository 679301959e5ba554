//! [`Issuance`]: how certificates are to be had, as the operator has configured it; [`SealingKey`], which keys at rest are
//! encrypted with.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use super::{host::Host, secret::Secret};

/// How certificates are ordered (`[acme]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuance {
    /// The certificate authority that is asked first.
    pub authority: Authority,
    /// The one that is asked when the first is unreachable or refuses for a reason of its own.
    pub fallback: Option<Authority>,
    /// The kind of key of new certificates, unless a tenant has another.
    pub key: KeyKind,
    /// How hosts are proven, the preferred way first. Wildcards are proven by DNS alone.
    pub challenges: Vec<Challenge>,
    /// A command with its arguments that sets TXT records: with it, wildcards of base domains are ordered.
    pub dns_hook: Option<Vec<String>>,
    /// The addresses that hosts must have.
    pub addresses: Vec<IpAddr>,
    /// A name whose addresses hosts must have.
    pub target: Option<Host>,
    /// Whether DNS is looked at before an order.
    pub precheck: bool,
    /// How long a first handshake waits for its certificate; zero for not at all.
    pub on_demand_wait: Duration,
    /// How much is asked of an authority.
    pub budget: Budget,
}

impl Issuance {
    /// The base domain whose wildcard a host gets: that right above it, with a DNS hook.
    #[must_use]
    pub fn wildcard_above<'b>(&self, host: &Host, base_domains: &'b [Host]) -> Option<&'b Host> {
        let (_, parent) = host.as_str().split_once('.').filter(|_| self.dns_hook.is_some())?;
        base_domains.iter().find(|base| base.as_str() == parent)
    }
}

/// A certificate authority with an ACME directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The address of its directory.
    pub directory: String,
    /// Contacts, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// A PEM file with a further trust root for its own TLS.
    pub root: Option<PathBuf>,
    /// The account that the operator has there otherwise (external account binding).
    pub external_account: Option<ExternalAccount>,
    /// The profile that is asked for, if any.
    pub profile: Option<String>,
}

/// The binding of an ACME account to an account of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key id.
    pub id: String,
    /// The MAC key, as the authority gives it: base64url.
    pub key: Secret,
}

/// The kind of key of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// ECDSA with P-256.
    #[default]
    Ecdsa,
    /// RSA with 2048 bits, for old clients.
    Rsa,
}

impl FromStr for KeyKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ecdsa" => Ok(Self::Ecdsa),
            "rsa" => Ok(Self::Rsa),
            _ => Err("must be \"ecdsa\" or \"rsa\""),
        }
    }
}

/// How a host is proven to an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Challenge {
    /// A file on port 80.
    Http01,
    /// A handshake on port 443.
    TlsAlpn01,
}

impl FromStr for Challenge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            _ => Err("must be \"http-01\" or \"tls-alpn-01\"; wildcards need dns_hook"),
        }
    }
}

/// Bounds of what is asked of an authority. Defaults are under what Let's Encrypt allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Orders of the account in three hours.
    pub orders_of_account: u32,
    /// Orders below one registered domain in seven days.
    pub orders_of_domain: u32,
    /// Orders of one exact name in seven days.
    pub orders_of_name: u32,
    /// Failed orders of a name in an hour.
    pub failures_of_name: u32,
    /// Orders at the same time.
    pub at_once: u32,
}

impl Default for Budget {
    /// Let's Encrypt allows 300, 50, 5 and 5.
    fn default() -> Self {
        Self { orders_of_account: 250, orders_of_domain: 45, orders_of_name: 4, failures_of_name: 4, at_once: 8 }
    }
}

/// Why an authority would refuse a name whatever its DNS says; `None` for a name that it may take.
///
/// Rules of Let's Encrypt and of the CA/Browser Forum's Baseline Requirements (7.1.4.2).
#[must_use]
pub fn refusal_of(name: &Host) -> Option<&'static str> {
    let labels: Vec<&str> = name.as_str().split('.').collect();
    if labels.len() < 2 {
        return Some("has one label only, and a certificate authority issues for public names");
    }
    if name.as_str().contains('_') {
        return Some("has an underscore, which no certificate may name");
    }
    if labels.last().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return Some("is an address or ends like one, and not with a public domain");
    }
    let repeats = labels.iter().enumerate().any(|(n, label)| labels[..n].contains(label));
    if labels.len() >= 4 && repeats {
        return Some("has four labels or more with one of them repeated, which Let's Encrypt refuses");
    }
    None
}

/// A key of 32 bytes that private keys are encrypted with in the store. `Debug` does not show it.
#[derive(Clone)]
pub struct SealingKey(Arc<[u8; 32]>);

impl SealingKey {
    /// The bytes, for the cipher alone.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl Eq for SealingKey {}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for SealingKey {
    type Err = &'static str;

    /// Reads 32 bytes as 64 hexadecimal digits or as base64.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().as_bytes();
        let bytes = match text.len() {
            64 => HEXLOWER_PERMISSIVE.decode(text).ok(),
            43 => BASE64_NOPAD.decode(text).ok(),
            44 => BASE64.decode(text).ok(),
            _ => None,
        };
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self(Arc::new(bytes))).ok_or("must be 32 bytes as base64 or hex: openssl rand -base64 32")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealing_key_is_32_bytes_and_does_not_show_itself() {
        let hex = "00".repeat(32);
        let base64 = BASE64.encode(&[0; 32]);
        let key: SealingKey = hex.parse().expect("hex");
        assert_eq!(base64.parse(), Ok(key.clone()));
        assert_eq!(base64.trim_end_matches('=').parse(), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "[redacted]");
        for wrong in ["", "short", &"0".repeat(63), &"g".repeat(64), &BASE64.encode(&[0; 31])] {
            assert!(wrong.parse::<SealingKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_an_authority_refuses_are_known() {
        for (name, refused) in [
            ("meet.example", false),
            ("localhost", true),
            ("a_b.example", true),
            ("10.0.0.7", true),
            ("a.b.a.example", true),
            ("a.a.example", false),
            ("a.b.c.example", false),
        ] {
            assert_eq!(refusal_of(&name.parse().expect("a host")).is_some(), refused, "{name}");
        }
    }
}
