//! The calls that ask about meetings: `end`, `isMeetingRunning`, `getMeetingInfo`, `getMeetings` and `getSessions`.
//!
//! All but `end` are answered from what a server said a moment ago, if nothing has been done through the gateway since:
//! however many ask, a server is asked once. How old an answer is stands in the header `Age`.

use http::{HeaderValue, StatusCode, header::AGE};

use super::verified::Verified;
use crate::{
    bbb::{
        answer::{self, Failure},
        validate::about_a_meeting,
        xml,
    },
    domain::{backend_error::BackendError, denial::Denial},
    live::fresh::{Held, Moment},
    meetings::{
        breakouts::made,
        end::{self, End},
        find,
        info::info,
        listing::{self, Wanted},
    },
    metrics::{Call, Outcome},
    proxy::{
        answer::{Answer, text},
        gateway::Gateway,
    },
    upstream::Body,
};

/// Answers for one meeting, and for one that is not there as BBB does.
pub(super) async fn ask(gateway: &Gateway, call: Call, asked: &Verified) -> Answer {
    let directory = &asked.asked.directory;
    let missing = if call == Call::IsMeetingRunning { Failure::MEETING_ID_MISSING } else { Failure::NOT_FOUND };
    let ext_id = match about_a_meeting(&asked.params, missing) {
        Ok(id) => id,
        Err(failure) => return Answer::failure(call, failure),
    };
    let meeting = match find::meeting(&gateway.meetings, asked.asked.account(), ext_id).await {
        Ok(Some(meeting)) => meeting,
        Ok(None) => return Box::pin(about_room(gateway, call, asked, ext_id)).await,
        Err(denial) => return Answer::denied(call, denial),
    };
    let Some(server) = directory.server(meeting.server.as_str()) else {
        return Answer::denied(call, Denial::ServerUnavailable);
    };
    let answered = match call {
        Call::End => {
            let caller = asked.asked.caller();
            Box::pin(end::end(&gateway.meetings, &meeting, server, caller)).await.map(ended)
        }
        _ => informed(call, &*info(&gateway.meetings, &meeting, server, gateway.answers_max_age).await),
    };
    let mut answer = answered.unwrap_or_else(|denial| Answer::denied(call, denial));
    answer.server = Some(server.id.clone());
    answer
}

/// Shows the tenant's meetings, or its sessions, on all its servers: of a server that does not answer, or not in time, what
/// was last known. A list that would lack something is an error.
pub(super) async fn list(gateway: &Gateway, call: Call, asked: &Verified) -> Answer {
    let wanted = if call == Call::GetSessions { Wanted::Sessions } else { Wanted::Meetings };
    let (tenant, directory) = (&asked.asked.tenant.id, &asked.asked.directory);
    let Some(listing) = listing::list(&gateway.meetings, wanted, directory, tenant, gateway.answers_max_age).await
    else {
        return Answer::denied(call, Denial::ServerUnavailable);
    };
    let pieces = match wanted {
        Wanted::Sessions => answer::sessions(listing.elements),
        Wanted::Meetings => answer::meetings(listing.elements),
    };
    let response = text(StatusCode::OK, "text/xml;charset=utf-8", Body::Pieces(pieces.into()));
    let mut answer = Answer::new(call, Outcome::Ok, response);
    if let Some(oldest) = listing.oldest {
        state_age(&mut answer, oldest);
    }
    answer
}

fn state_age(answer: &mut Answer, asked: Moment) {
    answer.response.headers_mut().insert(AGE, HeaderValue::from(asked.age().as_secs()));
}

/// `getMeetingInfo`, and `isMeetingRunning`, which tells one thing of it.
fn informed(call: Call, held: &Held<xml::Answer, BackendError>) -> Result<Answer, Denial> {
    let info = held.answer.as_ref().map_err(|error| error.denial())?;
    let mut answer = match call {
        Call::IsMeetingRunning => Answer::xml(call, Outcome::Ok, answer::running(info.success && info.running)),
        _ if info.success => Answer::xml(call, Outcome::Ok, info.body.clone()),
        _ => Answer::xml(call, Outcome::Refused, info.body.clone()),
    };
    state_age(&mut answer, held.asked);
    Ok(answer)
}

fn ended(end: End) -> Answer {
    let outcome = if end.answer.success { Outcome::Ok } else { Outcome::Refused };
    Answer::xml(Call::End, outcome, end.answer.body)
}

/// Answers for a breakout room that the tenant has made, and for what is not there.
async fn about_room(gateway: &Gateway, call: Call, asked: &Verified, ext_id: &str) -> Answer {
    let (meetings, asked) = (&gateway.meetings, &asked.asked);
    // The question that is asked most, of rooms that do not run, is answered from memory.
    let room = if call == Call::IsMeetingRunning {
        Ok(made::known(meetings, &asked.tenant.id, ext_id))
    } else {
        made::by_ext_id(meetings, (&asked.tenant, asked.peer()), &asked.directory, ext_id).await
    };
    let room = match room {
        Ok(Some(room)) => room,
        Ok(None) => return not_there(call),
        Err(denial) => return Answer::denied(call, denial),
    };
    let Some(server) = asked.directory.server(room.meeting.server.as_str()) else {
        return Answer::denied(call, Denial::ServerUnavailable);
    };
    let name = if call == Call::End { "end" } else { "getMeetingInfo" };
    let answered = match made::ask(meetings, name, (&room, server), ext_id, asked.caller()).await {
        Ok(about) if call == Call::IsMeetingRunning => {
            Answer::xml(call, Outcome::Ok, answer::running(about.success && about.running))
        }
        Ok(about) => Answer::xml(call, if about.success { Outcome::Ok } else { Outcome::Refused }, about.body),
        Err(denial) => Answer::denied(call, denial),
    };
    answered.by(&server.id)
}

fn not_there(call: Call) -> Answer {
    if call == Call::IsMeetingRunning {
        Answer::xml(call, Outcome::Ok, answer::running(false))
    } else {
        Answer::failure(call, Failure::NOT_FOUND)
    }
}
