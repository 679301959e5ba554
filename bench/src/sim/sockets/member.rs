//! Somebody in a meeting by an open socket.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::super::user::{GuestStatus, User};
use super::super::world::World;
use super::super::{Shared, wall_ms};

/// What becomes of a `userJoinMeeting`.
pub(super) enum Admission {
    In,
    /// The guest waits, or was turned away.
    Refused,
    Full,
}

/// What a socket holds once its user is known. Dropping it lets the user leave.
pub(super) struct Member {
    shared: Arc<Shared>,
    /// Internal meeting id.
    pub(super) meeting: String,
    /// Internal user id.
    pub(super) user: String,
    ended: watch::Receiver<()>,
    changes: watch::Receiver<()>,
    /// A guest who has had to wait is not in the meeting before the client asks to be.
    is_waiting: bool,
}

impl Member {
    /// Lets a user in, unless the second check of the limit finds the meeting full; `None` as well if there is no such user.
    pub(super) fn enter(shared: &Arc<Shared>, world: &mut World, meeting_id: &str, user_id: &str) -> Option<Self> {
        let meeting = world.by_int_id(meeting_id)?;
        let user = meeting.users.get(user_id)?;
        let ended = user.watch();
        let changes = meeting.changes.subscribe();
        // In 2.7 the client has come in by the call `enter`.
        let is_meteor = shared.config.profile.is_meteor();
        let is_waiting = if is_meteor { user.guest_status == GuestStatus::Wait } else { user.is_outside };
        let is_full = match (shared.config.checks_limit_on_socket, shared.config.socket_limit_is_one_less) {
            (false, _) => false,
            (true, false) => meeting.is_full_for(&user.ext_id, user.bot),
            (true, true) => meeting.is_nearly_full_for(&user.ext_id, user.bot),
        };
        if is_full && !user.is_joined() {
            return None;
        }
        if !is_waiting {
            world.enter(meeting_id, user_id, wall_ms());
        }
        Some(Self {
            shared: Arc::clone(shared),
            meeting: meeting_id.to_owned(),
            user: user_id.to_owned(),
            ended,
            changes,
            is_waiting,
        })
    }

    /// The client asks to be in the meeting (`userJoinMeeting`): a guest who has been waiting is, once a moderator has said so.
    /// An early request gets its refusal in `user_current`, like every other one (akka-bbb-apps, `UserJoinMeetingReqMsgHdlr`).
    pub(super) fn admit(&mut self, world: &mut World) -> Admission {
        let Some(meeting) = world.by_int_id(&self.meeting).filter(|_| self.is_waiting) else {
            return Admission::In;
        };
        let Some(user) = meeting.users.get(&self.user) else { return Admission::Refused };
        if user.guest_status != GuestStatus::Allow {
            world.change_user(&self.meeting, &self.user, |user| user.was_refused = true);
            return Admission::Refused;
        }
        if self.shared.config.checks_limit_on_socket && meeting.is_full_for(&user.ext_id, user.bot) {
            return Admission::Full;
        }
        world.enter(&self.meeting, &self.user, wall_ms());
        world.change_user(&self.meeting, &self.user, |user: &mut User| user.is_outside = false);
        self.is_waiting = false;
        Admission::In
    }

    /// Whether the meeting goes on, so that it is this user who was sent away.
    pub(super) fn is_ejected(&self) -> bool {
        self.shared.world().by_int_id(&self.meeting).is_some()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.is_waiting {
            return;
        }
        if let Some(meeting) = self.shared.world().meeting_mut(&self.meeting) {
            meeting.leave(&self.user, Instant::now());
        }
    }
}

/// Returns when the meeting has ended or its user was ejected, if there is one.
pub(super) async fn ended(member: &mut Option<Member>) {
    match member {
        // Nothing is ever sent: this returns when the user is dropped.
        Some(member) => drop(member.ended.changed().await),
        None => std::future::pending().await,
    }
}

/// What a meeting tells an open socket.
pub(super) enum Event {
    /// It has ended, or the user was ejected.
    Ended,
    /// Something is different that subscriptions show.
    Changed,
}

/// The next event, if there is a member.
pub(super) async fn event(member: &mut Option<Member>) -> Event {
    let Some(member) = member else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = member.ended.changed() => Event::Ended,
        // Without a sender the meeting is over, which the other half tells as soon as the users are dropped.
        Ok(()) = member.changes.changed() => Event::Changed,
    }
}
