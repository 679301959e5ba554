//! How a call is signed: a checksum over address, body and secret, or the secret itself as a bearer.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use form_urlencoded::Serializer;

use super::Form;
use crate::{
    bbb::checksum::{Algorithm, Given},
    domain::secret::Secret,
};

impl Form<'_> {
    /// Whether the server with this secret has posted it to `callback_url`, the address of the hook as it was created.
    /// `checksum` is the one that was appended to it. Takes constant time.
    #[must_use]
    pub fn is_signed(&self, callback_url: &str, checksum: &str, secret: &Secret) -> bool {
        let Some(given) = Given::read(checksum) else { return false };
        let covers = |body: &[u8]| given.is(&hash(given.algorithm, callback_url, body, secret));
        // Releases before 3 know this algorithm only.
        covers(self.bytes) || (given.algorithm == Algorithm::Sha1 && covers(self.as_json().as_bytes()))
    }
}

/// Whether the value of a header `Authorization` has the secret of a server, as the service sends it with `auth2_0`. Takes
/// constant time.
#[must_use]
pub fn is_bearer(authorization: &str, secret: &Secret) -> bool {
    authorization.strip_prefix("Bearer ").is_some_and(|token| Secret::new(token) == *secret)
}

/// The form of a call, with its fields in BBB's order. `events` is a list in JSON.
#[must_use]
pub fn form(domain: &str, events: &str, timestamp: &str) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("domain", domain).append_pair("event", events).append_pair("timestamp", timestamp);
    form.finish()
}

/// The address that a form is posted to: that of the hook, with the checksum appended as BBB appends it. A fragment is
/// covered, but not sent.
#[must_use]
pub fn signed_address(callback_url: &str, form: &str, secret: &Secret, algorithm: Algorithm) -> String {
    let checksum = HEXLOWER.encode(hash(algorithm, callback_url, form.as_bytes(), secret).as_ref());
    let (address, _) = callback_url.split_once('#').unwrap_or((callback_url, ""));
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}checksum={checksum}")
}

fn hash(algorithm: Algorithm, callback_url: &str, body: &[u8], secret: &Secret) -> digest::Digest {
    let mut context = digest::Context::new(algorithm.digest());
    for part in [callback_url.as_bytes(), body, secret.reveal().as_bytes()] {
        context.update(part);
    }
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: &str = "https://meet.w/.anteroom/hooks/s1/code";
    /// As `URLSearchParams` of Node.js writes it.
    const FORM: &str = "domain=bbb-01.internal.test&event=%5B%7B%22data%22%3A%7B%22id%22%3A%22a+%C3%BC%22%7D%7D%5D&timestamp=1700000000000";

    fn secret() -> Secret {
        Secret::new("server-secret")
    }

    fn sum(algorithm: Algorithm, text: &str) -> String {
        HEXLOWER.encode(digest::digest(algorithm.digest(), text.as_bytes()).as_ref())
    }

    #[test]
    fn the_bytes_of_the_form_are_covered() {
        let form = Form::read(FORM.as_bytes()).expect("a form");
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let checksum = sum(algorithm, &format!("{HOOK}{FORM}server-secret"));
            assert!(form.is_signed(HOOK, &checksum, &secret()), "{algorithm:?}");
            assert!(!form.is_signed(HOOK, &checksum, &Secret::new("tenant-secret")));
            assert!(!form.is_signed("https://meet.w/.anteroom/hooks/s2/code", &checksum, &secret()));
            let other = FORM.replace("+%C3%BC", "%20%C3%BC");
            assert!(
                !Form::read(other.as_bytes()).expect("a form").is_signed(HOOK, &checksum, &secret()),
                "other bytes"
            );
        }
        for checksum in ["", "ab", "x", &sum(Algorithm::Sha1, "")] {
            assert!(!form.is_signed(HOOK, checksum, &secret()), "{checksum}");
        }
    }

    #[test]
    fn releases_before_3_sign_their_json_with_sha_1() {
        // `JSON.stringify({ event, timestamp, domain })` of Node.js.
        let event = r#"[{\"data\":{\"id\":\"a ü\"}}]"#;
        let signed = format!(
            "{HOOK}{{\"event\":\"{event}\",\"timestamp\":1700000000000,\"domain\":\"bbb-01.internal.test\"}}server-secret"
        );
        let form = "event=%5B%7B%22data%22%3A%7B%22id%22%3A%22a%20%C3%BC%22%7D%7D%5D&timestamp=1700000000000\
                    &domain=bbb-01.internal.test";
        let form = Form::read(form.as_bytes()).expect("a form");
        assert!(form.is_signed(HOOK, &sum(Algorithm::Sha1, &signed), &secret()));
        assert!(!form.is_signed(HOOK, &sum(Algorithm::Sha256, &signed), &secret()));
        assert!(!form.is_signed(HOOK, &sum(Algorithm::Sha1, &signed), &Secret::new("x")));
    }

    #[test]
    fn a_bearer_is_the_secret() {
        for (header, is) in
            [("Bearer server-secret", true), ("Bearer server-secre", false), ("server-secret", false), ("", false)]
        {
            assert_eq!(is_bearer(header, &secret()), is, "{header}");
        }
    }

    #[test]
    fn a_call_is_signed_as_bbb_signs_it() {
        let written = form("bbb-01.internal.test", "[{\"data\":{\"id\":\"a ü\"}}]", "1700000000000");
        assert_eq!(written, FORM);
        for (hook, starts) in [
            ("https://lms.w/hook", "https://lms.w/hook?checksum="),
            ("https://lms.w/hook?", "https://lms.w/hook?&checksum="),
            ("https://lms.w/hook?a=1", "https://lms.w/hook?a=1&checksum="),
            ("https://lms.w/hook#a?b", "https://lms.w/hook?checksum="),
        ] {
            let checksum = sum(Algorithm::Sha1, &format!("{hook}{FORM}tenant-secret"));
            let address = signed_address(hook, FORM, &Secret::new("tenant-secret"), Algorithm::Sha1);
            assert_eq!(address, format!("{starts}{checksum}"));
        }
    }
}
