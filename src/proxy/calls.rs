//! Calls to a server for somebody who waits for the answer. One that comes to nothing is logged, and a server that cannot be
//! reached is not chosen until it has answered a poll. One that is offline is not called: polls find out when it is back.

use super::Gateway;
use crate::{
    bbb::{
        client::{Call, CallError, Reply},
        xml,
    },
    domain::{ids::TenantId, tenant::Server},
};

impl Gateway {
    /// Sends a call.
    pub(crate) async fn call(&self, call: Call<'_>, server: &Server) -> Result<Reply, CallError> {
        let name = call.name;
        if self.live.servers.of(&server.id).is_offline() {
            return Err(CallError::Connect);
        }
        let reply = call.send(&self.pool, server).await;
        reply.inspect_err(|error| self.came_to_nothing(name, server, *error))
    }

    /// Sends a call, and reads its answer for a tenant; `ext_id` is the tenant's id of the meeting that it is about.
    pub(crate) async fn call_xml(
        &self,
        call: Call<'_>,
        server: &Server,
        tenant: &TenantId,
        ext_id: Option<&str>,
    ) -> Result<xml::Answer, CallError> {
        let name = call.name;
        let reply = self.call(call, server).await?;
        xml::answer(&reply.body, tenant, ext_id).map_err(|_| {
            self.came_to_nothing(name, server, CallError::Broken);
            CallError::Broken
        })
    }

    /// Notes that a call has got no answer.
    pub(crate) fn came_to_nothing(&self, name: &'static str, server: &Server, error: CallError) {
        tracing::warn!(server = %server.id, call = name, %error, "call to server failed");
        if error == CallError::Connect {
            self.unreachable(server);
        }
    }

    /// Notes that a server could not be reached.
    pub(crate) fn unreachable(&self, server: &Server) {
        if self.live.servers.of(&server.id).unreachable() {
            tracing::warn!(server = %server.id, "server unreachable");
        }
    }
}
