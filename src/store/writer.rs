//! The background writer: what follows from promises, in order and in batches.
//!
//! A note that is lost with the process does no harm: an unbound session cannot be found again and its seat lapses, a
//! meeting without its internal id is looked up at the next poll, who was present is settled with the gateway's own end.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Error, Store, TokenHash};
use crate::{domain::ids::TenantId, live::clock::now_ms};

/// Notes in one transaction: long enough to pay off, short enough not to hold admissions up.
const BATCH_MAX: usize = 256;
/// After a failure the batch is tried again; nothing is dropped while the process lives.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A server has made the meeting, under an id that is one of this meeting's own; if it may leave a recording, that will be
    /// the tenant's.
    Created {
        /// The meeting's number.
        meeting: i64,
        /// Its internal id.
        internal_id: Box<str>,
        /// Its `createTime`, ms since the epoch.
        create_time: i64,
    },
    /// A server has made the session.
    Bound {
        /// The session's number.
        session: i64,
        /// The hash of its token.
        token: TokenHash,
    },
    /// Somebody is present: the first socket of the session has opened on this gateway.
    Opened {
        /// The session's number.
        session: i64,
        /// When, ms since the epoch.
        at: i64,
    },
    /// The last socket of the session has closed on this gateway.
    Closed {
        /// The session's number.
        session: i64,
        /// When, ms since the epoch.
        at: i64,
        /// How long the seat counts from now on, unless it is present elsewhere.
        until: i64,
        /// How long, in ms, nobody was there since the `Opened` before this.
        absent: i64,
    },
    /// A join came to nothing.
    Dropped {
        /// The session's number.
        session: i64,
    },
    /// Bytes were carried for a tenant.
    Carried {
        /// The tenant.
        tenant: TenantId,
        /// When, ms since the epoch.
        at: i64,
        /// From browsers.
        up: i64,
        /// To browsers.
        down: i64,
    },
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub struct Notes(mpsc::UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Note(Note),
    /// Says so when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Notes {
    /// Starts a writer. It ends, with everything written, when the last `Notes` is gone.
    ///
    /// The sessions that are open though they have no seat any more go to `without_seat`: another session of the same person
    /// has it, or it had lapsed before this was written.
    #[must_use]
    pub fn start(store: Store, without_seat: mpsc::UnboundedSender<i64>) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), tokio::spawn(write(store, receiver, without_seat)))
    }

    /// Leaves a note.
    pub fn leave(&self, note: Note) {
        // The writer lives as long as a sender does.
        let _ = self.0.send(Message::Note(note));
    }

    /// Waits until all notes left so far are written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let _ = self.0.send(Message::Flush(done));
        let _ = written.await;
    }
}

