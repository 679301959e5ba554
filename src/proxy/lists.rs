//! What a server lists, for all tenants at once: asked for once at a time, parsed once, kept for a moment. Integrations and
//! the poller read the same answer.

use std::{collections::HashMap, time::Duration};

use bytes::{Bytes, BytesMut};

use super::Gateway;
use crate::{
    bbb::{
        client::{Call, CallError},
        meeting_id as ids,
        query::Params,
        xml,
    },
    domain::tenant::Server,
    live::servers::{Elements, ServerList},
};

/// A server that takes longer than this for a list is taken as away: a list shows the others' meetings.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Gateway {
    /// Asks a server for all its meetings, and sorts them by tenant. Breakout rooms are in no tenant's list.
    pub(crate) async fn meetings_of(&self, server: &Server) -> Result<ServerList, CallError> {
        let body = self.listed("getMeetings", server).await?;
        let own = |id: &str| {
            let (_, own) = ids::split(id)?;
            let known = self.live.meeting_on_server(id).map(|meeting| meeting.ext_id.to_string());
            Some(known.unwrap_or_else(|| own.to_owned()))
        };
        let mut by_tenant = Sorted::default();
        let mut meetings = HashMap::new();
        let list = xml::list(&body, own).map_err(|_| CallError::Broken)?;
        for mut meeting in list.meetings {
            if let Some((tenant, _)) = ids::split(&meeting.server_id) {
                by_tenant.add(tenant, &meeting.element);
            }
            meeting.element = String::new();
            meetings.insert(meeting.server_id.as_str().into(), meeting);
        }
        let breakouts = list.breakouts.into_iter().map(|room| (room.internal_id.as_str().into(), room)).collect();
        Ok(ServerList { by_tenant: by_tenant.frozen(), meetings, breakouts })
    }

    /// Asks a server for all its sessions, and sorts them by tenant.
    pub(crate) async fn sessions_of(&self, server: &Server) -> Result<Elements, CallError> {
        let body = self.listed("getSessions", server).await?;
        let mut by_tenant = Sorted::default();
        let sessions = xml::sessions(&body).map_err(|_| CallError::Broken)?;
        for (internal_id, element) in sessions {
            if let Some(meeting) = self.live.meeting_of_internal(&internal_id) {
                by_tenant.add(meeting.tenant.as_str(), element);
            }
        }
        Ok(by_tenant.frozen())
    }

    async fn listed(&self, name: &'static str, server: &Server) -> Result<Bytes, CallError> {
        let params = Params::default();
        let mut call = Call::new(name, &params);
        call.timeout = TIMEOUT;
        Ok(call.send(&self.pool, server).await?.body)
    }
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
