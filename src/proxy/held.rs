//! Bodies that are held whole: of API calls, and of other requests where they have to be measured. Their bytes are charged as
//! they come, on the account of the tenant and of the caller's address, and given back when the call is over; whoever finds no room waits a moment, and is refused then.
//!
//! There are two budgets: callers who have shown a secret of the tenant need not fear those who have not. What servers post for
//! webhooks has a third one, by server: it is of many tenants.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::asked::Asked;
use crate::{
    domain::{
        backend_error::BodyFault,
        ids::{ServerId, TenantId},
    },
    net::peer::Peer,
    shares::{Key, Limits, Shares, Taken},
    upstream::{Incoming, LeastRate},
};

const MB: usize = 1024 * 1024;
/// Of those who have shown a secret: a quarter for a tenant, so that no three of them take what another needs.
/// One body of the largest size that a level may allow fits into the share.
const VOUCHED: Limits = Limits { total: 256 * MB, outer: 64 * MB, inner: 64 * MB, both: 64 * MB, waiting: 256 };
/// Of those who have not: a quarter for a tenant, an eighth for an address.
const UNVOUCHED: Limits = Limits { total: 32 * MB, outer: 8 * MB, inner: 4 * MB, both: 4 * MB, waiting: 256 };
/// Of servers that post events.
const OF_SERVERS: Limits = Limits { total: 64 * MB, outer: 4 * MB, inner: 64 * MB, both: 4 * MB, waiting: 256 };
/// How many bodies of those who have not are read at a time. The bytes bound what they cost: these bounds keep one connection's
/// many requests from the places of its address, and one address from those of its tenant.
const READING: Limits = Limits { total: 16_384, outer: 1024, inner: 128, both: 32, waiting: 256 };
/// How long a body waits for room, each time.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);
/// Who takes longer than that for a body has gone; a large one has more time, at so many bytes in a second.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const LARGE_BYTES_PER_SECOND: usize = 500 * 1024;
/// How long a body without a length may take to show whether there is anything in it.
pub(crate) const FIRST_BYTES_TIMEOUT: Duration = STOP_MAX;
/// A body that nobody has vouched for may stop for so long, and has to bring so many bytes in a second.
const STOP_MAX: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: u32 = 1024;

/// What is on the account of a tenant and an address.
pub(crate) type Charge = Taken<TenantId, Peer>;

/// Where a body is charged: of what, and on which account.
type Account<'a, A, B> = (&'a Arc<Shares<A, B>>, &'a A, &'a B);

/// The bodies that are held whole.
#[derive(Debug)]
pub(crate) struct Bodies {
    vouched: Arc<Shares<TenantId, Peer>>,
    unvouched: Arc<Shares<TenantId, Peer>>,
    reading: Arc<Shares<TenantId, Peer>>,
    of_servers: Arc<Shares<ServerId, ()>>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            vouched: Shares::new(VOUCHED),
            unvouched: Shares::new(UNVOUCHED),
            reading: Shares::new(READING),
            of_servers: Shares::new(OF_SERVERS),
        }
    }
}

/// A body with the charge for it, which is to live as long as what has been made of it.
#[derive(Debug)]
pub(crate) struct Whole<C = Charge> {
    pub(crate) bytes: Bytes,
    pub(crate) charge: Option<C>,
}

