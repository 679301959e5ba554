//! The algorithms that BBB signs with.

use aws_lc_rs::digest;

/// An algorithm of a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 40 hexadecimal digits.
    Sha1,
    /// 64.
    Sha256,
    /// 96.
    Sha384,
    /// 128.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The algorithm whose digest has so many bytes: BBB tells it by nothing else.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.digest().output_len() == bytes)
    }

    /// Its name, such as `SHA-256`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    pub(in crate::bbb) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_known_by_its_length() {
        for (algorithm, bytes) in Algorithm::ALL.into_iter().zip([20, 32, 48, 64]) {
            assert_eq!(Algorithm::of_bytes(bytes), Some(algorithm));
        }
        assert_eq!(Algorithm::of_bytes(16), None);
    }
}
