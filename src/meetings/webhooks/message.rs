//! The request that a tenant gets for an event: as bbb-webhooks would send it, signed with the tenant's secret.

use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};

use crate::{
    bbb::{
        checksum::Algorithm,
        webhook::{form, signed_address},
    },
    domain::{
        tenant::{Tenant, Upstream},
        time::Timestamp,
    },
    meetings::receivers::{NO_ADDRESS, NO_SECRET, addressed, secret_of},
    store::{EventRow, WebhookRow},
    upstream::Body,
};

/// The message of an event, and the frontend that it goes to; `None` where its host is of the public network.
///
/// # Errors
/// In words, what there is not.
pub(super) fn message<'a>(
    webhook: &WebhookRow,
    event: &EventRow,
    tenant: &'a Tenant,
    now: Timestamp,
) -> Result<(Request<Body>, Option<&'a Upstream>), &'static str> {
    let secret = secret_of(tenant, &webhook.secret, now).ok_or(NO_SECRET)?;
    let host = tenant.hosts.first().ok_or(NO_ADDRESS)?;
    let form = form(host.as_str(), &format!("[{}]", event.body), &event.received_at.as_ms().to_string());
    // What bbb-webhooks signs with unless its operator says otherwise: receivers expect it.
    let address = signed_address(&webhook.url, &form, secret, Algorithm::Sha1);
    let request = Request::builder().method(Method::POST).uri(address).body(form.into());
    let mut request = request.map_err(|_| NO_ADDRESS)?;
    let form = HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
    request.headers_mut().insert(CONTENT_TYPE, form);
    addressed(request, tenant)
}
