//! The API calls of integrations: read, verified, and handed to the call's own module.
//!
//! The order is BBB's: content type and checksum first, then the parameters, then what the call is about.

mod addressed;
mod ask;
pub(crate) mod breakout;
mod client_address;
mod create;
mod create_breakout;
mod documents;
mod get_user;
mod hooks;
mod join;
mod join_at;
mod message;
pub(super) mod read;
mod recordings;
mod refused_join;
pub(crate) mod safe;
pub(crate) mod spec;
mod text_tracks;
mod verified;

use std::sync::Arc;

use http::Method;

use super::{answer::Answer, asked::Asked, gateway::Gateway, grant, pages::wants_page, refusal::fails_too_often};
use crate::{
    bbb::{answer::Failure, checksum, query::Params},
    domain::{denial::Denial, ids::ServerId},
    meetings::{find, recordings::Change},
    metrics::Call,
    net::rates::RateOf,
    upstream::Incoming,
};
use safe::{is_prefetch, not_ahead, preview};
use spec::Spec;
use verified::Verified;

/// Answers an API call by its name.
pub(crate) async fn api(gateway: &Gateway, asked: Asked, name: &str, body: Incoming) -> Answer {
    if name == get_user::NAME
        && let Some(answer) = get_user::get_user(gateway, &asked)
    {
        return answer;
    }
    let Some(spec) = Spec::find(name) else {
        return Answer::failure(Call::Unsupported, Failure::UNKNOWN_CALL);
    };
    let call = spec.call;
    // Asked for only where it matters.
    let fits = spec.allows(&asked.head.method, false);
    let before_3 = !fits && spec.differs_before_3() && has_before_3(gateway, &asked);
    if !fits && !spec.allows(&asked.head.method, before_3) {
        return spec.wrong_method(before_3);
    }
    if matches!(call, Call::InsertDocument | Call::PutRecordingTextTrack) {
        let answered = Box::pin(with_body(gateway, &asked, spec, body)).await;
        return answered.unwrap_or_else(|failure| refuse(gateway, spec, &asked, failure));
    }
    if call == Call::PingHooks {
        return hooks::ping();
    }
    if is_prefetch(&asked.head.headers) && spec.has_effects() {
        return not_ahead(call);
    }
    let granted = if call == Call::Join { granted(gateway, &asked).await } else { Ok(None) };
    let granted = match granted {
        Ok(granted) => granted,
        Err(denial) => return refused_join::answer(gateway, &asked, &form_of_refusal(&asked), &denial.into()),
    };
    if let Some(params) = granted {
        drop(body);
        if asked.head.method == Method::HEAD {
            return preview(call);
        }
        let (credential, secret) = Default::default();
        let granted = Verified { credential, secret, params, modules: None, granted: true, _charge: None, asked };
        return Box::pin(join::join(gateway, granted)).await;
    }
    let read = match read::verify(&asked, spec, body, &gateway.bodies).await {
        Ok(read) => read,
        Err(failure) => return refuse(gateway, spec, &asked, failure),
    };
    gateway.metrics.tenant(&asked.tenant.id).use_secret(&read.signer.secret.label, asked.now);
    if asked.head.method == Method::HEAD && spec.has_effects() {
        return preview(call);
    }
    let credential = Arc::clone(&read.signer.credential.name);
    let secret = Arc::clone(&read.signer.secret.label);
    let (params, modules, charge) = (read.params, read.modules, read.charge);
    let verified = Verified { credential, secret, params, modules, granted: false, _charge: charge, asked };
    match call {
        Call::Create if create_breakout::is_breakout(&verified.params) => {
            Box::pin(create_breakout::create(gateway, verified)).await
        }
        Call::Create => create::create(gateway, verified).await,
        Call::Join => Box::pin(join::join(gateway, verified)).await,
        Call::GetMeetings | Call::GetSessions => ask::list(gateway, call, &verified).await,
        Call::End | Call::IsMeetingRunning | Call::GetMeetingInfo => ask::ask(gateway, call, &verified).await,
        Call::SendChatMessage => Box::pin(message::send_chat_message(gateway, &verified)).await,
        Call::GetRecordings => recordings::list(gateway, &verified).await,
        Call::PublishRecordings => recordings::change(gateway, call, Change::Publish, &verified).await,
        Call::DeleteRecordings => recordings::change(gateway, call, Change::Delete, &verified).await,
        Call::UpdateRecordings => recordings::change(gateway, call, Change::Update, &verified).await,
        Call::CreateHook => Box::pin(hooks::create(gateway, &verified)).await,
        Call::DestroyHook => Box::pin(hooks::destroy(gateway, &verified)).await,
        Call::ListHooks => Box::pin(hooks::list(gateway, &verified)).await,
        Call::GetRecordingTextTracks => Box::pin(text_tracks::text_tracks(gateway, &verified)).await,
        _ => Answer::failure(Call::Unsupported, Failure::UNKNOWN_CALL),
    }
}

