//! [`tried!`]: one call to the CA with the tries that instant-acme leaves to its caller: a nonce that was thrown away, a connection
//! that broke, a CA that is starting.

use std::ops::ControlFlow;

use instant_acme::Error;
use tokio::time::sleep;

use super::{
    Limits,
    answers::Seen,
    failure::{Asked, Failure, FailureKind},
};

/// Tries of one call after `badNonce`, each of three within the crate: of 100 nonces that are rejected in 33, one in 10^14 fails.
const NONCES_MAX: u32 = 10;
/// Tries after no answer, or an answer that tells of a fault of the CA.
const BREAKS_MAX: u32 = 3;

/// Runs a call, which is made again for each try, until it succeeds, fails for good, or has been tried often enough; a
/// `Result<(T, Seen), Failure>`. A macro, since a future that calls an asynchronous closure is not known to be `Send`.
macro_rules! tried {
    ($limits:expr, $asked:expr, $call:expr) => {{
        let mut tries = $crate::acme::tries::Tries::new($limits, $asked);
        loop {
            let (result, seen) = $crate::acme::answers::observed($call).await;
            if let ::std::ops::ControlFlow::Break(done) = tries.after(result, seen).await {
                break done;
            }
        }
    }};
}
pub(super) use tried;

/// The tries of one call.
pub(super) struct Tries {
    limits: Limits,
    asked: Asked,
    nonces: u32,
    breaks: u32,
}

impl Tries {
    pub(super) fn new(limits: Limits, asked: Asked) -> Self {
        Self { limits, asked, nonces: 0, breaks: 0 }
    }

    /// What comes after a try: the end, or a pause and another. A CA that says how long to wait is not asked again: that is for the
    /// schedule.
    pub(super) async fn after<T>(
        &mut self,
        result: Result<T, Error>,
        seen: Seen,
    ) -> ControlFlow<Result<(T, Seen), Failure>> {
        let failure = match result {
            Ok(value) => return ControlFlow::Break(Ok((value, seen))),
            Err(error) => Failure::of(self.asked, &error, seen),
        };
        if failure.is_bad_nonce() && self.nonces < NONCES_MAX {
            self.nonces += 1;
        } else if failure.kind == FailureKind::Unreachable && failure.retry_after.is_none() && self.breaks < BREAKS_MAX
        {
            sleep(self.limits.pause * 2_u32.pow(self.breaks)).await;
            self.breaks += 1;
        } else {
            return ControlFlow::Break(Err(failure));
        }
        ControlFlow::Continue(())
    }
}
