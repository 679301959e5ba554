//! Checksum of an API call: verified with the secrets of a tenant, created with the secret of a server.

use std::sync::Arc;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

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
    let signed = Signed::new(given.algorithm, call, query);
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
    Given::read(checksum).is_some_and(|given| given.is(&hash(given.algorithm, call, &rest, secret)))
}

/// A digest that came with a call.
struct Given {
    digest: Vec<u8>,
    algorithm: &'static digest::Algorithm,
}

impl Given {
    /// `None` for what is no digest of a known length.
    fn read(checksum: &str) -> Option<Self> {
        let digest = HEXLOWER_PERMISSIVE.decode(checksum.as_bytes()).ok()?;
        let algorithm = algorithm_of(digest.len())?;
        Some(Self { digest, algorithm })
    }

    /// Compares in constant time.
    fn is(&self, own: &digest::Digest) -> bool {
        verify_slices_are_equal(own.as_ref(), &self.digest).is_ok()
    }
}

/// The form of a call whose checksum came in it, and not in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForm {
    /// The checksum.
    pub checksum: Box<str>,
    /// All other parameters, those of the query too, in the order they came, as a form.
    pub fields: Box<str>,
}

/// Diagnosis of a checksum mismatch for the operator, to correct the integration.
#[derive(Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Where the checksum was: in the `query` or in the `form`; empty where there was none.
    pub found_in: &'static str,
    /// The algorithm that the digest's length stands for, or what is wrong with it.
    pub algorithm: &'static str,
    /// What was hashed between the call's name and the secret.
    pub hashed: String,
    /// The mistake with which the digest would have fitted one of the secrets, or `none known`.
    pub would_fit: &'static str,
    /// The label of that secret; empty where there is none.
    pub secret: Arc<str>,
}

/// Finds out why a checksum does not fit: tries the mistakes that integrations are known to make
/// (docs/reference/bbb-protocol.md, "Mistakes of callers", "POST bodies").
/// `form` is there where the checksum came in a form: it was compared over the query all the same, as BBB does it.
///
/// Costs some digests per secret: for calls that have been refused.
#[must_use]
pub fn diagnose(call: &str, raw_query: &str, form: Option<&InForm>, credentials: &[Credential]) -> Diagnosis {
    let (found_in, hashed, checksum) = match (split_checksum(raw_query), form) {
        (Ok(Some((rest, checksum))), _) => ("query", rest, checksum),
        (Ok(None), Some(form)) => ("form", raw_query.to_owned(), &*form.checksum),
        (Ok(None), None) => {
            return Diagnosis { would_fit: near_miss(raw_query), ..Diagnosis::unfit("", "missing", raw_query) };
        }
        (Err(_), _) => return Diagnosis::unfit("query", "given twice", raw_query),
    };
    let algorithm = match HEXLOWER_PERMISSIVE.decode(checksum.as_bytes()).map(|digest| digest.len()) {
        Ok(20) => "SHA-1",
        Ok(32) => "SHA-256",
        Ok(48) => "SHA-384",
        Ok(64) => "SHA-512",
        Ok(_) | Err(_) => return Diagnosis::unfit(found_in, no_digest(checksum), &hashed),
    };
    let is_small = |form: &&InForm| form.fields.len() <= FIELDS_BYTES_MAX;
    let fields = form.filter(|_| found_in == "form").filter(is_small).map(|form| {
        let mut sorted: Vec<&str> = form.fields.split('&').collect();
        sorted.sort_unstable();
        [
            ("the form fields hashed: only the query counts", call, form.fields.to_string()),
            (
                "the form fields hashed in the order of their names, as old releases did: only the query counts",
                call,
                sorted.join("&"),
            ),
        ]
    });
    let decoded = percent_encoding::percent_decode_str(&hashed.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut sorted: Vec<&str> = hashed.split('&').collect();
    sorted.sort_unstable();
    let mistakes = [
        ("all of it, but the secret has expired", call, hashed.clone()),
        ("spaces hashed as %20, sent as +", call, hashed.replace('+', "%20")),
        ("spaces hashed as +, sent as %20", call, hashed.replace("%20", "+")),
        ("the query hashed before it was encoded", call, decoded),
        ("the parameters hashed in the order of their names", call, sorted.join("&")),
        ("the query hashed with a question mark", call, format!("?{hashed}")),
        ("the call's name left out", "", hashed.clone()),
        ("the query left out", call, String::new()),
    ];
    let other_calls = OTHER_CALLS.map(|other| ("another call's name hashed", other, hashed.clone()));
    let all = mistakes.iter().chain(fields.iter().flatten()).chain(&other_calls);
    let found = all
        .into_iter()
        .find_map(|(mistake, call, query)| Some((*mistake, signer(call, query, checksum, credentials, |_| true)?)));
    let (would_fit, secret) = match found {
        Some((mistake, signer)) => (mistake, Arc::clone(&signer.secret.label)),
        None => ("none known: the secret may be wrong", "".into()),
    };
    Diagnosis { found_in, algorithm, hashed, would_fit, secret }
}

/// A larger form is no integration's that has to be mended.
const FIELDS_BYTES_MAX: usize = 8 * 1024;

/// What is wrong with a value that is no digest.
fn no_digest(checksum: &str) -> &'static str {
    let decoded = percent_encoding::percent_decode_str(checksum).decode_utf8_lossy();
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if checksum.is_empty() {
        "missing: its value is empty"
    } else if is_hex(checksum) {
        "not a digest of a known length"
    } else if checksum.contains(['%', '+', ' '])
        && is_hex(decoded.trim_matches(|c: char| c == '+' || c.is_whitespace()))
    {
        "a digest with percent-encoding or blanks in it"
    } else {
        "not a digest in hexadecimal digits"
    }
}

