//! Bodies that pass through to a server: uploads, and all others. A server is asked when the first bytes of a body are there,
//! and not before; so many pass at a time; one that is too slow is broken off.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use http_body::Body as _;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::asked::Asked;
use crate::{
    domain::{
        backend_error::{BackendError, BodyFault},
        ids::TenantId,
    },
    net::peer::Peer,
    shares::{Limits, Shares},
    upstream::{Body, Carried, Incoming, LeastRate, Watch},
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

/// How long a body may take in all: the largest upload over a line of 2.3 Mbit/s.
const SEND_TIMEOUT: Duration = Duration::from_secs(60 * 60);

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

impl Passing {
    /// A body on its way to a server of this name, once it has begun, looked at as it passes where there is a `watch`. A request
    /// without one is not waited for.
    pub(crate) async fn begin(
        &self,
        asked: &Asked,
        server: &str,
        body: Incoming,
        watch: Option<Watch>,
    ) -> Result<(Body, Clock), BackendError> {
        if body.is_end_stream() {
            return Ok((Body::Streamed(body), Clock(None)));
        }
        // Boxed: most requests have no body, and are not to have room for this.
        let (carried, over) = Box::pin(self.begun(asked, server, body)).await?;
        let carried = match watch {
            Some(watch) => carried.watched(watch),
            None => carried,
        };
        Ok((Body::Carried(Box::new(carried)), Clock(Some(over))))
    }

    async fn begun(
        &self,
        asked: &Asked,
        server: &str,
        body: Incoming,
    ) -> Result<(Carried, oneshot::Receiver<Infallible>), BackendError> {
        let rate = LeastRate::new(STOP_MAX, BYTES_PER_SECOND);
        let carried = Carried::begin(body, rate).await?;
        let (tenant, server) = (&asked.tenant.id, Box::<str>::from(server));
        let of_peer = self.of_peer.take(tenant, &asked.peer(), 1, PLACE_TIMEOUT).await;
        let places = match of_peer {
            Some(of_peer) => {
                self.to_server.take(&server, tenant, 1, PLACE_TIMEOUT).await.map(|to_server| (of_peer, to_server))
            }
            None => None,
        };
        let (sending, over) = oneshot::channel();
        Ok((carried.holding((places.ok_or(BackendError::Exhausted)?, sending)), over))
    }
}

/// When the time of a server begins in which it has to answer.
#[derive(Debug)]
pub(crate) struct Clock(Option<oneshot::Receiver<Infallible>>);

impl Clock {
    /// The answer to a request, for which a server has so long from the end of the request's body on. The time in which a caller
    /// sends does not count. `answer` is pinned by its caller: moved in here, it would take its room twice.
    ///
    /// # Errors
    /// [`BodyFault::Slow`] where the body does not end in time, [`BackendError::Timeout`] where no answer comes.
    pub(crate) async fn answer<T>(
        self,
        limit: Duration,
        answer: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, BackendError> {
        let late = async {
            if let Some(over) = self.0 {
                match timeout(SEND_TIMEOUT, over).await {
                    // Its sender says nothing, and is dropped with the body.
                    Ok(_) => {}
                    Err(_) => return BackendError::Body(BodyFault::Slow),
                }
            }
            sleep(limit).await;
            BackendError::Timeout
        };
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            late = late => Err(late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// What comes of a request whose body is over, and is answered, so many seconds after its beginning, and when.
    async fn outcome(body: Option<u64>, answer: u64) -> (Result<u32, BackendError>, u64) {
        let begun = Instant::now();
        let (sending, over) = oneshot::channel();
        let clock = Clock(body.map(|_| over));
        tokio::spawn(async move {
            sleep(Duration::from_secs(body.unwrap_or_default())).await;
            drop(sending);
        });
        let answer = async move {
            sleep(Duration::from_secs(answer)).await;
            7
        };
        (clock.answer(LIMIT, pin!(answer)).await, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_a_caller_sends_is_not_the_servers() {
        let (away, slow) = (Err(BackendError::Timeout), Err(BackendError::Body(BodyFault::Slow)));
        for (what, body, answer, expected) in [
            ("no body", None, 59, (Ok(7), 59)),
            ("no body, and no answer", None, 90, (away, 60)),
            ("a slow body", Some(300), 350, (Ok(7), 350)),
            ("a slow body, and no answer", Some(300), 900, (away, 360)),
            ("an early answer", Some(300), 1, (Ok(7), 1)),
            ("a body without end", Some(9999), 9999, (slow, 3600)),
        ] {
            assert_eq!(outcome(body, answer).await, expected, "{what}");
        }
    }
}
