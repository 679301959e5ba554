//! Connections before they are HTTP: who is at the other end, how many there may be, how fast they may come, and how long
//! one may do nothing.
//!
//! An address has a share of what strangers can take, and no more. What a connection is asked for is `proxy`'s.

pub mod activity;
pub mod complaints;
pub mod connections;
pub mod files;
pub mod orderly;
pub mod peer;
pub mod proxy_protocol;
pub mod rates;
pub mod socket;
pub mod tracked;

use std::{net::IpAddr, sync::Arc};

use connections::Connections;
use peer::Network;
use rates::Rates;

/// What all listeners for people and programs share.
#[derive(Debug)]
pub struct Net {
    /// The connections that are open.
    pub connections: Arc<Connections>,
    /// What addresses and tenants may do in a second.
    pub rates: Rates,
    /// The sources whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
}

impl Net {
    /// Whether a connection from this address has to begin with a PROXY header.
    #[must_use]
    pub fn is_proxy(&self, source: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(source))
    }
}
