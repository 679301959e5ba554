//! Checksum of an API call: verified with the secrets of a tenant, created with the secret of a server.

mod algorithm;
mod diagnosis;
pub mod form;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

pub use algorithm::Algorithm;
pub use diagnosis::{Diagnosis, diagnose};

use super::{answer::Failure, query::split_checksum};
use crate::domain::{
    secret::Secret,
    tenant::{ApiSecret, Credential},
    time::Timestamp,
};

/// The signer of a call.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The credential: the account of the call.
    pub credential: &'a Credential,
    /// The one of its secrets that fits.
    pub secret: &'a ApiSecret,
}

/// Verifies a call against all secrets of a tenant that are good `now`.
///
/// `call` is the call's name as in its path, `raw_query` the query exactly as received. The algorithm is known by the
/// digest's length (SHA-1, SHA-256, SHA-384, SHA-512). All comparisons take constant time.
///
/// `None` where the query has no checksum, or an empty one.
///
/// # Errors
/// [`Failure::CHECKSUM`] where it has two, or one that is no digest or fits none of the secrets.
pub fn verify<'a>(
    call: &str,
    raw_query: &str,
    credentials: &'a [Credential],
    now: Timestamp,
) -> Result<Option<Signer<'a>>, Failure> {
    match split_checksum(raw_query)? {
        None | Some((_, "")) => Ok(None),
        Some((rest, checksum)) => verify_digest(call, &rest, checksum, credentials, now).map(Some),
    }
}

/// Verifies a call whose digest came apart from its query.
///
/// # Errors
/// [`Failure::CHECKSUM`] where it is no digest or fits none of the secrets.
pub fn verify_digest<'a>(
    call: &str,
    query: &str,
    checksum: &str,
    credentials: &'a [Credential],
    now: Timestamp,
) -> Result<Signer<'a>, Failure> {
    signer(call, query, checksum, credentials, |secret| secret.is_good(now)).ok_or(Failure::CHECKSUM)
}

/// Finds the secret that a digest was made with, among those that may be taken.
fn signer<'a>(
    call: &str,
    query: &str,
    checksum: &str,
    credentials: &'a [Credential],
    may: impl Fn(&ApiSecret) -> bool,
) -> Option<Signer<'a>> {
    let given = Given::read(checksum)?;
    // Hashed once, however many secrets there are.
    let signed = Signed::new(given.algorithm.digest(), call, query);
    let fits = |secret: &ApiSecret| may(secret) && given.is(&signed.with(&secret.secret));
    credentials.iter().find_map(|credential| {
        let secret = credential.secrets.iter().find(|secret| fits(secret))?;
        Some(Signer { credential, secret })
    })
}

/// Whether a server has signed a call itself. `raw_query` is the query exactly as received. Takes constant time.
#[must_use]
pub fn is_signed_with(call: &str, raw_query: &str, secret: &Secret) -> bool {
    let Ok(Some((rest, checksum))) = split_checksum(raw_query) else { return false };
    Given::read(checksum).is_some_and(|given| given.is(&hash(given.algorithm.digest(), call, &rest, secret)))
}

/// A digest that came with a call.
pub(super) struct Given {
    digest: Vec<u8>,
    /// The algorithm of that length.
    pub(super) algorithm: Algorithm,
}

impl Given {
    /// `None` for what is no digest of a known length.
    pub(super) fn read(checksum: &str) -> Option<Self> {
        let digest = HEXLOWER_PERMISSIVE.decode(checksum.as_bytes()).ok()?;
        let algorithm = Algorithm::of_bytes(digest.len())?;
        Some(Self { digest, algorithm })
    }

    /// Compares in constant time.
    pub(super) fn is(&self, own: &digest::Digest) -> bool {
        verify_slices_are_equal(own.as_ref(), &self.digest).is_ok()
    }
}

/// Signs one call with SHA-256.
///
/// `query` is the encoded query without `checksum`. Returns 64 lower-case hex digits.
/// Source: BigBlueButton API reference, "API Security Model".
#[must_use]
pub fn sign(call: &str, query: &str, secret: &Secret) -> String {
    sign_with(Algorithm::Sha256, call, query, secret)
}

/// The same with another algorithm.
#[must_use]
pub fn sign_with(algorithm: Algorithm, call: &str, query: &str, secret: &Secret) -> String {
    HEXLOWER.encode(hash(algorithm.digest(), call, query, secret).as_ref())
}

fn hash(algorithm: &'static digest::Algorithm, call: &str, query: &str, secret: &Secret) -> digest::Digest {
    Signed::new(algorithm, call, query).finish(secret)
}

/// What is signed of a call, hashed up to its secret.
struct Signed(digest::Context);

