//! [`Mail`]: whether mail of a domain will be believed: MX, SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489). Nothing is sent.
//!
//! Each part has what was found, whether it is good, and the record to set. The functions that judge are pure.

use data_encoding::BASE64;
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::{
    lookup::{Nothing, Trouble},
    spf::{self, QUERIES_MAX, Rest},
    words::{list, shown},
};

/// RSA keys below this are ignored by receivers (RFC 8301, 3.2).
const RSA_BITS_MIN: usize = 1024;

/// What DNS says about the mail of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// MX, SPF, DKIM for each selector, DMARC.
    pub parts: Vec<MailPart>,
}

impl Mail {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.parts.iter().all(MailPart::is_right)
    }
}

/// One kind of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailPart {
    /// `MX`, `SPF`, `DKIM` or `DMARC`.
    pub kind: &'static str,
    /// The name that has the record, or should have it.
    pub at: String,
    /// What was found; `nothing` where there is none.
    pub found: String,
    /// One sentence: what is wrong and what to do; empty where nothing is.
    pub advice: String,
}

impl MailPart {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.advice.is_empty()
    }
}

/// The TXT records of a name.
pub(super) type Texts = Result<Vec<String>, Nothing>;

/// Where the mail of a domain is delivered: answers, and what cannot be delivered.
pub(super) fn mx(domain: &str, found: Result<Vec<(u16, String)>, Nothing>) -> MailPart {
    let records = match found {
        Ok(records) => records,
        Err(Nothing::Failed(trouble)) => return failed("MX", domain, trouble),
        Err(_) => Vec::new(),
    };
    let shown = list(records.iter().map(|(preference, host)| format!("MX {preference} {host}.")), ", ");
    let advice = if records.is_empty() {
        format!(
            "{domain} has no MX record, so that answers and bounces are lost and some receivers refuse its mail: set {domain}. MX 10 and the name of its mail server"
        )
    } else if records.iter().any(|(_, host)| host.is_empty()) {
        format!(
            "{domain} says that it takes no mail (MX 0 .), so that some receivers refuse mail from it: set {domain}. MX 10 and the name of its mail server"
        )
    } else {
        String::new()
    };
    MailPart { kind: "MX", at: domain.to_owned(), found: or_nothing(shown), advice }
}

/// What following all names of an SPF record has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Questions to DNS, all of them.
    pub queries: usize,
    /// Names that are included, at any depth, or take the place of a record (`redirect=`).
    pub included: Vec<String>,
    /// An included name without one sound record, and why.
    pub broken: Option<(String, String)>,
}

/// Which servers may send mail of a domain. `walk` is for a record that can be read.
pub(super) fn spf(domain: &str, include: Option<&str>, texts: &Texts, walk: &Walk) -> MailPart {
    let records: Vec<&String> = match texts {
        Ok(texts) => texts.iter().filter(|text| spf::is_spf(text)).collect(),
        Err(Nothing::Failed(trouble)) => return failed("SPF", domain, *trouble),
        Err(_) => Vec::new(),
    };
    let included = include.map(|include| format!(" include:{include}")).unwrap_or_default();
    let fresh = if include.is_some() { format!("\"v=spf1{included} -all\"") } else { "\"v=spf1 mx -all\"".to_owned() };
    let advice = match &*records {
        [] => format!("{domain} has no SPF record: set {domain}. TXT {fresh}"),
        [record] => spf_advice(domain, include, record, walk),
        many => format!(
            "{domain} has {} SPF records, so that receivers ignore all of them: make one of them and remove the others",
            many.len()
        ),
    };
    let found = list(records.iter().map(|record| format!("TXT \"{}\"", shown(record))), ", ");
    MailPart { kind: "SPF", at: domain.to_owned(), found: or_nothing(found), advice }
}

fn spf_advice(domain: &str, include: Option<&str>, record: &str, walk: &Walk) -> String {
    let spf = match spf::read(record) {
        Ok(spf) => spf,
        Err(term) => {
            return format!("the SPF record of {domain} has a term that nothing knows: correct {:?}", shown(&term));
        }
    };
    if walk.queries > QUERIES_MAX {
        return format!(
            "the SPF record of {domain} takes more than {QUERIES_MAX} DNS look-ups, so that receivers ignore it: remove an include, a, mx, ptr or exists, or write addresses (ip4, ip6) in their place"
        );
    }
    if let Some((name, why)) = &walk.broken {
        return format!(
            "the SPF record of {domain} includes {}, which {why}, so that receivers ignore all of it: correct or remove that include",
            shown(name)
        );
    }
    match (include, spf.rest) {
        (_, Rest::Anybody) => {
            format!("the SPF record of {domain} lets anybody send in its name (+all): write -all at its end")
        }
        (Some(include), _) if !walk.included.iter().any(|name| name == include) => {
            format!("the SPF record of {domain} does not include {include}: add include:{include} before its end")
        }
        (_, Rest::Unsaid) => {
            format!("the SPF record of {domain} does not say what holds for other servers: add -all at its end")
        }
        _ => String::new(),
    }
}

