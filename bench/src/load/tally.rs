//! What a load came to: latencies, faults beside them, and what the processes used meanwhile.

use std::{collections::BTreeMap, io, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::process;

/// Longer than any load runs; what takes longer is counted as this.
const LATENCY_MAX: Duration = Duration::from_secs(300);

/// Why a request does not count as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection, or no handshake.
    Connect,
    /// The connection broke, or what came was no HTTP.
    Broken,
    /// Another status than the one to be expected.
    Status,
    /// The status was right, and the answer a refusal.
    Refused,
    /// A handshake that was to resume was a full one, or the other way round.
    Handshake,
    /// No answer when the load was over.
    Unanswered,
}

/// Durations, counted exactly to 0.1 %.
#[derive(Debug, Clone)]
pub struct Spread(Histogram<u64>);

impl Default for Spread {
    fn default() -> Self {
        let most = u64::try_from(LATENCY_MAX.as_nanos()).expect("300 s in ns fit");
        Self(Histogram::new_with_bounds(100, most, 3).expect("the bounds are in order"))
    }
}

/// The percentiles that are told, in microseconds; 0 where nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The middle.
    pub p50: f64,
    /// 9 of 10 are no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    #[serde(rename = "p99_9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// Counts one duration.
    pub fn count(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether none was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The percentiles.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile| us(self.0.value_at_quantile(quantile));
        Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: us(self.0.max()) }
    }
}

/// What was counted while a load ran, the warm-up left out.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Latency of the requests that were answered as expected.
    pub latency: Spread,
    /// How late requests were begun: the generator's own fault. Empty for a closed loop, which has no plan.
    pub lateness: Spread,
    /// What went wrong, and how often.
    pub faults: BTreeMap<Fault, u64>,
    /// How long it was counted.
    pub elapsed: Duration,
    /// What the processes used in that time.
    pub used: Used,
}

impl Tally {
    /// Counts one request.
    pub fn count(&mut self, outcome: Result<(), Fault>, latency: Duration) {
        match outcome {
            Ok(()) => self.latency.count(latency),
            Err(fault) => *self.faults.entry(fault).or_default() += 1,
        }
    }

    /// Requests that were answered as expected.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.latency.len()
    }

    /// Requests that were not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// A time spread over all requests, in microseconds; `None` when there were none, or nobody to ask for the time.
    #[must_use]
    pub fn per_request_us(&self, used: Option<Duration>) -> Option<f64> {
        let requests = self.answered() + self.failed();
        used.filter(|_| 0 < requests).map(|used| used.as_secs_f64() * 1e6 / requests as f64)
    }

    /// The share of one core that a time is.
    #[must_use]
    pub fn share(&self, used: Option<Duration>) -> Option<f64> {
        used.map(|used| used.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::EPSILON))
    }
}

/// The processes that take part. The generator is always this one.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// The gateways, those that can be watched.
    pub gateways: Vec<u32>,
    /// The simulated servers.
    pub origins: Vec<u32>,
}

/// Processor time of those that take part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// The gateways', together.
    pub gateway: Option<Duration>,
    /// The simulated servers', together.
    pub origins: Option<Duration>,
    /// The generator's.
    pub generator: Duration,
    /// The gateways' resident memory now, in bytes.
    pub gateway_resident: Option<u64>,
}

impl Watched {
    /// What has been used up to now.
    ///
    /// # Errors
    /// When one of them has gone.
    pub fn used(&self) -> io::Result<Used> {
        let time = |pids: &[u32]| pids.iter().map(|pid| process::cpu_time(*pid)).sum::<io::Result<Duration>>();
        let resident = self.gateways.iter().map(|pid| process::resident_bytes(*pid)).sum::<io::Result<u64>>()?;
        let (gateway, origins) = (time(&self.gateways)?, time(&self.origins)?);
        Ok(Used {
            gateway: (!self.gateways.is_empty()).then_some(gateway),
            origins: (!self.origins.is_empty()).then_some(origins),
            generator: process::own_cpu_time()?,
            gateway_resident: (!self.gateways.is_empty()).then_some(resident),
        })
    }
}

impl Used {
    /// What was used since an earlier look; memory is as of the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let difference = |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Self {
            gateway: difference(self.gateway, earlier.gateway),
            origins: difference(self.origins, earlier.origins),
            generator: self.generator.saturating_sub(earlier.generator),
            gateway_resident: self.gateway_resident,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected * 0.002
    }

    #[test]
    fn percentiles_are_those_of_the_durations() {
        let mut spread = Spread::default();
        for ms in 1..=1000 {
            spread.count(Duration::from_millis(ms));
        }
        let p = spread.percentiles();
        for (name, value, expected) in [
            ("p50", p.p50, 500e3),
            ("p90", p.p90, 900e3),
            ("p99", p.p99, 990e3),
            ("p99.9", p.p999, 999e3),
            ("max", p.max, 1000e3),
        ] {
            assert!(is_near(value, expected), "{name}: {value}");
        }
    }

    #[test]
    fn one_slow_answer_of_a_hundred_is_beyond_p90() {
        let mut spread = Spread::default();
        (0..99).for_each(|_| spread.count(Duration::from_micros(100)));
        spread.count(Duration::from_secs(1));
        let p = spread.percentiles();
        assert!(is_near(p.p90, 100.0) && is_near(p.p99, 100.0), "{p:?}");
        assert!(is_near(p.p999, 1e6) && is_near(p.max, 1e6), "{p:?}");
        assert_eq!(Spread::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn a_failed_request_is_no_latency_and_no_speed_but_has_cost() {
        let mut tally = Tally { elapsed: Duration::from_secs(2), ..Tally::default() };
        for _ in 0..6 {
            tally.count(Ok(()), Duration::from_micros(50));
        }
        tally.count(Err(Fault::Status), Duration::from_secs(9));
        tally.count(Err(Fault::Status), Duration::from_secs(9));
        assert_eq!((tally.answered(), tally.failed(), tally.faults[&Fault::Status]), (6, 2, 2));
        assert_eq!(tally.per_second(), 3.0);
        assert!(tally.latency.percentiles().max < 60.0);
        assert_eq!(tally.per_request_us(Some(Duration::from_millis(8))), Some(1000.0));
        assert_eq!(tally.share(Some(Duration::from_millis(500))), Some(0.25));
        assert_eq!(Tally::default().per_request_us(Some(Duration::from_secs(1))), None);
    }

    #[test]
    fn only_the_difference_of_two_looks_is_charged() {
        let at = |ms| Used {
            gateway: Some(Duration::from_millis(ms)),
            origins: None,
            generator: Duration::from_millis(ms * 2),
            gateway_resident: Some(ms),
        };
        let used = at(500).since(at(200));
        assert_eq!(used.gateway, Some(Duration::from_millis(300)));
        assert_eq!((used.origins, used.generator), (None, Duration::from_millis(600)));
        assert_eq!(used.gateway_resident, Some(500));
    }
}
