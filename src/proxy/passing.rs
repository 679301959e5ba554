//! Bodies that pass through to a server: uploads, and all others. A server is asked when the first bytes of a body are there,
//! and not before; so many pass at a time; one that is too slow is broken off.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use http_body::Body as _;

use super::{
    Gateway,
    answer::{Answer, text},
    asked::Asked,
};
use crate::{
    domain::{denial::Denial, ids::TenantId},
    metrics::{Call, Outcome},
    net::peer::Peer,
    shares::{Limits, Shares},
    upstream::{Body, Carried, Incoming, IsSlow, LeastRate, Watch},
};

/// By tenant and address: those of one address leave room to others of its tenant.
const OF_PEER: Limits = Limits { total: usize::MAX, outer: 256, inner: 128, both: 32, waiting: 64 };
/// By server and tenant: those of one tenant leave room to others on its server.
const TO_SERVER: Limits = Limits { total: usize::MAX, outer: 256, inner: usize::MAX, both: 128, waiting: 256 };
/// How long a body waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// A body may stop for so long, and has to bring so many bytes in a second.
const STOP_MAX: Duration = Duration::from_secs(30);
const BYTES_PER_SECOND: u32 = 1024;

/// The places of bodies that pass through.
#[derive(Debug)]
pub(crate) struct Passing {
    of_peer: Arc<Shares<TenantId, Peer>>,
    to_server: Arc<Shares<Box<str>, TenantId>>,
}

impl Default for Passing {
    fn default() -> Self {
        Self { of_peer: Shares::new(OF_PEER), to_server: Shares::new(TO_SERVER) }
    }
}

/// A body to be sent, and what tells later whether it was too slow.
type Begun = (Body, Option<IsSlow>);

/// Why a request with a body got no answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The gateway refuses it, or its server does not answer.
    Denied(Denial),
    /// Its body came too slowly.
    Slow,
}

impl From<Denial> for Unsent {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl Passing {
    /// A body on its way to a server of this name, once it has begun, looked at as it passes where there is a `watch`. A request
    /// without one is not waited for.
    pub(crate) async fn begin(
        &self,
        asked: &Asked,
        server: &str,
        body: Incoming,
        watch: Option<Watch>,
    ) -> Result<Begun, Unsent> {
        if body.is_end_stream() {
            return Ok((Body::Streamed(body), None));
        }
        // Boxed: most requests have no body, and are not to have room for this.
        let carried = Box::pin(self.begun(asked, server, body)).await?;
        let carried = match watch {
            Some(watch) => carried.watched(watch),
            None => carried,
        };
        let is_slow = Some(carried.is_slow());
        Ok((Body::Carried(Box::new(carried)), is_slow))
    }

    async fn begun(&self, asked: &Asked, server: &str, body: Incoming) -> Result<Carried, Unsent> {
        let rate = LeastRate::new(STOP_MAX, BYTES_PER_SECOND);
        let carried = Carried::begin(body, rate).await.ok_or(Unsent::Slow)?;
        let (tenant, server) = (&asked.tenant.id, Box::<str>::from(server));
        let of_peer = self.of_peer.take(tenant, &asked.peer(), 1, PLACE_TIMEOUT).await;
        let places = match of_peer {
            Some(of_peer) => {
                self.to_server.take(&server, tenant, 1, PLACE_TIMEOUT).await.map(|to_server| (of_peer, to_server))
            }
            None => None,
        };
        match places {
            Some(places) => Ok(carried.holding(places)),
            None => {
                Body::Carried(Box::new(carried)).linger();
                Err(Denial::Overloaded.into())
            }
        }
    }
}

impl Gateway {
    /// What is answered to a request that got no answer of a server.
    pub(crate) fn unsent(&self, asked: &Asked, call: Call, why: Unsent) -> Answer {
        match why {
            Unsent::Denied(denial) => self.refuse(asked, call, denial),
            Unsent::Slow => {
                let response = text(StatusCode::REQUEST_TIMEOUT, "text/plain", "The body comes too slowly.\n");
                Answer::new(call, Outcome::Refused, response)
            }
        }
    }
}
