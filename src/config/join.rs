//! Checks across files: tenants with their policies, pools, base domains and each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    convert::At,
    document::Line,
    fault::Fault,
    gateway::{self, Gateway},
    params,
    shape::unknown,
    tenant::Draft,
};
use crate::{
    domain::{
        branding::Branding,
        calendar::Calendar,
        host::Host,
        ids::{PolicyId, PoolId, TenantId},
        issuance::{Issuance, refusal_of},
        limits::{Limit, Recording},
        rules::Rule,
        tenant::{Policy, Server},
    },
    tls::brought::Certs,
};

/// The file of a tenant.
pub(super) fn tenant_file(id: &TenantId) -> PathBuf {
    PathBuf::from(format!("tenants/{id}.toml"))
}

/// The file of a policy.
pub(super) fn policy_file(id: &PolicyId) -> PathBuf {
    PathBuf::from(format!("policies/{id}.toml"))
}

/// The data that tenants are checked against.
pub(super) struct Rules<'a> {
    pub gateway: &'a Gateway,
    /// `None` for a policy that is there, but faulty: what depends on it cannot be said.
    pub policies: &'a BTreeMap<PolicyId, Option<Arc<Policy>>>,
}

impl Rules<'_> {
    /// The policy of a tenant, and the faults of the tenant with it and with the gateway.
    pub(super) fn check(&self, file: &Path, draft: &Draft) -> (Option<&Arc<Policy>>, Vec<Fault>) {
        let mut faults = Vec::new();
        self.check_get_user(file, draft, &mut faults);
        let policy = draft.policy.as_ref().and_then(|named| match self.policies.get(&named.value) {
            Some(policy) => policy.as_ref(),
            None => {
                let known: Vec<&str> = self.policies.keys().map(PolicyId::as_str).collect();
                let what = format!("the policy {:?}", named.value);
                faults.push(named.fault(file, unknown(&what, named.value.as_str(), &known)));
                None
            }
        });
        // Without these two nothing is known of pools and base domains.
        if let Some(settings) = &self.gateway.settings {
            self.check_pools(file, draft, policy, &mut faults);
            for host in draft.hosts.iter().filter(|host| settings.base_domains.contains(&host.value)) {
                faults
                    .push(host.fault(file, format!("{:?} is a base domain itself; tenants live below it", host.value)));
            }
            if let Some(policy) = policy {
                self.check_own_domains(file, draft, policy, &mut faults);
            }
        }
        (policy, faults)
    }

    /// The secret of `getUser` tells those of all tenants.
    fn check_get_user(&self, file: &Path, draft: &Draft, faults: &mut Vec<Fault>) {
        let Some(calls) = self.gateway.settings.as_ref().and_then(|settings| settings.get_user.as_ref()) else {
            return;
        };
        let secrets = draft.credentials.iter().flat_map(|credential| &credential.secrets);
        for secret in secrets.filter(|secret| secret.value.secret == calls.secret) {
            faults.push(secret.fault(file, "is the same secret as get_user.secret, which tells those of all tenants"));
        }
    }

    fn check_pools(&self, file: &Path, draft: &Draft, policy: Option<&Arc<Policy>>, faults: &mut Vec<Fault>) {
        let has_no_server = |pool: &PoolId| !self.gateway.pools.contains(pool);
        let of_events = draft.events.iter().flat_map(|event| &event.pools);
        for pool in draft.pools.iter().chain(of_events).filter(|pool| has_no_server(&pool.value)) {
            faults.push(pool.fault(file, format!("no server belongs to the pool {:?}", pool.value)));
        }
        self.check_meteor(file, draft, policy, faults);
        if let (true, Some(policy), Some(named)) = (draft.pools.is_empty(), policy, &draft.policy) {
            for pool in policy.pools.iter().filter(|pool| has_no_server(pool)) {
                faults.push(named.fault(file, format!("no server belongs to its pool {pool:?}")));
            }
        }
    }

    /// A server of BBB 2.7 has its tenant's hosts to itself.
    fn check_meteor(&self, file: &Path, draft: &Draft, policy: Option<&Arc<Policy>>, faults: &mut Vec<Fault>) {
        let is_meteor = |pool: &PoolId| self.gateway.meteor_pools.contains(pool);
        let reason = |pool: &PoolId| {
            format!(
                "{pool:?} has a server of BBB 2.7, which takes whole hosts: it must be the tenant's own and only pool"
            )
        };
        let of_events: Vec<&At<PoolId>> = draft.events.iter().flat_map(|event| &event.pools).collect();
        let is_only = draft.pools.len() == 1 && of_events.is_empty();
        for pool in draft.pools.iter().chain(of_events).filter(|pool| is_meteor(&pool.value) && !is_only) {
            faults.push(pool.fault(file, reason(&pool.value)));
        }
        if let (true, Some(policy), Some(named)) = (draft.pools.is_empty(), policy, &draft.policy) {
            for pool in policy.pools.iter().filter(|pool| is_meteor(pool)) {
                faults.push(named.fault(file, reason(pool)));
            }
        }
    }

    fn check_own_domains(&self, file: &Path, draft: &Draft, policy: &Arc<Policy>, faults: &mut Vec<Fault>) {
        let Limit::AtMost(allowed) = draft.limits(policy).own_domains else {
            return;
        };
        let bases = self.gateway.settings.as_ref().map_or(&[][..], |settings| &settings.base_domains);
        let own = draft
            .hosts
            .iter()
            .filter(|host| !bases.iter().any(|base| host.value == *base || host.value.is_below(base)));
        let allowance = match allowed {
            0 => "no own domain".to_owned(),
            1 => "1 own domain".to_owned(),
            more => format!("{more} own domains"),
        };
        for host in own.skip(allowed as usize) {
            let reason = format!("{:?} is below no base domain, and the level allows {allowance}", host.value);
            faults.push(host.fault(file, reason));
        }
    }
}

