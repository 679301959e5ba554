//! [`Renewal`]: when a CA wants a certificate to be renewed (ARI, RFC 9773).

use std::time::Duration;

use instant_acme::{CertificateIdentifier, Error, RenewalInfo};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    answers::Seen,
    failure::{Asked, Failure, printable},
};
use crate::domain::time::Timestamp;

/// When a CA does not say when to ask again: the value that RFC 9773, 4.3.2, proposes.
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
/// Limits for what a CA says (RFC 9773, 4.3.2).
const ASK_AGAIN_MIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(24 * 3600);
/// The window ends with at least this part of the lifetime left, a tenth: tries that fail must fit in. Windows of some CAs end with
/// the certificate.
const REST: u32 = 10;

/// The window for a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Not before this time; where it has passed, at once.
    pub from: Timestamp,
    /// Not after this time, which leaves a tenth of the lifetime.
    pub until: Timestamp,
    /// A page where the CA explains an unusual window.
    pub explanation: Option<String>,
    /// When to ask the CA again: between a minute and a day.
    pub ask_again: Duration,
}

/// Where to ask about a certificate; `None` for one without the key of its issuer, which has no identifier.
pub(super) fn address(base: &str, leaf: &CertificateDer<'_>) -> Option<String> {
    let id = CertificateIdentifier::try_from(leaf).ok()?;
    Some(format!("{}/{id}", base.trim_end_matches('/')))
}

/// Reads the CA's answer.
pub(super) fn read(body: &[u8], leaf: &CertificateDer<'_>, retry_after: Option<Duration>) -> Result<Renewal, Failure> {
    let info: RenewalInfo = serde_json::from_slice(body)
        .map_err(|error| Failure::of(Asked::Renewal, &Error::Json(error), Seen::default()))?;
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|error| Failure::local("the certificate cannot be read", &error.to_string()))?;
    let [not_before, not_after] =
        [leaf.validity().not_before, leaf.validity().not_after].map(|at| Timestamp::from_secs(at.timestamp()));
    let latest = not_after.saturating_sub(not_after.saturating_duration_since(not_before) / REST);
    let window = &info.suggested_window;
    let [start, end] = [window.start, window.end].map(|at| Timestamp::from_secs(at.unix_timestamp()));
    if end < start {
        return Err(Failure::of(Asked::Renewal, &Error::Str("its window ends before it begins"), Seen::default()));
    }
    let until = end.min(latest);
    Ok(Renewal {
        from: start.min(until),
        until,
        explanation: info.explanation_url.as_deref().map(printable),
        ask_again: retry_after.unwrap_or(ASK_AGAIN).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// From 2026-01-01 for 100 days, until 2026-04-11.
    fn leaf() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 11);
        params.use_authority_key_identifier_extension = true;
        params.self_signed(&KeyPair::generate().expect("randomness")).expect("signed").der().clone()
    }

    fn window(start: &str, end: &str) -> Result<(String, String), Failure> {
        let body = format!(r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}}}}"#);
        read(body.as_bytes(), &leaf(), None).map(|found| (found.from.to_string(), found.until.to_string()))
    }

    #[test]
    fn a_window_ends_before_the_last_tenth_of_the_lifetime() {
        let day = |text: &str| format!("{text}T00:00:00Z");
        for (start, end, expected) in [
            ("2026-03-01", "2026-03-05", ("2026-03-01", "2026-03-05")),
            ("2026-03-31", "2026-04-11", ("2026-03-31", "2026-04-01")),
            ("2026-04-05", "2026-04-11", ("2026-04-01", "2026-04-01")),
            ("2025-12-01", "2025-12-02", ("2025-12-01", "2025-12-02")),
        ] {
            let expected = (day(expected.0), day(expected.1));
            assert_eq!(window(&day(start), &day(end)), Ok(expected), "{start} to {end}");
        }
        assert!(window(&day("2026-03-05"), &day("2026-03-01")).is_err(), "it ends before it begins");
        assert!(window("soon", "later").is_err());
    }

    #[test]
    fn when_to_ask_again_is_bounded_and_may_be_missing() {
        let body = br#"{"suggestedWindow":{"start":"2026-03-01T00:00:00Z","end":"2026-03-02T00:00:00Z"},
            "explanationURL":"https://ca.example/why"}"#;
        for (said, expected) in [(None, 21_600), (Some(0), 60), (Some(7200), 7200), (Some(1_000_000), 86_400)] {
            let found = read(body, &leaf(), said.map(Duration::from_secs)).expect("a window");
            assert_eq!(found.ask_again, Duration::from_secs(expected), "{said:?}");
            assert_eq!(found.explanation.as_deref(), Some("https://ca.example/why"));
        }
    }

    #[test]
    fn a_certificate_is_asked_for_by_the_key_of_its_issuer_and_its_number() {
        let found = address("https://ca.example/renewal/", &leaf()).expect("it has both");
        let id = found.strip_prefix("https://ca.example/renewal/").expect("below the CA's address");
        assert_eq!(id.split('.').map(str::is_empty).collect::<Vec<_>>(), [false, false]);
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.use_authority_key_identifier_extension = false;
        let bare = params.self_signed(&KeyPair::generate().expect("randomness")).expect("signed");
        assert_eq!(address("https://ca.example", bare.der()), None);
    }
}
