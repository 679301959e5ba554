//! What a server lists, for all tenants at once: asked for once at a time, parsed once, kept for a moment. Integrations and
//! the poller read the same answer.

use std::{collections::HashMap, time::Duration};

use bytes::{Bytes, BytesMut};

use super::Meetings;
use crate::{
    bbb::{meeting_id as ids, query::Params, xml},
    domain::{backend_error::BackendError, tenant::Server},
    live::servers::{Elements, ServerList},
    upstream::ApiCall,
};

/// A server that takes longer than this for a list is taken as away: a list shows the others' meetings.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks a server for all its meetings, and sorts them by tenant. Breakout rooms are in no tenant's list.
pub(crate) async fn meetings_of(meetings: &Meetings, server: &Server) -> Result<ServerList, BackendError> {
    let body = listed(meetings, "getMeetings", server).await?;
    let own = |id: &str| {
        let (_, own) = ids::split(id)?;
        let known = meetings.live.meetings.on_server(id).map(|meeting| meeting.ext_id.to_string());
        Some(known.unwrap_or_else(|| own.to_owned()))
    };
    let mut by_tenant = Sorted::default();
    let mut found = HashMap::new();
    let list = xml::list(&body, own).map_err(|_| BackendError::Broken)?;
    for mut meeting in list.meetings {
        if let Some((tenant, _)) = ids::split(&meeting.server_meeting_id) {
            by_tenant.add(tenant, &meeting.element);
        }
        meeting.element = String::new();
        found.insert(meeting.server_meeting_id.as_str().into(), meeting);
    }
    let breakouts = list.breakouts.into_iter().map(|room| (room.internal_id.as_str().into(), room)).collect();
    Ok(ServerList { by_tenant: by_tenant.frozen(), meetings: found, breakouts })
}

/// Asks a server for all its sessions, and sorts them by tenant.
pub(crate) async fn sessions_of(meetings: &Meetings, server: &Server) -> Result<Elements, BackendError> {
    let body = listed(meetings, "getSessions", server).await?;
    let mut by_tenant = Sorted::default();
    let sessions = xml::sessions(&body).map_err(|_| BackendError::Broken)?;
    for (internal_id, element) in sessions {
        if let Some(meeting) = meetings.live.meetings.of_internal(&internal_id) {
            by_tenant.add(meeting.tenant.as_str(), element);
        }
    }
    Ok(by_tenant.frozen())
}

async fn listed(meetings: &Meetings, name: &'static str, server: &Server) -> Result<Bytes, BackendError> {
    let params = Params::default();
    let mut call = ApiCall::new(name, &params);
    call.timeout = TIMEOUT;
    Ok(meetings.backends.poll(call, server).await?.body)
}

/// Elements, one behind the other, by tenant.
#[derive(Default)]
struct Sorted(HashMap<Box<str>, BytesMut>);

impl Sorted {
    fn add(&mut self, tenant: &str, element: &str) {
        match self.0.get_mut(tenant) {
            Some(elements) => elements.extend_from_slice(element.as_bytes()),
            None => drop(self.0.insert(tenant.into(), element.as_bytes().into())),
        }
    }

    fn frozen(self) -> Elements {
        self.0.into_iter().map(|(tenant, elements)| (tenant, elements.freeze())).collect()
    }
}
