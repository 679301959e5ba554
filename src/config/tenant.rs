//! Reads `tenants/<id>.toml`: a customer of the operator.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use super::{
    branding,
    convert::{self, At, Convert, Outcome},
    events::{self, DraftEvent},
    files::Source,
    http_address,
    keypath::KeyPath,
    limits::{self, Exceptions},
    mail,
    moment::Moment,
    params, raw,
    shape::TENANT,
    sources, values,
};
use crate::domain::{
    branding::Branding,
    calendar::{Calendar, Event},
    host::Host,
    hsts::Hsts,
    ids::{PolicyId, PoolId, TenantId},
    issuance::KeyKind,
    limits::Limits,
    mail::MailFrom,
    rules::Changes,
    tenant::{ApiSecret, Credential, Policy, Tenant, Upstream},
    time::Timestamp,
};

/// BBB 3.0 covers no form, so that some integrations can sign none.
const UNCOVERED_FORMS: bool = true;

/// A tenant before the checks with its policy.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub name: String,
    /// `None` only in a faulty file.
    pub policy: Option<At<PolicyId>>,
    /// None for those of its policy.
    pub pools: Vec<At<PoolId>>,
    pub hosts: Vec<At<Host>>,
    /// In the order of their names.
    pub credentials: Vec<DraftCredential>,
    /// `None` where it has none: most have not.
    pub exceptions: Option<Box<Exceptions>>,
    pub changes: Changes,
    pub rule_places: Vec<params::Place>,
    pub branding: Arc<Branding>,
    pub account_param: Option<String>,
    pub frontend: Option<Arc<Upstream>>,
    pub embedded_by: Vec<Box<str>>,
    pub hsts: Option<Arc<Hsts>>,
    pub certificate_key: Option<KeyKind>,
    pub mail: Option<Arc<MailFrom>>,
    pub uncovered_forms: bool,
    pub suspended: bool,
    pub events: Vec<DraftEvent>,
}

/// A credential, each secret with its place.
#[derive(Debug, PartialEq)]
pub(super) struct DraftCredential {
    pub name: Arc<str>,
    pub secrets: Box<[At<ApiSecret>]>,
}

/// Reads a tenant.
pub(super) fn read(from: Source<'_>, file: &Path) -> Outcome<Draft> {
    convert::read(from, file, &TENANT, convert)
}

fn convert(raw: raw::Tenant, cx: &mut Convert<'_>) -> Draft {
    let name = values::title(&"name".into(), raw.name, cx);
    let policy = raw.policy.and_then(|text| {
        let path = KeyPath::from("policy");
        cx.parse(&path, &text).map(|id| cx.at_path(&path, id))
    });
    let pools = raw.pool.map(|pools| values::pools(&"pool".into(), &pools, cx)).unwrap_or_default();
    let hosts_key = KeyPath::from("hosts");
    if raw.hosts.as_ref().is_some_and(Vec::is_empty) && !cx.is_faulty(&hosts_key) {
        cx.fault(&hosts_key, "must name at least one host");
    }
    let hosts = cx.list(&hosts_key, &raw.hosts.unwrap_or_default());
    let credentials = credentials(raw.secrets, cx);
    let exceptions = raw.limits.map(|limits| Box::new(limits::read(&"limits".into(), &limits, cx)));
    let (changes, rule_places) = params::changes(raw.create, raw.join, cx);
    let branding = raw.branding.map_or_else(Branding::none, |branding| Arc::new(branding::read(branding, cx)));
    if let Some(param) = &raw.account_param
        && !is_parameter(param)
    {
        cx.fault(&"account_param".into(), "must be the name of a create parameter, such as \"meta_owner\"");
    }
    let frontend = raw.frontend.and_then(|text| http_address::read(&"frontend".into(), &text, cx)).map(Arc::new);
    let sites = KeyPath::from("embedded_by");
    let embedded_by = raw.embedded_by.unwrap_or_default();
    let embedded_by =
        embedded_by.iter().enumerate().filter_map(|(n, text)| site(&cx.entry(&sites, n), text, cx)).collect();
    let hsts = raw.hsts.and_then(|text| cx.parse(&"hsts".into(), &text)).map(Arc::new);
    let certificate_key = raw.certificate_key.and_then(|text| cx.parse(&"certificate_key".into(), &text));
    let mail = raw.mail.and_then(|raw| mail::read(raw, cx)).map(Arc::new);
    let events = events::read(raw.events.unwrap_or_default(), cx);
    Draft {
        name,
        policy,
        pools,
        hosts,
        credentials,
        exceptions,
        changes,
        rule_places,
        branding,
        account_param: raw.account_param,
        frontend,
        embedded_by,
        hsts,
        certificate_key,
        mail,
        uncovered_forms: raw.uncovered_forms.unwrap_or(UNCOVERED_FORMS),
        suspended: raw.suspended.unwrap_or(false),
        events,
    }
}