impl Signed {
    fn new(algorithm: &'static digest::Algorithm, call: &str, query: &str) -> Self {
        #[cfg(test)]
        tests::HASHED.set(tests::HASHED.get() + 1);
        let mut context = digest::Context::new(algorithm);
        context.update(call.as_bytes());
        context.update(query.as_bytes());
        Self(context)
    }

    /// The digest with one of several secrets.
    fn with(&self, secret: &Secret) -> digest::Digest {
        Self(self.0.clone()).finish(secret)
    }

    fn finish(mut self, secret: &Secret) -> digest::Digest {
        self.0.update(secret.reveal().as_bytes());
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;
    use crate::domain::fixtures::credential;

    // The vector of BBB's API reference.
    const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
    const QUERY: &str = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444";
    const SHA1: &str = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn credentials() -> Vec<Credential> {
        vec![credential("old", &["another"]), credential("new", &["a-third", SECRET])]
    }

    fn verdict(query: &str) -> Result<Option<String>, Failure> {
        let credentials = credentials();
        let signer = verify("create", query, &credentials, NOW);
        signer.map(|signer| signer.map(|signer| signer.secret.label.to_string()))
    }

    thread_local! {
        /// How often a text that is signed was hashed.
        pub(super) static HASHED: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn what_is_signed_is_hashed_once_for_all_secrets() {
        let many: Vec<String> = (0..40).map(|n| format!("secret-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let credentials = [credential("old", &many), credential("new", &[&many[..], &[SECRET]].concat())];
        for (checksum, fits) in [(SHA1, true), (&*SHA1.replace('1', "2"), false)] {
            HASHED.set(0);
            let found = verify("create", &format!("{QUERY}&checksum={checksum}"), &credentials, NOW);
            assert_eq!((found.is_ok(), HASHED.get()), (fits, 1), "{checksum}");
        }
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
            assert_eq!(verdict(&query), Ok(Some("new/2".to_owned())), "{query}");
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
            assert!(
                verdict(&format!("{QUERY}&checksum={sum}")).is_ok_and(|signer| signer.is_some()),
                "{digits} digits"
            );
        }
        assert_eq!(sign("create", QUERY, &Secret::new(SECRET)).len(), 64);
    }

    #[test]
    fn a_server_has_signed_what_fits_its_own_secret() {
        let secret = Secret::new(SECRET);
        for algorithm in [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256, &digest::SHA384, &digest::SHA512] {
            let sum = HEXLOWER.encode(hash(algorithm, "join", "a=%41+b&c=1", &secret).as_ref());
            for (query, is) in [
                (format!("a=%41+b&c=1&checksum={sum}"), true),
                (format!("a=A+b&c=1&checksum={sum}"), false),
                (format!("a=%41+b&c=1&checksum={}", &sum[2..]), false),
                ("a=%41+b&c=1".to_owned(), false),
                (format!("a=%41+b&c=1&checksum={sum}&checksum={sum}"), false),
            ] {
                assert_eq!(is_signed_with("join", &query, &secret), is, "{query}");
            }
            let query = format!("a=%41+b&c=1&checksum={sum}");
            assert!(!is_signed_with("create", &query, &secret));
            assert!(!is_signed_with("join", &query, &Secret::new("another")));
        }
    }

    #[test]
    fn a_secret_is_good_to_its_last_moment() {
        let query = format!("{QUERY}&checksum={SHA1}");
        let mut credentials = credentials();
        credentials[1].secrets[1].not_after = Some(NOW);
        let ms = Duration::from_millis(1);
        for (now, good) in [(NOW.saturating_sub(ms), true), (NOW, true), (NOW.saturating_add(ms), false)] {
            assert_eq!(verify("create", &query, &credentials, now).is_ok(), good, "{now}");
        }
        let found = diagnose("create", &query, None, &credentials);
        assert_eq!((found.would_fit, &*found.secret), ("all of it, but the secret has expired", "new/2"));
    }

    #[test]
    fn what_bbb_would_not_accept_is_not_accepted() {
        for query in [QUERY.to_owned(), format!("{QUERY}&Checksum={SHA1}"), format!("{QUERY}&checksum=")] {
            assert_eq!(verdict(&query), Ok(None), "{query}");
        }
        for query in [
            format!("{QUERY}&checksum=%31{}", &SHA1[1..]),
            format!("{QUERY}&checksum={SHA1}&checksum={SHA1}"),
            format!("{QUERY}&checksum={}", &SHA1[2..]),
            format!("{QUERY}&x=1&checksum={SHA1}"),
            format!("{}&checksum={SHA1}", QUERY.replace('+', "%20")),
        ] {
            assert_eq!(verdict(&query), Err(Failure::CHECKSUM), "{query}");
        }
        assert_eq!(
            verify("join", &format!("{QUERY}&checksum={SHA1}"), &credentials(), NOW).err(),
            Some(Failure::CHECKSUM),
            "the call's name is part of what is hashed"
        );
    }
}