/// What there is in a query in the place of a checksum.
fn near_miss(raw_query: &str) -> &'static str {
    let is_other = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        name != "checksum" && name.eq_ignore_ascii_case("checksum")
    };
    if raw_query.split('&').any(is_other) {
        "its name is in capitals: it is read as \"checksum\" only"
    } else if raw_query.contains("amp;checksum=") {
        "the query is escaped for HTML: \"&amp;\" in the place of \"&\""
    } else {
        "none known"
    }
}

impl Diagnosis {
    fn unfit(found_in: &'static str, algorithm: &'static str, hashed: &str) -> Self {
        Self { found_in, algorithm, hashed: hashed.to_owned(), would_fit: "none known", secret: "".into() }
    }
}

/// Names that are hashed by mistake: of other calls, and of the same in another case.
const OTHER_CALLS: [&str; 6] = ["create", "join", "getMeetings", "getmeetings", "getmeetinginfo", "ismeetingrunning"];

/// Signs one call with SHA-256.
///
/// `query` is the encoded query without `checksum`. Returns 64 lower-case hex digits.
/// Source: BigBlueButton API reference, "API Security Model".
#[must_use]
pub fn sign(call: &str, query: &str, secret: &Secret) -> String {
    HEXLOWER.encode(hash(&digest::SHA256, call, query, secret).as_ref())
}

fn hash(algorithm: &'static digest::Algorithm, call: &str, query: &str, secret: &Secret) -> digest::Digest {
    Signed::new(algorithm, call, query).finish(secret)
}

/// What is signed of a call, hashed up to its secret.
struct Signed(digest::Context);

impl Signed {
    fn new(algorithm: &'static digest::Algorithm, call: &str, query: &str) -> Self {
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
    use std::time::Duration;

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
    fn a_mistake_that_is_known_is_named() {
        let secret = Secret::new(SECRET);
        let signed = |call: &str, hashed: &str, sent: &str| {
            let sum = HEXLOWER.encode(hash(&digest::SHA256, call, hashed, &secret).as_ref());
            format!("{sent}&checksum={sum}")
        };
        let sent = "name=a+b&meetingID=x%2Fy";
        for (query, would_fit) in [
            (signed("create", "name=a%20b&meetingID=x%2Fy", sent), "spaces hashed as %20, sent as +"),
            (signed("create", "name=a b&meetingID=x/y", sent), "the query hashed before it was encoded"),
            (signed("create", "meetingID=x%2Fy&name=a+b", sent), "the parameters hashed in the order of their names"),
            (signed("create", "", sent), "the query left out"),
            (signed("", sent, sent), "the call's name left out"),
            (signed("join", sent, sent), "another call's name hashed"),
            (signed("nonsense", sent, sent), "none known: the secret may be wrong"),
        ] {
            let found = diagnose("create", &query, None, &credentials());
            assert_eq!((found.would_fit, found.algorithm, &*found.hashed), (would_fit, "SHA-256", sent), "{query}");
            assert_eq!(found.found_in, "query");
            assert!(!format!("{found:?}").contains(SECRET));
        }
        let digest = "ab".repeat(20);
        for (query, algorithm, would_fit) in [
            (sent.to_owned(), "missing", "none known"),
            (
                format!("{sent}&Checksum={digest}"),
                "missing",
                "its name is in capitals: it is read as \"checksum\" only",
            ),
            (
                format!("name=a&amp;checksum={digest}"),
                "missing",
                "the query is escaped for HTML: \"&amp;\" in the place of \"&\"",
            ),
            ("checksum=".to_owned(), "missing: its value is empty", "none known"),
            ("checksum=xyz".to_owned(), "not a digest in hexadecimal digits", "none known"),
            ("checksum=abcd".to_owned(), "not a digest of a known length", "none known"),
            (format!("checksum={digest}%0A"), "a digest with percent-encoding or blanks in it", "none known"),
            (format!("checksum={digest}&checksum={digest}"), "given twice", "none known"),
        ] {
            let found = diagnose("create", &query, None, &credentials());
            assert_eq!((found.algorithm, found.would_fit), (algorithm, would_fit), "{query}");
        }
    }

    #[test]
    fn a_checksum_in_a_form_is_said_to_be_there_and_what_it_was_compared_over() {
        let secret = Secret::new(SECRET);
        let fields = "name=a+b&meetingID=x";
        let only_the_query = "the form fields hashed: only the query counts";
        let in_order = "the form fields hashed in the order of their names, as old releases did: only the query counts";
        for (query, hashed, would_fit) in [
            ("", fields, only_the_query),
            ("", "meetingID=x&name=a+b", in_order),
            ("x=1", "", "the query left out"),
            ("", "nonsense", "none known: the secret may be wrong"),
        ] {
            let sum = HEXLOWER.encode(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, "create", hashed, &secret).as_ref());
            let form = InForm { checksum: sum.into(), fields: fields.into() };
            let found = diagnose("create", query, Some(&form), &credentials());
            assert_eq!((found.found_in, found.algorithm, &*found.hashed), ("form", "SHA-1", query), "{hashed}");
            assert_eq!(found.would_fit, would_fit, "{hashed}");
        }
        let form = InForm { checksum: "%20".into(), fields: fields.into() };
        let found = diagnose("create", "", Some(&form), &credentials());
        assert_eq!((found.found_in, found.algorithm), ("form", "not a digest in hexadecimal digits"));
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
