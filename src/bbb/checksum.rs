//! The checksum of an API call: verified against a tenant's secrets, made with a server's.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::query::{ChecksumPosition, split_checksum};
use crate::domain::{secret::Secret, tenant::Credential};

/// Why a call is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumError {
    /// The query has no checksum.
    Missing,
    /// The query has two, or its value is no digest of a known length.
    Malformed,
    /// It fits none of the secrets.
    Mismatch,
}

/// Verifies a call against all secrets of a tenant.
///
/// `call` is the call's name as in its path, `raw_query` the query exactly as received. The algorithm is told by the
/// digest's length (SHA-1, SHA-256, SHA-384, SHA-512). All comparisons take constant time.
///
/// # Errors
/// See [`ChecksumError`].
pub fn verify<'a>(call: &str, raw_query: &str, credentials: &'a [Credential]) -> Result<&'a Credential, ChecksumError> {
    let (rest, checksum) = split_checksum(raw_query).map_err(|position| match position {
        ChecksumPosition::Missing => ChecksumError::Missing,
        ChecksumPosition::Doubled => ChecksumError::Malformed,
    })?;
    verify_digest(call, &rest, checksum, credentials)
}

/// Verifies a call whose digest came apart from its query.
///
/// # Errors
/// See [`ChecksumError`].
pub fn verify_digest<'a>(
    call: &str,
    query: &str,
    checksum: &str,
    credentials: &'a [Credential],
) -> Result<&'a Credential, ChecksumError> {
    let given = HEXLOWER_PERMISSIVE.decode(checksum.as_bytes()).map_err(|_| ChecksumError::Malformed)?;
    let algorithm = algorithm_of(given.len()).ok_or(ChecksumError::Malformed)?;
    credentials
        .iter()
        .find(|credential| {
            credential.secrets.iter().any(|secret| {
                let digest = hash(algorithm, call, query, secret);
                verify_slices_are_equal(digest.as_ref(), &given).is_ok()
            })
        })
        .ok_or(ChecksumError::Mismatch)
}

/// Signs one call with SHA-256.
///
/// `query` is the encoded query without `checksum`. Returns 64 lower-case hex digits.
/// Source: BigBlueButton API reference, "API Security Model".
#[must_use]
pub fn sign(call: &str, query: &str, secret: &Secret) -> String {
    HEXLOWER.encode(hash(&digest::SHA256, call, query, secret).as_ref())
}

fn hash(algorithm: &'static digest::Algorithm, call: &str, query: &str, secret: &Secret) -> digest::Digest {
    let mut context = digest::Context::new(algorithm);
    context.update(call.as_bytes());
    context.update(query.as_bytes());
    context.update(secret.reveal().as_bytes());
    context.finish()
}

fn algorithm_of(bytes: usize) -> Option<&'static digest::Algorithm> {
    match bytes {
        20 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        32 => Some(&digest::SHA256),
        48 => Some(&digest::SHA384),
        64 => Some(&digest::SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vector of BBB's API reference.
    const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
    const QUERY: &str = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444";
    const SHA1: &str = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";

    fn credentials() -> Vec<Credential> {
        vec![
            Credential { name: "old".into(), secrets: vec![Secret::new("another")] },
            Credential { name: "new".into(), secrets: vec![Secret::new("a-third"), Secret::new(SECRET)] },
        ]
    }

    fn verdict(query: &str) -> Result<String, ChecksumError> {
        verify("create", query, &credentials()).map(|credential| credential.name.to_string())
    }

    #[test]
    fn the_published_vector_fits_wherever_the_checksum_stands() {
        let upper = SHA1.to_uppercase();
        for query in [
            format!("{QUERY}&checksum={SHA1}"),
            format!("checksum={SHA1}&{QUERY}"),
            QUERY.replace("&attendeePW", &format!("&checksum={SHA1}&attendeePW")),
            format!("{QUERY}&checksum={upper}"),
        ] {
            assert_eq!(verdict(&query).as_deref(), Ok("new"), "{query}");
        }
    }

    #[test]
    fn all_four_algorithms_are_told_by_their_length() {
        for (algorithm, digits) in [
            (&digest::SHA1_FOR_LEGACY_USE_ONLY, 40),
            (&digest::SHA256, 64),
            (&digest::SHA384, 96),
            (&digest::SHA512, 128),
        ] {
            let sum = HEXLOWER.encode(hash(algorithm, "create", QUERY, &Secret::new(SECRET)).as_ref());
            assert_eq!(sum.len(), digits);
            assert!(verdict(&format!("{QUERY}&checksum={sum}")).is_ok(), "{digits} digits");
        }
        assert_eq!(sign("create", QUERY, &Secret::new(SECRET)).len(), 64);
    }

    #[test]
    fn what_bbb_would_not_accept_is_not_accepted() {
        for (query, error) in [
            (QUERY.to_owned(), ChecksumError::Missing),
            (format!("{QUERY}&Checksum={SHA1}"), ChecksumError::Missing),
            (format!("{QUERY}&checksum="), ChecksumError::Malformed),
            (format!("{QUERY}&checksum=%31{}", &SHA1[1..]), ChecksumError::Malformed),
            (format!("{QUERY}&checksum={SHA1}&checksum={SHA1}"), ChecksumError::Malformed),
            (format!("{QUERY}&checksum={}", &SHA1[2..]), ChecksumError::Malformed),
            (format!("{QUERY}&x=1&checksum={SHA1}"), ChecksumError::Mismatch),
            (format!("{}&checksum={SHA1}", QUERY.replace('+', "%20")), ChecksumError::Mismatch),
        ] {
            assert_eq!(verdict(&query), Err(error), "{query}");
        }
        assert_eq!(
            verify("join", &format!("{QUERY}&checksum={SHA1}"), &credentials()),
            Err(ChecksumError::Mismatch),
            "the call's name is part of what is hashed"
        );
    }
}