fn credentials(raw: Option<BTreeMap<String, raw::Secrets>>, cx: &mut Convert<'_>) -> Vec<DraftCredential> {
    let all = KeyPath::from("secrets");
    if raw.as_ref().is_some_and(|named| named.is_empty()) && !cx.is_faulty(&all) {
        cx.fault(&all, "must name at least one secret");
    }
    let raw = raw.unwrap_or_default();
    let mut credentials: Vec<DraftCredential> = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        let path = all.key(&name);
        if !is_account(&name) {
            cx.fault(&path, "the name of a secret has 1 to 64 letters, digits, dots, hyphens or underscores");
        }
        let secrets = secrets(&name, &path, value, cx);
        for (n, secret) in secrets.iter().enumerate() {
            if let Some(other) = secrets[..n].iter().find(|other| other.value.secret == secret.value.secret) {
                cx.warn_at(secret, format!("is the same secret as {}", other.key));
            }
        }
        credentials.push(DraftCredential { name: name.into(), secrets });
    }
    for (shared, other) in shared_secrets(&credentials) {
        cx.fault_at(shared, format!("is the same secret as {}: every account needs its own", other.key));
    }
    credentials
}

/// Secrets that another credential has as well, each with that of the other.
fn shared_secrets(credentials: &[DraftCredential]) -> Vec<(&At<ApiSecret>, &At<ApiSecret>)> {
    let mut owners = HashMap::new();
    let all =
        credentials.iter().flat_map(|credential| credential.secrets.iter().map(|secret| (&credential.name, secret)));
    let shared = all.filter_map(|(name, secret)| {
        let (owner, first) = *owners.entry(secret.value.secret.reveal()).or_insert((name, secret));
        (owner != name).then_some((secret, first))
    });
    shared.collect()
}

fn secrets(account: &str, path: &KeyPath, value: raw::Secrets, cx: &mut Convert<'_>) -> Box<[At<ApiSecret>]> {
    let entries = match value {
        raw::Secrets::Plain(text) => vec![raw::Secret::Plain(text)],
        raw::Secrets::Named(named) => vec![raw::Secret::Named(named)],
        raw::Secrets::Many(entries) => {
            if entries.is_empty() && !cx.is_faulty(path) {
                cx.fault(path, "must not be an empty list");
            }
            let many = entries.into_iter().enumerate();
            return many.filter_map(|(n, entry)| secret(account, n, &cx.entry(path, n), entry, cx)).collect();
        }
    };
    entries.into_iter().filter_map(|entry| secret(account, 0, path, entry, cx)).collect()
}

/// The `nth` secret of an account, counted from 0.
fn secret(
    account: &str,
    nth: usize,
    path: &KeyPath,
    entry: raw::Secret,
    cx: &mut Convert<'_>,
) -> Option<At<ApiSecret>> {
    let (place, named) = match entry {
        raw::Secret::Plain(text) => (path.clone(), raw::NamedSecret { secret: Some(text), ..Default::default() }),
        raw::Secret::Named(named) => (path.key("secret"), named),
    };
    let not_after = named.not_after.and_then(|text| last_moment(&path.key("not_after"), &text, cx));
    if let Some(name) = &named.name
        && !is_account(name)
    {
        cx.fault(&path.key("name"), "the name of a secret has 1 to 64 letters, digits, dots, hyphens or underscores");
    }
    let text = named.secret?;
    let secret = sources::secret(&place, &text, cx)?;
    let name = named.name.or_else(|| source_name(&text)).unwrap_or_else(|| (nth + 1).to_string());
    Some(cx.at_path(&place, ApiSecret { secret, label: format!("{account}/{name}").into(), not_after }))
}