/// Things that only one tenant can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Claim<'a> {
    Host(&'a str),
    Secret(&'a str),
    /// With a server of BBB 2.7.
    Pool(&'a str),
}

/// Place of a claim.
#[derive(Clone, Copy)]
struct Place<'a> {
    line: Option<Line>,
    key: &'a str,
}

impl<'a> Place<'a> {
    fn of<T>(at: &'a At<T>) -> Self {
        Self { line: at.line, key: &at.key }
    }
}

/// Everything a tenant claims, each with its place.
fn claims<'a>(draft: &'a Draft, gateway: &Gateway) -> impl Iterator<Item = (Claim<'a>, Place<'a>)> {
    let hosts = draft.hosts.iter().map(|host| (Claim::Host(host.value.as_str()), Place::of(host)));
    let secrets = draft.credentials.iter().flat_map(|credential| &credential.secrets);
    let pools = draft.pools.iter().filter(|pool| gateway.meteor_pools.contains(&pool.value));
    hosts
        .chain(secrets.map(|secret| (Claim::Secret(secret.value.secret.reveal()), Place::of(secret))))
        .chain(pools.map(|pool| (Claim::Pool(pool.value.as_str()), Place::of(pool))))
}

/// Whether a tenant claims this.
pub(super) fn has_claim(draft: &Draft, gateway: &Gateway, claim: Claim<'_>) -> bool {
    claims(draft, gateway).any(|(own, _)| own == claim)
}

