//! [`Pace`]: what a server takes only so often in a second waits for its turn.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Gives turns one by one, in the order in which they are asked for. Who goes away while waiting takes none.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Waits for a turn, of which there are so many in a second.
    pub async fn turn(&self, per_second: u32) {
        let mut last = self.0.lock().await;
        if let Some(last) = *last {
            sleep_until(last + Duration::from_secs(1) / per_second.max(1)).await;
        }
        *last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_given_in_order_and_not_too_often() {
        let pace = Arc::new(Pace::default());
        let begun = Instant::now();
        pace.turn(40).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody was before");
        let given = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..80)
            .map(|n| {
                let (pace, given) = (Arc::clone(&pace), Arc::clone(&given));
                tokio::spawn(async move {
                    pace.turn(40).await;
                    given.lock().expect("not poisoned").push(n);
                })
            })
            .collect();
        for turn in waiting {
            turn.await.expect("done");
        }
        assert!(*given.lock().expect("not poisoned") == (0..80).collect::<Vec<_>>());
        let took = begun.elapsed();
        assert!((2000..2200).contains(&took.as_millis()), "{took:?}");
        // One who goes away takes nobody's turn.
        assert!(timeout(Duration::from_millis(10), pace.turn(1)).await.is_err());
        let begun = Instant::now();
        pace.turn(40).await;
        assert!(begun.elapsed() <= Duration::from_millis(25));
    }
}
