//! The background writer: what follows from promises, in order and in batches; then what was carried, apart from it.
//!
//! What fails because of the store is tried again for as long as it takes. What fails because of the data is set aside, note by
//! note, so that one of them never holds the others.
//!
//! A note that is lost with the process does no harm: an unbound session cannot be found again and its seat lapses, a
//! meeting without its internal id is looked up at the next poll, who was present is settled with the gateway's own end.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Store, dropped,
    error::{Error, Fault},
    note::{Note, Traffic},
    notes,
};
use crate::{
    domain::{
        ids::{SessionNumber, TenantId},
        time::{Clock, Timestamp},
    },
    supervise::caught,
};

/// Notes in one transaction: long enough to pay off, short enough not to hold admissions up.
const BATCH_MAX: usize = 256;
/// After a failure of the store the batch is tried again, for as long as the process lives.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Tries in a row after an error that does not say whose fault it is.
const UNCLEAR_TRIES: u32 = 5;

/// The way to the writer.
#[derive(Debug, Clone)]
pub struct Notes(mpsc::UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Note(Note),
    Traffic(Traffic),
    /// Says so when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Notes {
    /// Starts a writer. It ends, with everything written, when the last `Notes` is gone.
    ///
    /// The sessions that are open though they have no seat any more go to `without_seat`: another session of the same person
    /// has it, or it had lapsed before this was written.
    #[must_use]
    pub fn start(
        store: Store,
        clock: Clock,
        without_seat: mpsc::UnboundedSender<SessionNumber>,
    ) -> (Self, JoinHandle<()>) {
        let (notes, writer) = Self::with_writer(store, clock, without_seat);
        (notes, tokio::spawn(writer))
    }

    /// The same for a caller that has the writer run: whoever does owns the queue, which nobody else can read.
    pub fn with_writer(
        store: Store,
        clock: Clock,
        without_seat: mpsc::UnboundedSender<SessionNumber>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, messages) = mpsc::unbounded_channel();
        let writer = Writer { store, clock, without_seat, waiting: Waiting::default(), singly: 0, unclear: 0 };
        (Self(sender), writer.run(messages))
    }

    /// Leaves a note.
    pub fn leave(&self, note: Note) {
        // The writer lives as long as a sender does.
        let _ = self.0.send(Message::Note(note));
    }

    /// Counts what was carried.
    pub fn count(&self, traffic: Traffic) {
        let _ = self.0.send(Message::Traffic(traffic));
    }

    /// Waits until all notes left so far are written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let _ = self.0.send(Message::Flush(done));
        let _ = written.await;
    }
}

/// What is to be written.
#[derive(Debug, Default)]
struct Waiting {
    notes: Vec<Note>,
    traffic: Vec<Traffic>,
    /// Who wants to hear when all of it is.
    flushes: Vec<oneshot::Sender<()>>,
}