/// Answers a call with a body that no checksum covers.
async fn with_body(gateway: &Gateway, asked: &Asked, spec: &Spec, body: Incoming) -> Result<Answer, Failure> {
    let query = read::signed_query(asked, spec)?;
    gateway.metrics.tenant(&asked.tenant.id).use_secret(&query.signer.secret.label, asked.now);
    if spec.call == Call::InsertDocument {
        documents::insert_document(gateway, asked, &query.params, body).await
    } else {
        text_tracks::put_text_track(gateway, asked, &query.params, body).await
    }
}

/// The parameters of a join whose address the gateway has made for this run of this tenant's meeting.
///
/// # Errors
/// See [`find::meeting`].
async fn granted(gateway: &Gateway, asked: &Asked) -> Result<Option<Params>, Denial> {
    let Some((query, grant)) = grant::split(asked.query()) else { return Ok(None) };
    let Ok(params) = Params::parse(query.as_bytes()) else { return Ok(None) };
    let Some(ext_id) = params.get("meetingID") else { return Ok(None) };
    let meeting = find::meeting(&gateway.meetings, asked.account(), ext_id).await?;
    let internal_id = meeting.as_ref().and_then(|meeting| meeting.internal_id());
    let is_granted = internal_id.is_some_and(|id| gateway.grants.verify(&asked.tenant.id, id.as_str(), query, grant));
    Ok(is_granted.then_some(params))
}

/// Whether a server that this tenant's meetings run on, or may run on, is older than 3.0.
fn has_before_3(gateway: &Gateway, asked: &Asked) -> bool {
    let is_before_3 = |server: &ServerId| gateway.meetings.live.servers.of(server).reported.is_before_3();
    asked.directory.servers_of(&asked.tenant).any(|server| is_before_3(&server.id))
        || gateway.meetings.live.presence.servers_of(&asked.tenant.id).iter().any(|(server, _)| is_before_3(server))
}

/// The answer to a call that is not acted on. A person who follows a join link gets a page; no address of the query is followed,
/// since it is not signed.
fn refuse(gateway: &Gateway, spec: &Spec, asked: &Asked, failure: Failure) -> Answer {
    let is_checksum = failure.is_checksum();
    if is_checksum && let Some(limited) = fails_too_often(gateway, asked, spec.call, RateOf::WrongChecksums) {
        return limited;
    }
    if is_checksum
        && asked.query().len() <= EXPLAINED_BYTES_MAX
        && gateway.metrics.tenant(&asked.tenant.id).may_explain(asked.now)
    {
        explain(asked, spec.name(), &failure);
    }
    if failure.denial.is_none() && spec.call == Call::Join && wants_page(&asked.head.headers) {
        return refused_join::unread(gateway, asked, &failure);
    }
    Answer::failure(spec.call, failure)
}

/// A longer query is no integration's that has to be mended.
const EXPLAINED_BYTES_MAX: usize = 8 * 1024;

/// The parameter of an unverified join that selects the form of a refusal: XML or a redirect.
fn form_of_refusal(asked: &Asked) -> Params {
    let mut form = Params::default();
    if let Ok(params) = Params::parse(asked.query().as_bytes())
        && let Some(redirect) = params.get("redirect")
    {
        form.set("redirect", redirect);
    }
    form
}

/// Logs what is wrong with a checksum, at most once a second and tenant: it costs some digests, and needs no secret. What was
/// hashed may hold names and passwords of a meeting: it is logged at the level trace alone, which no filter for debugging shows
/// by the way.
fn explain(asked: &Asked, name: &str, failure: &Failure) {
    let found = checksum::diagnose(name, asked.query(), failure.form.as_deref(), &asked.tenant.credentials);
    // The log adds tenant and request.
    let (algorithm, would_fit, secret) = (found.algorithm, found.would_fit, &*found.secret);
    let compared_over = if found.hashed.is_empty() { "an empty query" } else { "the query" };
    let found_in = found.found_in;
    tracing::warn!(
        target: "checksum",
        call = name,
        found_in,
        algorithm,
        compared_over,
        would_fit,
        secret,
        "checksum mismatch"
    );
    tracing::trace!(target: "checksum", call = name, hashed = found.hashed, "input of the expected checksum");
}