/// Finds tenants that claim the same. The one that `holds` it already keeps it, else the first by its id; each of the
/// others gets a fault.
pub(super) fn conflicts<'a>(
    tenants: impl Iterator<Item = (&'a TenantId, &'a Draft)>,
    gateway: &Gateway,
    holds: impl Fn(&TenantId, Claim<'_>) -> bool,
) -> Vec<(TenantId, Fault)> {
    let mut owners: HashMap<Claim<'a>, (&'a TenantId, Place<'a>)> = HashMap::new();
    let mut losers = Vec::new();
    for (id, draft) in tenants {
        for (claim, place) in claims(draft, gateway) {
            let owner = match owners.entry(claim) {
                Entry::Vacant(free) => {
                    free.insert((id, place));
                    continue;
                }
                Entry::Occupied(taken) => taken.into_mut(),
            };
            // The same secret in two places of one tenant is the business of its own file.
            if owner.0 == id {
                continue;
            }
            let mut loser = (id, place);
            if holds(id, claim) {
                std::mem::swap(owner, &mut loser);
            }
            losers.push((loser.0.clone(), conflict(claim, *owner, loser)));
        }
    }
    losers
}

fn conflict(claim: Claim<'_>, owner: (&TenantId, Place<'_>), loser: (&TenantId, Place<'_>)) -> Fault {
    let other = tenant_file(owner.0);
    let reason = match claim {
        Claim::Host(host) => format!("{host:?} is a host of {} as well", other.display()),
        Claim::Pool(pool) => {
            format!(
                "{pool:?} has a server of BBB 2.7, which takes whole hosts, and is the pool of {} as well",
                other.display()
            )
        }
        Claim::Secret(_) => format!("is the same secret as {} of {}", owner.1.key, other.display()),
    };
    Fault { file: tenant_file(loser.0), line: loser.1.line, key: loser.1.key.to_owned(), reason }
}

/// Servers in pools that neither a policy nor a tenant names: no meeting comes to them.
pub(super) fn idle_servers(gateway: &Gateway, named: &BTreeSet<&PoolId>) -> Vec<Fault> {
    let idle = gateway.servers.iter().filter(|server| !named.contains(&server.pool));
    let fault = |server: &Arc<Server>| Fault {
        file: gateway::FILE.into(),
        line: None,
        key: format!("servers.{}.pool", server.id),
        reason: format!("no policy and no tenant names the pool {:?}: no meeting comes here", server.pool),
    };
    idle.map(fault).collect()
}

/// A host for `getUser` that no tenant has: it cannot be asked for anything.
pub(super) fn idle_get_user<'a>(gateway: &Gateway, mut tenants: impl Iterator<Item = &'a Draft>) -> Option<Fault> {
    let calls = gateway.settings.as_ref()?.get_user.as_ref()?;
    let has_host = tenants.any(|draft| draft.hosts.iter().any(|host| host.value == calls.host));
    let reason = format!("{:?} is no tenant's host: the call cannot be made", calls.host);
    let fault = Fault { file: gateway::FILE.into(), line: None, key: "get_user.host".to_owned(), reason };
    (!has_host).then_some(fault)
}

/// Secrets of a tenant that a server has as well: where the server is reachable, they bypass the gateway.
fn secrets_of_servers(file: &Path, draft: &Draft, servers: &[Arc<Server>]) -> Vec<Fault> {
    let secrets = draft.credentials.iter().flat_map(|credential| &credential.secrets);
    let shared = secrets.filter_map(|secret| {
        let server = servers.iter().find(|server| server.secret == secret.value.secret)?;
        let reason = format!(
            "is the secret of the server {:?} too: anyone who has it can call that server without the gateway",
            server.id
        );
        Some(secret.fault(file, reason))
    });
    shared.collect()
}

