//! [`Loader`]: reads the files, joins them, and keeps the version in service.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    certs,
    fault::Fault,
    files::{Reading, Source},
    gateway::{self, Gateway},
    join::{self, Rules, Secured, policy_file, tenant_file},
    loaded::{Loaded, Reload},
    scan::{CERTS, Entry, Files, PAGES, POLICIES, TENANTS},
    settings::{Settings, SlugKey},
    tenant::Draft,
};
use crate::{
    domain::{
        calendar::Calendar,
        directory::Directory,
        ids::{PolicyId, TenantId},
        pages::{Language, Pages, Tag},
        tenant::{Policy, Server},
        time::{Clock, Timestamp},
    },
    tls::{brought::Certs, certs::CertName, slot::Slot},
};

/// Reads the configuration in a directory, and reads it again when it has changed.
///
/// Blocking: with many files it belongs on a thread of its own.
#[derive(Debug)]
pub struct Loader {
    dir: PathBuf,
    clock: Clock,
    files: Files,
    /// The version in service; `None` before the first success.
    service: Option<Service>,
    /// The faults of the last join.
    standing: Vec<Fault>,
}

/// The version in service.
#[derive(Debug)]
struct Service {
    /// As it was at the start: what it says about listeners and the store holds until the next one.
    started: Arc<Gateway>,
    gateway: Arc<Gateway>,
    settings: Settings,
    servers: Vec<Arc<Server>>,
    policies: BTreeMap<PolicyId, Arc<Policy>>,
    tenants: BTreeMap<TenantId, Serving>,
    certs: BTreeMap<CertName, Arc<Slot>>,
    languages: BTreeMap<Tag, Arc<Language>>,
    template: Option<Arc<String>>,
    /// Both together, as pages are made of them.
    pages: Arc<Pages>,
    /// `certs` once more, as the handshakes want them.
    lookup: Certs,
    warnings: Vec<Fault>,
    /// When dates of certificates are to be looked at again; `None` where no date is to come.
    next_date: Option<Timestamp>,
}

/// A tenant in service, with its events, and the file it was made of.
#[derive(Debug, Clone)]
struct Serving {
    draft: Arc<Draft>,
    calendar: Arc<Calendar>,
}

impl Loader {
    /// A loader of the configuration in this directory. Reads nothing yet.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { dir: dir.into(), clock, files: Files::default(), service: None, standing: Vec::new() }
    }

    /// Reads everything; succeeds only without faults.
    ///
    /// # Errors
    /// Every fault of the whole configuration, by file and line.
    pub fn load(&mut self, key: &SlugKey) -> Result<Loaded, Vec<Fault>> {
        self.read(key).map(|service| service.loaded())
    }

    /// The same before the key of the slugs is known: what a start needs on the way to it. [`Self::load_with_slugs`] follows.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn prepare(&mut self) -> Result<Settings, Vec<Fault>> {
        self.read(&SlugKey([0; 32])).map(|service| service.settings.clone())
    }

    /// What [`Self::prepare`] has read, with the slugs of this key. With many tenants a second look at each file would double the
    /// start; what has changed since is found by the first reload.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_slugs(&mut self, key: &SlugKey) -> Result<Loaded, Vec<Fault>> {
        if let Some(service) = &mut self.service
            && service.rename_servers(&mut self.files, key)
        {
            return Ok(service.loaded());
        }
        self.load(key)
    }

    fn read(&mut self, key: &SlugKey) -> Result<&Service, Vec<Fault>> {
        self.refresh(key);
        let (next, faults) = self.files.join_all(self.clock.now());
        match next {
            Some(next) if faults.is_empty() => {
                self.standing.clear();
                Ok(self.service.insert(next))
            }
            _ => Err(sorted(faults)),
        }
    }

    /// Reads changed files, and joins them with the last good version of faulty ones.
    pub fn reload(&mut self, key: &SlugKey) -> Reload {
        let changed = self.refresh(key);
        let now = self.clock.now();
        if self.service.is_some() && !changed && self.next_date().is_none_or(|at| now < at) {
            return Reload { loaded: None, faults: self.standing.clone() };
        }
        let (next, faults) = self.files.join_sound(self.service.as_ref(), now);
        self.standing = sorted(faults);
        let loaded = next.and_then(|next| {
            let news = self.service.as_ref().is_none_or(|service| !service.serves_like(&next));
            let service = self.service.insert(next);
            news.then(|| service.loaded())
        });
        Reload { loaded, faults: self.standing.clone() }
    }

    /// When a reload is due though no file changes: a certificate expires then, or becomes valid.
    #[must_use]
    pub fn next_date(&self) -> Option<Timestamp> {
        self.service.as_ref()?.next_date
    }

    fn refresh(&mut self, key: &SlugKey) -> bool {
        self.files.refresh(Source { dir: &self.dir, now: self.clock.now() }, key)
    }

    /// The directories to watch, including missing ones.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<Arc<Path>> {
        let own = [POLICIES, TENANTS, CERTS, PAGES].iter().map(|folder| self.dir.join(folder).into());
        let own = own.chain([Arc::from(&*self.dir)]);
        own.chain(self.files.readings().flat_map(Reading::directories)).collect()
    }

    /// The name of the store's own file, in which changes are none of the configuration.
    pub(super) fn store_name(&self) -> Option<String> {
        let url = &self.service.as_ref()?.settings.store_url;
        let path = url.reveal().strip_prefix("sqlite:")?.split('?').next()?;
        Some(Path::new(path).file_name()?.to_string_lossy().into_owned())
    }
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    let rank = |fault: &Fault| fault.file != Path::new(gateway::FILE);
    faults.sort_by(|a, b| (rank(a), &a.file, a.line, &a.key).cmp(&(rank(b), &b.file, b.line, &b.key)));
    faults
}

