//! What is wrong with a checksum that is not accepted, for the log: the mistakes that integrations are known to make.

use std::sync::Arc;

use super::{Given, signer};
use crate::{
    bbb::{answer::UnfitForm, query::split_checksum},
    domain::tenant::Credential,
};

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
/// `form` is there where the call had a form.
///
/// Costs some digests per secret: for calls that have been refused.
#[must_use]
pub fn diagnose(call: &str, raw_query: &str, form: Option<&UnfitForm>, credentials: &[Credential]) -> Diagnosis {
    let in_form = form.and_then(|form| form.checksum.as_deref());
    let (found_in, hashed, checksum) = match (split_checksum(raw_query), form) {
        (Ok(Some((_, checksum))), _) if !checksum.is_empty() && in_form.is_some() => {
            return Diagnosis::unfit("query", "given twice: in the form, too", raw_query);
        }
        (Ok(Some((rest, checksum))), _) => ("query", rest, checksum),
        (Ok(None), Some(_)) => ("form", raw_query.to_owned(), in_form.unwrap_or_default()),
        (Ok(None), None) => {
            return Diagnosis { would_fit: near_miss(raw_query), ..Diagnosis::unfit("", "missing", raw_query) };
        }
        (Err(_), _) => return Diagnosis::unfit("query", "given twice", raw_query),
    };
    let Some(given) = Given::read(checksum) else {
        return Diagnosis::unfit(found_in, no_digest(checksum), &hashed);
    };
    let algorithm = given.algorithm.as_str();
    if form.is_some_and(|form| form.fits_query) {
        let secret = signer(call, &hashed, checksum, credentials, |_| true).map(|signer| &signer.secret.label);
        let secret = secret.map_or_else(|| "".into(), Arc::clone);
        return Diagnosis { found_in, algorithm, hashed, would_fit: UNCOVERED, secret };
    }
    let is_small = |form: &&UnfitForm| form.fields.len() <= FIELDS_BYTES_MAX;
    let fields = form.filter(|_| found_in == "form").filter(is_small);
    let fields = fields.map(|form| of_fields(call, &form.fields, &hashed));
    let decoded = percent_encoding::percent_decode_str(&hashed.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mistakes = [
        ("all of it, but the secret has expired", call, hashed.clone()),
        ("spaces hashed as %20, sent as +", call, hashed.replace('+', "%20")),
        ("spaces hashed as +, sent as %20", call, hashed.replace("%20", "+")),
        ("the query hashed before it was encoded", call, decoded),
        ("the parameters hashed in the order of their names", call, in_order(&hashed)),
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

/// What a form needs that is not accepted without.
const UNCOVERED: &str = "the form left out, which this call or tenant does not accept: hash the form";

/// The mistakes of a checksum over the fields of a form, which begin with those of the query.
fn of_fields<'a>(call: &'a str, fields: &str, query: &str) -> Vec<(&'static str, &'a str, String)> {
    if query.is_empty() {
        return vec![(
            "the form fields hashed in another order or encoding than they were sent",
            call,
            fields.to_owned(),
        )];
    }
    let of_form = fields.strip_prefix(query).and_then(|rest| rest.strip_prefix('&'));
    let both = [Some(fields), of_form];
    let hashed = both.into_iter().flatten().flat_map(|fields| [fields.to_owned(), in_order(fields)]);
    hashed.map(|hashed| ("the form fields hashed: beside a query, only the query counts", call, hashed)).collect()
}

/// The pairs of a query in the order of their names.
fn in_order(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    pairs.join("&")
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::{
        bbb::checksum::hash,
        domain::{fixtures::credential, secret::Secret},
    };

    // The vector of BBB's API reference.
    const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
    const QUERY: &str = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444";
    const SHA1: &str = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";

    fn credentials() -> Vec<Credential> {
        vec![credential("old", &["another"]), credential("new", &["a-third", SECRET])]
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
        let sum = |hashed| HEXLOWER.encode(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, "create", hashed, &secret).as_ref());
        let fields = "name=a+b&meetingID=x";
        let beside = "the form fields hashed: beside a query, only the query counts";
        let other = "the form fields hashed in another order or encoding than they were sent";
        for (query, hashed, fits_query, would_fit) in [
            ("", fields, false, other),
            ("x=1", fields, false, beside),
            ("x=1", "meetingID=x&name=a+b&x=1", false, beside),
            ("x=1", "meetingID=x&name=a+b", false, beside),
            ("x=1", "", false, "the query left out"),
            ("", "nonsense", false, "none known: the secret may be wrong"),
            ("", "", true, UNCOVERED),
        ] {
            let joint = if query.is_empty() { "" } else { "&" };
            let fields = format!("{query}{joint}{fields}").into();
            let form = UnfitForm { checksum: Some(sum(hashed).into()), fields, fits_query };
            let found = diagnose("create", query, Some(&form), &credentials());
            assert_eq!((found.found_in, found.algorithm, &*found.hashed), ("form", "SHA-1", query), "{hashed}");
            assert_eq!(found.would_fit, would_fit, "{hashed}");
        }
        let form = UnfitForm { checksum: Some("%20".into()), fields: fields.into(), fits_query: false };
        let found = diagnose("create", "", Some(&form), &credentials());
        assert_eq!((found.found_in, found.algorithm), ("form", "not a digest in hexadecimal digits"));
    }

    #[test]
    fn a_form_beside_a_query_that_fits_is_said_to_be_what_is_wrong() {
        let query = format!("{QUERY}&checksum={SHA1}");
        for (in_form, algorithm, would_fit, secret) in
            [(None, "SHA-1", UNCOVERED, "new/2"), (Some("".into()), "given twice: in the form, too", "none known", "")]
        {
            let form = UnfitForm { checksum: in_form, fields: "x=1".into(), fits_query: true };
            let found = diagnose("create", &query, Some(&form), &credentials());
            assert_eq!((found.found_in, found.algorithm, found.would_fit), ("query", algorithm, would_fit));
            assert_eq!(&*found.secret, secret);
        }
    }
}
