//! [`Connections`]: limits of open connections, in total and by address.
//!
//! A connection holds a [`Place`] (slot) from before its handshake until it, or its WebSocket, is closed. If no slot is free, an
//! idle connection is closed: one of the same address if that has used its share, any one if the gateway is full. If none is
//! idle, the new connection is refused.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    convert::Infallible,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use super::{
    activity::{Activity, End},
    peer::Peer,
};

/// How many of the oldest connections are searched for an idle one.
const LOOKED_AT_MAX: usize = 256;
/// Several thousand people behind one address.
const PER_ADDRESS_MAX: u32 = 16_384;
/// So that a small limit leaves an address enough for some people.
const PER_ADDRESS_MIN: u32 = 64;

/// Limits of open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In total.
    pub max: u32,
    /// By address.
    pub per_address: u32,
}

impl Limits {
    /// A quarter of all for one address, within bounds: one line has an address of version 4 and one of version 6.
    #[must_use]
    pub fn of(max: u32) -> Self {
        Self { max, per_address: (max / 4).clamp(PER_ADDRESS_MIN, PER_ADDRESS_MAX).min(max) }
    }
}

/// Why a connection gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The address has used its share, and none of its connections is idle.
    Address,
    /// All slots are used, and no connection is idle.
    Gateway,
}

/// Open connections.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    /// Held for a moment when a connection opens or closes.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    total: u32,
    /// Entries go with the last connection.
    of_peer: HashMap<Peer, u32>,
    /// Those that are served, and could be closed for another: the oldest first.
    by_age: BTreeMap<u64, (Peer, Arc<Activity>)>,
    by_peer: BTreeSet<(Peer, u64)>,
    /// Those that have given their place to another, and are not closed yet.
    given_up: HashSet<u64>,
}

/// The slot of a connection; held while a clone of it lives.
#[derive(Debug, Clone)]
pub struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    all: Arc<Connections>,
    peer: Peer,
    number: u64,
    /// A gateway that stops waits for it.
    alive: mpsc::Sender<Infallible>,
}

/// A connection that is being served; it may be closed to free its slot while this lives.
#[derive(Debug)]
pub struct Served {
    place: Place,
    /// Its activity.
    pub activity: Arc<Activity>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Number of open connections, and of their addresses.
    #[must_use]
    pub fn open(&self) -> (u32, usize) {
        let state = self.state();
        (state.total, state.of_peer.len())
    }

    /// Takes a slot for a new connection; closes an idle one if none is free.
    ///
    /// A connection `from_proxy` does not count against the share of its address: many people come through it.
    ///
    /// # Errors
    /// When no slot is free and no connection is idle.
    pub fn admit(
        self: &Arc<Self>,
        peer: Peer,
        from_proxy: bool,
        alive: &mpsc::Sender<Infallible>,
    ) -> Result<Served, Full> {
        let mut state = self.state();
        let is_full_of_peer = !from_proxy && self.limits.per_address <= state.of_peer.get(&peer).copied().unwrap_or(0);
        let is_full = self.limits.max <= state.total;
        if is_full_of_peer && !state.close_idle_of(peer) {
            return Err(Full::Address);
        }
        if !is_full_of_peer && is_full && !state.close_idle() {
            return Err(Full::Gateway);
        }
        let number = state.next;
        state.next = state.next.saturating_add(1);
        state.total = state.total.saturating_add(1);
        let of_peer = state.of_peer.entry(peer).or_default();
        *of_peer = of_peer.saturating_add(1);
        let activity = Arc::<Activity>::default();
        state.by_age.insert(number, (peer, Arc::clone(&activity)));
        state.by_peer.insert((peer, number));
        drop(state);
        let held = Held { all: Arc::clone(self), peer, number, alive: alive.clone() };
        Ok(Served { place: Place(Arc::new(held)), activity })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between two of its changes can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Closes an idle connection of an address, whose place is free then. Returns whether there was one.
    fn close_idle_of(&mut self, peer: Peer) -> bool {
        let all = (Bound::Included((peer, 0)), Bound::Included((peer, u64::MAX)));
        let oldest = self.by_peer.range(all).take(LOOKED_AT_MAX);
        let found = idlest(oldest.filter_map(|(_, number)| Some((*number, &self.by_age.get(number)?.1))));
        found.is_some_and(|number| self.close(number))
    }

    /// The same of all addresses.
    fn close_idle(&mut self) -> bool {
        let oldest = self.by_age.iter().take(LOOKED_AT_MAX);
        let found = idlest(oldest.map(|(number, (_, activity))| (*number, activity)));
        found.is_some_and(|number| self.close(number))
    }

    fn close(&mut self, number: u64) -> bool {
        let Some((peer, activity)) = self.by_age.remove(&number) else { return false };
        self.by_peer.remove(&(peer, number));
        self.given_up.insert(number);
        self.release(peer);
        activity.end(End::MadeRoom);
        true
    }

    fn release(&mut self, peer: Peer) {
        self.total = self.total.saturating_sub(1);
        if let Some(open) = self.of_peer.get_mut(&peer) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.of_peer.remove(&peer);
            }
        }
    }
}

