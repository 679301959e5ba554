//! The callback addresses of a `create`: taken out, checked, kept, and replaced by the gateway's own.

use http::Uri;

use super::{Callbacks, Code, frontend_of};
use crate::{
    bbb::{fetched::is_public, params::callbacks, query::Params},
    domain::{
        callback::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, MEETING_ENDED, PATH, is_ended, kind_of},
        denial::Denial,
        ids::MeetingNumber,
        tenant::Tenant,
    },
    meetings::Meetings,
    store::CallbackAddress,
};

/// The callback addresses of one `create`.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    code: Code,
    addresses: Vec<CallbackAddress>,
}

/// Takes the callback addresses of a call, and gives the server those of the gateway, on the host that was called
/// (`authority`). `secret` is the label of the secret that signed the call.
///
/// An address that may not be called is left out: integrations send it with each `create`, and their meetings go on.
pub(crate) fn take(
    all: &Callbacks,
    tenant: &Tenant,
    (authority, secret): (&str, &str),
    asked: &Params,
    to_server: &mut Params,
) -> Taken {
    let mut taken = Taken::default();
    let named = callbacks(asked, &tenant.rules);
    if named.is_empty() {
        return taken;
    }
    let Some(code) = Code::make() else { return taken };
    taken.code = code;
    for (parameter, url) in named.into_iter().take(ADDRESSES_MAX) {
        let Some(kind) = kind_of(&parameter).filter(|_| may_call(tenant, url)) else {
            tracing::warn!(tenant = %tenant.id, %parameter, "callback address dropped: it is not public");
            continue;
        };
        let own = format!("https://{authority}{PATH}{kind}/{}", all.codes.write(&tenant.id, kind, &code));
        // Clients and lists show the metadata of a meeting: of its end only a server may tell.
        to_server.set(if is_ended(kind) { MEETING_ENDED } else { &parameter }, own);
        let address = CallbackAddress { parameter: parameter.to_string(), url: url.into(), secret: secret.into() };
        taken.addresses.push(address);
    }
    taken
}

/// Whether an address may be called, as far as its text tells: it is public, or the frontend's.
fn may_call(tenant: &Tenant, url: &str) -> bool {
    let is_short = url.len() <= ADDRESS_BYTES_MAX;
    let is_frontend = || url.parse::<Uri>().is_ok_and(|uri| is_web(&uri) && frontend_of(tenant, &uri).is_some());
    is_short && (is_public(url) || is_frontend())
}

fn is_web(address: &Uri) -> bool {
    let is_plain = address.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    is_plain && matches!(address.scheme_str(), Some("http" | "https"))
}

/// Keeps the addresses of a meeting, before its server may use them.
///
/// # Errors
/// [`Denial::StoreUnavailable`].
pub(crate) async fn keep(meetings: &Meetings, meeting: MeetingNumber, taken: &Taken) -> Result<(), Denial> {
    if taken.addresses.is_empty() {
        return Ok(());
    }
    let kept = meetings.store.callbacks().add_addresses(meeting, taken.code.as_bytes(), &taken.addresses).await;
    kept.map_err(Denial::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures;

    #[test]
    fn only_public_addresses_and_the_frontend_may_be_called() {
        let mut tenant = fixtures::tenant("wagtail");
        let own = "https://wagtail.meet.example/meeting_ended";
        assert!(may_call(&tenant, own), "its name is public");
        let host = "wagtail.localhost";
        tenant.hosts.push(host.parse().expect("a host"));
        assert!(!may_call(&tenant, "https://wagtail.localhost/x"), "nothing answers there");
        tenant.frontend = Some(fixtures::server("greenlight", "x").upstream);
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
