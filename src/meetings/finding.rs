//! Bounds what is looked for in the store.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{denial::Denial, ids::TenantId},
    net::peer::Peer,
    shares::{Limits, Shares, Taken},
};

/// Strangers can make the gateway look for what is not there. Half of the store's connections stay free of that, and of the
/// other half an address has a quarter and a tenant a half.
const FINDING: Limits = Limits { total: 8, outer: 4, inner: 2, both: 2, waiting: 256 };
/// How long somebody waits for their turn.
const FINDING_TIMEOUT: Duration = Duration::from_secs(2);

/// What is looked for in the store, by tenant and address.
#[derive(Debug)]
pub(super) struct Finding(Arc<Shares<TenantId, Peer>>);

impl Default for Finding {
    fn default() -> Self {
        Self(Shares::new(FINDING))
    }
}

impl Finding {
    /// Waits for a turn to look for something.
    ///
    /// # Errors
    /// [`Denial::Overloaded`] where none comes in time.
    pub(super) async fn turn(&self, (tenant, peer): (&TenantId, Peer)) -> Result<Taken<TenantId, Peer>, Denial> {
        self.0.take(tenant, &peer, 1, FINDING_TIMEOUT).await.ok_or(Denial::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_for_what_is_not_there_holds_nobody_else_up() {
        let tenant = |name: &str| name.parse::<TenantId>().expect("an id");
        let (finding, wagtail, heron) = (Finding::default(), tenant("wagtail"), tenant("heron"));
        let peer = |n: u8| Peer::V4(u32::from(n));
        let mut turns = Vec::new();
        for (n, is_there) in [(1, true), (1, true), (1, false), (2, true), (2, true), (3, false)] {
            let turn = finding.turn((&wagtail, peer(n))).now_or_never();
            assert_eq!(turn.is_some(), is_there, "{n}");
            turns.extend(turn);
        }
        assert!(finding.turn((&heron, peer(1))).now_or_never().is_none(), "an address has its share of all");
        turns.push(finding.turn((&heron, peer(4))).await);
        let began = Instant::now();
        assert_eq!(finding.turn((&wagtail, peer(1))).await.err(), Some(Denial::Overloaded));
        assert!(began.elapsed() >= FINDING_TIMEOUT);
        drop(turns);
        assert!(finding.turn((&wagtail, peer(1))).await.is_ok());
    }
}
