//! What a client of the BigBlueButton API does: encode parameters and sign a call with a shared secret.
//!
//! Source of the rules: BigBlueButton API reference, "API Security Model".

use aws_lc_rs::{digest, hmac};
use serde_json::Value;

/// The hash a checksum is made with. A server tells them apart by the number of hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// 40 hex digits, what the oldest clients use.
    Sha1,
    /// 64 hex digits, the usual choice today.
    Sha256,
    /// 96 hex digits.
    Sha384,
    /// 128 hex digits.
    Sha512,
}

impl Algorithm {
    /// The algorithm whose checksum has this many hex digits, if any has.
    pub fn with_digits(digits: usize) -> Option<Self> {
        match digits {
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            96 => Some(Self::Sha384),
            128 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The hash of `bytes` in lower-case hex.
    pub fn hex(self, bytes: &[u8]) -> String {
        to_hex(digest::digest(self.digest(), bytes).as_ref())
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// Encodes parameters as a query: form-urlencoded, a space becomes `+`, the order is kept.
pub fn encode(params: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        params.iter().map(|(name, value)| format!("{}={}", encode_value(name), encode_value(value))).collect();
    pairs.join("&")
}

/// Encodes one name or value as Java's `URLEncoder` does.
pub fn encode_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push_str(&to_hex(&[byte]).to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// The checksum of a call: the hash of call name, encoded query (without `checksum`) and secret, in lower-case hex.
pub fn checksum(call: &str, query: &str, secret: &str, algorithm: Algorithm) -> String {
    algorithm.hex(format!("{call}{query}{secret}").as_bytes())
}

/// The encoded parameters with their checksum at the end.
pub fn signed_query(call: &str, params: &[(&str, &str)], secret: &str, algorithm: Algorithm) -> String {
    let query = encode(params);
    let checksum = checksum(call, &query, secret, algorithm);
    let separator = if query.is_empty() { "" } else { "&" };
    format!("{query}{separator}checksum={checksum}")
}

/// Path and query of a call signed with SHA-256: `/bigbluebutton/api/<call>?<query>&checksum=<64 hex digits>`.
pub fn path(call: &str, params: &[(&str, &str)], secret: &str) -> String {
    format!("/bigbluebutton/api/{call}?{}", signed_query(call, params, secret, Algorithm::Sha256))
}

/// The URL a person opens to join: `base` is scheme and authority without a final slash.
pub fn join_url(base: &str, params: &[(&str, &str)], secret: &str) -> String {
    format!("{base}{}", path("join", params, secret))
}

/// The algorithm of a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jwt {
    /// That of recordings.
    Hs256,
    /// That of analytics.
    Hs512,
}

/// A JWT (RFC 7519) as a server of BBB makes it.
pub fn jwt(algorithm: Jwt, claims: &Value, secret: &str) -> String {
    let (name, with) = match algorithm {
        Jwt::Hs256 => ("HS256", hmac::HMAC_SHA256),
        Jwt::Hs512 => ("HS512", hmac::HMAC_SHA512),
    };
    let head = format!("{{\"alg\":\"{name}\"}}");
    let signed = format!("{}.{}", base64_url(head.as_bytes()), base64_url(claims.to_string().as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(with, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", base64_url(tag.as_ref()))
}

/// Base64 for addresses, without padding (RFC 4648, 5).
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 2);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digits = (0..=three.len()).map(|at| DIGITS[(number >> (18 - 6 * at) & 63) as usize]);
        text.extend(digits.map(char::from));
    }
    text
}

/// Lower-case hex of bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}
