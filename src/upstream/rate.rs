//! [`LeastRate`]: minimum rate of a body. Only the time in which the gateway waits for the sender counts, not the time in which
//! the gateway does not read.

use std::time::Duration;

/// A time credit: waiting uses it up, and each byte gives some back, never more than there was at first. So a body that stops
/// for longer than the credit is too slow, and so is, after a while, one that is slower than the rate.
#[derive(Debug, Clone, Copy)]
pub struct LeastRate {
    credit: Duration,
    most: Duration,
    per_second: u32,
}

impl LeastRate {
    /// A body that may stop for so long, and has to bring so many bytes in a second.
    #[must_use]
    pub fn new(stop_max: Duration, per_second: u32) -> Self {
        Self { credit: stop_max, most: stop_max, per_second: per_second.max(1) }
    }

    /// How long it may be waited for from now on.
    #[must_use]
    pub fn credit(&self) -> Duration {
        self.credit
    }

    /// So many bytes have come after having been waited for.
    pub fn came(&mut self, bytes: usize, waited: Duration) {
        let earned = Duration::from_secs(1)
            .saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
            .checked_div(self.per_second)
            .unwrap_or(self.most);
        self.credit = self.credit.saturating_sub(waited).saturating_add(earned).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_stop_for_a_while_and_may_not_crawl() {
        let second = Duration::from_secs(1);
        for (what, bytes, waited, pieces, ends) in [
            ("it comes at the rate", 1024, second, 600, false),
            ("it comes in large pieces now and then", 1 << 20, second * 4, 600, false),
            ("it crawls", 512, second, 11, true),
            ("it crawled, and not for long", 512, second, 9, false),
            ("one byte and nothing more", 1, second * 5, 1, true),
            ("what has come before is no credit for later", 1 << 30, second * 5, 1, false),
        ] {
            let mut rate = LeastRate::new(second * 5, 1024);
            let mut ended = false;
            for _ in 0..pieces {
                ended |= rate.credit() < waited;
                rate.came(bytes, waited);
            }
            ended |= rate.credit() < Duration::from_millis(100);
            assert_eq!(ended, ends, "{what}: {:?}", rate.credit());
            assert!(rate.credit() <= second * 5, "{what}");
        }
    }
}
