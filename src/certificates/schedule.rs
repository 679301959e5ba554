//! When a certificate is renewed, and when a name is tried again: pure functions of times and names.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::{domain::time::Timestamp, store::DomainRow};

const DAY: Duration = Duration::from_secs(86_400);
/// A certificate that lives no longer than this is renewed at half of its life, any other at two thirds.
const SHORT_LIFE: Duration = DAY.saturating_mul(10);
/// First pause after a failed order. It doubles with each.
const PAUSE_MIN: Duration = Duration::from_secs(60);
/// The longest pause.
pub(super) const PAUSE_MAX: Duration = DAY;
/// The longest pause after failures that are the authority's own: a look at whether it is back costs nearly nothing.
pub(super) const OUTAGE_MAX: Duration = Duration::from_secs(15 * 60);
/// The longest pause where an authority takes orders and does not finish them: each of them counts for the budgets of all names.
pub(super) const OUTAGE_ORDER_MAX: Duration = Duration::from_secs(3600);
/// An authority may ask for patience, but not for ever.
pub(super) const RETRY_AFTER_MAX: Duration = DAY.saturating_mul(7);
/// How long a name that a budget has held back keeps its place, for each place that there is: no more than 16 of them are
/// looked at in a second, which is less than 2 % of a core.
pub(super) const HELD_BACK_REST: Duration = Duration::from_micros(62_500);
/// Of names that a budget holds back, one is looked at in this time, however many they are ...
const HELD_BACK_EACH: Duration = Duration::from_secs(1);
/// ... but each of them after this time, and its spread ...
const HELD_BACK_MAX: Duration = Duration::from_secs(3 * 3600);
/// ... and one whose certificate has ended after this.
const HELD_BACK_MIN: Duration = Duration::from_secs(600);
/// A name that waits for DNS is looked at again after this long at first, and ever more seldom.
const DNS_PAUSE_MIN: Duration = Duration::from_secs(15);
/// The longest pause of a name that waits for DNS: a tenant is not to wait long. A thousand such names make four looks in a second.
pub(super) const DNS_PAUSE_MAX: Duration = Duration::from_secs(300);
/// A renewal by ARI ends this long before the certificate does, whatever its window says.
const LAST_CALL: Duration = Duration::from_secs(3600);
/// A certificate that was to be renewed, and has less than this to live, is warned of; one that lives short, when it has less
/// to live than the time since then.
pub(super) const ALARM_BEFORE: Duration = DAY.saturating_mul(10);

/// When a certificate is renewed that its authority says nothing of. Spread over a twentieth of its life by its name: not all
/// that were ordered on one day are renewed on one day.
pub(super) fn renewal(name: &str, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life = not_after.saturating_duration_since(not_before);
    let share = if life <= SHORT_LIFE { life / 2 } else { life / 3 * 2 };
    not_before.saturating_add(share).saturating_add((life / 20).mul_f64(fraction(name, not_after.as_ms())))
}

/// When a certificate is renewed for which its authority names a window (ARI, RFC 9773): at a moment of it by its name, and
/// before the certificate ends.
pub(super) fn renewal_in(name: &str, window: (Timestamp, Timestamp), not_after: Timestamp) -> Timestamp {
    let last = not_after.saturating_sub(LAST_CALL);
    let (start, end) = (window.0.min(last), window.1.min(last));
    let length = end.saturating_duration_since(start);
    start.saturating_add(length.mul_f64(fraction(name, not_after.as_ms())))
}

/// When a name is tried again after so many failed orders in a row, the last one included: after a pause that grows to the longest
/// one, and not before the authority says.
pub(super) fn after_failure(
    name: &str,
    failures: u32,
    longest: Duration,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let pause = growing(PAUSE_MIN, failures, longest);
    let jitter = (pause / 5).mul_f64(fraction(name, i64::from(failures)));
    let pause = pause.saturating_add(jitter).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
    now.saturating_add(pause)
}

/// When a name is looked at again that a budget has held back, which may have room after `wait`. With many that wait each
/// comes more seldom, and one whose certificate is about to expire, or has, more often; spread, so that they do not come all at once.
pub(super) fn after_held_back(row: &DomainRow, wait: Duration, waiting: u32, now: Timestamp) -> Timestamp {
    let (mut wait, mut turn) = (wait, HELD_BACK_EACH.saturating_mul(waiting).min(HELD_BACK_MAX));
    if row.good_until > Timestamp::EPOCH {
        let soon = (row.good_until.saturating_duration_since(now) / 8).max(HELD_BACK_MIN);
        (wait, turn) = (wait.min(soon), turn.min(soon));
    }
    now.saturating_add(wait.max(turn)).saturating_add((turn / 2).mul_f64(fraction(&row.name, now.as_ms())))
}

