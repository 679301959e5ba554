//! Names of hosts that servers are told to fetch documents from: resolved here first, so that a public name that leads into a
//! private network is refused.
//!
//! A name that does not resolve, or not in time, passes, and is logged: the server resolves it for itself, at another moment and
//! perhaps with another answer, and has lists of its own for that (`insertDocumentBlockedHosts`).

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    bbb::{
        answer::Failure,
        fetched::{is_public_address, name_of},
    },
    domain::{denial::Denial, host::Host},
    upstream::Resolver,
};

/// How long a call waits for all of its names.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Names that one call may bring: a body of 2 MB has room for thousands.
const NAMES_MAX: usize = 64;
/// Look-ups at a time, of all calls; more wait for their turn, and pass when their time is over.
const LOOKUPS_MAX: usize = 64;
/// Resolves names.
#[derive(Debug)]
pub struct Names {
    resolvers: Vec<Resolver>,
    turns: Semaphore,
}

impl Names {
    /// Asks these resolvers; without one, names are not looked at.
    #[must_use]
    pub fn new(resolvers: Vec<Resolver>) -> Self {
        Self { resolvers, turns: Semaphore::new(LOOKUPS_MAX) }
    }

    /// Whether servers may fetch from these addresses, as far as their names tell. `own` are the tenant's own hosts, which may be
    /// known by a private address here.
    ///
    /// # Errors
    /// [`Failure::DOCUMENT_ADDRESS`] where a name has an address that is not public, [`Denial::DocumentLimitReached`] where there are too many.
    pub(crate) async fn check(&self, addresses: &[String], own: &[Host]) -> Result<(), Failure> {
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
                    return Err(Failure::DOCUMENT_ADDRESS);
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
    async fn is_private(&self, resolver: &Resolver, name: &str) -> bool {
        let Ok(_turn) = self.turns.acquire().await else { return false };
        match resolver.lookup(name).await {
            Ok(found) => match found.iter().find(|address| !is_public_address(**address)) {
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
