//! Whether one more order is within the budget: pure functions of what has been used up.

use std::time::Duration;

use crate::{
    acme::{Failure, FailureKind},
    domain::{issuance::Budget, time::Timestamp},
    store::{Spent, SpentSince},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Since when orders count.
pub(super) fn since(now: Timestamp) -> SpentSince {
    SpentSince {
        of_account: now.saturating_sub(HOUR.saturating_mul(3)),
        of_domain: now.saturating_sub(WEEK),
        failures: now.saturating_sub(HOUR),
    }
}

/// Orders before that long ago count for nothing any more.
pub(super) const WEEK: Duration = HOUR.saturating_mul(24 * 7);

/// Why an order has to wait, and how long until it is worth another look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) reason: String,
    pub(super) again_in: Duration,
}

impl Exceeded {
    /// The same as the failure of an order.
    pub(super) fn into_failure(self) -> Failure {
        let failure = Failure::new(FailureKind::RateLimited, format!("held back by acme.budget: {}", self.reason));
        Failure { retry_after: Some(self.again_in), ..failure }
    }
}

/// Whether one more order is within the budget. Of a renewal that its authority has suggested only failures count.
pub(super) fn check(budget: &Budget, spent: Spent, registered: &str, is_exempt: bool) -> Result<(), Exceeded> {
    let exceeded = |reason: String, again_in: Duration| Err(Exceeded { reason, again_in });
    if spent.failures_of_name >= budget.failures_of_name {
        let reason = format!("{} orders of this name have failed within an hour", spent.failures_of_name);
        return exceeded(reason, HOUR / 4);
    }
    if is_exempt {
        return Ok(());
    }
    if spent.of_name >= budget.orders_of_name {
        let reason = format!("{} certificates of this name were ordered within seven days", spent.of_name);
        return exceeded(reason, HOUR.saturating_mul(12));
    }
    if spent.of_domain >= budget.orders_of_domain {
        let reason = format!(
            "{} certificates below {registered} were ordered within seven days; acme.dns_hook orders one wildcard instead",
            spent.of_domain
        );
        return exceeded(reason, HOUR.saturating_mul(6));
    }
    if spent.of_account >= budget.orders_of_account {
        let reason = format!("{} certificates were ordered within three hours", spent.of_account);
        return exceeded(reason, HOUR / 6);
    }
    Ok(())
}

/// The registered domain that a name, or a wildcard, is below, by the public suffix list: `school.example` of
/// `meet.school.example`. A name that is a public suffix itself stands for itself.
pub(super) fn registered_domain(name: &str) -> &str {
    let host = name.strip_prefix("*.").unwrap_or(name);
    psl::domain_str(host).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_and_suggested_renewals_are_free_of_all_but_failures() {
        let budget =
            Budget { orders_of_account: 5, orders_of_domain: 4, orders_of_name: 3, failures_of_name: 2, at_once: 1 };
        let none = Spent::default();
        for (spent, word) in [
            (Spent { of_account: 5, ..none }, "within three hours"),
            (Spent { of_domain: 4, ..none }, "below school.example"),
            (Spent { of_name: 3, ..none }, "of this name were ordered"),
        ] {
            let why = check(&budget, spent, "school.example", false).expect_err("full");
            assert!(why.reason.contains(word) && !why.again_in.is_zero(), "{why:?}");
            assert_eq!(check(&budget, spent, "school.example", true), Ok(()), "{word}");
        }
        let failed = Spent { failures_of_name: 2, ..none };
        for is_exempt in [false, true] {
            assert!(check(&budget, failed, "school.example", is_exempt).is_err());
        }
        let room = Spent { of_account: 4, of_domain: 3, of_name: 2, failures_of_name: 1 };
        assert_eq!(check(&budget, room, "school.example", false), Ok(()));
    }

    #[test]
    fn a_registered_domain_is_one_below_a_public_suffix() {
        for (name, registered) in [
            ("meet.school.co.uk", "school.co.uk"),
            ("school.de", "school.de"),
            ("a.b.school.de", "school.de"),
            ("me.github.io", "me.github.io"),
            ("co.uk", "co.uk"),
            ("meet.school.example", "school.example"),
            ("*.school.example", "school.example"),
        ] {
            assert_eq!(registered_domain(name), registered, "{name}");
        }
    }

    #[test]
    fn the_defaults_are_under_the_ceilings_of_lets_encrypt() {
        let Budget { orders_of_account, orders_of_domain, orders_of_name, failures_of_name, .. } = Budget::default();
        assert!(orders_of_account < 300 && orders_of_domain < 50 && orders_of_name < 5 && failures_of_name < 5);
    }
}
