//! Client connections below HTTP: client address, connection limits, rate limits, idle timeouts, PROXY protocol, request
//! ids.
//!
//! Unauthenticated clients share the resources fairly by address. Requests are the task of `proxy`.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod activity;
pub mod complaints;
pub mod connections;
pub mod files;
pub mod orderly;
pub mod peer;
pub mod proxy_protocol;
pub mod rates;
pub mod request_context;
pub mod request_id;
pub mod socket;
pub mod tracked;
pub mod turns;

use std::{net::IpAddr, sync::Arc};

use connections::Connections;
use rates::Rates;

use crate::domain::network::Network;

/// Limits shared by all public listeners.
#[derive(Debug)]
pub struct Net {
    /// Open connections and their limits.
    pub connections: Arc<Connections>,
    /// Rate limits of addresses and tenants.
    pub rates: Rates,
    /// Networks of trusted load balancers, whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
    /// Networks of trusted fronts, whose `X-Request-Id` is taken.
    pub fronts: Vec<Network>,
}

impl Net {
    /// Whether a connection from this address must begin with a PROXY header.
    #[must_use]
    pub fn is_proxy(&self, source: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(source))
    }

    /// Whether the request ids of a connection from this address are taken.
    #[must_use]
    pub fn is_front(&self, source: IpAddr) -> bool {
        self.fronts.iter().any(|network| network.contains(source))
    }
}