/// The public key of a selector.
pub(super) fn dkim(domain: &str, selector: &str, texts: Texts) -> MailPart {
    let at = format!("{selector}._domainkey.{domain}");
    let texts = match texts {
        Ok(texts) => texts,
        Err(Nothing::Failed(trouble)) => return failed("DKIM", &at, trouble),
        Err(_) => Vec::new(),
    };
    let advice = match &*texts {
        [] => format!(
            "{at} has no DKIM key, so that signatures with {selector} count as wrong: set {at}. TXT \"v=DKIM1; k=rsa; p=<the public key of the mail server>\""
        ),
        [text] => key_fault(text).map_or_else(String::new, |fault| {
            format!(
                "the DKIM key at {at} {fault}: set {at}. TXT \"v=DKIM1; k=rsa; p=<the public key of the mail server>\""
            )
        }),
        _ => format!("{at} has {} TXT records, and receivers take any of them: remove all but the key", texts.len()),
    };
    let found = list(texts.iter().map(|text| format!("TXT \"{}\"", shown(text))), ", ");
    MailPart { kind: "DKIM", at, found: or_nothing(found), advice }
}

/// What is wrong with a key, in words that follow "the key".
fn key_fault(text: &str) -> Option<String> {
    let tags: Vec<(&str, String)> = text
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .map(|(tag, value)| (tag.trim(), value.split_whitespace().collect()))
        .collect();
    let tag = |name: &str| tags.iter().find(|(tag, _)| *tag == name).map(|(_, value)| value.as_str());
    if tag("v").is_some_and(|version| version != "DKIM1") {
        return Some("is not of version DKIM1".into());
    }
    let key = match tag("p") {
        None => return Some("has no p=".into()),
        Some("") => return Some("is withdrawn (p= is empty)".into()),
        Some(key) => key,
    };
    let Ok(key) = BASE64.decode(key.as_bytes()) else { return Some("is not whole: its p= is no base64".into()) };
    match tag("k").unwrap_or("rsa") {
        "rsa" => match rsa_bits(&key) {
            None => Some("is not whole: its p= is no RSA key".into()),
            Some(bits) if bits < RSA_BITS_MIN => Some(format!("is an RSA key of {bits} bits, which receivers ignore")),
            Some(_) => None,
        },
        "ed25519" => (key.len() != 32).then(|| "is not whole: its p= is no Ed25519 key".into()),
        other => Some(format!("is of the unknown kind {:?}", shown(other))),
    }
}

fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// What receivers do with mail that fails. `texts` are those of the first name, from the domain up, that has a DMARC record,
/// else those of the domain; `at` is that name, with `_dmarc.` in front.
pub(super) fn dmarc(domain: &str, at: &str, texts: &Texts) -> MailPart {
    let records: Vec<&String> = match texts {
        Ok(texts) => texts.iter().filter(|text| is_dmarc(text)).collect(),
        Err(Nothing::Failed(trouble)) => return failed("DMARC", at, *trouble),
        Err(_) => Vec::new(),
    };
    let advice = match &*records {
        [] => format!(
            "{domain} has no DMARC record, which large receivers want: set _dmarc.{domain}. TXT \"v=DMARC1; p=quarantine\""
        ),
        [record] if !has_policy(record) => format!(
            "the DMARC record at {at} has no policy that receivers know: write p=none, p=quarantine or p=reject behind v=DMARC1"
        ),
        [_] => String::new(),
        many => format!("{at} has {} DMARC records, so that receivers ignore all of them: keep one", many.len()),
    };
    let found = list(records.iter().map(|record| format!("TXT \"{}\" at {at}", shown(record))), ", ");
    MailPart { kind: "DMARC", at: at.to_owned(), found: or_nothing(found), advice }
}

/// Whether a TXT record is one of DMARC (RFC 7489, 6.3).
pub(super) fn is_dmarc(text: &str) -> bool {
    text.split(';')
        .next()
        .and_then(|tag| tag.split_once('='))
        .is_some_and(|(tag, value)| tag.trim() == "v" && value.trim() == "DMARC1")
}

fn has_policy(record: &str) -> bool {
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    tags.any(|(tag, value)| {
        tag.trim() == "p"
            && ["none", "quarantine", "reject"].iter().any(|policy| value.trim().eq_ignore_ascii_case(policy))
    })
}

fn failed(kind: &'static str, at: &str, trouble: Trouble) -> MailPart {
    MailPart { kind, at: at.to_owned(), found: "nothing".into(), advice: trouble.advice(at, kind) }
}

fn or_nothing(found: String) -> String {
    if found.is_empty() { "nothing".into() } else { found }
}
