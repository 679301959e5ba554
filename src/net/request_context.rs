//! [`RequestContext`]: the request that a task works for, as its log lines show it.

use std::future::Future;

use tokio::task::futures::TaskLocalFuture;

use super::request_id::RequestId;
use crate::domain::ids::TenantId;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// Tenant and id of a request. Both formats of the log add them to each line that is written within [`Self::scope`]. A
/// `tracing` span would cost some thousand instructions for each request, and few requests write such a line.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The tenant that it is for.
    pub tenant: TenantId,
    /// Its id.
    pub request_id: RequestId,
}

impl RequestContext {
    /// Has all log lines of a future show this context. A large future is pinned first: it would be moved.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Reads the context of the current task, if it has one.
    pub fn read<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(read).ok()
    }
}
