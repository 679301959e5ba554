//! The promise of a room: at which server, written down, moved, waited for, restarted, given back.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Order, since, unavailable};
use crate::{
    domain::{
        admission::{admit_room, counts_rooms},
        denial::Denial,
        ids::ServerId,
        placement::choose,
        tenant::Server,
    },
    live::{Meeting, clock::now_ms, servers::Placing},
    proxy::Gateway,
    store::{Admitted, MeetingRow, NewMeeting},
};

/// How long the answer to a `create` at another gateway is waited for: its caller has gone by then.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked for.
const OTHERS_INTERVAL: Duration = Duration::from_millis(100);

/// A room that has its place.
pub(super) enum Promised {
    /// With how long earlier runs of the room have lasted.
    New(Arc<Meeting>, Duration),
    Existing(Arc<Meeting>),
}

impl Gateway {
    /// The server for a meeting, of the first pool that has one. The meeting counts there from now on: many may be looking
    /// for a place at once.
    pub(super) fn place(&self, order: &Order, tried: &[ServerId]) -> Option<(Arc<Server>, Placing)> {
        let asked = &order.call.asked;
        asked.tenant.pools.iter().find_map(|pool| self.place_in(asked.directory.pool(pool), order.expected, tried))
    }

    fn place_in(&self, pool: &[Arc<Server>], expected: u32, tried: &[ServerId]) -> Option<(Arc<Server>, Placing)> {
        loop {
            let candidates = self.live.servers.candidates(pool);
            let server = choose(&candidates, tried, self.sight, chance())?;
            let state = self.live.servers.of(&server.id);
            let placing = Arc::clone(&state).place(expected);
            // The operator may drain it in between: only what weighs already keeps it from being found empty.
            if state.mode().takes_meetings() {
                return Some((Arc::clone(server), placing));
            }
        }
    }

    /// Writes the promise down, or moves the one that a server could not be reached for.
    pub(super) async fn promise(
        &self,
        order: &Order,
        server: &Server,
        promised: Option<Arc<Meeting>>,
    ) -> Result<Promised, Denial> {
        let asked = &order.call.asked;
        let tenant = &asked.tenant;
        if let Some(meeting) = promised {
            if meeting.server == server.id {
                return Ok(Promised::New(meeting, Duration::ZERO));
            }
            let Ok(moved) = self.store.move_meeting(meeting.id, &server.id).await else {
                self.give_back(&meeting).await;
                return Err(Denial::StoreUnavailable);
            };
            self.live.remove_meeting(&meeting, 0);
            if moved {
                let meeting = order.meeting(meeting.id, &server.id, &meeting.account);
                return Ok(Promised::New(self.live.add_meeting(meeting), Duration::ZERO));
            }
            // Another gateway has taken it over: this one was taken to be dead.
        }
        let deadline = Instant::now() + OTHERS_TIMEOUT;
        loop {
            let now = now_ms();
            let new = NewMeeting {
                retained_since: since(now, tenant.limits.room_retention),
                runs_since: since(now, tenant.limits.duration_window),
                ..order.new_meeting(&self.store, &server.id, now)
            };
            let decide = counts_rooms(&tenant.limits).then_some(|usage| admit_room(tenant, usage));
            let turn = match &decide {
                Some(_) => Some(self.counting.hold(tenant.id.as_str()).await),
                None => None,
            };
            let admitted = self.store.admit_meeting(&new, decide).await.map_err(|refusal| refusal.denial())?;
            drop(turn);
            let row = match admitted {
                Admitted::New { id, used } => {
                    return Ok(Promised::New(
                        self.live.add_meeting(order.meeting(id, &server.id, &order.account)),
                        used,
                    ));
                }
                Admitted::Existing(row) => row,
            };
            if let Some(meeting) = self.answered_for(row).await? {
                return Ok(Promised::Existing(meeting));
            }
            if Instant::now() >= deadline {
                return Err(Denial::ServerUnavailable);
            }
            tokio::time::sleep(OTHERS_INTERVAL).await;
        }
    }

    /// A meeting that the store has already, once there is an answer for it. `None` while another gateway waits for one: it
    /// may still give the promise back, or move it to another server.
    async fn answered_for(&self, row: MeetingRow) -> Result<Option<Arc<Meeting>>, Denial> {
        if row.internal_id.is_none() {
            let owner = row.owner.as_deref().unwrap_or_default();
            let alive =
                owner != self.store.gateway() && self.store.is_alive(owner, now_ms()).await.map_err(unavailable)?;
            // Of one that has died the promise is left, and perhaps a meeting on its server: asked again, that tells.
            if alive || !self.store.take_over_meeting(row.id, owner).await.map_err(unavailable)? {
                return Ok(None);
            }
        }
        Ok(Some(self.live.add_meeting(Meeting::from_row(row))))
    }

    /// Gives up a run whose server is offline and that nobody is present in, so that people can meet elsewhere meanwhile: the
    /// room keeps its place, and the old run is ended should its server come back with it. `None` where another gateway has
    /// done so already.
    pub(super) async fn give_up(&self, order: &Order, old: &Arc<Meeting>) -> Result<Option<Arc<Meeting>>, Denial> {
        let Some((server, _placing)) = self.place(order, std::slice::from_ref(&old.server)) else {
            return Err(Denial::ServerUnavailable);
        };
        let now = now_ms();
        let new = NewMeeting { account: &old.account, ..order.new_meeting(&self.store, &server.id, now) };
        let next = self.store.restart_meeting(&old.run(), &new).await.map_err(|refusal| refusal.denial())?;
        self.live.remove_meeting(old, now);
        let next = next.map(|id| self.live.add_meeting(order.meeting(id, &server.id, &old.account)));
        tracing::warn!(tenant = %old.tenant, server = %old.server, "meeting restarted on another server");
        // A recording that there is not is looked for in vain, and no more.
        let _ = self.forget_unrecorded(old).await;
        Ok(next)
    }

    /// The promise of a run that its server has made already: another gateway has given it, or it is given now, if there is a
    /// place.
    pub(super) async fn promise_made(&self, order: &Order, server: &Server) -> Result<Arc<Meeting>, Denial> {
        match self.promise(order, server, None).await? {
            Promised::New(meeting, _) => Ok(meeting),
            Promised::Existing(meeting) if meeting.server == server.id => Ok(meeting),
            Promised::Existing(_) => Err(Denial::ServerUnavailable),
        }
    }

    /// Gives a promise back whose call failed.
    pub(super) async fn give_back(&self, meeting: &Meeting) {
        match self.store.abandon_meeting(meeting.id, now_ms()).await {
            Ok(true) => drop(self.live.remove_meeting(meeting, 0)),
            // Another gateway has taken it over: a poll finds out what has become of it.
            Ok(false) => {}
            // It stays among the meetings, where no server ever lists it: a later poll ends it.
            Err(error) => {
                tracing::error!(%error, meeting = meeting.id, "failed to release the reservation of a meeting")
            }
        }
    }
}

/// A number that nobody can foresee, for the choice of a server.
fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the first of those with room is as good as another.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
