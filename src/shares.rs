//! [`Shares`]: something of which there is only so much (bytes of memory, places), shared so that nobody takes what another
//! needs.
//!
//! What is taken is on the account of two keys, such as a tenant and an address. There is a bound for all, for each key, and for
//! both together. Whoever finds no room may wait, for a while, in a queue of a bounded length; what is given back goes to those
//! who wait by [turns](Turns), and not to who came first. What is taken is given back on drop.

mod turns;

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};
pub use turns::Turns;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For all.
    pub total: usize,
    /// For one outer key.
    pub outer: usize,
    /// For one inner key.
    pub inner: usize,
    /// For one inner key within one outer key.
    pub both: usize,
    /// How many may wait under the same two keys. Who comes after them is refused at once.
    pub waiting: usize,
}

/// Something of which there is only so much, by an outer key `A` and an inner key `B`.
pub struct Shares<A: Key, B: Key> {
    limits: Limits,
    state: Mutex<State<A, B>>,
}

/// What may be a key.
pub trait Key: Clone + Eq + Hash + fmt::Debug {}

impl<T: Clone + Eq + Hash + fmt::Debug> Key for T {}

struct State<A: Key, B: Key> {
    taken: usize,
    outer: HashMap<A, usize>,
    inner: HashMap<B, usize>,
    both: HashMap<(A, B), usize>,
    waiting: Turns<A, B, Waiting<A, B>>,
}

struct Waiting<A: Key, B: Key> {
    amount: usize,
    told: oneshot::Sender<Taken<A, B>>,
}

/// A part that is taken, until it is dropped.
pub struct Taken<A: Key, B: Key> {
    from: Arc<Shares<A, B>>,
    outer: A,
    inner: B,
    amount: usize,
}

impl<A: Key, B: Key> Shares<A, B> {
    /// As much as `limits` say, all of it there.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            taken: 0,
            outer: HashMap::new(),
            inner: HashMap::new(),
            both: HashMap::new(),
            waiting: Turns::default(),
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// How much is taken, by all.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    /// Takes so much, if there is room.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, outer: &A, inner: &B, amount: usize) -> Option<Taken<A, B>> {
        let mut state = self.state();
        let has_room = state.has_room(&self.limits, outer, inner, amount);
        has_room.then(|| self.mark(&mut state, outer, inner, amount))
    }

    /// Takes so much, and waits for room where there is none. `None` where none comes `within` that time, or where too many
    /// wait already.
    pub async fn take(self: &Arc<Self>, outer: &A, inner: &B, amount: usize, within: Duration) -> Option<Taken<A, B>> {
        let told = {
            let mut state = self.state();
            // Who waits under the same keys was there before.
            if state.waiting.len_of_both(outer, inner) == 0 && state.has_room(&self.limits, outer, inner, amount) {
                return Some(self.mark(&mut state, outer, inner, amount));
            }
            if self.limits.waiting <= state.waiting.len_of_both(outer, inner) {
                state.waiting.purge(|waiting| waiting.told.is_closed());
                if self.limits.waiting <= state.waiting.len_of_both(outer, inner) {
                    return None;
                }
            }
            let (told, taken) = oneshot::channel();
            state.waiting.push(outer, inner, Waiting { amount, told });
            taken
        };
        timeout(within, told).await.ok()?.ok()
    }

    fn mark(self: &Arc<Self>, state: &mut State<A, B>, outer: &A, inner: &B, amount: usize) -> Taken<A, B> {
        state.add(outer, inner, amount);
        Taken { from: Arc::clone(self), outer: outer.clone(), inner: inner.clone(), amount }
    }

    /// Gives back, and passes on to those who wait.
    fn give_back(self: &Arc<Self>, outer: &A, inner: &B, amount: usize) {
        let mut next = Vec::new();
        {
            let mut state = self.state();
            state.remove(outer, inner, amount);
            while !state.waiting.is_empty()
                && let Some((outer, inner, waiting)) = state.next(&self.limits)
            {
                next.push((waiting.told, self.mark(&mut state, &outer, &inner, waiting.amount)));
            }
        }
        for (told, taken) in next {
            // Who has gone meanwhile gives it back by dropping it.
            let _ = told.send(taken);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<A, B>> {
        // There is nothing in between that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Key, B: Key> State<A, B> {
    fn has_room(&self, limits: &Limits, outer: &A, inner: &B, amount: usize) -> bool {
        let fits = |taken: usize, most: usize| taken.checked_add(amount).is_some_and(|all| all <= most);
        fits(self.taken, limits.total)
            && fits(self.outer.get(outer).copied().unwrap_or(0), limits.outer)
            && fits(self.inner.get(inner).copied().unwrap_or(0), limits.inner)
            && fits(self.both.get(&(outer.clone(), inner.clone())).copied().unwrap_or(0), limits.both)
    }

    fn add(&mut self, outer: &A, inner: &B, amount: usize) {
        self.taken += amount;
        *self.outer.entry(outer.clone()).or_default() += amount;
        *self.inner.entry(inner.clone()).or_default() += amount;
        *self.both.entry((outer.clone(), inner.clone())).or_default() += amount;
    }

    fn remove(&mut self, outer: &A, inner: &B, amount: usize) {
        self.taken = self.taken.saturating_sub(amount);
        subtract(&mut self.outer, outer, amount);
        subtract(&mut self.inner, inner, amount);
        subtract(&mut self.both, &(outer.clone(), inner.clone()), amount);
    }

    fn next(&mut self, limits: &Limits) -> Option<(A, B, Waiting<A, B>)> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let fits = |outer: &A, inner: &B, waiting: &Waiting<A, B>| self.has_room(limits, outer, inner, waiting.amount);
        let next = waiting.take(fits, |waiting| waiting.told.is_closed());
        self.waiting = waiting;
        next
    }
}

/// A key that has nothing any more is forgotten.
fn subtract<K: Key>(of: &mut HashMap<K, usize>, key: &K, amount: usize) {
    if let Some(taken) = of.get_mut(key) {
        *taken = taken.saturating_sub(amount);
        if *taken == 0 {
            of.remove(key);
        }
    }
}

impl<A: Key, B: Key> Taken<A, B> {
    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes so much on the same account, for something of its own, if there is room.
    #[must_use]
    pub fn beside(&self, amount: usize) -> Option<Self> {
        self.from.try_take(&self.outer, &self.inner, amount)
    }

    /// Takes so much more, if there is room. Returns whether there was.
    #[must_use]
    pub fn try_grow(&mut self, more: usize) -> bool {
        let taken = self.from.try_take(&self.outer, &self.inner, more);
        self.join(taken)
    }

    /// Takes so much more, and waits for room where there is none: see [`Shares::take`]. Returns whether there was.
    pub async fn grow(&mut self, more: usize, within: Duration) -> bool {
        let from = Arc::clone(&self.from);
        let taken = from.take(&self.outer, &self.inner, more, within).await;
        self.join(taken)
    }

    /// Gives back what is more than this.
    pub fn shrink(&mut self, to: usize) {
        let less = self.amount.saturating_sub(to);
        if less > 0 {
            self.amount = to;
            self.from.give_back(&self.outer, &self.inner, less);
        }
    }

    fn join(&mut self, taken: Option<Self>) -> bool {
        let Some(mut taken) = taken else { return false };
        self.amount += std::mem::take(&mut taken.amount);
        true
    }
}

impl<A: Key, B: Key> Drop for Taken<A, B> {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.from.give_back(&self.outer, &self.inner, self.amount);
        }
    }
}

