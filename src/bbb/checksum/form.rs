//! A checksum that stands in a form, and what it may cover (docs/reference/bbb-protocol.md, "POST bodies").

use super::{Signer, verify_digest};
use crate::{
    bbb::{
        answer::Failure,
        query::{Params, split_checksum},
    },
    domain::{tenant::Credential, time::Timestamp},
};

/// What a checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// The query, which may be empty: nothing of the form.
    Query,
    /// All that is in the form.
    Form,
}

/// A form with a checksum in it.
#[derive(Debug, Clone, Copy)]
pub struct SignedForm<'a> {
    /// The checksum.
    pub checksum: &'a str,
    /// The form as it came, if it is written like a query.
    pub raw: Option<&'a [u8]>,
    /// All parameters of the call, without the checksum.
    pub params: &'a Params,
}

/// Verifies a call whose checksum stands in its form: over the query alone (BBB 3.0), or, without a query, over the form as it
/// came or over its parameters in the order of their names (BBB 2.7 and before).
///
/// What is verified is what the call is read from: the bytes that `params` has been parsed from, or `params` itself, written in
/// one way only.
///
/// # Errors
/// [`Failure::CHECKSUM`] where it fits nothing, or stands in the form in another way.
pub fn verify_form<'a>(
    call: &str,
    raw_query: &str,
    form: &SignedForm<'_>,
    credentials: &'a [Credential],
    now: Timestamp,
) -> Result<(Signer<'a>, Covers), Failure> {
    let over = |text: &str| verify_digest(call, text, form.checksum, credentials, now);
    let as_it_came = form.raw.map(without_checksum).transpose()?;
    match over(raw_query) {
        // Then there is nothing in the form but its checksum.
        Ok(signer) if raw_query.is_empty() && form.params.iter().next().is_none() => return Ok((signer, Covers::Form)),
        Ok(signer) => return Ok((signer, Covers::Query)),
        Err(_) if raw_query.is_empty() => {}
        Err(failure) => return Err(failure),
    }
    let signer = match as_it_came.map(|text| over(&text)) {
        Some(Ok(signer)) => signer,
        _ => over(&form.params.in_order().encode())?,
    };
    Ok((signer, Covers::Form))
}

/// A form without its checksum, which has to stand there once and in plain letters, as in a query.
fn without_checksum(raw: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(raw).map_err(|_| Failure::CHECKSUM)?;
    split_checksum(text)?.map(|(rest, _)| rest).ok_or(Failure::CHECKSUM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bbb::checksum::sign,
        domain::{fixtures::credential, secret::Secret},
    };

    const SECRET: &str = "a-secret";
    const FORM: &str = "name=A+room%20of+ours&meetingID=room&meta_b=2&meta_a-x=1";
    const SORTED: &str = "meetingID=room&meta_a-x=1&meta_b=2&name=A+room+of+ours";

    /// What a checksum over `hashed` covers in a form `sent`.
    fn verdict(query: &str, sent: &str, hashed: &str) -> Option<Covers> {
        let credentials = [credential("one", &["other", SECRET])];
        let raw = format!("{sent}&checksum={}", sign("create", hashed, &Secret::new(SECRET)));
        let mut params = Params::parse(query.as_bytes()).expect("a query");
        params.extend(raw.as_bytes()).expect("a form");
        let checksum = params.remove("checksum").expect("it is there");
        let form = SignedForm { checksum: &checksum, raw: Some(raw.as_bytes()), params: &params };
        let found = verify_form("create", query, &form, &credentials, Timestamp::EPOCH);
        let (signer, covers) = found.ok()?;
        assert_eq!(&*signer.secret.label, "one/2");
        Some(covers)
    }

    #[test]
    fn a_checksum_covers_the_query_or_all_of_the_form() {
        for (what, query, sent, hashed, expected) in [
            ("nothing", "", FORM, "", Some(Covers::Query)),
            ("the form as it came", "", FORM, FORM, Some(Covers::Form)),
            ("its parameters in order", "", FORM, SORTED, Some(Covers::Form)),
            ("the query", "x=1", FORM, "x=1", Some(Covers::Query)),
            ("a form beside a query", "x=1", FORM, FORM, None),
            ("a form and a query", "x=1", FORM, &format!("{SORTED}&x=1"), None),
            ("a form with another value", "", "name=b&meetingID=room", "name=a&meetingID=room", None),
            ("a form with more", "", "name=a&meetingID=room", "name=a", None),
            ("a form with less", "", "name=a", "name=a&meetingID=room", None),
            // A name with a separator in it is no second parameter.
            ("one parameter for two", "", "a=1%26b&c=2", "a=1&b=&c=2", None),
            ("two parameters for one", "", "b=2&a%3D1=", "a=1=&b=2", None),
        ] {
            assert_eq!(verdict(query, sent, hashed), expected, "{what}");
        }
    }

    #[test]
    fn a_form_of_nothing_but_its_checksum_is_covered() {
        let checksum = sign("getMeetings", "", &Secret::new(SECRET));
        let raw = format!("checksum={checksum}");
        let (params, credentials) = (Params::default(), [credential("one", &[SECRET])]);
        for raw in [Some(raw.as_bytes()), None] {
            let form = SignedForm { checksum: &checksum, raw, params: &params };
            let found = verify_form("getMeetings", "", &form, &credentials, Timestamp::EPOCH);
            assert_eq!(found.map(|(_, covers)| covers), Ok(Covers::Form));
        }
    }

    #[test]
    fn a_second_or_disguised_checksum_is_none() {
        for sent in ["a=1&checksum=00&b=2", "a=1&%63hecksum=00", "a=1&+checksum=00"] {
            let params = Params::parse(b"a=1").expect("a form");
            let checksum = sign("create", "", &Secret::new(SECRET));
            let raw = format!("{sent}&checksum={checksum}");
            let form = SignedForm { checksum: &checksum, raw: Some(raw.as_bytes()), params: &params };
            let credentials = [credential("one", &[SECRET])];
            let found = verify_form("create", "", &form, &credentials, Timestamp::EPOCH).map(|(_, covers)| covers);
            assert_eq!(found, Err(Failure::CHECKSUM), "{sent}");
        }
    }

    #[test]
    fn a_multipart_form_is_covered_by_its_parameters_in_order() {
        let params = Params::parse(FORM.as_bytes()).expect("a form");
        let credentials = [credential("one", &[SECRET])];
        for (hashed, expected) in [(SORTED, Ok(Covers::Form)), (FORM, Err(Failure::CHECKSUM))] {
            let checksum = sign("create", hashed, &Secret::new(SECRET));
            let form = SignedForm { checksum: &checksum, raw: None, params: &params };
            let found = verify_form("create", "", &form, &credentials, Timestamp::EPOCH).map(|(_, covers)| covers);
            assert_eq!(found, expected, "{hashed}");
        }
    }
}
