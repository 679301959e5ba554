//! [`Counters`]: a counter for each member of a closed set.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A closed set, whose members are labels.
pub trait Closed: Copy + 'static {
    /// All of them, in order.
    const MEMBERS: &'static [Self];

    /// The place of one among them.
    fn place(self) -> usize;
}

/// A counter for each member of a closed set.
#[derive(Debug)]
pub struct Counters<E> {
    counts: Box<[AtomicU64]>,
    of: PhantomData<E>,
}

impl<E: Closed> Default for Counters<E> {
    fn default() -> Self {
        Self { counts: E::MEMBERS.iter().map(|_| AtomicU64::new(0)).collect(), of: PhantomData }
    }
}

impl<E: Closed> Counters<E> {
    /// Counts one.
    pub fn count(&self, member: E) {
        self.add(member, 1);
    }

    /// Counts so many.
    pub fn add(&self, member: E, n: u64) {
        self.counts[member.place()].fetch_add(n, Relaxed);
    }

    /// The counts, without zeros.
    pub fn all(&self) -> impl Iterator<Item = (E, u64)> {
        let all = E::MEMBERS.iter().map(|member| (*member, self.counts[member.place()].load(Relaxed)));
        all.filter(|(_, n)| *n > 0)
    }
}
