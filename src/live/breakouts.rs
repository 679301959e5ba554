//! The breakout rooms of meetings. A server makes them itself, under ids that are derived from nothing of ours: whose one is
//! follows from the meeting that its server lists as its parent, which has to be on that very server.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::DashMap;

use super::{lock::lock, meeting::Meeting, meeting_index::MeetingIndex, servers::ServerList};
use crate::{
    bbb::{
        meeting_id::{internal_start, is_internal},
        xml::Breakout as Listed,
    },
    domain::{
        ids::{InternalId, ServerId, TenantId},
        time::Timestamp,
    },
};

/// Rooms that are kept of a meeting: BBB makes up to 16 at a time.
const ROOMS_MAX: usize = 64;
/// Polls in a row without it after which a room is forgotten.
const MISSES: u32 = 2;
/// How long it is remembered that a server has no such room.
const MISS: Duration = Duration::from_secs(2);
/// Rooms of which that is remembered.
const MISSES_MAX: usize = 1_000;

/// A breakout room.
#[derive(Debug)]
pub struct Breakout {
    /// The server's internal id.
    pub internal_id: InternalId,
    /// The meeting that it belongs to.
    pub meeting: Arc<Meeting>,
    missed: AtomicU32,
}

/// All breakout rooms that are known.
#[derive(Debug, Default)]
pub struct Breakouts {
    /// By tenant, so that no server of one can take another's, and by what the internal id begins with, which follows from
    /// the external one.
    rooms: DashMap<(TenantId, Box<str>), Arc<Breakout>>,
    /// When it was said of a room that there is none.
    missed: Mutex<HashMap<Box<str>, Timestamp>>,
}

impl Breakouts {
    /// A room of a tenant on a server, by the server's external id.
    #[must_use]
    pub fn of(&self, tenant: &TenantId, server: &ServerId, ext_id: &str) -> Option<Arc<Breakout>> {
        let room = self.rooms.get(&(tenant.clone(), internal_start(ext_id).into()))?;
        (room.meeting.server == *server).then(|| Arc::clone(&room))
    }

    /// A room of a tenant, by its internal id.
    #[must_use]
    pub fn of_internal(&self, tenant: &TenantId, internal_id: &str) -> Option<Arc<Breakout>> {
        let room = self.rooms.get(&(tenant.clone(), start(internal_id)?.into()))?;
        (room.internal_id.as_str() == internal_id).then(|| Arc::clone(&room))
    }

    /// A server has said `now` that it has no such room.
    pub fn miss(&self, room: &str, now: Timestamp) {
        let mut missed = lock(&self.missed);
        if missed.len() >= MISSES_MAX {
            missed.retain(|_, at| at.saturating_add(MISS) > now);
        }
        if missed.len() >= MISSES_MAX {
            missed.clear();
        }
        missed.insert(room.into(), now);
    }

    /// Whether it has said so a moment ago.
    #[must_use]
    pub fn is_missed(&self, room: &str, now: Timestamp) -> bool {
        lock(&self.missed).get(room).is_some_and(|at| at.saturating_add(MISS) > now)
    }

    /// Notes a room that a server lists as one of this meeting; `None` where it cannot be one, or the meeting has ended.
    pub fn learn(
        &self,
        meetings: &MeetingIndex,
        meeting: &Arc<Meeting>,
        server: &ServerId,
        found: &Listed,
    ) -> Option<Arc<Breakout>> {
        if found.may_be_of(meeting, server) { self.add(meetings, meeting, &found.internal_id) } else { None }
    }

    /// Adds a room of a meeting; `None` where that has ended.
    pub fn add(&self, meetings: &MeetingIndex, meeting: &Arc<Meeting>, internal_id: &str) -> Option<Arc<Breakout>> {
        if !meetings.runs(meeting) {
            return None;
        }
        let start: Box<str> = start(internal_id)?.into();
        let key = |start: &str| (meeting.tenant.clone(), start.into());
        let mut starts = lock(&meeting.breakouts);
        if let Some(known) = self.rooms.get(&key(&start)).filter(|known| known.meeting.id == meeting.id) {
            known.missed.store(0, Relaxed);
            return Some(Arc::clone(&known));
        }
        if starts.len() == ROOMS_MAX {
            self.rooms.remove(&key(&starts.remove(0)));
        }
        let meeting = Arc::clone(meeting);
        let room = Arc::new(Breakout { internal_id: InternalId::new(internal_id), meeting, missed: AtomicU32::new(0) });
        self.rooms.insert(key(&start), Arc::clone(&room));
        starts.push(start);
        Some(room)
    }