impl Files {
    /// Joins the files in spite of faults, so that all faults are found.
    fn join_all(&self, now: Timestamp) -> (Option<Service>, Vec<Fault>) {
        let mut faults = self.faults();
        let Some(gateway) = &self.gateway else {
            return (None, faults);
        };
        let policies: BTreeMap<_, _> = self
            .policies
            .iter()
            .map(|(id, entry)| (id.clone(), entry.value.clone().filter(|_| entry.is_sound())))
            .collect();
        let rules = Rules { gateway: &gateway.value, policies: &policies };
        let mut choices = BTreeMap::new();
        for (id, entry) in &self.tenants {
            let (policy, more) = rules.check(&tenant_file(id), &entry.value);
            faults.extend(more);
            choices.insert(id, Choice { draft: &entry.value, policy: policy.cloned() });
        }
        let chosen = choices.iter().map(|(id, choice)| (*id, &**choice.draft));
        faults.extend(join::conflicts(chosen, &gateway.value, |_, _| false).into_iter().map(|(_, fault)| fault));
        if !faults.is_empty() {
            return (None, faults);
        }
        let certs = sound(&self.certs, None);
        (Some(self.build(&gateway.value, &policies, &choices, (certs, now), None)), faults)
    }

    /// Joins valid files with the last good version of faulty ones.
    fn join_sound(&self, service: Option<&Service>, now: Timestamp) -> (Option<Service>, Vec<Fault>) {
        let mut faults = self.faults();
        let read = self.gateway.as_ref().filter(|entry| entry.is_sound()).map(|entry| &entry.value);
        let Some(gateway) = read.or(service.map(|service| &service.gateway)) else {
            return (None, faults);
        };
        if let Some(service) = service {
            faults.extend(gateway.restart_faults(&service.started));
        }
        let policies = self.sound_policies(service, &mut faults);
        let rules = Rules { gateway, policies: &policies };
        let mut choices: BTreeMap<&TenantId, Choice<'_>> = BTreeMap::new();
        for (id, entry) in &self.tenants {
            let (policy, more) = rules.check(&tenant_file(id), &entry.value);
            let usable = entry.is_sound() && more.is_empty();
            faults.extend(more);
            let current =
                policy.filter(|_| usable).map(|policy| Choice { draft: &entry.value, policy: Some(policy.clone()) });
            if let Some(choice) = current.or_else(|| last_good(id, service, &rules)) {
                choices.insert(id, choice);
            }
        }
        let holds = |id: &TenantId, claim: join::Claim<'_>| {
            service
                .and_then(|s| s.tenants.get(id))
                .is_some_and(|serving| join::has_claim(&serving.draft, gateway, claim))
        };
        // The loser goes back to the last good version, which may hold what another one has just claimed. Each
        // tenant goes back once at most, and no two last good versions claim the same.
        loop {
            let losers = join::conflicts(choices.iter().map(|(id, choice)| (*id, &**choice.draft)), gateway, holds);
            if losers.is_empty() {
                break;
            }
            let beaten: BTreeSet<TenantId> = losers.iter().map(|(id, _)| id.clone()).collect();
            faults.extend(losers.into_iter().map(|(_, fault)| fault));
            for (id, _) in self.tenants.iter().filter(|(id, _)| beaten.contains(*id)) {
                let now = choices.remove(id);
                let back = last_good(id, service, &rules);
                if let Some(back) = back.filter(|b| now.is_none_or(|now| !Arc::ptr_eq(now.draft, b.draft))) {
                    choices.insert(id, back);
                }
            }
        }
        let in_service = service.map(|service| &service.certs);
        let (certs, more) = certs::in_dates(sound(&self.certs, in_service), in_service, now);
        faults.extend(more);
        (Some(self.build(gateway, &policies, &choices, (certs, now), service)), faults)
    }

    /// The policies as they are, the last good version of faulty ones, and of those that are gone but still used.
    fn sound_policies(
        &self,
        service: Option<&Service>,
        faults: &mut Vec<Fault>,
    ) -> BTreeMap<PolicyId, Option<Arc<Policy>>> {
        let last = |id: &PolicyId| service.and_then(|service| service.policies.get(id));
        let mut policies: BTreeMap<_, _> =
            self.policies.iter().map(|(id, entry)| (id.clone(), entry.sound_or(last(id)))).collect();
        for (id, policy) in service.into_iter().flat_map(|service| &service.policies) {
            if policies.contains_key(id) {
                continue;
            }
            let mut users = self.tenants.iter().filter(|(_, entry)| entry.value.names_policy(id));
            if let Some((user, _)) = users.next() {
                let reason = format!(
                    "was removed, but {} still has this policy: its last version stays",
                    tenant_file(user).display()
                );
                faults.push(Fault::of_file(policy_file(id), reason));
                policies.insert(id.clone(), Some(Arc::clone(policy)));
            }
        }
        policies
    }

    /// Builds the new version; reuses unchanged parts of the version in service.
    fn build(
        &self,
        gateway: &Arc<Gateway>,
        policies: &BTreeMap<PolicyId, Option<Arc<Policy>>>,
        choices: &BTreeMap<&TenantId, Choice<'_>>,
        (certs, now): (BTreeMap<CertName, Arc<Slot>>, Timestamp),
        service: Option<&Service>,
    ) -> Service {
        let started = service.map_or(gateway, |service| &service.started);
        let settings = gateway.settings_after(started);
        let servers = gateway.servers.iter().map(|new| {
            let old = service.into_iter().flat_map(|service| &service.servers).find(|old| *old == new);
            Arc::clone(old.unwrap_or(new))
        });
        let tenants: BTreeMap<TenantId, Serving> = choices
            .iter()
            .filter_map(|(id, choice)| {
                let old = service.and_then(|service| service.tenants.get(*id));
                Some(((*id).clone(), choice.serve(id, old)?))
            })
            .collect();
        let languages = sound(&self.languages, service.map(|service| &service.languages));
        let last = service.and_then(|service| service.template.as_ref());
        let template = self.template.as_ref().and_then(|entry| match &entry.value {
            None if entry.is_sound() => None,
            _ => entry.sound_or(last),
        });
        let pages = match service.filter(|service| service.languages == languages && service.template == template) {
            Some(service) => Arc::clone(&service.pages),
            None => {
                let own = languages.iter().map(|(tag, language)| (tag.clone(), Language::clone(language))).collect();
                // The template has been tried out when it was read.
                Arc::new(Pages::new(template.as_deref().map(String::as_str), &own).unwrap_or_default())
            }
        };
        let in_files = self.certs.values().filter_map(|entry| entry.value.as_ref());
        let next_date = certs::next_date(certs.values().chain(in_files), now);
        let lookup: Certs = certs.values().cloned().collect();
        let tls = Secured { certs: &lookup, issuance: settings.acme.as_deref(), base_domains: &settings.base_domains };
        let tls = (!settings.listen.https.is_empty()).then_some(tls);
        let warnings = self.warnings(gateway, policies, &tenants, tls);
        Service {
            started: Arc::clone(started),
            gateway: Arc::clone(gateway),
            settings,
            servers: servers.collect(),
            policies: policies.iter().filter_map(|(id, policy)| Some((id.clone(), policy.clone()?))).collect(),
            tenants,
            certs,
            languages,
            template,
            pages,
            lookup,
            warnings,
            next_date,
        }
    }

    fn warnings(
        &self,
        in_service: &Gateway,
        policies: &BTreeMap<PolicyId, Option<Arc<Policy>>>,
        tenants: &BTreeMap<TenantId, Serving>,
        tls: Option<Secured<'_>>,
    ) -> Vec<Fault> {
        let gateway = self.gateway.iter().map(|entry| &entry.warnings);
        let of_policies = self.policies.values().filter(|entry| entry.is_sound()).map(|entry| &entry.warnings);
        let of_tenants = self.tenants.values().map(|entry| &entry.warnings);
        let of_certs = self.certs.values().filter(|entry| entry.is_sound()).map(|entry| &entry.warnings);
        let all = gateway.chain(of_policies).chain(of_tenants).chain(of_certs);
        let mut warnings: Vec<Fault> = all.flatten().cloned().collect();
        for (id, serving) in tenants {
            let file = tenant_file(id);
            warnings.extend(join::warnings(&file, &serving.draft, &serving.calendar, &in_service.servers, tls));
        }
        let of_tenants = tenants.values().flat_map(|serving| {
            let own = &serving.draft.pools;
            own.iter().chain(serving.draft.events.iter().flat_map(|event| &event.pools)).map(|pool| &pool.value)
        });
        let of_policies = policies.values().flatten().flat_map(|policy| policy.pools.iter());
        warnings.extend(join::idle_servers(in_service, &of_policies.chain(of_tenants).collect()));
        warnings.extend(join::idle_get_user(in_service, tenants.values().map(|serving| &*serving.draft)));
        if tenants.is_empty() {
            warnings.push(Fault::of_file(TENANTS, "there is no tenant yet"));
        }
        sorted(warnings)
    }
}

