//! [`Rates`]: rate limits of addresses and tenants, per second.
//!
//! The number of addresses is unbounded: they are counted in a count-min sketch of a fixed size (4 MB for all kinds together).
//! It never counts too few events, and too many only if thousands of addresses are active in the same second. Each tenant has an
//! exact token bucket.
//!
//! New connections are refused before TLS. Failures (handshakes, hosts, checksums, sessions) are found first and then limited:
//! beyond the rate the answer is a cheap 429 without the reason. Requests that succeed are not limited by address, since a whole
//! school may be behind one address.

use std::{
    fmt,
    hash::Hash,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pingora_limits::rate::{PROPORTIONAL_RATE_ESTIMATE_CALC_FN, Rate};

use super::peer::Peer;
use crate::domain::{ids::TenantId, time::Timestamp};

/// Of the sketch: with this many slots somebody with 5 events was counted as 5 among 10,000 busy ones (with 1,024 as 125).
const SLOTS: usize = 65_536;
const HASHES: usize = 4;
/// `Retry-After` of refused requests, in seconds.
pub const RETRY_AFTER: u32 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:ident: $default:literal,)*) => {
        /// Kinds of events with a rate limit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RateOf { $($(#[$doc])* $variant,)* }

        impl RateOf {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its key in the configuration, and its label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// Default limit per second.
            #[must_use]
            pub fn default_limit(self) -> u32 {
                match self { $(Self::$variant => $default,)* }
            }
        }
    };
}

kinds! {
    /// New connections of an address. 2,000 people who come in within a minute open some 200 in a second.
    Connections = connections: 1_000,
    /// Handshakes of an address that fail, or are for an unknown host.
    FailedHandshakes = failed_handshakes: 50,
    /// Requests of an address for an unknown host, or for one other than the SNI.
    UnknownHosts = unknown_hosts: 50,
    /// Calls of an address with a wrong checksum.
    WrongChecksums = wrong_checksums: 50,
    /// Requests of an address with an unknown session: after a restart of a server a whole school sends those.
    UnknownSessions = unknown_sessions: 500,
    /// Requests to a tenant. 2,000 people who come in within a minute ask for some 1,500 things in a second.
    TenantRequests = tenant_requests: 10_000,
    /// Joins of a tenant whose checksum fits. Of 2,000 people within a minute there are some 35 in a second.
    TenantJoins = tenant_joins: 500,
}

const KINDS: usize = RateOf::ALL.len();

/// Limits per second by kind; `u32::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whether excess events are only counted, not refused.
    pub count_only: bool,
    /// By kind.
    pub(crate) per_second: [u32; KINDS],
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = Self { count_only: false, per_second: [0; KINDS] };
        RateOf::ALL.iter().for_each(|kind| limits.set(*kind, kind.default_limit()));
        limits
    }
}

impl Limits {
    /// Sets one.
    pub fn set(&mut self, kind: RateOf, per_second: u32) {
        self.per_second[kind as usize] = per_second;
    }

    /// One of them.
    #[must_use]
    pub fn of(&self, kind: RateOf) -> u32 {
        self.per_second[kind as usize]
    }
}

/// Events of the last second.
pub struct Rates {
    /// One caller at a time: its change of intervals is not made for several at the same moment.
    seen: Mutex<Rate>,
    per_second: [AtomicU32; KINDS],
    count_only: AtomicBool,
    limited: [AtomicU64; KINDS],
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

impl Rates {
    /// Nothing has been done yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            seen: Mutex::new(Rate::new_with_estimator_config(Duration::from_secs(1), HASHES, SLOTS)),
            per_second: limits.per_second.map(AtomicU32::new),
            count_only: AtomicBool::new(limits.count_only),
            limited: Default::default(),
        }
    }

    /// Replaces the limits.
    pub fn set(&self, limits: Limits) {
        self.count_only.store(limits.count_only, Relaxed);
        for (to, from) in self.per_second.iter().zip(limits.per_second) {
            to.store(from, Relaxed);
        }
    }

    /// Counts an event of an address. Returns whether it is within the limit.
    #[must_use]
    pub fn allow(&self, kind: RateOf, peer: Peer) -> bool {
        let limit = self.limit(kind);
        limit == u32::MAX || self.rate(&(kind, peer)) <= f64::from(limit) || self.is_counted_only(kind)
    }

    /// Counts a request to a tenant. Returns whether it is within the limit. When half of the limit is used, an address gets at
    /// most a quarter: a single client cannot use up the limit of the tenant.
    #[must_use]
    pub fn allow_request(&self, bucket: &Bucket, tenant: &TenantId, peer: Peer, now: Timestamp) -> bool {
        let kind = RateOf::TenantRequests;
        let limit = self.limit(kind);
        if limit == u32::MAX {
            return true;
        }
        let is_greedy = || f64::from(limit / 4).max(1.0) < self.rate(&(kind, tenant, peer));
        let may = !(bucket.is_half_full(now) && is_greedy()) && bucket.take(limit, now);
        may || self.is_counted_only(kind)
    }

    /// Counts a join of a tenant. Returns whether it is within the limit.
    #[must_use]
    pub fn allow_join(&self, bucket: &Bucket, now: Timestamp) -> bool {
        let limit = self.limit(RateOf::TenantJoins);
        limit == u32::MAX || bucket.take(limit, now) || self.is_counted_only(RateOf::TenantJoins)
    }

    /// Excess events so far, of a kind.
    #[must_use]
    pub fn limited(&self, kind: RateOf) -> u64 {
        self.limited[kind as usize].load(Relaxed)
    }

    fn limit(&self, kind: RateOf) -> u32 {
        self.per_second[kind as usize].load(Relaxed)
    }

    /// Counts an excess event. Returns whether events are only counted.
    fn is_counted_only(&self, kind: RateOf) -> bool {
        self.limited[kind as usize].fetch_add(1, Relaxed);
        self.count_only.load(Relaxed)
    }

    /// Counts an event; how many there were in the last second, this one included.
    ///
    /// By the part of the last interval that is not a second ago yet: to look at the current interval alone would let nearly
    /// twice as many through across its border.
    fn rate(&self, key: &impl Hash) -> f64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.observe(key, 1);
        seen.rate_with(key, PROPORTIONAL_RATE_ESTIMATE_CALC_FN)
    }
}

