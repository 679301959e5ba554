//! The limit of documents in a meeting.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    domain::{denial::Denial, limits::Limit},
    live::Meeting,
};

/// Documents that a meeting is given: counted at once, so that two bodies at a time share one limit, and no longer counted
/// unless the server has taken them.
pub(crate) struct Given {
    meeting: Arc<Meeting>,
    documents: u32,
}

impl Given {
    /// Counts documents, if there is room for them.
    ///
    /// # Errors
    /// [`Denial::DocumentLimitReached`].
    pub(crate) fn take(meeting: &Arc<Meeting>, documents: u32, limit: Limit<u32>) -> Result<Self, Denial> {
        let last = documents.saturating_sub(1);
        let add = |have: u32| {
            let fits = documents == 0 || limit.has_room(have.saturating_add(last));
            fits.then_some(have.saturating_add(documents))
        };
        meeting.documents.fetch_update(Relaxed, Relaxed, add).map_err(|_| Denial::DocumentLimitReached)?;
        Ok(Self { meeting: Arc::clone(meeting), documents })
    }

    /// The server has taken them.
    pub(crate) fn keep(mut self) {
        self.documents = 0;
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.meeting.documents.fetch_sub(self.documents, Relaxed);
    }
}
