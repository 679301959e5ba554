//! What other gateways have made: in memory as soon as it is told, else found in the store at the first miss. With one
//! gateway what is not in memory is not there.

use std::{sync::Arc, time::Duration};

use super::{Gateway, asked::Asked};
use crate::{
    domain::{
        denial::Denial,
        ids::{ServerId, TenantId},
        time::Timestamp,
    },
    live::{Meeting, sessions::Session},
    net::peer::Peer,
    shares::{Limits, Shares, Taken},
    store::{Error, MeetingRow, SessionRow, TokenHash},
};

/// How long an answer waits for what follows from it to be written.
const TOLD_TIMEOUT: Duration = Duration::from_secs(1);
/// Strangers can make the gateway look for what is not there. Half of the store's connections stay free of that, and of the
/// other half an address has a quarter and a tenant a half.
const FINDING: Limits = Limits { total: 8, outer: 4, inner: 2, both: 2, waiting: 256 };
/// How long somebody waits for their turn.
const FINDING_TIMEOUT: Duration = Duration::from_secs(2);

/// What is looked for in the store, by tenant and address.
#[derive(Debug)]
pub(super) struct Finding(Arc<Shares<TenantId, Peer>>);

impl Default for Finding {
    fn default() -> Self {
        Self(Shares::new(FINDING))
    }
}

impl Finding {
    /// Waits for a turn to look for something.
    ///
    /// # Errors
    /// [`Denial::Overloaded`] where none comes in time.
    pub(super) async fn turn(&self, (tenant, peer): (&TenantId, Peer)) -> Result<Taken<TenantId, Peer>, Denial> {
        self.0.take(tenant, &peer, 1, FINDING_TIMEOUT).await.ok_or(Denial::Overloaded)
    }
}

impl Gateway {
    /// A running meeting of a tenant, by the tenant's own id. Links to one that is over are in many hands.
    ///
    /// # Errors
    /// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
    /// many ask.
    pub(crate) async fn meeting(
        &self,
        account: (&TenantId, Peer),
        ext_id: &str,
    ) -> Result<Option<Arc<Meeting>>, Denial> {
        let (tenant, _) = account;
        if let Some(meeting) = self.live.meeting(tenant, ext_id) {
            return Ok(Some(meeting));
        }
        if !self.store.is_shared() {
            return Ok(None);
        }
        let _turn = self.finding.turn(account).await?;
        let found = self.store.find_meeting(tenant, ext_id).await.map_err(|_| Denial::StoreUnavailable)?;
        Ok(found.and_then(|row| self.adopt(row)))
    }

    /// A meeting of a tenant by its internal id, or by that of one of its breakout rooms; one that has ended a moment ago
    /// included. Anybody may ask for one, so that not many are looked for at a time.
    ///
    /// # Errors
    /// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
    /// many ask.
    pub(crate) async fn meeting_of_internal(
        &self,
        account: (&TenantId, Peer),
        internal_id: &str,
    ) -> Result<Option<Arc<Meeting>>, Denial> {
        let (tenant, _) = account;
        if let Some(meeting) = self.live.meeting_of_internal(internal_id) {
            return Ok(Some(meeting).filter(|meeting| meeting.tenant == *tenant));
        }
        if let Some(room) = self.live.breakouts.of_internal(tenant, internal_id) {
            return Ok(Some(Arc::clone(&room.meeting)));
        }
        if !self.store.is_shared() {
            return Ok(None);
        }
        let _turn = self.finding.turn(account).await?;
        let found = self.store.find_internal(tenant, internal_id).await.map_err(|_| Denial::StoreUnavailable)?;
        if let Some(row) = found {
            return Ok(self.adopt(row));
        }
        let found = self.store.find_breakout(tenant, internal_id).await.map_err(|_| Denial::StoreUnavailable)?;
        if let Some(meeting) = found.and_then(|row| self.adopt(row)) {
            self.live.add_breakout(&meeting, internal_id);
            return Ok(Some(meeting));
        }
        let found =
            self.store.find_ended(tenant, internal_id, self.clock.now()).await.map_err(|_| Denial::StoreUnavailable)?;
        Ok(found.map(|row| self.adopt_ended(row)))
    }

    /// A session by the hash of its token. Anybody may ask for one, so that not many are looked for at a time.
    ///
    /// # Errors
    /// [`Denial::StoreUnavailable`] when it is not known here and the store cannot be asked; [`Denial::Overloaded`] when too
    /// many ask.
    pub(crate) async fn session(
        &self,
        account: (&TenantId, Peer),
        token: &TokenHash,
    ) -> Result<Option<Arc<Session>>, Denial> {
        if let Some(session) = self.live.session(token) {
            return Ok(Some(session));
        }
        if !self.store.is_shared() {
            return Ok(None);
        }
        let _turn = self.finding.turn(account).await?;
        let found = self.store.find_session(token).await.map_err(|_| Denial::StoreUnavailable)?;
        if let Some((row, meeting)) = found {
            let Some(meeting) = self.adopt(meeting) else { return Ok(None) };
            self.adopt_session(row, &meeting);
            return Ok(self.live.session(token));
        }
        let found =
            self.store.find_ended_session(token, self.clock.now()).await.map_err(|_| Denial::StoreUnavailable)?;
        let Some((row, meeting)) = found else { return Ok(None) };
        let meeting = self.adopt_ended(meeting);
        self.adopt_session(row, &meeting);
        Ok(self.live.session(token))
    }

