//! The check that bbb-web makes of a call's checksum, quirks included.

use super::errors::{self, Violation};
use super::params::{Params, clean};
use crate::sign::{self, Algorithm};

/// Checks a call. `given` is the first decoded `checksum` parameter of the URL or, failing that, of the body; only the
/// query of the URL counts as signed, also for a POST. An empty secret switches the check off.
pub(crate) fn check(call: &str, query: &str, given: Option<&str>, secret: &str) -> Result<(), Violation> {
    if secret.is_empty() {
        return Ok(());
    }
    let given = given.filter(|given| !given.is_empty()).ok_or(errors::CHECKSUM_MISSING)?;
    let algorithm = Algorithm::with_digits(given.len()).ok_or(errors::CHECKSUM_WRONG)?;
    let expected = sign::checksum(call, &signed_part(query, given), secret, algorithm);
    if expected.eq_ignore_ascii_case(given) { Ok(()) } else { Err(errors::CHECKSUM_WRONG) }
}

/// What releases before 3.0 hash where there is no query: all parameters in the order of their names, without the checksum.
pub(crate) fn rebuilt(params: &Params) -> String {
    let mut pairs: Vec<(&str, &str)> = params.iter().filter(|(name, _)| *name != "checksum").collect();
    pairs.sort_by_key(|(name, _)| *name);
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", sign::encode_value(value))).collect();
    pairs.join("&")
}

/// Whether the server takes the checksum in a query of a `GET`, as it came and without `?`, for the right one. For tests that
/// compare another implementation of the rule with this one.
pub fn accepts_checksum(call: &str, raw_query: &str, secret: &str) -> bool {
    check(call, raw_query, Params::parse(raw_query).first("checksum"), secret).is_ok()
}

/// The query without the checksum: three literal replacements of all that looks like it, as BBB does it.
fn signed_part(query: &str, given: &str) -> String {
    let rest = query
        .replace(&format!("&checksum={given}"), "")
        .replace(&format!("checksum={given}&"), "")
        .replace(&format!("checksum={given}"), "");
    clean(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
    const QUERY: &str = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444";
    const SHA1: &str = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";

    #[test]
    fn a_form_without_a_query_is_hashed_in_the_order_of_its_names() {
        let params = Params::parse("name=A+room&checksum=x&meetingID=%20r%26d&a=");
        assert_eq!(rebuilt(&params), "a=&meetingID=r%26d&name=A+room");
    }

    #[test]
    fn a_checksum_is_taken_from_anywhere_in_the_query() {
        let (head, tail) = QUERY.split_once('&').expect("two parameters");
        let upper = SHA1.to_uppercase();
        let twice = format!("checksum={SHA1}&{QUERY}&checksum={SHA1}");
        for (name, query, given, fits) in [
            ("last", format!("{QUERY}&checksum={SHA1}"), SHA1, true),
            ("first", format!("checksum={SHA1}&{QUERY}"), SHA1, true),
            ("in the middle", format!("{head}&checksum={SHA1}&{tail}"), SHA1, true),
            ("twice the same", twice, SHA1, true),
            ("in capitals", format!("{QUERY}&checksum={upper}"), &upper, true),
            ("in the body only", QUERY.to_owned(), SHA1, true),
            ("a second, other one", format!("{QUERY}&checksum={SHA1}&checksum=ff"), SHA1, false),
            ("percent-encoded in the URL", format!("{QUERY}&checksum=%31{}", &SHA1[1..]), SHA1, false),
            ("spaces written otherwise", format!("{}&checksum={SHA1}", QUERY.replace('+', "%20")), SHA1, false),
            ("of an unknown length", format!("{QUERY}&checksum=1234"), "1234", false),
        ] {
            let expected = if fits { Ok(()) } else { Err(errors::CHECKSUM_WRONG) };
            assert_eq!(check("create", &query, Some(given), SECRET), expected, "{name}");
        }
    }

    #[test]
    fn a_checksum_must_be_there_unless_the_server_has_no_secret() {
        for (given, secret, expected) in [
            (None, SECRET, Err(errors::CHECKSUM_MISSING)),
            (Some(""), SECRET, Err(errors::CHECKSUM_MISSING)),
            (None, "", Ok(())),
        ] {
            assert_eq!(check("create", QUERY, given, secret), expected);
        }
    }
}
