//! Joins of breakout rooms. Their addresses are made and signed by a server, which hands them to people inside its GraphQL
//! frames (docs/reference/bbb-protocol.md, "Breakout rooms"). Any other request here gets the
//! same answer as one for an unknown address.

use std::sync::Arc;

use http::Method;

use super::{
    super::safe::{is_prefetch, not_ahead},
    No, Place,
};
use crate::{
    bbb::{
        checksum::is_signed_with,
        client::{Call as ServerCall, CallError},
        meeting_id::is_internal,
        query::Params,
        xml,
    },
    domain::{admission::admit_tenant, denial::Denial, tenant::Server},
    live::breakouts::Breakout,
    metrics::Call,
    proxy::{Gateway, answer::Answer, asked::Asked},
};

/// What such an address is made of.
const PARAMS: [&str; 8] =
    ["fullName", "isBreakout", "joinViaHtml5", "meetingID", "password", "redirect", "userID", "checksum"];

impl Gateway {
    /// Answers a `join` under the address of a server.
    pub(crate) async fn join_breakout(&self, asked: Asked, slug: &str) -> Answer {
        if is_prefetch(&asked.head.headers) {
            return not_ahead(Call::Join);
        }
        let (server, params) = match self.signed_by_server(&asked, slug).await {
            Ok(Some(signed)) => signed,
            Ok(None) => return self.refuse(&asked, Call::Join, Denial::NotFound),
            Err(denial) => return self.refuse(&asked, Call::Join, denial),
        };
        let room = match self.breakout(&asked, &server, params.get("meetingID").unwrap_or_default()).await {
            Ok(Some(room)) if room.meeting.limits(&asked.tenant).breakouts => room,
            Ok(_) => return self.refuse(&asked, Call::Join, Denial::NotFound),
            Err(denial) => return self.refuse_join(&asked, &params, denial.into()).by(&server.id),
        };
        let admitted = self.admit_to_breakout(&asked, &server, &room, &params).await;
        admitted.unwrap_or_else(|no| self.refuse_join(&asked, &params, no)).by(&server.id)
    }

    /// The server of an address and its parameters, if it is one as the server makes them, byte for byte, and this tenant
    /// reaches that server.
    ///
    /// # Errors
    /// See [`Gateway::reaches`].
    async fn signed_by_server(&self, asked: &Asked, slug: &str) -> Result<Option<(Arc<Server>, Params)>, Denial> {
        let server = asked.directory.server_of_slug(slug).filter(|_| asked.head.method == Method::GET);
        let signed = server.filter(|server| is_signed_with("join", asked.query(), &server.secret));
        let params = Params::parse(asked.query().as_bytes()).ok();
        let (Some(server), Some(params)) = (signed, params) else { return Ok(None) };
        let is_join = params.iter().all(|(name, _)| PARAMS.contains(&name))
            && params.get("isBreakout") == Some("true")
            && params.get("meetingID").is_some_and(is_internal);
        let is_reached = is_join && self.reaches(asked, &server.id).await?;
        Ok(is_reached.then(|| (Arc::clone(server), params)))
    }

    /// A breakout room of a running meeting of this tenant on a server, by the server's external id: one that is listed, or
    /// that the server says it has.
    async fn breakout(&self, asked: &Asked, server: &Server, ext_id: &str) -> Result<Option<Arc<Breakout>>, Denial> {
        let tenant = &asked.tenant.id;
        let known = || self.live.breakouts.of(tenant, &server.id, ext_id);
        let runs = |room: &Arc<Breakout>| self.live.runs(&room.meeting);
        if let Some(room) = known() {
            return Ok(Some(room).filter(runs));
        }
        let key = format!("{tenant}/{}/{ext_id}", server.id);
        let _turn = self.seeking.hold(&key).await;
        if let Some(room) = known() {
            return Ok(Some(room).filter(runs));
        }
        if self.live.breakouts.is_missed(&key, asked.now) {
            return Ok(None);
        }
        let found = self.ask_breakout(asked, server, ext_id).await?;
        if found.is_none() {
            self.live.breakouts.miss(&key, asked.now);
        }
        Ok(found)
    }

    async fn ask_breakout(
        &self,
        asked: &Asked,
        server: &Server,
        ext_id: &str,
    ) -> Result<Option<Arc<Breakout>>, Denial> {
        let mut params = Params::default();
        params.set("meetingID", ext_id);
        let reply = self.call(ServerCall::new("getMeetingInfo", &params), server).await.map_err(CallError::denial)?;
        let found = xml::breakout(&reply.body).map_err(|_| {
            self.came_to_nothing("getMeetingInfo", server, CallError::Broken);
            Denial::ServerUnavailable
        })?;
        let Some(found) = found.filter(|found| found.ext_id == ext_id) else { return Ok(None) };
        let Some(meeting) = self.meeting_of_internal(asked.account(), &found.parent).await? else { return Ok(None) };
        let room = self.live.learn_breakout(&meeting, &server.id, &found);
        if room.is_none() {
            let (tenant, server, recorded) = (&meeting.tenant, &server.id, found.records);
            tracing::info!(%tenant, %server, recorded, "breakout room rejected: joins are refused");
        }
        Ok(room)
    }

    async fn admit_to_breakout(
        &self,
        asked: &Asked,
        server: &Server,
        room: &Breakout,
        params: &Params,
    ) -> Result<Answer, No> {
        let tenant = &asked.tenant;
        admit_tenant(tenant, self.live.suspended.contains(&tenant.id))?;
        self.takes_people(server)?;
        let user = params.get("userID").filter(|id| !id.is_empty());
        let place = Place {
            meeting: &room.meeting,
            breakout: Some(&room.internal_id),
            redirects: true,
            may_wait: false,
            user: user.map(|id| self.user_keys.of(&tenant.id, id)),
            name: params.get("fullName").unwrap_or_default(),
        };
        let mut call = ServerCall::new("join", params);
        // Its checksum covers the bytes as the server has written them
        // (docs/reference/bbb-protocol.md, "Breakout rooms").
        call.signed = Some(asked.query());
        self.let_in(asked, server, place, call).await
    }
}
