//! [`Caa`]: whether the CAA records of a name let a certificate authority issue for it (RFC 8659, RFC 8657). Pure: [`judge`]
//! decides from the records of the first name, from the host up, that has any.

use hickory_resolver::proto::rr::rdata::CAA;

use super::{
    lookup::Trouble,
    words::{list, shown},
};

/// What is to be issued, and by which authority.
#[derive(Debug, Clone, Copy, Default)]
pub struct Issuance<'a> {
    /// The names that the authority knows itself by (`caaIdentities` of its ACME directory); empty where it does not say.
    pub issuers: &'a [String],
    /// The address of the ACME account; `None` where it is not known.
    pub account: Option<&'a str>,
    /// The challenge: `http-01`, `tls-alpn-01` or `dns-01`; `None` where it is not known.
    pub method: Option<&'a str>,
}

/// What CAA says about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caa {
    /// The name, `*.<name>` for a wildcard.
    name: String,
    /// The name that has the records.
    at: String,
    /// The records, as a zone has them.
    records: Vec<String>,
    verdict: CaaVerdict,
}

/// What becomes of a look at CAA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaaVerdict {
    /// No record forbids it.
    Allowed,
    /// No record names the authority: the record to add.
    OtherIssuer(String),
    /// The authority is named, but for another account.
    OtherAccount(String),
    /// The authority is named, but not for this challenge.
    OtherMethod(String),
    /// A record that authorities must understand and do not: its tag.
    Critical(String),
    /// It could not be looked up at this name: certificate authorities then refuse.
    Failed(Trouble),
}

impl Caa {
    /// Of a name at which the look-up failed.
    pub(super) fn failed(name: String, at: &str, trouble: Trouble) -> Self {
        Self { name, at: at.to_owned(), records: Vec::new(), verdict: CaaVerdict::Failed(trouble) }
    }

    /// Whether the authority may issue, as far as CAA tells.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == CaaVerdict::Allowed
    }

    /// What it means.
    #[must_use]
    pub fn verdict(&self) -> &CaaVerdict {
        &self.verdict
    }

    /// What the verdict is called in JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.verdict {
            CaaVerdict::Allowed => "allowed",
            CaaVerdict::OtherIssuer(_) => "other-issuer",
            CaaVerdict::OtherAccount(_) => "other-account",
            CaaVerdict::OtherMethod(_) => "other-method",
            CaaVerdict::Critical(_) => "critical",
            CaaVerdict::Failed(trouble) => trouble.as_str(),
        }
    }

    /// What was found: the records, and the name that has them; `nothing` where there is none.
    #[must_use]
    pub fn found(&self) -> String {
        match &*self.records {
            [] => "nothing".into(),
            records => format!("{} at {}", list(records.iter().cloned(), ", "), self.at),
        }
    }

    /// One sentence: what is wrong and what to do, for the person who edits the zone; empty where nothing is.
    #[must_use]
    pub fn advice(&self) -> String {
        let Self { name, at, .. } = self;
        let found = list(self.records.iter().cloned(), ", ");
        match &self.verdict {
            CaaVerdict::Allowed => String::new(),
            CaaVerdict::OtherIssuer(add) => {
                format!("the CAA records of {at} ({found}) forbid a certificate for {name}: add {at}. {add}")
            }
            CaaVerdict::OtherAccount(add) => format!(
                "the CAA records of {at} ({found}) allow a certificate for {name} to another ACME account only: add {at}. {add}"
            ),
            CaaVerdict::OtherMethod(add) => format!(
                "the CAA records of {at} ({found}) allow a certificate for {name} by another challenge only: add {at}. {add}"
            ),
            CaaVerdict::Critical(tag) => format!(
                "the CAA records of {at} have the critical tag {tag:?}, which certificate authorities do not know: remove that record, or set its flag to 0"
            ),
            // This says nothing about what others get.
            CaaVerdict::Failed(trouble @ (Trouble::NoServer | Trouble::Timeout)) => trouble.advice(at, "CAA"),
            CaaVerdict::Failed(trouble) => {
                format!("no certificate authority may issue for {name} now: {}", trouble.advice(at, "CAA"))
            }
        }
    }
}

/// Decides about a name. `records` are those of `at`; none where neither the name nor one above it has any.
pub(super) fn judge(name: &str, is_wildcard: bool, at: &str, records: &[CAA], issuance: &Issuance<'_>) -> Caa {
    let verdict = verdict(is_wildcard, records, issuance);
    let name = if is_wildcard { format!("*.{name}") } else { name.to_owned() };
    Caa { name, at: at.to_owned(), records: records.iter().map(written).collect(), verdict }
}