impl Bodies {
    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        let all = [self.vouched.taken(), self.unvouched.taken(), self.of_servers.taken()];
        all.into_iter().fold(0, usize::saturating_add)
    }

    /// Reads a body of at most `most` bytes. `is_vouched` tells whether its caller has shown a secret of the tenant.
    pub(crate) async fn read(
        &self,
        asked: &Asked,
        body: Incoming,
        most: usize,
        is_vouched: bool,
    ) -> Result<Whole, BodyFault> {
        if is_too_large(&body, most) {
            return Err(BodyFault::TooLarge);
        }
        let (tenant, peer) = (&asked.tenant.id, asked.peer());
        in_time(most, async {
            if is_vouched {
                return collect((&self.vouched, tenant, &peer), body, most, BODY_TIMEOUT).await;
            }
            let place = self.reading.take(tenant, &peer, 1, ROOM_TIMEOUT).await;
            let _place = place.ok_or(BodyFault::NoRoom)?;
            collect((&self.unvouched, tenant, &peer), body, most, STOP_MAX).await
        })
        .await
    }

    /// Reads what a server posts, of at most `most` bytes.
    pub(crate) async fn read_of(
        &self,
        server: &ServerId,
        body: Incoming,
        most: usize,
    ) -> Result<Whole<Taken<ServerId, ()>>, BodyFault> {
        if is_too_large(&body, most) {
            return Err(BodyFault::TooLarge);
        }
        in_time(most, collect((&self.of_servers, server, &()), body, most, BODY_TIMEOUT)).await
    }
}

/// Whether a body says itself that it is larger than that.
fn is_too_large(body: &Incoming, most: usize) -> bool {
    body.size_hint().exact().is_some_and(|length| length > most as u64)
}

/// Reads a body in the time that one of at most `most` bytes has.
async fn in_time<T>(most: usize, reading: impl Future<Output = Result<T, BodyFault>>) -> Result<T, BodyFault> {
    // Boxed: most calls have no body, and are not to have room for the reading of one.
    let limit = BODY_TIMEOUT.saturating_add(Duration::from_secs((most / LARGE_BYTES_PER_SECOND) as u64));
    Box::pin(timeout(limit, reading)).await.unwrap_or(Err(BodyFault::Slow))
}

/// Reads a body, which may stop for so long.
async fn collect<A: Key, B: Key>(
    account: Account<'_, A, B>,
    mut body: Incoming,
    most: usize,
    stop_max: Duration,
) -> Result<Whole<Taken<A, B>>, BodyFault> {
    let mut rate = LeastRate::new(stop_max, BYTES_PER_SECOND);
    let (mut whole, mut charge) = (BytesMut::new(), None);
    loop {
        let began = Instant::now();
        let frame = timeout(rate.credit(), body.frame()).await.map_err(|_| BodyFault::Slow)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame?.into_data() else { continue };
        rate.came(data.len(), began.elapsed());
        if whole.len().saturating_add(data.len()) > most {
            return Err(BodyFault::TooLarge);
        }
        if !data.is_empty() && !charged(account, &mut charge, data.len()).await {
            return Err(BodyFault::NoRoom);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Whole { bytes: whole.freeze(), charge })
}

/// Charges so many bytes more. Returns whether there was room for them.
async fn charged<A: Key, B: Key>(
    (from, outer, inner): Account<'_, A, B>,
    charge: &mut Option<Taken<A, B>>,
    bytes: usize,
) -> bool {
    match charge {
        Some(charge) => charge.grow(bytes, ROOM_TIMEOUT).await,
        None => {
            *charge = from.take(outer, inner, bytes, ROOM_TIMEOUT).await;
            charge.is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_servers_post_is_on_the_account_of_the_server() {
        let bodies = Bodies::default();
        let [one, other] = ["bbb-01", "bbb-02"].map(|id| id.parse::<ServerId>().expect("an id"));
        let read = async |server: &ServerId, bytes: usize| {
            bodies.read_of(server, Incoming::held(vec![0; bytes].into()), MB).await.map_err(|fault| fault.to_string())
        };
        assert_eq!(read(&one, MB + 1).await.expect_err("too large"), BodyFault::TooLarge.to_string());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(read(&one, MB).await.expect("room"));
        }
        assert_eq!((bodies.bytes(), bodies.vouched.taken()), (4 * MB, 0), "no tenant has a part in it");
        assert_eq!(read(&one, 1).await.expect_err("four of them"), BodyFault::NoRoom.to_string());
        assert!(read(&other, MB).await.is_ok(), "another server");
        drop(held);
        assert_eq!(bodies.bytes(), 0);
    }
}