/// What a secret is called after the place it comes from.
fn source_name(text: &str) -> Option<String> {
    let name = match text.strip_prefix("file:") {
        Some(path) => Path::new(path).file_name()?.to_str()?,
        None => text.strip_prefix("env:")?,
    };
    is_account(name).then(|| name.to_owned())
}

/// The expiry of a secret.
fn last_moment(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Timestamp> {
    let last = cx.keep(path, Moment::parse(text))?.last();
    if last < cx.now {
        cx.warn(path, "is in the past: this secret has expired");
    }
    Some(last)
}

/// A site as `frame-ancestors` of a content security policy names it.
fn site(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Box<str>> {
    let text = text.to_ascii_lowercase();
    let host = text.strip_prefix("https://").map(|host| host.strip_prefix("*.").unwrap_or(host));
    let is_site = host.is_some_and(|host| {
        let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
        host.parse::<Host>().is_ok() && port.is_none_or(|port| port.parse::<u16>().is_ok())
    });
    let site = is_site.then(|| text.into());
    cx.keep(
        path,
        site.ok_or(
            "must be \"https://\" and a host, such as \"https://moodle.example\" or \"https://*.school.example\"",
        ),
    )
}

fn is_account(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

fn is_parameter(name: &str) -> bool {
    is_account(name) && !name.contains('.')
}

impl Draft {
    /// Whether it has this policy.
    pub(super) fn names_policy(&self, id: &PolicyId) -> bool {
        self.policy.as_ref().is_some_and(|named| named.value == *id)
    }

    /// The limits of the policy with the exceptions of this tenant.
    pub(super) fn limits(&self, policy: &Policy) -> Arc<Limits> {
        self.exceptions.as_ref().map_or_else(|| Arc::clone(&policy.limits), |own| own.over(&policy.limits))
    }

    /// The tenant and its events, once everything about it has been found to be sound.
    pub(super) fn with_policy(&self, id: &TenantId, policy: &Arc<Policy>) -> Calendar {
        let pools = |own: &[At<PoolId>], others: &Arc<[PoolId]>| match own {
            [] => Arc::clone(others),
            own => own.iter().map(|pool| pool.value.clone()).collect(),
        };
        let usual = self.tenant(id, policy, pools(&self.pools, &policy.pools), self.limits(policy));
        let events = self.events.iter().map(|event| {
            let (pools, limits) = (pools(&event.pools, &usual.pools), event.exceptions.over(&usual.limits));
            let tenant = Arc::new(self.tenant(id, policy, pools, limits));
            Event { from: event.from, until: event.until, tenant }
        });
        let events = events.collect();
        Calendar::new(Arc::new(usual), events)
    }

    fn tenant(&self, id: &TenantId, policy: &Arc<Policy>, pools: Arc<[PoolId]>, limits: Arc<Limits>) -> Tenant {
        Tenant {
            id: id.clone(),
            name: self.name.clone(),
            policy: Arc::clone(policy),
            limits,
            rules: policy.rules.with(&self.changes),
            branding: Arc::clone(&self.branding),
            pools,
            hosts: self.hosts.iter().map(|host| host.value.clone()).collect(),
            credentials: self
                .credentials
                .iter()
                .map(|credential| Credential {
                    name: Arc::clone(&credential.name),
                    secrets: credential.secrets.iter().map(|secret| secret.value.clone()).collect(),
                })
                .collect(),
            account_param: self.account_param.clone(),
            frontend: self.frontend.clone(),
            embedded_by: self.embedded_by.clone(),
            hsts: self.hsts.clone(),
            certificate_key: self.certificate_key,
            mail: self.mail.clone(),
            uncovered_forms: self.uncovered_forms,
            suspended: self.suspended,
        }
    }
}
