//! `create` of a breakout room: for a running meeting of the tenant, on its server, where the level has them.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{create::check_names, documents::Found, verified::Verified};
use crate::{
    bbb::{answer::Failure, meeting_id::is_internal, params, query::Params, validate},
    domain::{denial::Denial, rules::recording_flags},
    live::Meeting,
    meetings::{
        breakouts::made::{self, RoomOrder},
        documents::Given,
        find,
    },
    metrics::{Call, Outcome},
    proxy::{answer::Answer, asked::Asked, gateway::Gateway},
};

/// The numbers of rooms: as many as a meeting may have.
const SEQUENCE: std::ops::RangeInclusive<u32> = 1..=16;

/// Whether a `create` is one of a breakout room.
pub(super) fn is_breakout(params: &Params) -> bool {
    params.get("isBreakout").is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
}

/// Answers it.
pub(super) async fn create(gateway: &Gateway, call: Verified) -> Answer {
    create_room(gateway, call).await.unwrap_or_else(|failure| Answer::failure(Call::Create, failure))
}

async fn create_room(gateway: &Gateway, mut call: Verified) -> Result<Answer, Failure> {
    let order = order(gateway, &mut call).await?;
    let (meetings, context, server) = (Arc::clone(&gateway.meetings), call.asked.context(), order.server.id.clone());
    // On its own, so that a room is known, and its documents are counted, though the caller goes away. The body is charged for
    // until then.
    let made = async move {
        let made = made::create(&meetings, order).await;
        drop(call);
        made
    };
    let made = tokio::spawn(context.scope(Box::pin(made.in_current_span())));
    let answer = made.await.map_err(|_| Denial::ServerUnavailable)??;
    let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
    Ok(Answer::xml(Call::Create, outcome, answer.body).by(&server))
}

/// What a call asks for.
async fn order(gateway: &Gateway, call: &mut Verified) -> Result<RoomOrder, Failure> {
    let (asked, tenant) = (&call.asked, &call.asked.tenant);
    validate::create(&params::seen(&tenant.rules.create, &call.params))?;
    gateway.meetings.admit_tenant(tenant)?;
    let ext_id = call.params.get("meetingID").ok_or(Failure::MEETING_ID_INVALID)?;
    let parent = admit(gateway, asked, ext_id, &call.params).await?;
    let sequence = sequence(&call.params)?;
    let server = asked.directory.server(parent.server.as_str()).ok_or(Denial::ServerUnavailable)?;
    let limits = parent.limits(tenant);
    let defaults = [("logoutURL", format!("https://{}/", asked.authority))];
    let params = params::create(&call.params, limits, &tenant.rules, &defaults)?.params;
    check_documents(gateway, call, &params).await?;
    let params = of_room(params, &call.params, sequence, &parent)?;
    let (modules, documents) = call.modules.take().map_or((None, 0), |(xml, documents)| (Some(xml), documents));
    let given = Given::take(&parent, documents, limits.documents)?;
    let (caller, now) = (asked.caller(), gateway.meetings.clock.now());
    let (server, ext_id) = (Arc::clone(server), ext_id.to_owned());
    Ok(RoomOrder { server, parent, ext_id, sequence, params, modules, given, caller, now })
}

/// The meeting of a room, if it may have this one.
async fn admit(gateway: &Gateway, asked: &Asked, ext_id: &str, params: &Params) -> Result<Arc<Meeting>, Failure> {
    let parent = parent(gateway, asked, params).await?.ok_or(Failure::PARENT_UNKNOWN)?;
    if !parent.limits(&asked.tenant).breakouts {
        return Err(Failure::BREAKOUTS_OFF);
    }
    if find::meeting(&gateway.meetings, asked.account(), ext_id).await?.is_some() {
        return Err(Failure::ID_NOT_UNIQUE);
    }
    // Another gateway may have made it.
    made::by_ext_id(&gateway.meetings, (&asked.tenant, asked.peer()), &asked.directory, ext_id).await?;
    Ok(parent)
}

fn sequence(params: &Params) -> Result<u32, Failure> {
    let number = params.get("sequence").and_then(|number| number.parse().ok());
    number.filter(|number| SEQUENCE.contains(number)).ok_or(Failure::SEQUENCE)
}

/// Looks where the names of the documents' hosts lead.
async fn check_documents(gateway: &Gateway, call: &Verified, params: &Params) -> Result<(), Failure> {
    let tenant = &call.asked.tenant;
    let mut addresses: Vec<String> = Vec::new();
    addresses.extend(params::fetched(&call.params, params, &tenant.rules).map(str::to_owned));
    if let Some((modules, _)) = &call.modules {
        addresses.extend(Found::read(modules, tenant)?.addresses);
    }
    check_names(gateway, tenant, &addresses).await
}

/// The running meeting of this tenant that a room is to belong to, by either of its ids.
async fn parent(gateway: &Gateway, asked: &Asked, params: &Params) -> Result<Option<Arc<Meeting>>, Failure> {
    let id = params.get("parentMeetingID").filter(|id| !id.is_empty()).ok_or(Failure::PARENT_MISSING)?;
    let meeting = if is_internal(id) {
        find::meeting_of_internal(&gateway.meetings, asked.account(), id).await?
    } else {
        find::meeting(&gateway.meetings, asked.account(), id).await?
    };
    // No room of a room, and none of a meeting that is over or not made yet.
    let is_named =
        |meeting: &Arc<Meeting>| meeting.internal_id().is_some_and(|own| !is_internal(id) || own.as_str() == id);
    Ok(meeting.filter(|meeting| is_named(meeting) && gateway.meetings.live.meetings.runs(meeting)))
}

/// The parameters of a room, beside those of every meeting. Recordings of rooms are in no list: none is made.
fn of_room(mut params: Params, asked: &Params, sequence: u32, parent: &Meeting) -> Result<Params, Failure> {
    let free_join = asked.get("freeJoin").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let parent_id = parent.internal_id().ok_or(Failure::PARENT_UNKNOWN)?;
    params.set("isBreakout", "true");
    params.set("parentMeetingID", parent_id.as_str());
    params.set("sequence", sequence.to_string());
    params.set("freeJoin", free_join.to_string());
    recording_flags().for_each(|name| params.set(name, "false"));
    Ok(params)
}
