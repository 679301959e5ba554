//! The callback addresses of a `create`: taken out, checked, kept, and replaced by the gateway's own.

use super::{Callbacks, Code};
use crate::{
    bbb::{params::callbacks, query::Params},
    domain::{
        callback::{ADDRESSES_MAX, MEETING_ENDED, PATH, is_ended, kind_of},
        denial::Denial,
        ids::MeetingNumber,
        tenant::Tenant,
    },
    meetings::{Meetings, receivers::may_call},
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