/// The first that has asked for nothing yet, else the first that has nothing under way.
fn idlest<'a>(oldest: impl Iterator<Item = (u64, &'a Arc<Activity>)>) -> Option<u64> {
    let mut idle = None;
    for (number, activity) in oldest.filter(|(_, activity)| activity.is_idle()) {
        if !activity.is_used() {
            return Some(number);
        }
        idle = idle.or(Some(number));
    }
    idle
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.all.state();
        if !state.given_up.remove(&self.number) {
            state.release(self.peer);
        }
    }
}

impl Served {
    /// The place, for what goes on when this is not served any more: a WebSocket.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The client key whose limits it counts against.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.place.0.peer
    }
}

impl Place {
    /// Another place of the same client, for what its connection does beside its requests; closes an idle connection if none
    /// is free.
    ///
    /// # Errors
    /// When no place is free and no connection is idle.
    pub fn another(&self) -> Result<Self, Full> {
        let Held { all, peer, alive, .. } = &*self.0;
        all.admit(*peer, false, alive).map(|served| served.place.clone())
    }

    /// What tells it from all other connections of this gateway since its start.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Held { all, peer, number, .. } = &*self.place.0;
        let mut state = all.state();
        state.by_age.remove(number);
        state.by_peer.remove(&(*peer, *number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hall(Arc<Connections>, mpsc::Sender<Infallible>);

    impl Hall {
        fn of(max: u32, per_address: u32) -> Self {
            Self(Connections::new(Limits { max, per_address }), mpsc::channel(1).0)
        }

        fn admit(&self, peer: u32) -> Result<Served, Full> {
            self.0.admit(Peer::V4(peer), false, &self.1)
        }

        /// One that has a request under way.
        fn busy(&self, peer: u32) -> Served {
            let served = self.admit(peer).expect("a place");
            std::mem::forget(served.activity.begin());
            served
        }
    }

    #[test]
    fn an_address_has_its_share_and_the_gateway_its_bound() {
        let hall = Hall::of(3, 2);
        let (a, _b) = (hall.busy(1), hall.busy(1));
        assert_eq!(hall.admit(1).err(), Some(Full::Address));
        let c = hall.busy(2);
        assert_eq!(hall.admit(3).err(), Some(Full::Gateway));
        assert_eq!(hall.0.open(), (3, 2));
        drop(c);
        assert_eq!(hall.0.open(), (2, 1));
        assert!(hall.0.admit(Peer::V4(1), true, &hall.1).is_ok(), "a proxy's share is all");
        drop(a);
        assert!(hall.admit(1).is_ok());
    }

    #[test]
    fn who_does_nothing_makes_room() {
        let hall = Hall::of(4, 2);
        let used = hall.admit(1).expect("a place");
        drop(used.activity.begin());
        let silent = hall.admit(1).expect("a place");
        assert_eq!(silent.activity.ended(), None);
        let third = hall.admit(1).expect("the silent one's");
        assert_eq!((silent.activity.ended(), used.activity.ended()), (Some(End::MadeRoom), None));
        assert_eq!(hall.0.open(), (2, 1), "its place is given once");
        drop(silent);
        assert_eq!(hall.0.open(), (2, 1));
        drop((used, third));
        assert_eq!(hall.0.open(), (0, 0));

        let others: Vec<_> = (2..6).map(|peer| hall.admit(peer).expect("a place")).collect();
        assert!(hall.admit(7).is_ok());
        assert_eq!(others[0].activity.ended(), Some(End::MadeRoom));
    }

    #[test]
    fn a_websocket_keeps_its_place_and_is_not_closed_for_another() {
        let hall = Hall::of(1, 1);
        let served = hall.admit(1).expect("a place");
        let socket = served.place().clone();
        drop(served);
        assert_eq!(hall.admit(2).err(), Some(Full::Gateway));
        drop(socket);
        assert!(hall.admit(2).is_ok());
        let state = hall.0.state();
        assert!(state.by_age.is_empty() && state.by_peer.is_empty() && state.given_up.is_empty());
    }

    #[test]
    fn an_address_has_a_quarter_within_bounds() {
        for (max, per_address) in [(4, 4), (86, 64), (10_000, 2_500), (250_000, 16_384)] {
            assert_eq!(Limits::of(max).per_address, per_address, "{max}");
        }
    }
}
