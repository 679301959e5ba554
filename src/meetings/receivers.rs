//! Receivers of what the gateway sends for servers: addresses that tenants have named, which of them may be called, and with
//! which secret.

use http::{
    HeaderValue, Request, Uri,
    header::{HOST, USER_AGENT},
};

use crate::{
    bbb::fetched::is_public,
    domain::{
        callback::ADDRESS_BYTES_MAX,
        secret::Secret,
        tenant::{ApiSecret, Tenant, Upstream},
        time::Timestamp,
    },
    upstream::Body,
};

const AGENT: &str = "Anteroom";

/// Why nothing can be sent, in words.
pub(super) const NO_ADDRESS: &str = "its address cannot be read";
pub(super) const NO_SECRET: &str = "the secret of its create is not configured any more";
pub(super) const NO_TENANT: &str = "its tenant is not configured any more";

/// Whether an address may be called, as far as its text tells: it is public, or the frontend's.
pub(super) fn may_call(tenant: &Tenant, url: &str) -> bool {
    let is_short = url.len() <= ADDRESS_BYTES_MAX;
    let is_frontend = || url.parse::<Uri>().is_ok_and(|uri| is_web(&uri) && frontend_of(tenant, &uri).is_some());
    is_short && (is_public(url) || is_frontend())
}

fn is_web(address: &Uri) -> bool {
    let is_plain = address.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    is_plain && matches!(address.scheme_str(), Some("http" | "https"))
}

/// The frontend that answers an address of the tenant's own host: the operator says where that is, and no name server.
fn frontend_of<'a>(tenant: &'a Tenant, address: &Uri) -> Option<&'a Upstream> {
    let host = address.host()?.trim_end_matches('.');
    let is_own = tenant.hosts.iter().any(|own| own.as_str().eq_ignore_ascii_case(host));
    tenant.frontend.as_deref().filter(|_| is_own)
}

/// A request with the headers that its receiver sees of the gateway, and the frontend that it goes to; `None` where its host is
/// of the public network.
///
/// # Errors
/// [`NO_ADDRESS`].
pub(super) fn addressed(
    mut request: Request<Body>,
    tenant: &Tenant,
) -> Result<(Request<Body>, Option<&Upstream>), &'static str> {
    let frontend = frontend_of(tenant, request.uri());
    let host =
        request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()).ok_or(NO_ADDRESS)?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(HOST, host.clone());
    if frontend.is_some() {
        headers.insert("x-forwarded-host", host);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    }
    Ok((request, frontend))
}

/// The secret that signed the call, by its label, or the newest of its credential where that one is not good any more.
pub(super) fn secret_of<'a>(tenant: &'a Tenant, label: &str, now: Timestamp) -> Option<&'a Secret> {
    let is_of = |name: &str| label.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let credential = tenant.credentials.iter().find(|credential| is_of(&credential.name))?;
    let good = |secret: &&ApiSecret| secret.is_good(now);
    let same = credential.secrets.iter().filter(good).find(|secret| &*secret.label == label);
    same.or_else(|| credential.secrets.iter().find(good)).map(|secret| &secret.secret)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::domain::fixtures;

    #[test]
    fn the_secret_that_signed_counts_while_it_is_good_and_then_the_newest_of_its_account() {
        let mut tenant = fixtures::tenant("wagtail");
        tenant.credentials =
            vec![fixtures::credential("main", &["new", "old"]), fixtures::credential("lms", &["other"])];
        let (now, later) = (Timestamp::EPOCH, Timestamp::EPOCH.saturating_add(Duration::from_secs(2)));
        let labels = tenant.credentials[0].secrets.iter().map(|secret| secret.label.clone()).collect::<Vec<_>>();
        let secret =
            |tenant: &Tenant, label: &str, now| secret_of(tenant, label, now).map(|secret| secret.reveal().to_owned());
        assert_eq!(secret(&tenant, &labels[1], now).as_deref(), Some("old"), "it signed the call, and is good");
        tenant.credentials[0].secrets[1].not_after = Some(Timestamp::EPOCH.saturating_add(Duration::from_secs(1)));
        assert_eq!(secret(&tenant, &labels[1], now).as_deref(), Some("old"));
        assert_eq!(secret(&tenant, &labels[1], later).as_deref(), Some("new"), "it has expired");
        tenant.credentials[0].secrets.remove(1);
        assert_eq!(secret(&tenant, &labels[1], now).as_deref(), Some("new"), "it was removed");
        assert_eq!(secret(&tenant, "gone/1", now), None, "never that of another account");
        tenant.credentials.remove(0);
        assert_eq!(secret(&tenant, &labels[0], now), None);
    }

    #[test]
    fn only_public_addresses_and_the_frontend_may_be_called() {
        let mut tenant = fixtures::tenant("wagtail");
        let own = "https://wagtail.meet.example/meeting_ended";
        assert!(may_call(&tenant, own), "its name is public");
        let host = "wagtail.localhost";
        tenant.hosts.push(host.parse().expect("a host"));
        assert!(!may_call(&tenant, "https://wagtail.localhost/x"), "nothing answers there");
        tenant.frontend = Some(Arc::new(fixtures::server("greenlight", "x").upstream));
        for (url, may) in [
            (own, true),
            ("https://wagtail.localhost/x", true),
            ("https://WAGTAIL.localhost:8443/x?y", true),
            ("https://school.example/x", true),
            ("https://heron.localhost/x", false),
            ("https://u:p@wagtail.localhost/x", false),
            ("ftp://wagtail.localhost/x", false),
            ("/x", false),
            ("http://10.0.0.1/x", false),
            ("https://169.254.169.254/x", false),
            ("https://redis/x", false),
        ] {
            assert_eq!(may_call(&tenant, url), may, "{url}");
        }
        assert!(!may_call(&tenant, &format!("https://school.example/{}", "a".repeat(ADDRESS_BYTES_MAX))));
    }
}
