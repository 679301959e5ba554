//! `join`: a seat is reserved first, then the gateway itself joins at the server, and sends the browser to the meeting
//! on the tenant's own host.

use std::sync::Arc;

use super::{
    join_at::let_in,
    refused_join::{self, is_false},
    verified::Verified,
};
use crate::{
    bbb::{answer::Failure, params, query::Params, release, validate},
    domain::{denial::Denial, rules::Of},
    live::breakouts::Breakout,
    meetings::{
        breakouts::made,
        find,
        seats::{self, Place},
    },
    proxy::{answer::Answer, asked::Asked, gateway::Gateway, refusal::too_many_joins},
    upstream::ApiCall,
};

/// Where a server leads a join that it refuses: nowhere (RFC 2606).
const REFUSED: &str = "https://anteroom.invalid/";
/// What only an address may have that the gateway has made from a server's own: one more session of somebody who is in the
/// meeting.
const OF_A_GRANT: [&str; 3] = ["existingUserID", "replaceSessionToken", "sessionName"];

/// Answers `join`.
pub(super) async fn join(gateway: &Gateway, call: Verified) -> Answer {
    if let Some(refused) = too_many_joins(gateway, &call.asked) {
        return refused;
    }
    match admit(gateway, &call).await {
        Ok(answer) => answer,
        Err(failure) => {
            let ext_id = call.params.get("meetingID").unwrap_or_default();
            let meeting = gateway.meetings.live.meetings.find(&call.asked.tenant.id, ext_id);
            let mut answer = refused_join::answer(gateway, &call.asked, &call.params, &failure);
            answer.server = meeting.map(|meeting| meeting.server.clone());
            answer
        }
    }
}

async fn admit(gateway: &Gateway, call: &Verified) -> Result<Answer, Failure> {
    let asked = &call.asked;
    let tenant = &asked.tenant;
    gateway.meetings.admit_tenant(tenant)?;
    let ext_id = call.params.get("meetingID").unwrap_or_default();
    let meeting = find::meeting(&gateway.meetings, asked.account(), ext_id).await?;
    let room = if meeting.is_some() { None } else { room(gateway, asked, ext_id).await? };
    let meeting = meeting.or_else(|| Some(Arc::clone(&room.as_ref()?.meeting)));
    validate::join(&params::seen(&tenant.rules.join, &call.params), meeting.is_some())?;
    let meeting = meeting.ok_or(Failure::ENDED)?;
    let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
    seats::takes_people(&gateway.meetings, server)?;
    let limits = meeting.limits(tenant);
    let branding = if limits.branding { tenant.branding.of_join(&asked.authority) } else { Vec::new() };
    let mut params = params::join(&call.params, limits, &tenant.rules, &branding)?;
    let breakout = room.as_ref().map(|room| room.internal_id.as_str());
    params.set("meetingID", breakout.unwrap_or(meeting.server_meeting_id.as_str()));
    for name in OF_A_GRANT.iter().filter(|_| call.granted) {
        if let Some(value) = call.params.get(name) {
            params.set(name, value);
        }
    }
    // The gateway tells a refusal from a success by the address that the server redirects to. The caller's own error address
    // is used only after that.
    params.set("errorRedirectUrl", REFUSED);
    let redirects = !is_false(params.get("redirect"));
    let may_wait = call.granted || may_have_to_wait(&params);
    if may_wait {
        // Only this answer tells whether the guest is let in.
        params.set("redirect", "false");
    }

    let user = params.get("userID").filter(|id| !id.is_empty());
    let user = user.map(|id| gateway.user_keys.of(&tenant.id, id));
    let name = call.params.get("fullName").unwrap_or_default();
    let place = Place { meeting: &meeting, breakout, user, name, may_wait };
    let release = gateway.meetings.live.servers.of(&server.id).reported.release();
    let params = release::fit(Of::Join, &params, release);
    let_in(gateway, asked, server, &place, redirects, ApiCall::new("join", &params)).await
}

/// A breakout room that the tenant has made, where its meeting may have any.
async fn room(gateway: &Gateway, asked: &Asked, ext_id: &str) -> Result<Option<Arc<Breakout>>, Denial> {
    let room = made::by_ext_id(&gateway.meetings, (&asked.tenant, asked.peer()), &asked.directory, ext_id).await?;
    Ok(room.filter(|room| room.meeting.limits(&asked.tenant).breakouts))
}

/// Whether the guest policy of the meeting may have somebody wait: a guest, or a user with `auth=true`
/// (docs/reference/bbb-protocol.md, "Guests").
/// Moderators change the policy while a meeting runs, so that what it was created with says nothing.
fn may_have_to_wait(params: &Params) -> bool {
    ["guest", "auth"].iter().any(|name| params.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true")))
}