    /// Takes over which rooms a server has of these meetings, which are on it.
    pub fn take_list(&self, all: &MeetingIndex, server: &ServerId, list: &ServerList, meetings: &[Arc<Meeting>]) {
        for found in list.breakouts.values() {
            if let Some(meeting) = all.of_internal(&found.parent) {
                self.learn(all, &meeting, server, found);
            }
        }
        for meeting in meetings {
            let is_there =
                |room: &Breakout| list.breakouts.get(room.internal_id.as_str()).is_some_and(|found| !found.ended);
            self.retain(meeting, |room| is_there(room) || room.missed.fetch_add(1, Relaxed).saturating_add(1) < MISSES);
        }
    }

    /// Forgets the rooms of a meeting.
    pub(super) fn forget(&self, meeting: &Meeting) {
        self.retain(meeting, |_| false);
    }

    fn retain(&self, meeting: &Meeting, keep: impl Fn(&Breakout) -> bool) {
        lock(&meeting.breakouts).retain(|start| {
            let gone = self.rooms.remove_if(&(meeting.tenant.clone(), start.clone()), |_, room| {
                room.meeting.id == meeting.id && !keep(room)
            });
            gone.is_none()
        });
    }
}

/// What an internal id begins with: all but its time.
fn start(internal_id: &str) -> Option<&str> {
    is_internal(internal_id).then(|| &internal_id[..=40])
}