/// Settings of a tenant without effect.
fn without_effect(file: &Path, draft: &Draft, calendar: &Calendar) -> Vec<Fault> {
    let tenant = calendar.usual();
    let all = || calendar.events().iter().map(|event| &event.tenant).chain([tenant]);
    let records = all().any(|tenant| tenant.limits.recording != Recording::Never);
    let idle = params::without_effect(&draft.rule_places, &draft.changes, &tenant.policy.rules, records);
    let mut faults: Vec<Fault> = idle.map(|(place, reason)| place.fault(file, reason)).collect();
    let mut add = |key: String, reason: &str| {
        faults.push(Fault { file: file.to_owned(), line: None, key, reason: reason.into() });
    };
    if all().any(|tenant| tenant.limits.branding) {
        for (name, _) in draft.branding.of_create("", false) {
            if matches!(tenant.rules.create.rule(name), Some(Rule::Default(_) | Rule::Force(_))) {
                add("branding".into(), &format!("has no effect on {name}: a rule of create gives it"));
            }
        }
    }
    let limits = &tenant.limits;
    if limits.duration == Limit::Unlimited && !limits.duration_window.is_zero() {
        add("limits.duration_window".into(), "has no effect: the duration is unlimited");
    }
    if (limits.rooms, limits.accounts) == (Limit::Unlimited, Limit::Unlimited) && !limits.room_retention.is_zero() {
        add("limits.room_retention".into(), "has no effect: rooms and accounts are unlimited");
    }
    faults
}

/// How hosts get certificates, where there is TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secured<'a> {
    /// Those in `certs/`.
    pub certs: &'a Certs,
    /// How others are ordered.
    pub issuance: Option<&'a Issuance>,
    /// With a DNS hook, hosts right below these have a wildcard.
    pub base_domains: &'a [Host],
}

/// Hosts that have no certificate and no way to one, or are refused by certificate authorities.
fn without_certificate(file: &Path, draft: &Draft, tls: Secured<'_>) -> Vec<Fault> {
    let bare = draft.hosts.iter().filter(|host| !tls.certs.covers(host.value.as_str()));
    let warning = |host: &At<Host>| {
        let name = &host.value;
        let Some(issuance) = tls.issuance else {
            let reason = format!("not served over TLS until certs/{name}/ has one or a wildcard does");
            return Some(host.fault(file, format!("{name:?} has no certificate: {reason}")));
        };
        if issuance.wildcard_above(name, tls.base_domains).is_some() {
            return None;
        }
        let reason = match refusal_of(name) {
            Some(why) => why,
            None if issuance.challenges.is_empty() => "can be proven by no challenge: no listener fits acme.challenges",
            None => return None,
        };
        Some(host.fault(file, format!("{name:?} {reason}: put a certificate into certs/{name}/")))
    };
    bare.filter_map(warning).collect()
}

/// Warnings: valid, but probably not intended.
pub(super) fn warnings(
    file: &Path,
    draft: &Draft,
    calendar: &Calendar,
    servers: &[Arc<Server>],
    tls: Option<Secured<'_>>,
) -> Vec<Fault> {
    let mut warnings = secrets_of_servers(file, draft, servers);
    warnings.extend(without_effect(file, draft, calendar));
    let tenant = calendar.usual();
    if let Some(tls) = tls {
        warnings.extend(without_certificate(file, draft, tls));
    }
    for (event, draft) in calendar.events().iter().zip(&draft.events) {
        if event.tenant == *tenant {
            warnings.push(draft.place.fault(file, "has no effect: pool and limits are the same without it"));
        }
    }
    let mut seasons = calendar.events().iter().map(|event| &event.tenant).chain([tenant]);
    if *draft.branding != Branding::default() && seasons.all(|tenant| !tenant.limits.branding) {
        let reason = "has no effect: the level has no branding";
        warnings.push(Fault { file: file.to_owned(), line: None, key: "branding".into(), reason: reason.into() });
    }
    let named = draft.credentials.len();
    if let (Limit::AtMost(accounts), None) = (tenant.limits.accounts, &tenant.account_param)
        && named > accounts as usize
    {
        let accounts = if accounts == 1 { "1 account".to_owned() } else { format!("{accounts} accounts") };
        let line = draft.credentials.iter().flat_map(|c| &c.secrets).filter_map(|s| s.line).min();
        let reason = format!("{named} secrets are named, but only {accounts} may have rooms at once");
        warnings.push(Fault { file: file.to_owned(), line, key: "secrets".into(), reason });
    }
    warnings
}
