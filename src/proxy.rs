//! The fast side: connections, requests, and what becomes of them.

pub mod accept;
mod answer;
mod answered;
mod api;
mod asked;
mod asset;
mod caller;
mod calls;
mod carry;
mod client_file;
pub mod cookies;
mod corked;
mod end;
mod find;
mod frame;
mod framing;
mod frontend;
#[doc(hidden)]
pub mod fuzzing;
pub mod grant;
mod headers;
mod held;
mod last_known;
mod limited;
mod lists;
mod lobby;
mod named_ids;
pub mod names;
mod pages;
mod passing;
mod path;
mod permissions;
mod playback;
mod referrer;
mod robots;
pub mod route;
mod serve;
mod session_call;
pub mod session_token;
mod settings;
mod socket;
pub mod text_frames;
mod tunnel;
mod upload_form;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::{
    domain::{directory::Directory, placement::Sight, time::Clock},
    live::{Live, Meeting, keyed::Keyed, sessions::UserKeys},
    metrics::Metrics,
    net::Net,
    store::{self, Store, writer::Notes},
    supervise::{Round, Rounds},
    upstream::{Discards, Pool},
};
use cookies::Binding;
use find::Finding;
use grant::Grants;
use held::Bodies;
use names::Names;
use passing::Passing;

/// A session that was replaced is forgotten after this long: a socket that it had opened at that moment is noted by then.
const REPLACED: Duration = Duration::from_secs(10);

/// Everything that requests share.
#[derive(Debug)]
pub struct Gateway {
    /// The current time.
    pub clock: Clock,
    /// The configuration of now. One request sees one directory from start to end.
    pub directory: ArcSwap<Directory>,
    /// The meetings, sessions and servers of now.
    pub live: Live,
    /// The durable promises.
    pub store: Store,
    /// What follows from them.
    pub notes: Notes,
    /// The way to the servers.
    pub pool: Pool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When its loops have last done something.
    pub rounds: Rounds,
    /// How many connections there may be, and how fast they may come.
    pub net: Net,
    /// How long a connection may be open with nothing to do.
    idle_timeout: Duration,
    /// How old an answer about meetings may be.
    answers_max_age: Duration,
    /// How much it sees of what is placed.
    sight: Sight,
    /// For addresses that the gateway makes itself.
    grants: Grants,
    /// For cookies of the servers.
    binding: Binding,
    /// For people whose callers say who they are.
    user_keys: UserKeys,
    /// Of hosts that servers are told to fetch from.
    names: Names,
    /// Bodies that are held whole.
    pub(crate) bodies: Bodies,
    /// Bodies whose rest is thrown away.
    discards: Discards,
    /// Bodies on their way to servers.
    uploads: Passing,
    /// Bodies on their way to frontends.
    to_frontends: Passing,
    /// What is looked for in the store.
    finding: Finding,
    creating: Keyed,
    /// Breakout rooms that a server is asked about: once at a time each.
    seeking: Keyed,
    /// By tenant: those who would wait for each other in the store anyway wait here, where they hold no connection.
    counting: Keyed,
    /// One change by the operator at a time, so that what is known is what was written last. Tokio's, since it is held
    /// across the write.
    pub(crate) operating: Mutex<()>,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The current time.
    pub clock: Clock,
    /// The configuration to begin with.
    pub directory: Arc<Directory>,
    /// What is true, refilled from the store.
    pub live: Live,
    /// The durable promises.
    pub store: Store,
    /// What follows from them.
    pub notes: Notes,
    /// The way to the servers.
    pub pool: Pool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How many connections there may be, and how fast they may come.
    pub net: Net,
    /// How long a connection may be open with nothing to do.
    pub idle_timeout: Duration,
    /// How old an answer about meetings may be.
    pub answers_max_age: Duration,
    /// How much it sees of what is placed.
    pub sight: Sight,
    /// For addresses that the gateway makes itself.
    pub grants: Grants,
    /// For cookies of the servers.
    pub binding: Binding,
    /// For people whose callers say who they are.
    pub user_keys: UserKeys,
    /// Of hosts that servers are told to fetch from.
    pub names: Names,
}

impl Gateway {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { directory, live, store, notes, pool, metrics, net, idle_timeout, answers_max_age, .. } = parts;
        let Parts { sight, grants, binding, user_keys, names, clock, .. } = parts;
        Self {
            clock,
            directory: ArcSwap::new(directory),
            live,
            store,
            notes,
            pool,
            metrics,
            rounds: Rounds::default(),
            net,
            idle_timeout,
            answers_max_age,
            sight,
            grants,
            binding,
            user_keys,
            names,
            bodies: Bodies::default(),
            discards: Discards::default(),
            uploads: Passing::default(),
            to_frontends: Passing::default(),
            finding: Finding::default(),
            creating: Keyed::default(),
            seeking: Keyed::default(),
            counting: Keyed::default(),
            operating: Mutex::default(),
        }
    }

    /// Its loops, and the writer of its store.
    pub fn loops(&self) -> impl Iterator<Item = &Round> {
        self.rounds.all().into_iter().chain([self.store.writing()])
    }

    /// Ends the record of a meeting: its room is free at once, its traffic is carried a while longer.
    ///
    /// # Errors
    /// When the store fails: the record stays, and the next poll tries again.
    pub async fn end_record(&self, meeting: &Arc<Meeting>) -> Result<(), store::Error> {
        let now = self.clock.now();
        if !self.store.end_meeting(meeting.id, now).await? {
            self.live.forget_recording(meeting);
        }
        self.live.remove_meeting(meeting, now);
        Ok(())
    }

    /// Forgets the sessions that were replaced a while ago before anybody came with them: one link makes no rows without end.
    pub async fn forget_replaced(&self) {
        while let Some(id) = self.live.next_replaced(self.clock.now().saturating_sub(REPLACED)) {
            let session = self.live.session_of_id(id);
            if session.as_ref().is_some_and(|session| session.was_opened()) {
                continue;
            }
            match self.store.forget_replaced(id).await {
                Ok(true) => session.iter().for_each(|session| self.live.forget_session(session)),
                Ok(false) => {}
                // It is tried again.
                Err(_) => return self.live.note_replaced(id, self.clock.now()),
            }
        }
    }
}
