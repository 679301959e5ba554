//! What a call is about: a running meeting of the tenant, or a breakout room that the tenant has made.

use std::sync::Arc;

use crate::{
    domain::denial::Denial,
    live::{Meeting, breakouts::Breakout},
    meetings::{breakouts::made, find},
    proxy::{asked::Asked, gateway::Gateway},
};

/// What a call is about.
pub(super) struct Addressed {
    /// The meeting, or the one that the room belongs to.
    pub(super) meeting: Arc<Meeting>,
    room: Option<Arc<Breakout>>,
}

impl Addressed {
    /// What has this id of the tenant's.
    ///
    /// # Errors
    /// As those of [`find::meeting`].
    pub(super) async fn find(gateway: &Gateway, asked: &Asked, ext_id: &str) -> Result<Option<Self>, Denial> {
        if let Some(meeting) = find::meeting(&gateway.meetings, asked.account(), ext_id).await? {
            return Ok(Some(Self { meeting, room: None }));
        }
        let account = (&*asked.tenant, asked.peer());
        let room = Box::pin(made::by_ext_id(&gateway.meetings, account, &asked.directory, ext_id)).await?;
        Ok(room.map(|room| Self { meeting: Arc::clone(&room.meeting), room: Some(room) }))
    }

    /// What its server takes for its id.
    pub(super) fn server_id(&self) -> &str {
        self.room.as_ref().map_or(self.meeting.server_meeting_id.as_str(), |room| room.internal_id.as_str())
    }
}
