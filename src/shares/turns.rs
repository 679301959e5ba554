//! [`Turns`]: those who wait, taken in turn by two keys, and not in the order in which they came.
//!
//! First the outer keys take turns, and within each of them its inner keys; only who waits under the same two keys is taken
//! in order. However many come under one key, all others wait for one of them at a time.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Those who wait, by an outer key `A` and an inner key `B`.
#[derive(Debug)]
pub struct Turns<A, B, T> {
    outer: Ring<A, Ring<B, VecDeque<T>>>,
}

/// Queues that take turns. A queue that is empty has no place in it.
#[derive(Debug)]
struct Ring<K, Q> {
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
}

impl<K, Q> Default for Ring<K, Q> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new() }
    }
}

impl<A, B, T> Default for Turns<A, B, T> {
    fn default() -> Self {
        Self { outer: Ring::default() }
    }
}

impl<K: Clone + Eq + Hash, Q: Default> Ring<K, Q> {
    /// The queue of a key, which is about to get something.
    fn of(&mut self, key: &K) -> &mut Q {
        if !self.queues.contains_key(key) {
            self.order.push_back(key.clone());
        }
        self.queues.entry(key.clone()).or_default()
    }

    /// Goes through the queues until one of them gives something; that one's turn comes last from then on.
    fn find<R>(
        &mut self,
        mut take: impl FnMut(&K, &mut Q) -> Option<R>,
        is_empty: impl Fn(&Q) -> bool,
    ) -> Option<(K, R)> {
        for _ in 0..self.order.len() {
            let key = self.order.pop_front()?;
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let found = take(&key, queue);
            if is_empty(queue) {
                self.queues.remove(&key);
            } else {
                self.order.push_back(key.clone());
            }
            if let Some(found) = found {
                return Some((key, found));
            }
        }
        None
    }
}

impl<A: Clone + Eq + Hash, B: Clone + Eq + Hash, T> Turns<A, B, T> {
    /// Somebody waits.
    pub fn push(&mut self, outer: &A, inner: &B, waiting: T) {
        self.outer.of(outer).of(inner).push_back(waiting);
    }

    /// Takes who is next of those who `fits`, which is asked of the first under each two keys. Who is `gone` is left out.
    pub fn take(&mut self, fits: impl Fn(&A, &B, &T) -> bool, gone: impl Fn(&T) -> bool) -> Option<(A, B, T)> {
        let found = self.outer.find(
            |outer, inner| {
                let first = |key: &B, queue: &mut VecDeque<T>| {
                    while queue.front().is_some_and(&gone) {
                        queue.pop_front();
                    }
                    queue.pop_front_if(|waiting| fits(outer, key, waiting))
                };
                inner.find(first, VecDeque::is_empty)
            },
            |inner| inner.queues.is_empty(),
        );
        found.map(|(outer, (inner, waiting))| (outer, inner, waiting))
    }

    /// Forgets all who are gone.
    pub fn purge(&mut self, gone: impl Fn(&T) -> bool) {
        for inner in self.outer.queues.values_mut() {
            inner.queues.values_mut().for_each(|queue| queue.retain(|waiting| !gone(waiting)));
            inner.queues.retain(|_, queue| !queue.is_empty());
            inner.order.retain(|key| inner.queues.contains_key(key));
        }
        self.outer.queues.retain(|_, inner| !inner.queues.is_empty());
        self.outer.order.retain(|key| self.outer.queues.contains_key(key));
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outer.queues.is_empty()
    }

    /// How many wait. Goes through all keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outer.queues.values().flat_map(|inner| inner.queues.values()).map(VecDeque::len).sum()
    }

    /// How many wait under an outer key. Goes through its inner keys.
    #[must_use]
    pub fn len_of(&self, outer: &A) -> usize {
        self.outer.queues.get(outer).map_or(0, |inner| inner.queues.values().map(VecDeque::len).sum())
    }

    /// How many wait under two keys.
    #[must_use]
    pub fn len_of_both(&self, outer: &A, inner: &B) -> usize {
        self.outer.queues.get(outer).and_then(|of| of.queues.get(inner)).map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = Turns<&'static str, u32, &'static str>;

    fn waiting(all: &[(&'static str, u32, &'static str)]) -> Names {
        let mut turns = Names::default();
        all.iter().for_each(|(outer, inner, name)| turns.push(outer, inner, name));
        turns
    }

    fn taken(turns: &mut Names, fits: impl Fn(&str) -> bool, gone: impl Fn(&str) -> bool) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.take(|outer, _, _| fits(outer), |name| gone(name))).map(|(.., name)| name).collect()
    }

    #[test]
    fn many_under_one_key_hold_nobody_else_up() {
        let many = [("a", 1, "a1"), ("a", 1, "a2"), ("a", 1, "a3"), ("a", 2, "a4"), ("b", 1, "b1"), ("b", 1, "b2")];
        let mut turns = waiting(&many);
        assert_eq!((turns.len(), turns.len_of(&"a"), turns.len_of_both(&"a", &1)), (6, 4, 3));
        assert_eq!(taken(&mut turns, |_| true, |_| false), ["a1", "b1", "a4", "b2", "a2", "a3"]);
        assert_eq!((turns.is_empty(), turns.len()), (true, 0));
    }

    #[test]
    fn who_does_not_fit_is_passed_over_and_who_is_gone_is_forgotten() {
        let all = [("a", 1, "a1"), ("a", 1, "gone"), ("a", 1, "a2"), ("b", 1, "gone"), ("c", 1, "c1")];
        let mut turns = waiting(&all);
        assert_eq!(taken(&mut turns, |outer| outer != "a", |name| name == "gone"), ["c1"]);
        assert_eq!(turns.len(), 3, "what is behind the first is not looked at");
        turns.purge(|name| *name == "gone");
        assert_eq!(turns.len(), 2);
        assert_eq!(taken(&mut turns, |_| true, |_| false), ["a1", "a2"]);
    }
}
