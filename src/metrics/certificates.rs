//! Counters of the life cycle of certificates.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    closed_set,
    counters::{Closed, Counters},
};

closed_set! {
    /// Which of the configured certificate authorities.
    AuthorityRole {
        /// That of `[acme]`.
        Main = "main",
        /// That of `[acme.fallback]`.
        Fallback = "fallback",
    }
}

closed_set! {
    /// What has become of an order.
    OrderOutcome {
        /// The certificate is there.
        Issued = "issued",
        /// It has failed, or the authority did not answer.
        Failed = "failed",
        /// A budget is used up: the authority was not asked.
        HeldBack = "held_back",
    }
}

/// Counters of the life cycle of certificates.
#[derive(Debug, Default)]
pub struct CertificateMetrics {
    main: Counters<OrderOutcome>,
    fallback: Counters<OrderOutcome>,
    /// Names by state, and certificates that are overdue: as the gateway that leads has last seen them.
    seen: Mutex<Option<Arc<Seen>>>,
}

/// What the gateway that leads has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Names by state.
    pub states: Vec<(&'static str, u64)>,
    /// Certificates that were to be renewed and expire soon.
    pub overdue: u64,
}

impl CertificateMetrics {
    /// Counts an order.
    pub fn count_order(&self, role: AuthorityRole, outcome: OrderOutcome) {
        self.of(role).count(outcome);
    }

    /// Orders by authority and outcome, without zeros.
    pub fn orders(&self) -> impl Iterator<Item = (AuthorityRole, OrderOutcome, u64)> {
        AuthorityRole::ALL.iter().flat_map(|role| self.of(*role).all().map(|(outcome, n)| (*role, outcome, n)))
    }

    /// Sets what was seen.
    pub fn set_states(&self, states: impl Iterator<Item = (&'static str, u64)>, overdue: u64) {
        let seen = Seen { states: states.collect(), overdue };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(seen));
    }

    /// What was last seen; `None` on a gateway that does not lead.
    pub fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what was seen: another gateway leads.
    pub fn forget_states(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn of(&self, role: AuthorityRole) -> &Counters<OrderOutcome> {
        match role {
            AuthorityRole::Main => &self.main,
            AuthorityRole::Fallback => &self.fallback,
        }
    }
}