/// When DNS of a name is looked at again that has not led here so many times in a row.
pub(super) fn after_waiting(name: &str, times: u32, now: Timestamp) -> Timestamp {
    let pause = growing(DNS_PAUSE_MIN, times, DNS_PAUSE_MAX);
    now.saturating_add(pause).saturating_add((pause / 5).mul_f64(fraction(name, i64::from(times))))
}

/// A pause that doubles with each time after the first.
fn growing(least: Duration, times: u32, most: Duration) -> Duration {
    let doublings = times.saturating_sub(1).min(24);
    least.saturating_mul(1 << doublings).min(most)
}

/// A number from 0 to less than 1, the same on all gateways.
fn fraction(name: &str, salt: i64) -> f64 {
    let hash = digest(&SHA256, format!("{name}\0{salt}").as_bytes());
    let first: [u8; 4] = hash.as_ref().first_chunk().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_secs(n * 86_400)
    }

    #[test]
    fn a_certificate_is_renewed_in_its_last_third_and_a_short_one_at_half_of_its_life() {
        for (life, from, to) in [(90, 60, 65), (45, 30, 33), (6, 3, 4)] {
            let at: Vec<_> = (0..200).map(|n| renewal(&format!("h{n}.example"), day(0), day(life))).collect();
            assert!(at.iter().all(|at| (day(from)..day(to)).contains(at)), "{life}");
            let hours: std::collections::BTreeSet<_> = at.iter().map(|at| at.as_secs() / 3600).collect();
            assert!(hours.len() >= 6, "spread over {} hours", hours.len());
        }
        assert_eq!(renewal("a", day(9), day(3)), day(9), "a certificate of no sense is renewed at once");
    }

    #[test]
    fn names_that_are_held_back_come_more_seldom_the_more_they_are_but_not_when_time_runs_out() {
        let (now, minute) = (day(10), Duration::from_secs(60));
        let row = |good_until| DomainRow { good_until, ..DomainRow::new("a.example".into(), "a".into(), now) };
        for (waiting, left, least) in [
            (0, DAY * 20, minute * 10),
            (600, DAY * 20, minute * 10),
            (5000, DAY * 20, Duration::from_secs(5000)),
            (1_000_000, DAY * 20, HELD_BACK_MAX),
            (1_000_000, minute * 160, minute * 20),
            (1_000_000, minute, minute * 10),
            (1_000_000, Duration::ZERO, minute * 10),
        ] {
            let at = after_held_back(&row(now.saturating_add(left)), minute * 10, waiting, now);
            let pause = at.saturating_duration_since(now);
            assert!((least..=least * 3 / 2).contains(&pause), "{waiting}: {pause:?}");
        }
        let soon = after_held_back(&row(now.saturating_add(minute * 160)), minute * 720, 0, now);
        assert_eq!(soon, now.saturating_add(minute * 20), "it is looked at whether there is room");
        let without = after_held_back(&row(Timestamp::EPOCH), minute * 360, 5000, now);
        assert!(without >= now.saturating_add(minute * 360), "the budget has no room before");
    }

    #[test]
    fn a_window_of_the_authority_counts_and_never_outlives_the_certificate() {
        let at = renewal_in("a.example", (day(50), day(52)), day(90));
        assert!((day(50)..day(52)).contains(&at), "{at}");
        let late = renewal_in("a.example", (day(80), day(95)), day(90));
        assert!((day(80)..day(90)).contains(&late), "{late}");
        assert_eq!(renewal_in("a.example", (day(95), day(99)), day(90)), day(90).saturating_sub(LAST_CALL));
        assert_eq!(renewal_in("a.example", (day(3), day(1)), day(90)), day(3), "a window of no sense");
    }

    #[test]
    fn failures_are_followed_by_pauses_that_grow_to_a_day() {
        let pause = |n, after| after_failure("a.example", n, PAUSE_MAX, after, day(0)).as_secs();
        let minutes: Vec<_> = [1, 2, 3, 11, 12, 60].map(|n| pause(n, None) / 60).into();
        for (n, (got, least)) in minutes.iter().zip([1, 2, 4, 1024, 1440, 1440]).enumerate() {
            assert!((least..=least * 6 / 5).contains(got), "{n}: {got} minutes");
        }
        assert_eq!(pause(1, Some(Duration::from_secs(7200))), 7200, "the authority asks for more");
        assert_eq!(pause(1, Some(DAY * 400)), 7 * 86_400, "and not for ever");
        let waits: Vec<_> = [1, 2, 30].map(|n| after_waiting("a.example", n, day(0)).as_secs()).into();
        assert!((15..=18).contains(&waits[0]) && (30..=36).contains(&waits[1]), "{waits:?}");
        assert!((300..=360).contains(&waits[2]), "a tenant does not wait long: {waits:?}");
    }
}
