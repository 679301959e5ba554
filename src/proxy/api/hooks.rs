//! `hooks/create`, `hooks/destroy`, `hooks/list` and `hooks/ping`, as bbb-webhooks answers them.

use http::StatusCode;

use super::verified::Verified;
use crate::{
    bbb::{
        answer::Failure,
        hooks::{self, DESTROYED, PING},
    },
    meetings::webhooks::registry::{self, Created, Wish},
    metrics::{Call, Outcome},
    proxy::{
        answer::{Answer, text},
        gateway::Gateway,
    },
};

/// Answers `hooks/ping`, which is not signed.
pub(super) fn ping() -> Answer {
    Answer::new(Call::PingHooks, Outcome::Ok, text(StatusCode::OK, "text/plain;charset=utf-8", PING))
}

/// Answers `hooks/create`.
pub(super) async fn create(gateway: &Gateway, call: &Verified) -> Answer {
    let params = &call.params;
    let Some(url) = params.get("callbackURL") else {
        return Answer::failure(Call::CreateHook, Failure::CALLBACK_URL_MISSING);
    };
    if params.get("getRaw").is_some_and(|raw| !matches!(&*raw.to_ascii_lowercase(), "" | "false")) {
        return Answer::failure(Call::CreateHook, Failure::HOOK_RAW);
    }
    let wish = Wish { url, meeting: params.get("meetingID"), events: params.get("eventID"), secret: &call.secret };
    match registry::create(&gateway.meetings, &call.asked.tenant, wish).await {
        Ok(Created::New(id)) => Answer::xml(Call::CreateHook, Outcome::Ok, hooks::created(&id)),
        Ok(Created::Known(id)) => Answer::xml(Call::CreateHook, Outcome::Ok, hooks::duplicate(&id)),
        Err(failure) => Answer::failure(Call::CreateHook, failure),
    }
}

/// Answers `hooks/destroy`.
pub(super) async fn destroy(gateway: &Gateway, call: &Verified) -> Answer {
    let Some(id) = call.params.get("hookID") else {
        return Answer::failure(Call::DestroyHook, Failure::HOOK_ID_MISSING);
    };
    match registry::destroy(&gateway.meetings, &call.asked.tenant.id, id).await {
        Ok(true) => Answer::xml(Call::DestroyHook, Outcome::Ok, DESTROYED.to_owned()),
        Ok(false) => Answer::failure(Call::DestroyHook, Failure::HOOK_NOT_FOUND),
        Err(error) => Answer::denied(Call::DestroyHook, error.into()),
    }
}

/// Answers `hooks/list`.
pub(super) async fn list(gateway: &Gateway, call: &Verified) -> Answer {
    let listed = registry::list(&gateway.meetings, &call.asked.tenant.id, call.params.get("meetingID")).await;
    match listed {
        Ok(listed) => Answer::xml(Call::ListHooks, Outcome::Ok, hooks::list(&listed)),
        Err(error) => Answer::denied(Call::ListHooks, error.into()),
    }
}
