//! Reads `get_user` of `anteroom.toml`: the call that tells one Greenlight the address and the secret of each tenant.

use super::{convert::Convert, keypath::KeyPath, raw, sources};
use crate::domain::{get_user::GetUser, host::Host, network::Network};

/// The name of the secret in the answer.
const ACCOUNT: &str = "greenlight";

/// Reads it. A name is what a tenant's host has before one of `domains`.
pub(super) fn read(raw: raw::GetUser, domains: &[Host], cx: &mut Convert<'_>) -> Option<GetUser> {
    let table = KeyPath::from("get_user");
    let host = raw.host.and_then(|text| cx.parse(&table.key("host"), &text));
    let secret = raw.secret.and_then(|text| sources::secret(&table.key("secret"), &text, cx));
    let path = table.key("sources");
    let sources = cx.list::<Network>(&path, &raw.sources.unwrap_or_default());
    if sources.is_empty() && !cx.is_faulty(&path) {
        cx.fault(&path, "must name at least one address or network");
    }
    if domains.is_empty() {
        cx.fault(&table, "needs base_domains: a name is what a tenant's host has before one of them");
    }
    let sources = sources.into_iter().map(|network| network.value).collect();
    let account = raw.account.as_deref().unwrap_or(ACCOUNT).into();
    Some(GetUser { host: host?, secret: secret?, sources, account, domains: domains.to_vec() })
}
