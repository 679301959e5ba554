//! A request that has found its tenant, and what is needed to send it on.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
};

use http::{
    HeaderValue, Method, Uri, Version,
    header::{SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
};
use tokio::sync::mpsc;

use crate::domain::{
    directory::Directory,
    host::Host,
    ids::TenantId,
    tenant::{Tenant, Upstream},
};

/// A connection as far as its requests need to know it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who is at the other end.
    pub(crate) peer: SocketAddr,
    /// The same, as a header.
    pub(crate) peer_value: HeaderValue,
    /// The host of the TLS handshake.
    pub(crate) sni: Host,
    /// Whether a request has come.
    pub(crate) used: Arc<AtomicBool>,
    /// Held by the connection and its sockets: a gateway that stops waits for them.
    pub(crate) alive: mpsc::Sender<Infallible>,
}

/// A request that has found its tenant.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The configuration that it sees from start to end: a reload in the middle cannot mix old and new.
    pub(crate) directory: Arc<Directory>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) connection: Arc<Connection>,
    /// The host as the caller wrote it, with its port where it has one.
    pub(crate) authority: String,
    pub(crate) head: Parts,
    /// Now, ms since the epoch.
    pub(crate) now: i64,
}

impl Asked {
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or("")
    }

    /// The address on whose account it is what strangers may have only so much of.
    pub(crate) fn peer(&self) -> IpAddr {
        account_of(self.connection.peer.ip())
    }

    /// Tenant and address, on whose account it is.
    pub(crate) fn account(&self) -> (&TenantId, IpAddr) {
        (&self.tenant.id, self.peer())
    }
}

/// An address as one has it to oneself: of IPv6 a /64, which is one customer's.
fn account_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// Whether a request asks for a WebSocket (RFC 6455, 4.2.1).
pub(crate) fn is_websocket(head: &Parts) -> bool {
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && head.headers.contains_key(SEC_WEBSOCKET_KEY)
        && head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The address of a path on a server.
///
/// # Panics
/// Never: authority and path have been parsed before.
pub(crate) fn address(to: &Upstream, path: &str, query: Option<&str>) -> Uri {
    let path_and_query = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Uri::builder()
        .scheme(to.scheme.clone())
        .authority(to.authority.clone())
        .path_and_query(path_and_query)
        .build()
        .expect("parts of two addresses make one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ipv6_a_network_has_one_account() {
        for (address, account) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ] {
            let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(account_of(parse(address)), parse(account), "{address}");
        }
    }
}
