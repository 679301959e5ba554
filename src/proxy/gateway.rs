//! [`Gateway`]: what all requests share.

use std::{sync::Arc, time::Duration};

use super::{cookies::Binding, grant::Grants, held::Bodies, names::Names, passing::Passing};
use crate::{
    certificates::Answers, live::sessions::UserKeys, meetings::Meetings, metrics::Metrics, net::Net, upstream::Discards,
};

/// What all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// The use cases, with the state in memory and the store.
    pub meetings: Arc<Meetings>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Limits of connections and rates.
    pub net: Net,
    /// How long a connection may be open with nothing to do.
    pub(super) idle_timeout: Duration,
    /// Whether WebSockets are offered over HTTP/2.
    pub(super) http2_websockets: bool,
    /// How old an answer about meetings may be.
    pub(super) answers_max_age: Duration,
    /// Signs addresses that the gateway makes itself.
    pub(super) grants: Grants,
    /// Signs the cookies of the servers.
    pub(super) binding: Binding,
    /// Recognizes people whose callers say who they are.
    pub(super) user_keys: UserKeys,
    /// Resolves the hosts that servers are to fetch documents from.
    pub(super) names: Names,
    /// Answers certificate authorities.
    pub(super) answers: Arc<Answers>,
    /// Bodies that are held whole.
    pub(crate) bodies: Bodies,
    /// Bodies whose rest is discarded.
    pub(super) discards: Discards,
    /// Bodies on their way to servers.
    pub(super) uploads: Passing,
    /// Bodies on their way to frontends.
    pub(super) to_frontends: Passing,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The use cases, with the state in memory and the store.
    pub meetings: Arc<Meetings>,
    /// Limits of connections and rates.
    pub net: Net,
    /// How long a connection may be open with nothing to do.
    pub idle_timeout: Duration,
    /// Whether WebSockets are offered over HTTP/2.
    pub http2_websockets: bool,
    /// How old an answer about meetings may be.
    pub answers_max_age: Duration,
    /// Signs addresses that the gateway makes itself.
    pub grants: Grants,
    /// Signs the cookies of the servers.
    pub binding: Binding,
    /// Recognizes people whose callers say who they are.
    pub user_keys: UserKeys,
    /// Resolves the hosts that servers are to fetch documents from.
    pub names: Names,
    /// Answers certificate authorities.
    pub answers: Arc<Answers>,
}

impl Gateway {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            meetings,
            net,
            idle_timeout,
            http2_websockets,
            answers_max_age,
            grants,
            binding,
            user_keys,
            names,
            answers,
        } = parts;
        Self {
            metrics: Arc::clone(&meetings.metrics),
            meetings,
            net,
            idle_timeout,
            http2_websockets,
            answers_max_age,
            grants,
            binding,
            user_keys,
            names,
            answers,
            bodies: Bodies::default(),
            discards: Discards::default(),
            uploads: Passing::default(),
            to_frontends: Passing::default(),
        }
    }
}
