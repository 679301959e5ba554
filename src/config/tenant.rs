//! `tenants/<id>.toml`: a customer of the operator, as far as its own file can tell.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use time::{
    Date, OffsetDateTime,
    format_description::well_known::Rfc3339,
    macros::{format_description, time},
};

use super::{
    branding,
    convert::{self, At, Convert, Exceptions, Outcome},
    keypath::KeyPath,
    params, raw,
    shape::TENANT,
};
use crate::{
    domain::{
        branding::Branding,
        host::Host,
        ids::{PolicyId, PoolId, TenantId},
        limits::Limits,
        rules::Changes,
        tenant::{ApiSecret, Credential, Policy, Tenant, Upstream},
    },
    live::clock::now_ms,
};

/// A tenant that has not met its policy yet.
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
    pub exceptions: Exceptions,
    pub changes: Changes,
    pub branding: Arc<Branding>,
    pub account_param: Option<String>,
    pub frontend: Option<Upstream>,
    pub suspended: bool,
}

/// A credential, each secret with its place.
#[derive(Debug, PartialEq)]
pub(super) struct DraftCredential {
    pub name: Arc<str>,
    pub secrets: Vec<At<ApiSecret>>,
}

/// Reads a tenant.
pub(super) fn read(dir: &Path, file: &Path) -> Outcome<Draft> {
    convert::read(dir, file, &TENANT, convert)
}

fn convert(raw: raw::Tenant, cx: &mut Convert<'_>) -> Draft {
    let name = cx.title(&"name".into(), raw.name);
    let policy = raw.policy.and_then(|text| {
        let path = KeyPath::from("policy");
        cx.parse(&path, &text).map(|id| cx.at_path(&path, id))
    });
    let pools = raw.pool.map(|pools| cx.pools(&"pool".into(), &pools)).unwrap_or_default();
    let hosts_key = KeyPath::from("hosts");
    if raw.hosts.as_ref().is_some_and(Vec::is_empty) && !cx.is_faulty(&hosts_key) {
        cx.fault(&hosts_key, "must name at least one host");
    }
    let hosts = cx.list(&hosts_key, &raw.hosts.unwrap_or_default());
    let credentials = credentials(raw.secrets, cx);
    let exceptions = cx.limits(&raw.limits.unwrap_or_default());
    let changes = params::changes(raw.create, raw.join, cx);
    let branding = Arc::new(branding::read(raw.branding.unwrap_or_default(), cx));
    if let Some(param) = &raw.account_param
        && !is_parameter(param)
    {
        cx.fault(&"account_param".into(), "must be the name of a create parameter, such as \"meta_owner\"");
    }
    let frontend = raw.frontend.and_then(|text| cx.upstream(&"frontend".into(), &text));
    Draft {
        name,
        policy,
        pools,
        hosts,
        credentials,
        exceptions,
        changes,
        branding,
        account_param: raw.account_param,
        frontend,
        suspended: raw.suspended.unwrap_or(false),
    }
}

fn credentials(raw: Option<BTreeMap<String, raw::Secrets>>, cx: &mut Convert<'_>) -> Vec<DraftCredential> {
    let all = KeyPath::from("secrets");
    if raw.as_ref().is_some_and(|named| named.is_empty()) && !cx.is_faulty(&all) {
        cx.fault(&all, "must name at least one secret");
    }
    let mut credentials: Vec<DraftCredential> = Vec::new();
    for (name, value) in raw.unwrap_or_default() {
        let path = all.key(&name);
        if !is_account(&name) {
            cx.fault(&path, "the name of a secret has 1 to 64 letters, digits, dots, hyphens or underscores");
        }
        let secrets = secrets(&name, &path, value, cx);
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

fn secrets(account: &str, path: &KeyPath, value: raw::Secrets, cx: &mut Convert<'_>) -> Vec<At<ApiSecret>> {
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
    let secret = cx.secret(&place, &text)?;
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

/// The last ms of a day, or a moment with its time.
fn last_moment(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<i64> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map(|day| day.with_time(time!(23:59:59.999)).assume_utc());
    let moment = day.or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    let moment =
        moment.map_err(|_| "must be a day such as \"2026-12-31\", or a moment such as \"2026-12-31T18:00:00Z\"");
    let last = i64::try_from(cx.keep(path, moment)?.unix_timestamp_nanos() / 1_000_000).ok()?;
    if last < now_ms() {
        cx.warn(path, "is over: this secret is good no longer");
    }
    Some(last)
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
    pub(super) fn limits(&self, policy: &Policy) -> Limits {
        let (own, level) = (&self.exceptions, &policy.limits);
        Limits {
            accounts: own.accounts.unwrap_or(level.accounts),
            rooms: own.rooms.unwrap_or(level.rooms),
            participants: own.participants.unwrap_or(level.participants),
            duration: own.duration.unwrap_or(level.duration),
            recording: own.recording.unwrap_or(level.recording),
            own_domains: own.own_domains.unwrap_or(level.own_domains),
            branding: own.branding.unwrap_or(level.branding),
            room_retention: own.room_retention.unwrap_or(level.room_retention),
            duration_window: own.duration_window.unwrap_or(level.duration_window),
            documents: own.documents.unwrap_or(level.documents),
        }
    }

    /// The pools its meetings run in.
    fn pools(&self, policy: &Policy) -> Arc<[PoolId]> {
        if self.pools.is_empty() {
            return Arc::clone(&policy.pools);
        }
        self.pools.iter().map(|pool| pool.value.clone()).collect()
    }

    /// The tenant, once everything about it has been found to be sound.
    pub(super) fn with_policy(&self, id: &TenantId, policy: &Arc<Policy>) -> Tenant {
        Tenant {
            id: id.clone(),
            name: self.name.clone(),
            policy: Arc::clone(policy),
            limits: self.limits(policy),
            rules: policy.rules.with(&self.changes),
            branding: Arc::clone(&self.branding),
            pools: self.pools(policy),
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
            suspended: self.suspended,
        }
    }
}
