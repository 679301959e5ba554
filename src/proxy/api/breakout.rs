//! Joins of breakout rooms. Their addresses are made and signed by a server, which hands them to people inside its GraphQL
//! frames (docs/reference/bbb-protocol.md, "Breakout rooms"). Any other request here gets the
//! same answer as one for an unknown address.

use std::sync::Arc;

use http::Method;

use super::{
    join_at::let_in,
    refused_join,
    safe::{is_prefetch, not_ahead},
};
use crate::{
    bbb::{answer::Failure, checksum::is_signed_with, meeting_id::is_internal, query::Params},
    domain::{denial::Denial, tenant::Server},
    live::breakouts::Breakout,
    meetings::{
        breakouts, find,
        seats::{self, Place},
    },
    metrics::Call,
    proxy::{answer::Answer, asked::Asked, gateway::Gateway, refusal::refuse},
    upstream::ApiCall,
};

/// What such an address is made of.
const PARAMS: [&str; 8] =
    ["fullName", "isBreakout", "joinViaHtml5", "meetingID", "password", "redirect", "userID", "checksum"];

/// Answers a `join` under the address of a server.
pub(crate) async fn join_breakout(gateway: &Gateway, asked: Asked, slug: &str) -> Answer {
    if is_prefetch(&asked.head.headers) {
        return not_ahead(Call::Join);
    }
    let (server, params) = match signed_by_server(gateway, &asked, slug).await {
        Ok(Some(signed)) => signed,
        Ok(None) => return refuse(gateway, &asked, Call::Join, Denial::NotFound),
        Err(denial) => return refuse(gateway, &asked, Call::Join, denial),
    };
    let room =
        match breakouts::find(&gateway.meetings, asked.account(), &server, params.get("meetingID").unwrap_or_default())
            .await
        {
            Ok(Some(room)) if room.meeting.limits(&asked.tenant).breakouts => room,
            Ok(_) => return refuse(gateway, &asked, Call::Join, Denial::NotFound),
            Err(denial) => return refused_join::answer(gateway, &asked, &params, &denial.into()).by(&server.id),
        };
    let admitted = admit_to_breakout(gateway, &asked, &server, &room, &params).await;
    admitted.unwrap_or_else(|failure| refused_join::answer(gateway, &asked, &params, &failure)).by(&server.id)
}

/// The server of an address and its parameters, if it is one as the server makes them, byte for byte, and this tenant
/// reaches that server.
///
/// # Errors
/// See [`find::reaches`].
async fn signed_by_server(
    gateway: &Gateway,
    asked: &Asked,
    slug: &str,
) -> Result<Option<(Arc<Server>, Params)>, Denial> {
    let server = asked.directory.server_of_slug(slug).filter(|_| asked.head.method == Method::GET);
    let signed = server.filter(|server| is_signed_with("join", asked.query(), &server.secret));
    let params = Params::parse(asked.query().as_bytes()).ok();
    let (Some(server), Some(params)) = (signed, params) else { return Ok(None) };
    let is_join = params.iter().all(|(name, _)| PARAMS.contains(&name))
        && params.get("isBreakout") == Some("true")
        && params.get("meetingID").is_some_and(is_internal);
    let is_reached = is_join && find::reaches(&gateway.meetings, asked.account(), &server.id, asked.now).await?;
    Ok(is_reached.then(|| (Arc::clone(server), params)))
}

async fn admit_to_breakout(
    gateway: &Gateway,
    asked: &Asked,
    server: &Server,
    room: &Breakout,
    params: &Params,
) -> Result<Answer, Failure> {
    let tenant = &asked.tenant;
    gateway.meetings.admit_tenant(tenant)?;
    seats::takes_people(&gateway.meetings, server)?;
    let user = params.get("userID").filter(|id| !id.is_empty());
    let place = Place {
        meeting: &room.meeting,
        breakout: Some(room.internal_id.as_str()),
        may_wait: false,
        user: user.map(|id| gateway.user_keys.of(&tenant.id, id)),
        name: params.get("fullName").unwrap_or_default(),
    };
    let mut call = ApiCall::new("join", params);
    // Its checksum covers the bytes as the server has written them
    // (docs/reference/bbb-protocol.md, "Breakout rooms").
    call.signed = Some(asked.query());
    let_in(gateway, asked, server, &place, true, call).await
}
