//! [`Admin`]: what the operator's side looks at.

use std::{future::Future, sync::Arc};

use tokio::{runtime::Handle, sync::watch};

use super::token::Tokens;
use crate::{certificates::Certificates, meetings::Meetings, poll::Leads, proxy::Gateway, tls::Tls};

/// What the operator's side looks at.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The use cases.
    pub meetings: Arc<Meetings>,
    /// The HTTP front, for its metrics.
    pub gateway: Arc<Gateway>,
    /// Its certificates.
    pub tls: Arc<Tls>,
    /// How they come.
    pub certificates: Arc<Certificates>,
    /// Who may operate it.
    pub tokens: Arc<Tokens>,
    /// Where the gateway does its work: connections to the store and to servers stay with it.
    pub runtime: Handle,
    /// Rounds of the poller.
    pub rounds: watch::Receiver<u32>,
    /// Whether this gateway is the one that polls.
    pub leads: watch::Receiver<Leads>,
    /// Turns true when the gateway stops.
    pub stop: watch::Receiver<bool>,
}

impl Admin {
    /// Has the gateway's own runtime do something, to its end. `None` when that has panicked, or the gateway has gone.
    pub(super) async fn in_gateway<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }
}
