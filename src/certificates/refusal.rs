//! [`Refusal`]: why a name has got no certificate of an authority. Of all authorities together: what the operator reads, and when
//! the name is looked at next. Pure.

use std::time::Duration;

use super::schedule;
use crate::{
    acme::{Failure, FailureKind},
    domain::time::Timestamp,
    store::DomainRow,
};

/// Why a name has got no certificate of an authority.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The host of the authority's directory, as people know it.
    pub(super) authority: String,
    pub(super) failure: Failure,
    pub(super) cost: Cost,
}

/// What it has cost to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// The authority was not asked: for its own wish, a budget, or a CAA record that forbids it.
    Nothing,
    /// It was asked, and no order was placed.
    Question,
    /// An order was placed.
    Order,
}

/// Whether no authority was asked at all.
pub(super) fn are_free(refusals: &[Refusal]) -> bool {
    refusals.iter().all(|refusal| refusal.cost == Cost::Nothing)
}

/// What the operator reads: each reason once, with the authority where it is of that one alone.
pub(super) fn reason(refusals: &[Refusal]) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for Refusal { authority, failure, .. } in refusals {
        let reason = match failure.kind {
            FailureKind::Name | FailureKind::Local => failure.text.clone(),
            _ => format!("{authority}: {}", failure.text),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

/// When a name is looked at next that has been refused everywhere; its failures include these. `waiting` is how many names wait
/// for another try.
pub(super) fn next(row: &DomainRow, refusals: &[Refusal], waiting: u32, now: Timestamp) -> Timestamp {
    // Each authority is left alone for as long as it asks: see `Patience`. The first that may be asked again counts.
    let wait = refusals.iter().map(|refusal| refusal.failure.retry_after);
    if are_free(refusals) {
        let wait = wait.map(|wait| wait.unwrap_or(schedule::DNS_PAUSE_MAX)).min();
        return schedule::after_held_back(row, wait.unwrap_or(schedule::DNS_PAUSE_MAX), waiting, now);
    }
    let wait: Option<Duration> = wait.map(Option::unwrap_or_default).min();
    schedule::after_failure(&row.name, row.failures, longest(refusals), wait, now)
}

/// The longest pause after these.
fn longest(refusals: &[Refusal]) -> Duration {
    let mut asked = refusals.iter().filter(|refusal| refusal.cost != Cost::Nothing);
    // One that says when to come again is left alone until then, and keeps the other one from nothing.
    let is_passing = |failure: &Failure| match failure.kind {
        FailureKind::Unreachable => true,
        FailureKind::RateLimited => failure.retry_after.is_some(),
        _ => false,
    };
    if !asked.clone().all(|refusal| is_passing(&refusal.failure)) {
        return schedule::PAUSE_MAX;
    }
    match asked.any(|refusal| refusal.cost == Cost::Order) {
        true => schedule::OUTAGE_ORDER_MAX,
        false => schedule::OUTAGE_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn refusal(kind: FailureKind, cost: Cost, retry_after: Option<u64>) -> Refusal {
        let failure =
            Failure { retry_after: retry_after.map(Duration::from_secs), ..Failure::new(kind, format!("{kind:?}")) };
        Refusal { authority: "ca.example".into(), failure, cost }
    }

    #[test]
    fn the_pause_fits_what_was_wrong() {
        use Cost::{Nothing, Order, Question};
        use FailureKind::{Local, Name, Policy, RateLimited, Unreachable};
        let at = |failures, refusals: &[Refusal]| {
            let row = DomainRow { failures, ..DomainRow::new("a.example".into(), String::new(), Timestamp::EPOCH) };
            next(&row, refusals, 1, Timestamp::EPOCH).as_secs()
        };
        let one = |kind, cost, wait| refusal(kind, cost, wait);
        for (what, refusals, longest) in [
            ("the authority is away", vec![one(Unreachable, Question, None)], HOUR / 4),
            ("both are", vec![one(Unreachable, Question, None), one(Unreachable, Question, None)], HOUR / 4),
            ("it does not finish orders", vec![one(Unreachable, Order, None)], HOUR),
            ("the name is at fault", vec![one(Name, Order, None)], 24 * HOUR),
            ("the hook is", vec![one(Local, Order, None)], 24 * HOUR),
            (
                "one is away, one refuses",
                vec![one(Unreachable, Question, None), one(Policy, Question, None)],
                24 * HOUR,
            ),
            (
                "one is away, one is forbidden",
                vec![one(Unreachable, Question, None), one(Name, Nothing, None)],
                HOUR / 4,
            ),
            (
                "one is away, one is held back",
                vec![one(Unreachable, Question, None), one(RateLimited, Nothing, Some(9 * HOUR))],
                HOUR / 4,
            ),
            ("it limits us and does not say for how long", vec![one(RateLimited, Question, None)], 24 * HOUR),
            ("one asks for patience", vec![one(RateLimited, Question, Some(30 * HOUR))], 30 * HOUR),
            (
                "one asks for patience, the other one is away",
                vec![one(RateLimited, Question, Some(30 * HOUR)), one(Unreachable, Question, None)],
                HOUR / 4,
            ),
        ] {
            let (got, longest) = (at(50, &refusals), i64::try_from(longest).expect("small"));
            assert!((longest..=longest * 6 / 5).contains(&got), "{what}: {got} s");
            assert!(at(1, &refusals) <= got, "{what}");
        }
        for (what, refusals, expected) in [
            ("all are held back", vec![one(RateLimited, Nothing, Some(900)), one(RateLimited, Nothing, Some(60))], 60),
            ("held back and forbidden", vec![one(RateLimited, Nothing, Some(900)), one(Name, Nothing, None)], 300),
        ] {
            let got = at(50, &refusals);
            assert!((expected..=expected * 3 / 2).contains(&got), "{what}: {got} s");
        }
    }

    #[test]
    fn each_reason_is_told_once_and_with_its_authority_where_it_is_of_that_one() {
        let all = [
            refusal(FailureKind::Policy, Cost::Question, None),
            refusal(FailureKind::Name, Cost::Order, None),
            refusal(FailureKind::Name, Cost::Order, None),
        ];
        assert_eq!(reason(&all), "ca.example: Policy; Name");
    }
}