fn verdict(is_wildcard: bool, records: &[CAA], issuance: &Issuance<'_>) -> CaaVerdict {
    let is = |record: &CAA, tag: &str| record.tag.eq_ignore_ascii_case(tag);
    let known = ["issue", "issuewild", "iodef"];
    // RFC 8659, 4.5: a critical record that is not understood forbids.
    if let Some(record) =
        records.iter().find(|record| record.issuer_critical && !known.iter().any(|tag| is(record, tag)))
    {
        return CaaVerdict::Critical(shown(&record.tag));
    }
    // RFC 8659, 4.3: `issuewild` counts before `issue`, and for wildcards only.
    let tag = if is_wildcard && records.iter().any(|record| is(record, "issuewild")) { "issuewild" } else { "issue" };
    let relevant: Vec<&CAA> = records.iter().filter(|record| is(record, tag)).collect();
    if relevant.is_empty() {
        return CaaVerdict::Allowed;
    }
    // A value that cannot be read names no issuer (RFC 8659, 4.2).
    let permits: Vec<Permit> = relevant.iter().filter_map(|record| Permit::read(record)).collect();
    let ours: Vec<&Permit> = permits.iter().filter(|permit| permit.names_one_of(issuance.issuers)).collect();
    if ours.iter().any(|permit| permit.covers(issuance)) {
        return CaaVerdict::Allowed;
    }
    let issuer = issuance.issuers.first().map_or("<the name of the certificate authority>", String::as_str);
    let add = |parameter: String| format!("CAA 0 {tag} \"{issuer}{parameter}\"");
    match ours.iter().find(|permit| permit.covers_account(issuance)) {
        None if ours.is_empty() => CaaVerdict::OtherIssuer(add(String::new())),
        None => CaaVerdict::OtherAccount(add(issuance
            .account
            .map(|account| format!("; accounturi={account}"))
            .unwrap_or_default())),
        Some(_) => CaaVerdict::OtherMethod(add(issuance
            .method
            .map(|method| format!("; validationmethods={method}"))
            .unwrap_or_default())),
    }
}

/// One `issue` or `issuewild` record that names an issuer.
struct Permit {
    issuer: String,
    parameters: Vec<(String, String)>,
}

impl Permit {
    /// RFC 8659, 4.2. hickory's reader (0.26.3) takes none of the blanks that may stand around names, `;` and `=`.
    fn read(record: &CAA) -> Option<Self> {
        let trimmed = |text: &str| text.trim_matches([' ', '\t']).to_owned();
        let is_label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let mut parts = std::str::from_utf8(&record.value).ok()?.split(';').map(trimmed);
        let issuer = parts.next().filter(|issuer| issuer.split('.').all(is_label))?;
        let parameters = parts.filter(|part| !part.is_empty()).map(|part| {
            let (tag, value) = part.split_once('=')?;
            let (tag, value) = (trimmed(tag), trimmed(value));
            let is_sound = is_label(&tag) && value.bytes().all(|byte| byte.is_ascii_graphic());
            is_sound.then(|| (tag.to_ascii_lowercase(), value))
        });
        Some(Self { issuer, parameters: parameters.collect::<Option<_>>()? })
    }

    /// Where the authority does not say what it is called, any name may be its own.
    fn names_one_of(&self, issuers: &[String]) -> bool {
        issuers.is_empty() || issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(&self.issuer))
    }

    fn covers(&self, issuance: &Issuance<'_>) -> bool {
        self.covers_account(issuance) && self.covers_method(issuance)
    }

    /// RFC 8657, 3: more than one `accounturi` cannot be met.
    fn covers_account(&self, issuance: &Issuance<'_>) -> bool {
        match (self.values("accounturi").as_slice(), issuance.account) {
            ([], _) | ([_], None) => true,
            ([wanted], Some(account)) => *wanted == account,
            _ => false,
        }
    }

    /// RFC 8657, 4.
    fn covers_method(&self, issuance: &Issuance<'_>) -> bool {
        match (self.values("validationmethods").as_slice(), issuance.method) {
            ([], _) | ([_], None) => true,
            ([wanted], Some(method)) => wanted.split(',').any(|one| one.eq_ignore_ascii_case(method)),
            _ => false,
        }
    }

    fn values(&self, key: &str) -> Vec<&str> {
        self.parameters.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    }
}

