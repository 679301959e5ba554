//! [`RequestId`]: names a request in the log, on pages and towards the servers that it is forwarded to.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the id, from a trusted front and to servers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An id of a front that is longer is replaced.
const BYTES_MAX: usize = 64;

/// What the ids of this process are made of: a count, and a key that hides it. Ids are shown to tenants, who must not learn
/// from two of them how many requests were in between, nor what the next one is.
static NEXT: AtomicU64 = AtomicU64::new(0);
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The id of a request. Making one allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Origin);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Gateway(u64),
    Front(Arc<str>),
}

impl RequestId {
    /// A new id: 16 hexadecimal digits. Two of one process are the same by chance alone (SipHash of a count).
    #[must_use]
    pub fn make() -> Self {
        Self(Origin::Gateway(KEY.hash_one(NEXT.fetch_add(1, Relaxed))))
    }

    /// The id that a trusted front has set in `X-Request-Id`, or a new one, if there is none or one that is not 1 to 64
    /// characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    #[must_use]
    pub fn of_front(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(REQUEST_ID).iter();
        match (values.next().and_then(legal), values.next()) {
            (Some(id), None) => Self(Origin::Front(id.into())),
            _ => Self::make(),
        }
    }

    /// The id as a header.
    ///
    /// # Panics
    /// Never: all its characters may be in a header.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        let value = match &self.0 {
            Origin::Gateway(id) => HeaderValue::from_bytes(&digits(*id)),
            Origin::Front(id) => HeaderValue::from_str(id),
        };
        value.expect("letters, digits, dots, underscores and hyphens")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Gateway(id) => f.write_str(str::from_utf8(&digits(*id)).unwrap_or_default()),
            Origin::Front(id) => f.write_str(id),
        }
    }
}

fn legal(value: &HeaderValue) -> Option<&str> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().copied().all(is_legal);
    value.to_str().ok().filter(|_| fits)
}

/// The 16 hexadecimal digits of a number.
fn digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(left & 0xf) as usize];
        left >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_request_has_its_own_id_of_16_digits() {
        let ids: HashSet<String> = (0..1000).map(|_| RequestId::make().to_string()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        let id = RequestId(Origin::Gateway(0xf0));
        assert_eq!(
            (id.to_string(), id.to_value()),
            ("00000000000000f0".into(), HeaderValue::from_static("00000000000000f0"))
        );
    }

    #[test]
    fn the_id_of_a_front_is_taken_if_it_is_one_legal_value() {
        let long = "x".repeat(BYTES_MAX);
        let too_long = "x".repeat(BYTES_MAX + 1);
        let cases: [(&[&str], bool); 10] = [
            (&["a"], true),
            (&["7b1c.9_Z-0"], true),
            (&[&long], true),
            (&[&too_long], false),
            (&[""], false),
            (&["a b"], false),
            (&["a\"b"], false),
            (&["\u{e4}"], false),
            (&["a", "b"], false),
            (&[], false),
        ];
        for (values, is_taken) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).expect("legal"));
            }
            let id = RequestId::of_front(&headers);
            assert_eq!(values.first().is_some_and(|value| *value == id.to_string()), is_taken, "{values:?}");
            assert_eq!(id.to_value(), id.to_string(), "{values:?}");
        }
    }
}
