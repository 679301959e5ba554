//! Sessions that were replaced by a newer one of the same person.

use std::time::Duration;

use super::Meetings;

/// A replaced session is forgotten after this long: a socket that it had opened at that moment is noted by then.
const REPLACED: Duration = Duration::from_secs(10);

/// Forgets the sessions that were replaced a while ago and never opened: one link makes no rows without end.
pub(crate) async fn forget_replaced(meetings: &Meetings) {
    while let Some(id) = meetings.live.sessions.next_replaced(meetings.clock.now().saturating_sub(REPLACED)) {
        let session = meetings.live.sessions.numbered(id);
        if session.as_ref().is_some_and(|session| session.was_opened()) {
            continue;
        }
        match meetings.store.seats().forget_replaced(id).await {
            Ok(true) => session.iter().for_each(|session| meetings.live.sessions.forget(session)),
            Ok(false) => {}
            // It is tried again.
            Err(_) => return meetings.live.sessions.note_replaced(id, meetings.clock.now()),
        }
    }
}