impl Waiting {
    fn add(&mut self, message: Message) {
        match message {
            Message::Note(note) => self.notes.push(note),
            Message::Traffic(traffic) => self.traffic.push(traffic),
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.traffic.is_empty()
    }
}

struct Writer {
    store: Store,
    clock: Clock,
    without_seat: mpsc::UnboundedSender<SessionNumber>,
    waiting: Waiting,
    /// So many are written one by one, since one of them is at fault.
    singly: usize,
    /// Tries in a row that failed for an unknown reason.
    unclear: u32,
}

impl Writer {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut come = Vec::with_capacity(BATCH_MAX);
        while messages.recv_many(&mut come, BATCH_MAX).await > 0 {
            come.drain(..).for_each(|message| self.waiting.add(message));
            self.store.writing().beat();
            while !self.waiting.is_empty() {
                let Err(error) = self.write_some().await else { continue };
                tracing::error!(%error, notes = self.waiting.notes.len(), "failed to write notes to the store: retrying");
                if messages.is_closed() {
                    return;
                }
                tokio::time::sleep(RETRY_AFTER).await;
                // What has come meanwhile is joined to the rest, which grows with the sessions and tenants there are, not with
                // the time the store is away.
                while let Ok(message) = messages.try_recv() {
                    self.waiting.add(message);
                }
                coalesce(&mut self.waiting.notes);
                add_up(&mut self.waiting.traffic);
                self.singly = 0;
            }
            self.store.writing().rest();
            for done in self.waiting.flushes.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Writes the first of what waits, and takes it away; what cannot be written, too. Seats and names come before statistics.
    ///
    /// # Errors
    /// When the store fails: all of it waits on.
    async fn write_some(&mut self) -> Result<(), Error> {
        let of_notes = !self.waiting.notes.is_empty();
        let waiting = if of_notes { self.waiting.notes.len() } else { self.waiting.traffic.len() };
        // After a while without the store there may be more than one transaction's worth.
        let first = if self.singly > 0 { 1 } else { waiting.min(BATCH_MAX) };
        if let Err(error) = self.write_first(of_notes, first).await {
            if !self.is_of_the_data(&error) {
                return Err(error);
            }
            if first > 1 {
                self.singly = first;
                return Ok(());
            }
            self.set_aside(of_notes, &error);
        }
        self.unclear = 0;
        self.singly = self.singly.saturating_sub(1);
        self.store.writing().beat();
        if of_notes {
            self.waiting.notes.drain(..first);
        } else {
            self.waiting.traffic.drain(..first);
        }
        Ok(())
    }

    async fn write_first(&self, of_notes: bool, first: usize) -> Result<(), Error> {
        let written = async {
            if !of_notes {
                return self.store.usage().write_traffic(&self.waiting.traffic[..first]).await;
            }
            let notes: Vec<_> = self.waiting.notes[..first].iter().collect();
            for session in notes::write(&self.store.db, self.clock.now(), &notes).await? {
                // Who listens lives as long as the gateway.
                let _ = self.without_seat.send(session);
            }
            Ok(())
        };
        // Boxed: it is large, and the writer is not to be.
        caught("writer", Box::pin(written)).await.unwrap_or(Err(Error::PANICKED))
    }

    /// Whether what was to be written is at fault, as far as anybody can say.
    fn is_of_the_data(&mut self, error: &Error) -> bool {
        match error.fault() {
            Fault::Data => true,
            Fault::Store => false,
            Fault::Unclear => {
                self.unclear = self.unclear.saturating_add(1);
                UNCLEAR_TRIES <= self.unclear
            }
        }
    }

    /// The first one cannot be written: it is left out, and the others are not.
    fn set_aside(&self, of_notes: bool, error: &Error) {
        let (note, number) = self.waiting.notes.first().filter(|_| of_notes).map_or(("traffic", 0), Note::subject);
        let count = if of_notes { &dropped::NOTES } else { &dropped::USAGE };
        count.fetch_add(1, Relaxed);
        tracing::error!(%error, note, number, "note discarded: the database rejected it");
    }
}

/// Makes one of what came in pieces: somebody who left and came back was away for a while.
fn coalesce(notes: &mut Vec<Note>) {
    // A `Closed` with an `Opened` behind it is no end of a presence; the time in between goes to the next `Closed`.
    let (mut ends, mut away): (HashMap<SessionNumber, (usize, Timestamp)>, HashMap<SessionNumber, Duration>) =
        Default::default();
    let mut gone = HashSet::new();
    for at in 0..notes.len() {
        let (before, rest) = notes.split_at_mut(at);
        match &mut rest[0] {
            Note::Closed { session, at: left, absent, .. } => {
                *absent = absent.saturating_add(away.remove(session).unwrap_or_default());
                ends.insert(*session, (at, *left));
            }
            Note::Opened { session, at: came } => {
                if let Some((end, left)) = ends.remove(session) {
                    if let Note::Closed { absent, .. } = &before[end] {
                        let all = away.entry(*session).or_default();
                        *all = all.saturating_add(*absent).saturating_add(came.saturating_duration_since(left));
                    }
                    gone.extend([end, at]);
                }
            }
            Note::Created { .. } | Note::Bound { .. } | Note::Dropped { .. } => {}
        }
    }
    let mut at = 0..;
    notes.retain(|_| at.next().is_none_or(|at| !gone.contains(&at)));
}

/// Adds up what was carried for each tenant.
fn add_up(traffic: &mut Vec<Traffic>) {
    let mut first: HashMap<TenantId, usize> = HashMap::new();
    let mut all: Vec<Traffic> = Vec::new();
    for more in traffic.drain(..) {
        match first.get(&more.tenant).and_then(|at| all.get_mut(*at)) {
            Some(have) => {
                have.up = have.up.saturating_add(more.up);
                have.down = have.down.saturating_add(more.down);
            }
            None => {
                first.insert(more.tenant.clone(), all.len());
                all.push(more);
            }
        }
    }
    *traffic = all;
}

/// What is written of notes that had to wait.
#[cfg(test)]
pub(super) fn coalesced(mut notes: Vec<Note>) -> Vec<Note> {
    coalesce(&mut notes);
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_pieces_becomes_one() {
        let ms = Timestamp::from_ms;
        let opened = |session, at| Note::Opened { session: SessionNumber::new(session), at: ms(at) };
        let closed = |session, at: i64, absent| {
            let until = ms(at.saturating_add(15));
            Note::Closed {
                session: SessionNumber::new(session),
                at: ms(at),
                until,
                absent: Duration::from_millis(absent),
            }
        };
        let longest = i64::MAX.unsigned_abs();
        for (what, notes, expected) in [
            ("left and came back", vec![opened(1, 10), closed(1, 20, 0), opened(1, 25)], vec![opened(1, 10)]),
            (
                "several times",
                vec![opened(1, 10), closed(1, 20, 0), opened(1, 25), closed(1, 30, 0), opened(1, 31), closed(1, 40, 0)],
                vec![opened(1, 10), closed(1, 40, 6)],
            ),
            ("was there before", vec![closed(1, 20, 2), opened(1, 25), closed(1, 30, 0)], vec![closed(1, 30, 7)]),
            ("two sessions", vec![closed(1, 20, 0), opened(2, 25)], vec![closed(1, 20, 0), opened(2, 25)]),
            (
                "moments that nobody has lived through",
                vec![closed(1, i64::MIN + 20, longest), opened(1, i64::MAX), closed(1, 3, longest)],
                vec![Note::Closed {
                    session: SessionNumber::new(1),
                    at: ms(3),
                    until: ms(18),
                    absent: Duration::from_millis(longest) * 3,
                }],
            ),
        ] {
            assert_eq!(coalesced(notes), expected, "{what}");
        }
    }

    #[test]
    fn what_was_carried_is_added_up_by_tenant() {
        let of = |tenant: &str, up| Traffic {
            tenant: tenant.parse().expect("an id"),
            at: Timestamp::from_ms(1),
            up,
            down: 1,
        };
        let mut all = vec![of("wagtail", 5), of("heron", i64::MAX), of("wagtail", 6), of("heron", i64::MAX)];
        add_up(&mut all);
        let sums: Vec<_> = all.iter().map(|one| (one.tenant.as_str(), one.up, one.down)).collect();
        assert_eq!(sums, [("wagtail", 11, 2), ("heron", i64::MAX, 2)]);
    }
}
