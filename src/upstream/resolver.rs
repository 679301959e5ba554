//! Resolves the names of hosts that tenants have named. Addresses of the two kinds are asked for apart, so that a name server
//! that keeps one of them back hides nothing of the other.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
};

/// How long a name server has for one answer, and how often it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);
const RETRIES: usize = 1;
/// Answers that are remembered, and for how long at the most: long enough for a class that opens the same room.
const CACHED_MAX: u64 = 4096;
const CACHED: Duration = Duration::from_secs(60);

/// Asks for the addresses of one kind, IPv4 or IPv6. Clones share what is remembered.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl Resolver {
    /// One for each kind, which ask these name servers, or, where there are none, those of the system (`/etc/resolv.conf`,
    /// `/etc/hosts`); none where the system has none.
    #[must_use]
    pub fn of_both_kinds(servers: &[SocketAddr]) -> Vec<Self> {
        let kinds = [LookupIpStrategy::Ipv4Only, LookupIpStrategy::Ipv6Only];
        let resolvers: Result<Vec<_>, _> = kinds.into_iter().map(|kind| resolver(servers, kind)).collect();
        resolvers.unwrap_or_else(|error| {
            tracing::warn!(%error, "no DNS server configured in the system: hosts of documents are not resolved");
            Vec::new()
        })
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// When there is none of this kind, or no answer.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, impl fmt::Display + use<>> {
        // With the dot at its end, no domain of the system's own is tried behind it.
        Ok::<_, NetError>(self.0.lookup_ip(format!("{name}.")).await?.iter().collect())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

fn resolver(servers: &[SocketAddr], kind: LookupIpStrategy) -> Result<Resolver, impl fmt::Display + use<>> {
    let mut builder = match servers {
        [] => TokioResolver::builder_tokio()?,
        servers => {
            let servers = servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.ip_strategy = kind;
    options.timeout = ANSWER_TIMEOUT;
    options.attempts = RETRIES;
    options.cache_size = CACHED_MAX;
    options.positive_max_ttl = Some(CACHED);
    options.negative_max_ttl = Some(CACHED);
    builder.build().map(Resolver)
}
