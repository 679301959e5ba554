//! The fast side: connections, requests, and what becomes of them.

pub mod accept;
mod answer;
mod api;
mod asked;
mod asset;
mod carry;
mod frame;
mod frontend;
pub mod grant;
mod headers;
mod lists;
mod pages;
pub mod route;
mod serve;
mod session_call;
mod settings;
mod socket;
mod tunnel;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    domain::directory::Directory,
    live::{Live, Meeting, clock::now_ms, keyed::Keyed},
    metrics::Metrics,
    store::{self, Store, writer::Notes},
    upstream::Pool,
};
use grant::Grants;
use pages::Pages;

/// Everything that requests share.
#[derive(Debug)]
pub struct Gateway {
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
    /// How old an answer about meetings may be.
    answers_max_age: Duration,
    /// For addresses that the gateway makes itself.
    grants: Grants,
    creating: Keyed,
    pages: Pages,
}

impl Gateway {
    /// Joins the parts; `live` has been refilled from the store.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        live: Live,
        store: Store,
        notes: Notes,
        pool: Pool,
        metrics: Arc<Metrics>,
        answers_max_age: Duration,
        grants: Grants,
    ) -> Self {
        Self {
            directory: ArcSwap::new(directory),
            live,
            store,
            notes,
            pool,
            metrics,
            answers_max_age,
            grants,
            creating: Keyed::default(),
            pages: Pages::new(),
        }
    }

    /// Ends the record of a meeting: its room is free at once, its traffic is carried a while longer.
    ///
    /// # Errors
    /// When the store fails: the record stays, and the next poll tries again.
    pub async fn end_record(&self, meeting: &Arc<Meeting>) -> Result<(), store::Error> {
        let now = now_ms();
        self.store.end_meeting(meeting.id, now).await?;
        self.live.remove_meeting(meeting, now);
        Ok(())
    }
}