/// The entries as they are, and the last good version of faulty ones.
fn sound<K: Ord + Clone, T: PartialEq>(
    entries: &BTreeMap<K, Entry<Option<Arc<T>>>>,
    service: Option<&BTreeMap<K, Arc<T>>>,
) -> BTreeMap<K, Arc<T>> {
    let last = |key: &K| service.and_then(|service| service.get(key));
    entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.sound_or(last(key))?))).collect()
}

/// The version of a tenant that goes into service.
struct Choice<'a> {
    draft: &'a Arc<Draft>,
    /// `None` for the tenant as it is in service, with the policy it has there.
    policy: Option<Arc<Policy>>,
}

impl Choice<'_> {
    fn serve(&self, id: &TenantId, old: Option<&Serving>) -> Option<Serving> {
        let Some(policy) = &self.policy else {
            return old.cloned();
        };
        let is_same =
            |old: &&Serving| Arc::ptr_eq(&old.draft, self.draft) && Arc::ptr_eq(&old.calendar.usual().policy, policy);
        if let Some(old) = old.filter(is_same) {
            return Some(old.clone());
        }
        let calendar = self.draft.with_policy(id, policy);
        // A line that moved makes another draft, but the same tenant.
        let same = old.filter(|old| *old.calendar == calendar).map(|old| Arc::clone(&old.calendar));
        Some(Serving { draft: Arc::clone(self.draft), calendar: same.unwrap_or_else(|| Arc::new(calendar)) })
    }
}