    /// Whether the guest of a session still waits to be let in: another gateway may have let them in since. Who waits on may
    /// be asked for many times, so that this takes its turn too.
    pub(crate) async fn is_waiting(&self, account: (&TenantId, Peer), session: &Session, token: &TokenHash) -> bool {
        if session.is_waiting()
            && self.store.is_shared()
            && let Ok(_turn) = self.finding.turn(account).await
            && let Ok(Some((row, _))) = self.store.find_session(token).await
            && !row.waits
        {
            session.hold(row.held);
        }
        session.is_waiting()
    }

    /// Whether a tenant has, or had a moment ago, a meeting on a server.
    ///
    /// # Errors
    /// [`Denial::StoreUnavailable`] when none is known here and the store cannot be asked; [`Denial::Overloaded`] when too
    /// many ask.
    pub(crate) async fn reaches(&self, asked: &Asked, server: &ServerId) -> Result<bool, Denial> {
        let (tenant, now) = (&asked.tenant.id, asked.now);
        if self.live.reaches(tenant, server, now) {
            return Ok(true);
        }
        if !self.store.is_shared() {
            return Ok(false);
        }
        let _turn = self.finding.turn(asked.account()).await?;
        for row in self.store.find_meetings_on(tenant, server).await.map_err(|_| Denial::StoreUnavailable)? {
            let _ = self.adopt(row);
        }
        if let Some(row) = self.store.find_ended_on(tenant, server, now).await.map_err(|_| Denial::StoreUnavailable)? {
            let _ = self.adopt_ended(row);
        }
        Ok(self.live.reaches(tenant, server, now))
    }

    /// Waits until the store has what was noted, since whoever is answered may ask another gateway next. A store that takes
    /// its time holds nobody up for long: what was noted is written all the same.
    pub(crate) async fn told(&self) {
        if self.store.is_shared() {
            let _ = tokio::time::timeout(TOLD_TIMEOUT, self.notes.flush()).await;
        }
    }

    /// Takes over a meeting as the store has it; `None` for one that has ended, or that another gateway has no answer for
    /// yet.
    pub(crate) fn adopt(&self, row: MeetingRow) -> Option<Arc<Meeting>> {
        if row.ended_at.is_some() || row.internal_id.is_none() {
            return None;
        }
        let internal_id = row.internal_id.clone();
        let meeting = self.live.add_meeting(Meeting::from_row(row));
        // It may have been known without its name.
        if let Some(internal_id) = internal_id {
            self.live.name_meeting(&meeting, &internal_id);
        }
        Some(meeting)
    }

    /// Takes over a meeting that has ended, and of which something is still carried.
    fn adopt_ended(&self, row: MeetingRow) -> Arc<Meeting> {
        let ended_at = row.ended_at.unwrap_or(Timestamp::MIN);
        self.live.add_ended(Meeting::from_row(row), ended_at)
    }

    pub(crate) fn adopt_session(&self, row: SessionRow, meeting: &Arc<Meeting>) {
        if let Some(room) = &row.breakout {
            self.live.add_breakout(meeting, room);
        }
        let session = self.live.new_session(row.id, meeting, row.held);
        let session = if row.waits { session.waiting() } else { session };
        self.live.add_session(row.token, Arc::new(session));
    }

    /// Takes over what has become of a meeting, as the store has it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn follow(&self, id: i64) -> Result<(), Error> {
        let Some(row) = self.store.meeting_of(id).await? else { return Ok(()) };
        let Some(ended_at) = row.ended_at else {
            if let Some(meeting) = self.adopt(row) {
                meeting.touch();
            }
            return Ok(());
        };
        let known = self.live.meeting(&row.tenant, &row.ext_id).filter(|meeting| meeting.id == id);
        let Some(meeting) = known else { return Ok(()) };
        self.live.remove_meeting(&meeting, ended_at);
        self.forget_unrecorded(&meeting).await
    }

    /// Forgets the recording of a meeting that has ended and that nobody had come to.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn forget_unrecorded(&self, meeting: &Meeting) -> Result<(), Error> {
        if let Some(internal_id) = meeting.internal_id().filter(|_| meeting.records)
            && !self.store.has_recording(internal_id).await?
        {
            self.live.forget_recording(meeting);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_for_what_is_not_there_holds_nobody_else_up() {
        let tenant = |name: &str| name.parse::<TenantId>().expect("an id");
        let (finding, wagtail, heron) = (Finding::default(), tenant("wagtail"), tenant("heron"));
        let peer = |n: u8| Peer::V4(u32::from(n));
        let mut turns = Vec::new();
        for (n, is_there) in [(1, true), (1, true), (1, false), (2, true), (2, true), (3, false)] {
            let turn = finding.turn((&wagtail, peer(n))).now_or_never();
            assert_eq!(turn.is_some(), is_there, "{n}");
            turns.extend(turn);
        }
        assert!(finding.turn((&heron, peer(1))).now_or_never().is_none(), "an address has its share of all");
        turns.push(finding.turn((&heron, peer(4))).await);
        let began = Instant::now();
        assert_eq!(finding.turn((&wagtail, peer(1))).await.err(), Some(Denial::Overloaded));
        assert!(began.elapsed() >= FINDING_TIMEOUT);
        drop(turns);
        assert!(finding.turn((&wagtail, peer(1))).await.is_ok());
    }
}
