//! The operator has a callback tried again.

use crate::{
    domain::callback::TRIED_FOR,
    meetings::Meetings,
    store::{CallbackRow, Error},
};

/// Has a callback that is not delivered tried now, and for a day more. `None` where there is no such one.
pub(crate) async fn retry(meetings: &Meetings, id: i64) -> Result<Option<CallbackRow>, Error> {
    let now = meetings.clock.now();
    let callback = meetings.store.callbacks().retry(id, now, now.saturating_add(TRIED_FOR)).await?;
    meetings.callbacks.wake.notify_one();
    Ok(callback)
}
