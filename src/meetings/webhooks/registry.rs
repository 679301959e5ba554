//! The webhooks of a tenant: made, listed and removed by its calls of `hooks/*`.

use aws_lc_rs::rand;

use super::{read, servers::ensure};
use crate::{
    bbb::{
        answer::Failure,
        hooks::Hook,
        meeting_id::{MEETING_ID_UNITS, units},
    },
    domain::{denial::Denial, ids::TenantId, tenant::Tenant, webhook::EVENTS_BYTES_MAX},
    meetings::{Meetings, receivers::may_call},
    store::{AddedWebhook, Error, NewWebhook, WebhookRow},
};

/// The least id, of 15 digits.
const ID_MIN: u64 = 100_000_000_000_000;
/// How many there are.
const IDS: u64 = 9 * ID_MIN;

/// A webhook that a tenant asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// Where its events are to go.
    pub(crate) url: &'a str,
    /// The tenant's `meetingID`; all meetings without it.
    pub(crate) meeting: Option<&'a str>,
    /// Names of events, with commas; all events without it.
    pub(crate) events: Option<&'a str>,
    /// The label of the secret that signed the call.
    pub(crate) secret: &'a str,
}

/// What the tenant has then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// A new webhook with this id.
    New(String),
    /// The webhook with this id, which it had before at the same address.
    Known(String),
}

/// Makes a webhook of a tenant, unless it has one at this address: as with bbb-webhooks, that one stays as it is.
///
/// # Errors
/// For an address that must not be called, a filter that is too long, or one webhook more than the tenant may have; when the
/// store fails.
pub(crate) async fn create(meetings: &Meetings, tenant: &Tenant, wish: Wish<'_>) -> Result<Created, Failure> {
    if !may_call(tenant, wish.url) {
        return Err(Failure::HOOK_ADDRESS);
    }
    let is_long = |meeting: &str| units(meeting) > *MEETING_ID_UNITS.end();
    if wish.meeting.is_some_and(is_long) || wish.events.is_some_and(|events| events.len() > EVENTS_BYTES_MAX) {
        return Err(Failure::HOOK_FILTER);
    }
    let id = new_id().ok_or(Denial::StoreUnavailable)?;
    // bbb-webhooks compares in lower case.
    let events = wish.events.map(str::to_lowercase);
    let new = NewWebhook {
        id: &id,
        tenant: &tenant.id,
        url: wish.url,
        meeting: wish.meeting,
        events: events.as_deref(),
        secret: wish.secret,
        now: meetings.clock.now(),
        most: tenant.limits.webhooks,
    };
    match meetings.store.webhooks().add(&new).await.map_err(Denial::from)? {
        AddedWebhook::New => {
            tracing::info!(tenant = %tenant.id, id, "webhook created");
            reread(meetings).await;
            ensure(meetings, tenant).await;
            Ok(Created::New(id))
        }
        AddedWebhook::Known(id) => Ok(Created::Known(id)),
        AddedWebhook::Full => Err(Failure::HOOKS_MAX),
    }
}

/// Removes a webhook of a tenant. Returns whether it was there.
///
/// # Errors
/// When the store fails.
pub(crate) async fn destroy(meetings: &Meetings, tenant: &TenantId, id: &str) -> Result<bool, Error> {
    let was_there = meetings.store.webhooks().remove(tenant, id).await?;
    if was_there {
        tracing::info!(%tenant, id, "webhook removed");
        reread(meetings).await;
    }
    Ok(was_there)
}

/// The webhooks of a tenant, or those that get the events of one meeting.
///
/// # Errors
/// When the store fails.
pub(crate) async fn list(meetings: &Meetings, tenant: &TenantId, meeting: Option<&str>) -> Result<Vec<Hook>, Error> {
    let mut rows = meetings.store.webhooks().of(tenant).await?;
    rows.retain(|row| meeting.is_none_or(|wanted| row.meeting.as_ref().is_none_or(|own| own.as_str() == wanted)));
    let hook = |row: WebhookRow| Hook {
        id: row.id,
        url: row.url,
        meeting_id: row.meeting.map(|id| id.as_str().to_owned()),
        event_id: row.events,
    };
    Ok(rows.into_iter().map(hook).collect())
}

/// Has the events of a webhook tried now. `None` where there is no such one.
///
/// # Errors
/// When the store fails.
pub(crate) async fn retry(meetings: &Meetings, id: &str) -> Result<Option<WebhookRow>, Error> {
    let row = meetings.store.webhooks().retry(id, meetings.clock.now()).await?;
    meetings.webhooks.wake.notify_one();
    Ok(row)
}

/// Removes a webhook for the operator, with the events that wait. Returns what it was; `None` where there is no such one.
///
/// # Errors
/// When the store fails.
pub(crate) async fn remove(meetings: &Meetings, id: &str) -> Result<Option<WebhookRow>, Error> {
    let Some(row) = meetings.store.webhooks().all().await?.into_iter().find(|row| row.id == id) else {
        return Ok(None);
    };
    Ok(destroy(meetings, &row.tenant, id).await?.then_some(row))
}

/// What this gateway knows follows at once; where the store fails meanwhile, with the next reading.
pub(super) async fn reread(meetings: &Meetings) {
    if let Err(error) = read(meetings).await {
        tracing::warn!(%error, "failed to read webhooks from the store: retrying");
    }
}

/// A random number of 15 digits, which a program that reads ids as numbers keeps as it is (it is below 2^53); `None` where the
/// system has no randomness.
fn new_id() -> Option<String> {
    let mut bytes = [0_u8; 8];
    rand::fill(&mut bytes).ok()?;
    let number = ID_MIN.saturating_add(u64::from_le_bytes(bytes) % IDS);
    Some(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_for_programs_that_read_numbers() {
        for _ in 0..100 {
            let id = new_id().expect("randomness");
            assert_eq!(id.len(), 15, "{id}");
            assert_eq!(id.parse::<f64>().expect("a number").to_string(), id, "of JavaScript");
            assert_eq!(id.parse::<i64>().expect("a number").to_string(), id, "of PHP");
            assert_ne!(new_id(), Some(id));
        }
    }
}
