//! Names of hosts that servers are told to fetch documents from: resolved here first, so that a public name that leads into a
//! private network is refused.
//!
//! A name that does not resolve, or not in time, passes, and is logged: the server resolves it for itself, at another moment and
//! perhaps with another answer, and has lists of its own for that (`insertDocumentBlockedHosts`).

use std::{collections::BTreeSet, fmt, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
};
use tokio::{sync::Semaphore, time::timeout};

use super::api::refusal::Refusal;
use crate::{
    bbb::{
        answer::Failure,
        fetched::{is_public_address, name_of},
    },
    domain::{denial::Denial, host::Host},
};

/// How long a call waits for all of its names.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a name server has for one answer, and how often it is asked again: both within the time above.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);
const RETRIES: usize = 1;
/// Names that one call may bring: a body of 2 MB has room for thousands.
const NAMES_MAX: usize = 64;
/// Look-ups at a time, of all calls; more wait for their turn, and pass when their time is over.
const LOOKUPS_MAX: usize = 64;
/// Answers that are remembered, and for how long at the most: long enough for a class that opens the same room.
const CACHED_MAX: u64 = 4096;
const CACHED: Duration = Duration::from_secs(60);

/// Resolves names. Addresses of the two kinds are asked for apart, so that a name server that keeps one of them back hides
/// nothing of the other.
pub struct Names {
    resolvers: Vec<TokioResolver>,
    turns: Semaphore,
}

impl Names {
    /// Asks these name servers, or, where there are none, those of the system (`/etc/resolv.conf`, `/etc/hosts`).
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        let kinds = [LookupIpStrategy::Ipv4Only, LookupIpStrategy::Ipv6Only];
        let resolvers: Result<Vec<_>, _> = kinds.into_iter().map(|kind| resolver(servers, kind)).collect();
        let resolvers = resolvers.unwrap_or_else(|error| {
            tracing::warn!(%error, "no DNS server configured in the system: hosts of documents are not resolved");
            Vec::new()
        });
        Self { resolvers, turns: Semaphore::new(LOOKUPS_MAX) }
    }

    /// Whether servers may fetch from these addresses, as far as their names tell. `own` are the tenant's own hosts, which may be
    /// known by a private address here.
    ///
    /// # Errors
    /// [`Failure::DOCUMENT_ADDRESS`] where a name has an address that is not public, [`Denial::DocumentLimitReached`] where there are too many.
    pub(crate) async fn check(&self, addresses: &[String], own: &[Host]) -> Result<(), Refusal> {
        let names: BTreeSet<String> = addresses.iter().filter_map(|address| name_of(address)).collect();
        let names: Vec<_> = names.into_iter().filter(|name| !own.iter().any(|host| host.as_str() == name)).collect();
        if names.len() > NAMES_MAX {
            return Err(Denial::DocumentLimitReached.into());
        }
        let looks = names.iter().flat_map(|name| self.resolvers.iter().map(move |at| self.is_private(at, name)));
        let mut looks: FuturesUnordered<_> = looks.collect();
        let looked = async {
            while let Some(is_private) = looks.next().await {
                if is_private {
                    return Err(Failure::DOCUMENT_ADDRESS.into());
                }
            }
            Ok(())
        };
        timeout(TIMEOUT, looked).await.unwrap_or_else(|_| {
            tracing::debug!(hosts = ?names, "DNS lookup of document hosts timed out");
            Ok(())
        })
    }

    /// Whether one of a name's addresses is not public.
    async fn is_private(&self, resolver: &TokioResolver, name: &str) -> bool {
        let Ok(_turn) = self.turns.acquire().await else { return false };
        // With the dot at its end, no domain of the system's own is tried behind it.
        match resolver.lookup_ip(format!("{name}.")).await {
            Ok(found) => match found.iter().find(|address| !is_public_address(*address)) {
                Some(address) => {
                    tracing::info!(host = name, %address, "document refused: its host has a non-public address");
                    true
                }
                None => false,
            },
            Err(error) => {
                tracing::debug!(host = name, %error, "DNS lookup of a document host failed");
                false
            }
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

fn resolver(servers: &[SocketAddr], kind: LookupIpStrategy) -> Result<TokioResolver, impl fmt::Display + use<>> {
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
    builder.build()
}
