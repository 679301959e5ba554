//! [`Failure`]: why a CA did not do what it was asked for, sorted by what helps, and in words.
//!
//! The one place that knows the problem types of ACME (RFC 8555, 6.7). What a CA says is foreign text: it is shortened and made
//! printable here.

use std::{fmt, time::Duration};

use http::StatusCode;
use instant_acme::{Error, Problem};

use super::{answers::Seen, transport::TransportError};

/// More of a CA's words are not shown; a sentence of Let's Encrypt about a failed check has some 300.
const WORDS_MAX: usize = 400;
/// Problems of single names that are shown.
const SUBPROBLEMS_MAX: usize = 3;
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// A request, an order or a check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What helps.
    pub kind: FailureKind,
    /// One sentence for the operator, printable, of bounded length, without secrets.
    pub text: String,
    /// How long the CA asks to wait.
    pub retry_after: Option<Duration>,
    /// The type of the CA's problem, such as `rateLimited`; empty where there is none.
    pub problem: String,
    /// The order that was saved leads nowhere: its [`Progress`](super::Progress) can be dropped.
    pub ends_order: bool,
}

/// Sorts failures by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The CA does not answer, answers too slowly, or has a fault of its own: later, or another CA.
    Unreachable,
    /// Too much was asked for: later, or another CA.
    RateLimited,
    /// The name is at fault: its DNS, or what answers there. Another CA finds the same.
    Name,
    /// The CA may not or does not want to issue for this name: by its CAA records, or by rules of its own. Another CA may.
    Policy,
    /// The CA does not want to, for another reason.
    Refused,
    /// The account is at fault: it is not known, not bound, or blocked.
    Account,
    /// The fault is here: the configuration, the hook, the store.
    Local,
}

/// What was asked for; the same problem means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Directory,
    Account,
    Order,
    /// That the CA checks a name, and what it has found.
    Proof,
    Certificate,
    Renewal,
    Revocation,
}

impl Asked {
    fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "the directory",
            Self::Account => "the account",
            Self::Order => "the order",
            Self::Proof => "the proof of the name",
            Self::Certificate => "the certificate",
            Self::Renewal => "the renewal information",
            Self::Revocation => "the revocation",
        }
    }
}