/// The version of a tenant that is in service: with the policies of now if they agree, else with the one it has there.
fn last_good<'s>(id: &TenantId, service: Option<&'s Service>, rules: &Rules<'_>) -> Option<Choice<'s>> {
    let draft = &service?.tenants.get(id)?.draft;
    let (policy, faults) = rules.check(&tenant_file(id), draft);
    Some(Choice { draft, policy: policy.filter(|_| faults.is_empty()).cloned() })
}

impl Service {
    /// Gives the servers the slugs of another key; whether they could have them.
    fn rename_servers(&mut self, files: &mut Files, key: &SlugKey) -> bool {
        let Some(entry) = &mut files.gateway else { return false };
        let Some(gateway) = self.gateway.with_slugs(key).map(Arc::new) else { return false };
        entry.value = Arc::clone(&gateway);
        files.slug_key = Some(key.0);
        self.servers = gateway.servers.clone();
        self.started = Arc::clone(&gateway);
        self.gateway = gateway;
        true
    }

    /// What the rest of the gateway gets.
    fn loaded(&self) -> Loaded {
        let tenants = self.tenants.values().map(|serving| Arc::clone(&serving.calendar)).collect();
        Loaded {
            settings: self.settings.clone(),
            directory: Directory::new(tenants, self.servers.clone())
                .with_pages(Arc::clone(&self.pages))
                .with_hsts(self.settings.hsts.clone())
                .with_get_user(self.settings.get_user.clone())
                .with_base_domains(self.settings.base_domains.clone())
                .with_retired(self.settings.retired_servers.clone()),
            certs: self.lookup.clone(),
            warnings: self.warnings.clone(),
        }
    }

    /// Whether requests would not see a difference.
    fn serves_like(&self, other: &Self) -> bool {
        fn same<'a, T: 'a>(a: impl Iterator<Item = &'a Arc<T>>, b: impl Iterator<Item = &'a Arc<T>>) -> bool {
            a.map(Arc::as_ptr).eq(b.map(Arc::as_ptr))
        }
        let tenants =
            |service: &'_ Self| service.tenants.values().map(|s| Arc::as_ptr(&s.calendar)).collect::<Vec<_>>();
        self.settings == other.settings
            && same(self.servers.iter(), other.servers.iter())
            && tenants(self) == tenants(other)
            && Arc::ptr_eq(&self.pages, &other.pages)
            && self.certs.keys().eq(other.certs.keys())
            && same(self.certs.values(), other.certs.values())
    }
}