impl<A: Key, B: Key> fmt::Debug for Shares<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("limits", &self.limits).field("taken", &self.taken()).finish()
    }
}

impl<A: Key, B: Key> fmt::Debug for Taken<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("amount", &self.amount).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shares(limits: Limits) -> Arc<Shares<&'static str, u32>> {
        Shares::new(limits)
    }

    const ROOM: Limits = Limits { total: 10, outer: 6, inner: 4, both: 3, waiting: 2 };

    #[test]
    fn each_bound_holds_and_what_is_dropped_is_there_again() {
        for (what, taken, outer, inner, room) in [
            ("all", [("a", 1, 3), ("b", 2, 3), ("c", 3, 3)].as_slice(), "d", 4, 1),
            ("one outer key", &[("a", 1, 3), ("a", 2, 2)], "a", 3, 1),
            ("one inner key", &[("a", 1, 3)], "b", 1, 1),
            ("both", &[("a", 1, 2)], "a", 1, 1),
            ("nothing taken", &[], "a", 1, 3),
        ] {
            let shares = shares(ROOM);
            let held: Vec<_> = taken.iter().map(|(a, b, n)| shares.try_take(a, b, *n).expect("room")).collect();
            assert!(shares.try_take(&outer, &inner, room + 1).is_none(), "{what}");
            assert!(shares.try_take(&outer, &inner, usize::MAX).is_none(), "{what}");
            assert!(shares.try_take(&outer, &inner, room).is_some(), "{what}");
            drop(held);
            assert_eq!(shares.taken(), 0, "{what}");
            let state = shares.state();
            assert!(state.outer.is_empty() && state.inner.is_empty() && state.both.is_empty(), "{what}");
        }
    }

    #[test]
    fn what_is_taken_grows_and_shrinks() {
        let shares = shares(ROOM);
        let mut taken = shares.try_take(&"a", &1, 1).expect("room");
        assert!(taken.try_grow(2) && !taken.try_grow(1));
        assert_eq!((taken.amount(), shares.taken()), (3, 3));
        taken.shrink(1);
        assert_eq!((taken.amount(), shares.taken()), (1, 1));
        drop(taken);
        assert_eq!(shares.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_is_given_back_or_is_told_in_time() {
        let shares = shares(ROOM);
        let taken = shares.try_take(&"a", &1, 3).expect("room");
        assert!(shares.take(&"a", &1, 1, SECOND).await.is_none(), "nothing was given back");
        let waiting = {
            let shares = Arc::clone(&shares);
            tokio::spawn(async move { shares.take(&"a", &1, 1, SECOND).await.is_some() })
        };
        sleep(Duration::from_millis(1)).await;
        drop(taken);
        assert!(waiting.await.expect("done"));
        assert_eq!(shares.taken(), 0, "it was dropped at once");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_who_wait_are_refused_and_others_have_their_turn() {
        let shares = shares(Limits { total: 1, outer: 1, inner: 1, both: 1, waiting: 2 });
        let taken = shares.try_take(&"a", &1, 1).expect("room");
        let (order, mut told) = tokio::sync::mpsc::unbounded_channel();
        let wait = |outer: &'static str, inner: u32| {
            let (shares, order) = (Arc::clone(&shares), order.clone());
            tokio::spawn(async move {
                let taken = shares.take(&outer, &inner, 1, SECOND).await;
                let _ = order.send((outer, taken.is_some()));
            })
        };
        for outer in ["a", "a", "a", "b"] {
            wait(outer, 1);
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(told.recv().await, Some(("a", false)), "the third");
        drop(taken);
        for expected in ["a", "b", "a"] {
            assert_eq!(told.recv().await, Some((expected, true)));
        }
    }
}
