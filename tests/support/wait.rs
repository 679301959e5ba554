//! Waiting for a condition, with a bound.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// How long anything may take that is waited for.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until a condition holds.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, holds).await;
}

/// The same, with a deadline of its own.
pub async fn eventually_within(most: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    succeeds_within(most, what, async || if holds().await { Ok(()) } else { Err("") }).await;
}

/// Waits for a value; what is wrong until then is told where it does not come in time.
pub async fn succeeds_within<T, E: Display>(
    most: Duration,
    what: &str,
    mut tries: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match tries().await {
            Ok(value) => return value,
            Err(wrong) => assert!(started.elapsed() < most, "{what}: not within {most:?} {wrong}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
