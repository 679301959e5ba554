//! [`Directory`]: everything the operator configured, immutable. A reload builds a new one and swaps it in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    calendar::Calendar,
    get_user::GetUser,
    host::Host,
    hsts::Hsts,
    ids::{PoolId, ServerId, Slug, TenantId},
    pages::Pages,
    tenant::{Server, Tenant},
    time::Timestamp,
};

/// All tenants and servers, with the look-ups that requests need.
#[derive(Debug, Default)]
pub struct Directory {
    tenants: BTreeMap<TenantId, Arc<Calendar>>,
    hosts: HashMap<Host, Arc<Calendar>>,
    servers: BTreeMap<ServerId, Arc<Server>>,
    slugs: HashMap<Slug, Arc<Server>>,
    pools: HashMap<PoolId, Vec<Arc<Server>>>,
    pages: Arc<Pages>,
    hsts: Hsts,
    get_user: Option<Arc<GetUser>>,
    base_domains: Vec<Host>,
    retired: BTreeSet<ServerId>,
}

impl Directory {
    /// Joins tenants and servers. Of two tenants with one host the later gets it; `config` refuses that before.
    pub fn new(tenants: Vec<Arc<Calendar>>, servers: Vec<Arc<Server>>) -> Self {
        let mut directory = Self::default();
        for calendar in tenants {
            for host in &calendar.usual().hosts {
                directory.hosts.insert(host.clone(), Arc::clone(&calendar));
            }
            directory.tenants.insert(calendar.usual().id.clone(), calendar);
        }
        for server in servers {
            directory.slugs.insert(server.slug.clone(), Arc::clone(&server));
            directory.pools.entry(server.pool.clone()).or_default().push(Arc::clone(&server));
            directory.servers.insert(server.id.clone(), server);
        }
        directory
    }

    /// The same with an operator's own pages.
    #[must_use]
    pub fn with_pages(self, pages: Arc<Pages>) -> Self {
        Self { pages, ..self }
    }

    /// The same with what browsers are told about TLS, where a tenant says nothing of it.
    #[must_use]
    pub fn with_hsts(self, hsts: Hsts) -> Self {
        Self { hsts, ..self }
    }

    /// The same with the call that tells the secrets of tenants.
    #[must_use]
    pub fn with_get_user(self, get_user: Option<Arc<GetUser>>) -> Self {
        Self { get_user, ..self }
    }

    /// The same with the operator's own domains.
    #[must_use]
    pub fn with_base_domains(self, base_domains: Vec<Host>) -> Self {
        Self { base_domains, ..self }
    }

    /// The same with the servers that are gone for good.
    #[must_use]
    pub fn with_retired(self, retired: BTreeSet<ServerId>) -> Self {
        Self { retired, ..self }
    }

    /// Whether a server is gone for good, and its recordings with it. Of one that is neither here nor retired nothing is known.
    #[must_use]
    pub fn is_retired(&self, server: &ServerId) -> bool {
        self.retired.contains(server)
    }

    /// Whether a host is below a domain of the operator's: no tenant decides where it leads.
    #[must_use]
    pub fn is_of_operator(&self, host: &Host) -> bool {
        self.base_domains.iter().any(|base| host.is_below(base))
    }

    /// The domains of the operator that tenants live below.
    #[must_use]
    pub fn base_domains(&self) -> &[Host] {
        &self.base_domains
    }

    /// The call that tells the secrets of tenants, if there is one.
    #[must_use]
    pub fn get_user(&self) -> Option<&GetUser> {
        self.get_user.as_deref()
    }

    /// What browsers are told about TLS on a tenant's hosts.
    #[must_use]
    pub fn hsts_of<'a>(&'a self, tenant: &'a Tenant) -> &'a Hsts {
        tenant.hsts.as_deref().unwrap_or(&self.hsts)
    }

    /// What people read.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The tenant of a host as it is at a moment, which a request sees from start to end. `host` is lower case, without
    /// port.
    #[must_use]
    pub fn tenant_of_host(&self, host: &str, now: Timestamp) -> Option<&Arc<Tenant>> {
        self.hosts.get(host).map(|calendar| calendar.at(now))
    }

    /// Whether a tenant has this host.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// A tenant by its id, as it usually is.
    #[must_use]
    pub fn tenant(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(id).map(|calendar| calendar.usual())
    }

    /// A tenant by its id, as it is at a moment.
    #[must_use]
    pub fn tenant_at(&self, id: &str, now: Timestamp) -> Option<&Arc<Tenant>> {
        self.tenants.get(id).map(|calendar| calendar.at(now))
    }

    /// All tenants as they usually are, by id.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values().map(|calendar| calendar.usual())
    }

    /// A server by its id.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Arc<Server>> {
        self.servers.get(id)
    }

    /// A server by its name in a browser's path.
    #[must_use]
    pub fn server_of_slug(&self, slug: &str) -> Option<&Arc<Server>> {
        self.slugs.get(slug)
    }

    /// All servers, by id.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// The servers of a pool; none for a pool that does not exist.
    #[must_use]
    pub fn pool(&self, pool: &PoolId) -> &[Arc<Server>] {
        self.pools.get(pool).map_or(&[], Vec::as_slice)
    }

    /// The server of BBB 2.7 that has the tenant's hosts to itself.
    #[must_use]
    pub fn meteor_of(&self, tenant: &Tenant) -> Option<&Arc<Server>> {
        self.servers_of(tenant).next().filter(|server| server.is_meteor)
    }

    /// The servers of a tenant's pools, those of the preferred pool first.
    pub fn servers_of(&self, tenant: &Tenant) -> impl Iterator<Item = &Arc<Server>> {
        tenant.pools.iter().flat_map(|pool| self.pool(pool))
    }
}
