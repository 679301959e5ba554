//! Reads the keys of `[acme]` that say where the hosts of tenants should point, and who issues their certificates.

use std::net::IpAddr;

use super::{convert::Convert, keypath::KeyPath, raw};
use crate::dns::{Expected, known_issuer};

/// Where the hosts of tenants should point.
pub(super) fn expected(acme: &raw::Acme, cx: &mut Convert<'_>) -> Expected {
    let path = KeyPath::from("acme");
    let list = path.key("addresses");
    let mut addresses = Vec::new();
    for (index, text) in acme.addresses.iter().flatten().enumerate() {
        let entry = cx.entry(&list, index);
        let address =
            text.parse::<IpAddr>().map_err(|_| "must be an address, such as \"192.0.2.7\" or \"2001:db8::7\"");
        addresses.extend(cx.keep(&entry, address));
    }
    let target = acme.target.as_ref().and_then(|text| cx.parse(&path.key("target"), text));
    Expected { addresses, target }
}

/// What the authority calls itself in CAA records.
pub(super) fn issuers(acme: &raw::Acme) -> Vec<String> {
    let directory = acme.directory.as_ref().and_then(|text| text.parse().ok());
    directory.as_ref().and_then(known_issuer).map(str::to_owned).into_iter().collect()
}
