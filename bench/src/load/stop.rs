//! Whether somebody wants a measurement to end before its time.

use tokio::sync::watch;

/// Told to all loads of a measurement. Once told, each ends with what it has counted so far, and no other begins.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// What tells, and what is told.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// One that is never told.
    #[must_use]
    pub fn never() -> Self {
        Self::channel().1
    }

    /// Whether it has been told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is told.
    pub async fn told(&self) {
        if self.0.clone().wait_for(|told| *told).await.is_err() {
            // Nobody is left who could.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_is_told_once_and_for_all_and_by_nobody_never() {
        let (tell, stop) = Stop::channel();
        assert!(!stop.is_told() && stop.told().now_or_never().is_none());
        tell.send(true).expect("somebody listens");
        assert!(stop.is_told() && stop.told().now_or_never().is_some());
        assert!(Stop::never().told().now_or_never().is_none());
    }
}