impl Listed {
    /// Whether it can be a room of a meeting: as BBB makes them, and without a recording that its meeting may not leave,
    /// since the flag comes from the client (docs/reference/bbb-protocol.md, "Recording flags").
    fn may_be_of(&self, meeting: &Meeting, server: &ServerId) -> bool {
        is_internal(&self.ext_id)
            && is_internal(&self.internal_id)
            && self.internal_id.starts_with(&internal_start(&self.ext_id))
            && meeting.internal_id().is_some_and(|id| id.as_str() == self.parent)
            && meeting.server == *server
            && (meeting.records || !self.records)
            && !self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ids::{ExternalId, MeetingNumber},
            meeting::{AFTERGLOW, Life},
            time::Clock,
        },
        live::{Facts, Live},
    };

    const NOW: u32 = 1_700_000;

    fn meeting(live: &Live, tenant: &str, server: &str, id: i64, records: bool) -> Arc<Meeting> {
        let tenant: TenantId = tenant.parse().expect("an id");
        let on_server = crate::bbb::meeting_id::to_server(&tenant, "room");
        live.add_meeting(Meeting::new(Facts {
            id: MeetingNumber::new(id),
            tenant,
            account: "main".into(),
            ext_id: ExternalId::new("room"),
            server: server.parse().expect("an id"),
            participants: None,
            expected: None,
            life: Life::Running { internal_id: format!("{}{NOW:013}", internal_start(&on_server)).into() },
            created_at: Timestamp::EPOCH,
            ends_at: None,
            afterglow: None,
            records,
        }))
    }

    fn room(meeting: &Meeting, n: u32) -> Listed {
        let ext_id = format!("{}{NOW:013}", internal_start(&format!("{}-{n}", meeting.id)));
        Listed {
            internal_id: format!("{}{NOW:013}", internal_start(&ext_id)),
            ext_id,
            parent: meeting.internal_id().expect("a name").to_string(),
            records: false,
            people: 0,
            ended: false,
        }
    }

    fn list(rooms: impl IntoIterator<Item = Listed>) -> ServerList {
        let breakouts = rooms.into_iter().map(|room| (room.internal_id.as_str().into(), room)).collect();
        ServerList { by_tenant: HashMap::new(), meetings: HashMap::new(), breakouts }
    }

    #[test]
    fn a_room_is_that_of_its_meetings_tenant_on_its_meetings_server() {
        let live = Live::new(Clock::system());
        let ours = meeting(&live, "wagtail", "bbb-01", 1, false);
        let theirs = meeting(&live, "heron", "own", 2, false);
        let (one, own) = (ours.server.clone(), theirs.server.clone());
        let found = room(&ours, 1);
        // A tenant's own server says that it has a room of another tenant's meeting, which is elsewhere.
        live.breakouts.take_list(&live.meetings, &own, &list([room(&ours, 1)]), std::slice::from_ref(&theirs));
        for tenant in [&ours.tenant, &theirs.tenant] {
            assert!(live.breakouts.of(tenant, &own, &found.ext_id).is_none());
            assert!(live.breakouts.of_internal(tenant, &found.internal_id).is_none());
        }
        live.breakouts.take_list(&live.meetings, &one, &list([room(&ours, 1)]), std::slice::from_ref(&ours));
        let known = live.breakouts.of(&ours.tenant, &one, &found.ext_id).expect("it is known");
        assert_eq!((known.meeting.id.get(), known.internal_id.as_str()), (1, &*found.internal_id));
        assert!(live.breakouts.of_internal(&ours.tenant, &found.internal_id).is_some());
        assert!(live.breakouts.of(&ours.tenant, &own, &found.ext_id).is_none(), "it is on its own server");
        assert!(live.breakouts.of_internal(&theirs.tenant, &found.internal_id).is_none());
        assert!(live.breakouts.of(&theirs.tenant, &one, &found.ext_id).is_none());
    }

    #[test]
    fn what_is_no_room_of_a_meeting_is_not_learned() {
        let live = Live::new(Clock::system());
        let ours = meeting(&live, "wagtail", "bbb-01", 1, false);
        let recorded = meeting(&live, "heron", "bbb-01", 2, true);
        let learn =
            |of: &Arc<Meeting>, found: &Listed| live.breakouts.learn(&live.meetings, of, &of.server, found).is_some();
        let good = room(&ours, 1);
        assert!(learn(&ours, &Listed { records: false, ..room(&ours, 2) }));
        assert!(!learn(&ours, &Listed { records: true, ..room(&ours, 3) }), "it would be recorded");
        assert!(learn(&recorded, &Listed { records: true, ..room(&recorded, 3) }), "as its meeting may be");
        for (what, found) in [
            ("another's id", Listed { internal_id: room(&ours, 9).internal_id, ..room(&ours, 1) }),
            ("another form", Listed { ext_id: "t.heron.room".into(), ..room(&ours, 1) }),
            (
                "another meeting",
                Listed { parent: recorded.internal_id().expect("a name").to_string(), ..room(&ours, 1) },
            ),
            ("over", Listed { ended: true, ..room(&ours, 1) }),
        ] {
            assert!(!learn(&ours, &found), "{what}");
        }
        live.remove_meeting(&ours, Timestamp::EPOCH);
        assert!(!learn(&ours, &good), "its meeting has ended");
    }

    #[test]
    fn a_room_is_forgotten_when_it_is_not_listed_or_its_meeting_is_forgotten() {
        let live = Live::new(Clock::system());
        let ours = meeting(&live, "wagtail", "bbb-01", 1, false);
        let (server, meetings) = (ours.server.clone(), [Arc::clone(&ours)]);
        let is_known = |n| live.breakouts.of_internal(&ours.tenant, &room(&ours, n).internal_id).is_some();
        let poll = |rooms: &[u32]| {
            live.breakouts.take_list(&live.meetings, &server, &list(rooms.iter().map(|n| room(&ours, *n))), &meetings);
        };
        poll(&[1, 2]);
        poll(&[1]);
        assert!(is_known(1) && is_known(2), "one poll forgets nothing");
        poll(&[1]);
        assert!(is_known(1) && !is_known(2));
        for n in 10..10 + 2 * u32::try_from(ROOMS_MAX).expect("few") {
            live.breakouts.learn(&live.meetings, &ours, &server, &room(&ours, n));
        }
        assert_eq!((live.breakouts.rooms.len(), is_known(1)), (ROOMS_MAX, false), "the oldest make way");
        live.remove_meeting(&ours, Timestamp::EPOCH);
        assert!(is_known(100), "what is carried of it lasts as long as its meeting's");
        live.forget_ended(Timestamp::EPOCH.saturating_add(AFTERGLOW));
        assert!(live.breakouts.rooms.is_empty());
    }

    #[test]
    fn a_miss_is_remembered_for_a_moment() {
        let rooms = Breakouts::default();
        let at = Timestamp::EPOCH;
        rooms.miss("a", at);
        assert!(rooms.is_missed("a", at.saturating_add(MISS - Duration::from_millis(1))) && !rooms.is_missed("b", at));
        assert!(!rooms.is_missed("a", at.saturating_add(MISS)));
        for n in 0..2 * MISSES_MAX {
            rooms.miss(&n.to_string(), at);
        }
        assert!(lock(&rooms.missed).len() <= MISSES_MAX);
    }
}
