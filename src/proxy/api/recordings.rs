//! The recordings calls: `getRecordings`, `publishRecordings`, `deleteRecordings` and `updateRecordings`.

use super::verified::Verified;
use crate::{
    bbb::{
        answer::Failure,
        params::may_set,
        query::Params,
        recordings::{self as protocol, PAGE_MAX, Page},
    },
    meetings::recordings::{self, Change, Scope},
    metrics::{Call, Outcome},
    proxy::{answer::Answer, asked::Asked, gateway::Gateway},
    upstream::Caller,
};

fn scope<'a>(gateway: &'a Gateway, asked: &'a Asked, caller: &'a Caller) -> Scope<'a> {
    Scope {
        meetings: &gateway.meetings,
        directory: &asked.directory,
        tenant: &asked.tenant.id,
        authority: &asked.authority,
        caller,
    }
}

/// Answers `getRecordings`.
pub(super) async fn list(gateway: &Gateway, call: &Verified) -> Answer {
    let name = Call::GetRecordings;
    let mut passed_on = Params::default();
    for (name, value) in call.params.iter().filter(|(name, _)| *name == "state" || name.starts_with("meta_")) {
        passed_on.set(name, value);
    }
    let caller = call.asked.caller();
    let scope = scope(gateway, &call.asked, &caller);
    let named = recordings::named(&scope, &call.params, true);
    match recordings::list(&scope, named, &passed_on).await {
        Ok(list) => Answer::xml(name, Outcome::Ok, protocol::answer(&list, page(&call.params))),
        Err(denial) => Answer::denied(name, denial),
    }
}

/// Answers the calls that change recordings: the tenant's own among those that are named are changed, and as in BBB it is an
/// error only if there is none.
pub(super) async fn change(gateway: &Gateway, name: Call, what: Change, call: &Verified) -> Answer {
    let publish = call.params.get("publish").unwrap_or_default();
    let mut passed_on = Params::default();
    if what == Change::Publish && call.params.get("publish").is_some() {
        passed_on.set("publish", publish);
    }
    for (name, value) in call.params.iter().filter(|_| what == Change::Update) {
        if name.starts_with("meta_") && may_set(&call.asked.tenant.rules, name, value) {
            passed_on.set(name, value);
        }
    }
    let caller = call.asked.caller();
    let scope = scope(gateway, &call.asked, &caller);
    let named = recordings::named(&scope, &call.params, what == Change::Update);
    match recordings::change(&scope, what, named, &passed_on).await {
        Ok(true) => {}
        Ok(false) => return Answer::failure(name, Failure::RECORDINGS_NOT_FOUND),
        Err(denial) => return Answer::denied(name, denial),
    }
    let (key, value) = match what {
        Change::Publish => ("published", publish),
        Change::Delete => ("deleted", "true"),
        Change::Update => ("updated", "true"),
    };
    Answer::xml(name, Outcome::Ok, protocol::changed(key, value))
}

/// The page that a call asks for: a limit out of range is none, and without a limit there are no pages.
fn page(params: &Params) -> Option<Page> {
    let number = |name| params.get(name).and_then(|value| value.parse::<usize>().ok());
    let limit = number("limit").filter(|limit| (1..=PAGE_MAX).contains(limit))?;
    Some(Page { offset: number("offset").unwrap_or(0), limit })
}