async fn write(store: Store, mut messages: mpsc::UnboundedReceiver<Message>, without_seat: mpsc::UnboundedSender<i64>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let report = |sessions: Vec<i64>| {
        for session in sessions {
            // Who listens lives as long as the gateway.
            let _ = without_seat.send(session);
        }
    };
    while messages.recv_many(&mut batch, BATCH_MAX).await > 0 {
        // So many are written one by one, since one of them is at fault.
        let mut singly = 0;
        while !batch.is_empty() {
            // After a while without the store there may be more than one transaction's worth.
            let first = if singly > 0 { 1 } else { batch.len().min(BATCH_MAX) };
            match write_batch(&store, &batch[..first]).await {
                Ok(sessions) => report(sessions),
                Err(error) if error.is_of_the_data() && first > 1 => {
                    singly = first;
                    continue;
                }
                // It is left out, and the others are not.
                Err(error) if error.is_of_the_data() => {
                    tracing::error!(%error, message = ?batch[0], "a note cannot be written");
                }
                Err(error) => {
                    tracing::error!(%error, notes = batch.len(), "notes are not written yet");
                    if messages.is_closed() {
                        return;
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                    // What has come meanwhile is joined to the batch, which grows with the sessions and tenants there are, not
                    // with the time the store is away.
                    while let Ok(message) = messages.try_recv() {
                        batch.push(message);
                    }
                    coalesce(&mut batch);
                    singly = 0;
                    continue;
                }
            }
            singly = usize::saturating_sub(singly, 1);
            for message in batch.drain(..first) {
                if let Message::Flush(done) = message {
                    let _ = done.send(());
                }
            }
        }
    }
}

async fn write_batch(store: &Store, batch: &[Message]) -> Result<Vec<i64>, Error> {
    let notes: Vec<_> = batch
        .iter()
        .filter_map(|message| match message {
            Message::Note(note) => Some(note),
            Message::Flush(_) => None,
        })
        .collect();
    if notes.is_empty() { Ok(Vec::new()) } else { store.write_notes(now_ms(), &notes).await }
}

/// Makes one of what came in pieces: somebody who left and came back was away for a while, and bytes are added up.
fn coalesce(batch: &mut Vec<Message>) {
    // A `Closed` with an `Opened` behind it is no end of a presence; the time in between goes to the next `Closed`.
    let (mut ends, mut away): (HashMap<i64, (usize, i64)>, HashMap<i64, i64>) = Default::default();
    let mut carried: HashMap<TenantId, usize> = HashMap::new();
    let mut gone = HashSet::new();
    for at in 0..batch.len() {
        let (before, rest) = batch.split_at_mut(at);
        match &mut rest[0] {
            Message::Note(Note::Closed { session, at: left, absent, .. }) => {
                *absent += away.remove(session).unwrap_or(0);
                ends.insert(*session, (at, *left));
            }
            Message::Note(Note::Opened { session, at: came }) => {
                if let Some((end, left)) = ends.remove(session) {
                    if let Message::Note(Note::Closed { absent, .. }) = &before[end] {
                        *away.entry(*session).or_default() += absent + (*came - left).max(0);
                    }
                    gone.extend([end, at]);
                }
            }
            Message::Note(Note::Carried { tenant, up, down, .. }) => match carried.get(tenant) {
                Some(first) => {
                    if let Message::Note(Note::Carried { up: all_up, down: all_down, .. }) = &mut before[*first] {
                        *all_up += *up;
                        *all_down += *down;
                    }
                    gone.insert(at);
                }
                None => drop(carried.insert(tenant.clone(), at)),
            },
            Message::Note(Note::Created { .. } | Note::Bound { .. } | Note::Dropped { .. }) | Message::Flush(_) => {}
        }
    }
    let mut at = 0;
    batch.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
}

/// What is written of notes that had to wait.
#[cfg(test)]
pub(super) fn coalesced(notes: Vec<Note>) -> Vec<Note> {
    let mut batch = notes.into_iter().map(Message::Note).collect();
    coalesce(&mut batch);
    let note = |message| match message {
        Message::Note(note) => Some(note),
        Message::Flush(_) => None,
    };
    batch.into_iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_pieces_becomes_one() {
        let tenant: TenantId = "wagtail".parse().expect("an id");
        let opened = |session, at| Note::Opened { session, at };
        let closed = |session, at, absent| Note::Closed { session, at, until: at + 15, absent };
        let carried = |up| Note::Carried { tenant: tenant.clone(), at: 1, up, down: 1 };
        for (what, notes, expected) in [
            ("left and came back", vec![opened(1, 10), closed(1, 20, 0), opened(1, 25)], vec![opened(1, 10)]),
            (
                "several times",
                vec![opened(1, 10), closed(1, 20, 0), opened(1, 25), closed(1, 30, 0), opened(1, 31), closed(1, 40, 0)],
                vec![opened(1, 10), closed(1, 40, 6)],
            ),
            ("was there before", vec![closed(1, 20, 2), opened(1, 25), closed(1, 30, 0)], vec![closed(1, 30, 7)]),
            ("two sessions", vec![closed(1, 20, 0), opened(2, 25)], vec![closed(1, 20, 0), opened(2, 25)]),
            ("bytes", vec![carried(5), opened(1, 2), carried(6)], {
                vec![Note::Carried { tenant: tenant.clone(), at: 1, up: 11, down: 2 }, opened(1, 2)]
            }),
        ] {
            assert_eq!(coalesced(notes), expected, "{what}");
        }
    }
}