/// A record as a zone has it.
fn written(record: &CAA) -> String {
    let value = String::from_utf8_lossy(&record.value);
    format!("CAA {} {} \"{}\"", record.flags(), shown(&record.tag), shown(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> CAA {
        let (tag, value) = text.split_once(' ').expect("a tag and a value");
        let (critical, tag) = tag.strip_prefix('!').map_or((false, tag), |tag| (true, tag));
        let mut record = CAA::new_issue(critical, None, Vec::new());
        record.tag = tag.to_owned();
        record.value = value.as_bytes().to_vec();
        record
    }

    fn decide(is_wildcard: bool, records: &[&str], issuance: &Issuance<'_>) -> Caa {
        let records: Vec<CAA> = records.iter().map(|text| record(text)).collect();
        judge("a.example", is_wildcard, "example", &records, issuance)
    }

    #[test]
    fn records_allow_or_forbid_as_the_rfcs_say() {
        let issuers = ["ca.example".to_owned(), "ca.example.net".to_owned()];
        let account = "https://ca.example/acct/1";
        let ours = Issuance { issuers: &issuers, account: Some(account), method: Some("http-01") };
        for (is_wildcard, records, verdict) in [
            (false, &[][..], "allowed"),
            (false, &["issue ca.example"], "allowed"),
            (false, &["ISSUE CA.Example"], "allowed"),
            (false, &["issue ca.example.net"], "allowed"),
            (false, &["issue other.example"], "other-issuer"),
            (false, &["issue other.example", "issue ca.example"], "allowed"),
            (false, &["issue ;"], "other-issuer"),
            (false, &["issue %%%%%"], "other-issuer"),
            (false, &["issuewild ;"], "allowed"),
            (false, &["iodef mailto:a@a.example", "contactemail a@a.example"], "allowed"),
            (false, &["!iodef mailto:a@a.example"], "allowed"),
            (false, &["!tbs x", "issue ca.example"], "critical"),
            (true, &["issue ca.example"], "allowed"),
            (true, &["issue ca.example", "issuewild ;"], "other-issuer"),
            (true, &["issue other.example", "issuewild ca.example"], "allowed"),
            (false, &["issue ca.example; accounturi=https://ca.example/acct/1"], "allowed"),
            (false, &["issue ca.example; accounturi=https://ca.example/acct/2"], "other-account"),
            (
                false,
                &["issue ca.example; accounturi=https://ca.example/acct/1; accounturi=https://ca.example/acct/1"],
                "other-account",
            ),
            (false, &["issue ca.example; validationmethods=dns-01,http-01"], "allowed"),
            (false, &["issue ca.example; validationmethods=dns-01"], "other-method"),
            (false, &["issue  ca.example \t; accounturi = https://ca.example/acct/1 ;"], "allowed"),
            (false, &["issue ca.example ;validationmethods= dns-01"], "other-method"),
            (false, &["issue ca.example; accounturi"], "other-issuer"),
            (false, &["issue ca example"], "other-issuer"),
            (false, &["issue ca.example; validationmethods=dns-01", "issue ca.example.net"], "allowed"),
        ] {
            let caa = decide(is_wildcard, records, &ours);
            assert_eq!(caa.kind(), verdict, "{is_wildcard} {records:?}");
            assert_eq!(caa.is_allowed(), verdict == "allowed", "{records:?}");
            assert_eq!(caa.advice().is_empty(), verdict == "allowed", "{records:?}");
        }
    }

    #[test]
    fn an_authority_that_does_not_say_its_name_is_forbidden_by_what_forbids_all() {
        let unknown = Issuance::default();
        assert!(decide(false, &["issue any.example; accounturi=https://any.example/1"], &unknown).is_allowed());
        assert!(!decide(false, &["issue ;"], &unknown).is_allowed());
    }

    #[test]
    fn the_record_to_add_has_what_is_missing() {
        let issuers = ["ca.example".to_owned()];
        let ours = Issuance { issuers: &issuers, account: Some("https://ca.example/acct/1"), method: Some("http-01") };
        for (records, add) in [
            ("issuewild other.example", "CAA 0 issuewild \"ca.example\""),
            ("issue other.example", "CAA 0 issue \"ca.example\""),
            ("issue ca.example; accounturi=x", "CAA 0 issue \"ca.example; accounturi=https://ca.example/acct/1\""),
            ("issue ca.example; validationmethods=dns-01", "CAA 0 issue \"ca.example; validationmethods=http-01\""),
        ] {
            let advice = decide(true, &[records], &ours).advice();
            assert!(advice.ends_with(&format!("add example. {add}")), "{advice}");
            assert!(advice.contains("*.a.example"), "{advice}");
        }
    }
}
