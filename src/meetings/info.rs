//! What a server says of one meeting, kept for a moment.

use std::{sync::Arc, time::Duration};

use super::{
    Meetings,
    about::{about, is_gone},
    end::end_noted,
};
use crate::{
    bbb::xml,
    domain::{backend_error::BackendError, tenant::Server},
    live::{Meeting, fresh::Held},
};

/// What a server said of a meeting no longer than `max_age` ago. Where the meeting is over its record is ended.
pub(crate) async fn info(
    meetings: &Meetings,
    meeting: &Arc<Meeting>,
    server: &Server,
    max_age: Duration,
) -> Arc<Held<xml::Answer, BackendError>> {
    let made = meeting.internal_id().is_some();
    let question = || about(meetings, "getMeetingInfo", meeting, server);
    let held = meeting.info.get(meeting.touched(), max_age, question).await;
    if made && held.answer.as_ref().is_ok_and(is_gone) {
        end_noted(meetings, meeting).await;
    }
    held
}