/// Token bucket with the capacity of one second.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it will be empty, ns since the epoch.
    empty_at: AtomicU64,
}

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

impl Bucket {
    /// Takes a token. Returns whether there was one.
    fn take(&self, per_second: u32, now: Timestamp) -> bool {
        let now = nanos(now);
        let one = SECOND.checked_div(per_second.into()).unwrap_or(SECOND);
        let put = |empty_at: u64| {
            let empty_at = empty_at.max(now).saturating_add(one);
            (empty_at <= now.saturating_add(SECOND)).then_some(empty_at)
        };
        self.empty_at.fetch_update(Relaxed, Relaxed, put).is_ok()
    }

    fn is_half_full(&self, now: Timestamp) -> bool {
        nanos(now).saturating_add(SECOND / 2) < self.empty_at.load(Relaxed)
    }
}

/// Nanoseconds since the epoch.
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_ms()).unwrap_or(0).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn peer(n: u32) -> Peer {
        IpAddr::from(Ipv4Addr::from_bits(n)).into()
    }

    fn rates(kind: RateOf, per_second: u32) -> Rates {
        let mut limits = Limits::default();
        limits.set(kind, per_second);
        Rates::new(limits)
    }

    #[test]
    fn each_address_and_each_kind_has_a_rate_of_its_own() {
        let rates = rates(RateOf::WrongChecksums, 20);
        let allowed = |kind, n| (0..100).filter(|_| rates.allow(kind, peer(n))).count();
        // It may be that a second begins meanwhile.
        assert!((20..=25).contains(&allowed(RateOf::WrongChecksums, 1)));
        assert!(20 <= allowed(RateOf::WrongChecksums, 2));
        assert_eq!(allowed(RateOf::Connections, 1), 100);
        assert!(75 <= rates.limited(RateOf::WrongChecksums));
        assert_eq!(rates.limited(RateOf::Connections), 0);
    }

    #[test]
    fn a_few_events_are_a_few_among_thousands_who_are_busy() {
        let rates = rates(RateOf::Connections, 10);
        for n in 0..10_000 {
            let _ = rates.allow(RateOf::Connections, peer(n));
        }
        assert!((0..5).all(|_| rates.allow(RateOf::Connections, peer(u32::MAX))));
    }

    #[test]
    fn what_is_only_counted_is_not_refused() {
        let mut limits = Limits { count_only: true, ..Limits::default() };
        limits.set(RateOf::Connections, 1);
        let rates = Rates::new(limits);
        assert!((0..100).all(|_| rates.allow(RateOf::Connections, peer(1))));
        assert!(90 <= rates.limited(RateOf::Connections));
        limits.count_only = false;
        rates.set(limits);
        assert!((0..100).any(|_| !rates.allow(RateOf::Connections, peer(1))));
    }

    #[test]
    fn a_tenant_has_exactly_what_it_has() {
        let (rates, bucket, now) = (rates(RateOf::TenantJoins, 10), Bucket::default(), 1_000_000);
        let allowed = |now| (0..50).filter(|_| rates.allow_join(&bucket, Timestamp::from_ms(now))).count();
        assert_eq!(allowed(now), 10);
        assert_eq!(allowed(now + 99), 0);
        assert_eq!(allowed(now + 100), 1);
        assert_eq!(allowed(now + 600), 5);
        assert_eq!(allowed(now + 60_000), 10, "what was not used is not saved up");
        assert_eq!(rates.limited(RateOf::TenantJoins), 40 + 50 + 49 + 45 + 40);
    }

    #[test]
    fn one_address_does_not_use_up_what_a_tenant_has() {
        let (rates, bucket, now) = (rates(RateOf::TenantRequests, 100), Bucket::default(), 1_000_000);
        let tenant = "wagtail".parse().expect("an id");
        let allow = |n, now| rates.allow_request(&bucket, &tenant, peer(n), Timestamp::from_ms(now));
        let stranger = (0..1_000).filter(|_| allow(1, now)).count();
        let people = (2..22).filter(|n| allow(*n, now)).count();
        assert_eq!(people, 20, "each has asked for one thing; the stranger got {stranger}");
        let all = stranger + people + (22..1_000).filter(|n| allow(*n, now)).count();
        assert_eq!(all, 100);
    }
}
