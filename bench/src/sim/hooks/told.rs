//! What the server tells the service of: meetings, people and recordings.

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::super::meeting::Meeting;
use super::super::recording::RecordingState;
use super::super::user::{Role, User};
use super::super::world::World;
use super::Webhooks;
use super::deliver::Post;
use super::event::{Event, published};

/// The way to the calls of hooks.
pub(crate) struct Desk {
    pub(crate) posts: UnboundedSender<Post>,
    pub(crate) service: Webhooks,
    pub(crate) server_url: String,
}

impl World {
    /// Has the hooks called that want an event, which is made if there are any.
    fn tell(&self, make: impl FnOnce(&Desk) -> Event) {
        let Some(desk) = self.desk.as_ref().filter(|_| !self.hooks.is_idle()) else { return };
        let Event { id, ext_id, json } = make(desk);
        for hook in self.hooks.wanting(&ext_id, &id, desk.service) {
            let post = Post {
                hook: hook.id.clone(),
                callback_url: hook.callback_url.clone(),
                event: id.clone(),
                json: json.clone(),
            };
            // A server that does not run tells nothing.
            let _ = desk.posts.send(post);
        }
    }

    /// An event of a meeting with whatever attributes.
    pub(crate) fn tell_of(&self, meeting: &Meeting, event: &str, more: Value) {
        self.tell(|_| Event::of(meeting, event, more));
    }

    pub(crate) fn tell_created(&self, meeting: &Meeting) {
        self.tell(|desk| Event::created(meeting, desk.service));
    }

    /// A meeting is over, with those who are still in it.
    pub(crate) fn tell_ended(&self, meeting: &Meeting) {
        let is_told = self.desk.as_ref().is_some_and(|desk| desk.service.tells_of_leaving);
        for user in meeting.users.values().filter(|user| is_told && user.is_joined()) {
            let token = self.token_of(&meeting.int_id, &user.int_id);
            self.tell(|desk| Event::left_at_end(meeting, user, token, desk.service));
        }
        self.tell(|_| Event::of(meeting, "meeting-ended", json!({})));
    }

    /// Somebody has left by themselves, or was sent away.
    pub(crate) fn tell_left(&self, meeting: &str, user: &str) {
        let found = self.by_int_id(meeting).and_then(|meeting| Some((meeting, meeting.users.get(user)?)));
        let Some((meeting, user)) = found else { return };
        self.tell(|_| Event::of_user(meeting, user, "user-left", json!({ "guest": user.params.is_true("guest") })));
    }

    /// A socket of somebody opens: they join with the first one. The first moderator becomes the presenter.
    pub(crate) fn enter(&mut self, meeting_id: &str, user_id: &str, wall_ms: u64) {
        let Some(meeting) = self.meeting_mut(meeting_id) else { return };
        let joins = meeting.users.get(user_id).is_some_and(|user| !user.is_joined());
        meeting.enter(user_id, wall_ms);
        let presents = |user: &User| user.role == Role::Moderator && meeting.presenter.is_none();
        let presents = joins && meeting.users.get(user_id).is_some_and(presents);
        if presents {
            meeting.presenter = Some(user_id.to_owned());
        }
        let found = self.by_int_id(meeting_id).and_then(|meeting| Some((meeting, meeting.users.get(user_id)?)));
        let Some((meeting, user)) = found.filter(|_| joins) else { return };
        self.tell(|desk| Event::joined(meeting, user, self.token_of(meeting_id, user_id), desk.service));
        if presents {
            self.tell(|_| Event::of_user(meeting, user, "user-presenter-assigned", json!({})));
        }
    }

    /// The steps of a recording whose meeting has ended.
    pub(crate) fn tell_archived(&self, record_id: &str) {
        let Some(recording) = self.recordings.get(record_id) else { return };
        let ended = json!({ "success": true, "step-time": 1 });
        let mut archived = ended.clone();
        archived["recorded"] = true.into();
        archived["duration"] = recording.duration_ms().into();
        for (id, more) in [
            ("rap-archive-started", json!({})),
            ("rap-archive-ended", archived),
            ("rap-sanity-started", json!({})),
            ("rap-sanity-ended", ended),
        ] {
            self.tell(|_| Event::step(recording, id, more));
        }
    }

    /// The steps that make the formats of a recording, for the first time or once more.
    pub(crate) fn tell_made(&self, record_id: &str) {
        let Some(recording) = self.recordings.get(record_id) else { return };
        let Some(server_url) = self.desk.as_ref().map(|desk| &desk.server_url) else { return };
        for published in published(recording, server_url) {
            let of = |done: bool| match done {
                true => json!({ "workflow": published["workflow"], "success": true, "step-time": 1 }),
                false => json!({ "workflow": published["workflow"] }),
            };
            for (id, more) in [
                ("rap-process-started", of(false)),
                ("rap-process-ended", of(true)),
                ("rap-publish-started", of(false)),
                ("rap-publish-ended", published.clone()),
                ("rap-post-publish-started", of(false)),
                ("rap-post-publish-ended", of(true)),
            ] {
                self.tell(|_| Event::step(recording, id, more));
            }
        }
    }

    /// Moves recordings, as a call asks for. Tells whether there was any.
    pub(crate) fn set_recordings(&mut self, ids: &[String], state: RecordingState) -> bool {
        let is_settled = |id: &&String| self.recordings.get(id).is_some_and(|recording| recording.is_settled());
        let moved: Vec<&String> = ids.iter().filter(is_settled).collect();
        let is_any = self.recordings.set_state(ids, state);
        let id = format!("rap-{}", state.name());
        for recording in moved.into_iter().filter_map(|id| self.recordings.get(id)) {
            self.tell(|_| Event::changed(recording, &id));
        }
        is_any
    }
}