impl Failure {
    /// A failure in our own words.
    #[must_use]
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry_after: None, problem: String::new(), ends_order: false }
    }

    /// A fault of this side; the reason may be foreign text.
    pub(super) fn local(what: &str, why: &str) -> Self {
        Self::new(FailureKind::Local, format!("{what}: {}", printable(why)))
    }

    /// From an error of the crate and what was seen of the CA's last answer.
    pub(super) fn of(asked: Asked, error: &Error, seen: Seen) -> Self {
        let mut failure = match error {
            Error::Api(problem) => return Self::of_problem(asked, problem, seen),
            Error::Other(other) => match other.downcast_ref::<TransportError>() {
                Some(TransportError::NotHttps(_)) => Self::new(FailureKind::Local, other.to_string()),
                Some(_) => Self::new(FailureKind::Unreachable, other.to_string()),
                None => Self::strange(asked, &other.to_string()),
            },
            other => Self::strange(asked, &other.to_string()),
        };
        // A proxy in front of the CA answers in HTML.
        match seen.status {
            Some(StatusCode::TOO_MANY_REQUESTS) => {
                failure.kind = FailureKind::RateLimited;
                failure.text = format!("the CA limits requests for {}", asked.as_str());
            }
            Some(status) if status.is_server_error() => {
                failure.kind = FailureKind::Unreachable;
                failure.text = format!("the CA answers {} for {}", status.as_u16(), asked.as_str());
            }
            Some(status) if failure.kind == FailureKind::Refused && !status.is_success() => {
                failure.text = format!("the CA answers {} for {}", status.as_u16(), asked.as_str());
            }
            _ => {}
        }
        failure.retry_after = seen.retry_after;
        failure
    }

    fn strange(asked: Asked, why: &str) -> Self {
        let text = format!("the CA's answer for {} cannot be read: {}", asked.as_str(), printable(why));
        Self::new(FailureKind::Refused, text)
    }

    /// From a problem that the CA has told, in an answer or in an order.
    pub(super) fn of_problem(asked: Asked, problem: &Problem, seen: Seen) -> Self {
        let outer = problem_type(problem.r#type.as_deref());
        let name = match problem.subproblems.first() {
            Some(first) if matches!(outer, "compound" | "") => problem_type(first.r#type.as_deref()),
            _ => outer,
        };
        let kind = kind_of(asked, name, seen.status.map(|status| status.as_u16()).or(problem.status));
        let mut words = problem.detail.clone().unwrap_or_default();
        for sub in problem.subproblems.iter().take(SUBPROBLEMS_MAX) {
            let about = sub.identifier.as_ref().map(|name| format!("{}: ", name.authorized(false))).unwrap_or_default();
            let detail = sub.detail.as_deref().unwrap_or_default();
            words.push_str(&format!("; {about}{detail}"));
        }
        let refused = match (asked, kind) {
            (Asked::Proof, _) => "the CA's check failed",
            (_, FailureKind::RateLimited) => "the CA limits us",
            (_, FailureKind::Unreachable) => "the CA has a fault",
            _ => "the CA refused",
        };
        let about = if asked == Asked::Proof { String::new() } else { format!(" for {}", asked.as_str()) };
        let mut text = format!("{refused}{about}");
        let words = printable(words.trim_start_matches("; "));
        if !words.is_empty() {
            text.push_str(&format!(": {words}"));
        }
        if !name.is_empty() {
            text.push_str(&format!(" ({})", printable(name)));
        }
        Self { kind, text, retry_after: seen.retry_after, problem: printable(name), ends_order: false }
    }

    /// Whether the CA has thrown the nonce away: the request was not looked at, and can be sent again.
    pub(super) fn is_bad_nonce(&self) -> bool {
        self.problem == "badNonce"
    }

    /// Whether the CA does not know the account (any more).
    pub(super) fn is_unknown_account(&self) -> bool {
        self.problem == "accountDoesNotExist"
    }

    /// The same, where the order behind it leads nowhere.
    pub(super) fn ending_order(self) -> Self {
        Self { ends_order: true, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

fn problem_type(text: Option<&str>) -> &str {
    let text = text.unwrap_or_default();
    text.strip_prefix(PREFIX).unwrap_or(text)
}

fn kind_of(asked: Asked, name: &str, status: Option<u16>) -> FailureKind {
    use FailureKind::{Account, Name, Policy, RateLimited, Refused, Unreachable};
    match name {
        "rateLimited" => RateLimited,
        "badNonce" | "serverInternal" => Unreachable,
        "accountDoesNotExist"
        | "externalAccountRequired"
        | "invalidContact"
        | "unsupportedContact"
        | "userActionRequired"
        | "badPublicKey"
        | "badSignatureAlgorithm" => Account,
        "rejectedIdentifier" | "unsupportedIdentifier" | "caa" => Policy,
        "dns" | "connection" | "tls" | "incorrectResponse" => Name,
        // About a name, it is what answers there; about an order, the account is blocked.
        "unauthorized" if asked == Asked::Proof => Name,
        "unauthorized" if matches!(asked, Asked::Account | Asked::Order) => Account,
        _ => match status {
            Some(429) => RateLimited,
            Some(500..) => Unreachable,
            // Without a contact, or with a binding that does not hold, for example.
            _ if asked == Asked::Account => Account,
            _ => Refused,
        },
    }
}

/// Foreign text as part of a sentence: in one line, without control characters and what turns the direction of writing, and of
/// bounded length.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '?',
        c if c.is_control() => '?',
        c => c,
    };
    let mut short: String = text.trim().chars().take(WORDS_MAX).map(shown).collect();
    if text.trim().chars().nth(WORDS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Problem {
        serde_json::from_str(text).expect("a problem")
    }

    #[test]
    fn a_problem_is_sorted_by_its_type_and_by_what_was_asked_for() {
        use FailureKind::{Account, Name, Policy, RateLimited, Refused, Unreachable};
        for (asked, name, status, kind) in [
            (Asked::Order, "rateLimited", 429, RateLimited),
            (Asked::Order, "rejectedIdentifier", 400, Policy),
            (Asked::Order, "unsupportedIdentifier", 400, Policy),
            (Asked::Order, "unauthorized", 403, Account),
            (Asked::Account, "unauthorized", 403, Account),
            (Asked::Account, "externalAccountRequired", 403, Account),
            (Asked::Account, "invalidContact", 400, Account),
            (Asked::Order, "accountDoesNotExist", 400, Account),
            (Asked::Proof, "unauthorized", 403, Name),
            (Asked::Proof, "caa", 403, Policy),
            (Asked::Certificate, "caa", 403, Policy),
            (Asked::Proof, "dns", 400, Name),
            (Asked::Proof, "connection", 400, Name),
            (Asked::Proof, "tls", 400, Name),
            (Asked::Proof, "incorrectResponse", 400, Name),
            (Asked::Order, "badNonce", 400, Unreachable),
            (Asked::Order, "serverInternal", 500, Unreachable),
            (Asked::Order, "somethingNew", 503, Unreachable),
            (Asked::Order, "somethingNew", 429, RateLimited),
            (Asked::Account, "malformed", 400, Account),
            (Asked::Order, "malformed", 400, Refused),
            (Asked::Certificate, "badCSR", 400, Refused),
            (Asked::Certificate, "unauthorized", 403, Refused),
        ] {
            let seen = Seen { status: StatusCode::from_u16(status).ok(), retry_after: Some(Duration::from_secs(7)) };
            let told = problem(&format!(r#"{{"type":"urn:ietf:params:acme:error:{name}","detail":"words"}}"#));
            let failure = Failure::of_problem(asked, &told, seen);
            assert_eq!(failure.kind, kind, "{asked:?} {name} {status}");
            assert!(failure.text.ends_with(&format!(": words ({name})")), "{failure}");
            assert_eq!((failure.problem.as_str(), failure.retry_after), (name, seen.retry_after));
        }
    }

    #[test]
    fn the_problems_of_single_names_are_told_and_sort_where_the_whole_says_nothing() {
        let told = r#"{"type":"urn:ietf:params:acme:error:compound","detail":"two names","subproblems":[
            {"type":"urn:ietf:params:acme:error:caa","detail":"forbidden","identifier":{"type":"dns","value":"a.example"}},
            {"type":"urn:ietf:params:acme:error:dns","detail":"no address"}]}"#;
        let failure = Failure::of_problem(Asked::Certificate, &problem(told), Seen::default());
        assert_eq!(failure.kind, FailureKind::Policy);
        assert_eq!(
            failure.text,
            "the CA refused for the certificate: two names; a.example: forbidden; no address (caa)"
        );
    }

    #[test]
    fn foreign_words_are_printable_and_short() {
        assert_eq!(printable(" a\r\nb\u{1b}[31m\u{202e}c\0 "), "a  b?[31m?c?");
        assert_eq!(printable(&"ä".repeat(400)).chars().count(), 400);
        let long = printable(&"ä".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (401, true));
        let told = problem(&format!(r#"{{"type":"{}","detail":"{}"}}"#, "t".repeat(9000), "d".repeat(9000)));
        let failure = Failure::of_problem(Asked::Order, &told, Seen::default());
        assert!(failure.text.chars().count() < 1000, "{}", failure.text.len());
    }
}
