//! The background writer: what follows from promises, in order and in batches.
//!
//! A note that is lost with the process does no harm: an unbound session cannot be found again and its seat lapses, a
//! meeting without its internal id is looked up at the next poll.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Error, Store, TokenHash};

/// Notes in one transaction: long enough to pay off, short enough not to hold admissions up.
const BATCH_MAX: usize = 256;
/// After a failure the batch is tried again; nothing is dropped while the process lives.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Note {
    /// A server has made the meeting; if it may leave a recording, that will be the tenant's.
    Created {
        /// The meeting's number.
        meeting: i64,
        /// Its internal id.
        internal_id: Box<str>,
        /// Its `createTime`, ms since the epoch.
        create_time: i64,
        /// Whether that id is one that recordings of this meeting may have.
        is_own: bool,
    },
    /// A server has made the session.
    Bound {
        /// The session's number.
        session: i64,
        /// The hash of its token.
        token: TokenHash,
    },
    /// A seat is taken or left.
    Seat {
        /// The session's number.
        session: i64,
        /// How long the seat counts from now on.
        until: i64,
    },
    /// A join came to nothing.
    Dropped {
        /// The session's number.
        session: i64,
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
    #[must_use]
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), tokio::spawn(write(store, receiver)))
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

async fn write(store: Store, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while messages.recv_many(&mut batch, BATCH_MAX).await > 0 {
        while let Err(error) = write_batch(&store, &batch).await {
            if error.is_of_the_data() {
                write_singly(&store, &batch).await;
                break;
            }
            tracing::error!(%error, notes = batch.len(), "notes are not written yet");
            if messages.is_closed() {
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
            // What has come meanwhile is joined to the batch, which holds one note of a kind per session: it grows with
            // the sessions there are, not with the time the store is away.
            while let Ok(message) = messages.try_recv() {
                batch.push(message);
            }
            coalesce(&mut batch);
        }
        for message in batch.drain(..) {
            if let Message::Flush(done) = message {
                let _ = done.send(());
            }
        }
    }
}

/// Keeps the last word on each seat.
fn coalesce(batch: &mut Vec<Message>) {
    let mut last = HashMap::new();
    for (at, message) in batch.iter().enumerate() {
        if let Message::Note(Note::Seat { session, .. }) = message {
            last.insert(*session, at);
        }
    }
    let mut at = 0;
    batch.retain(|message| {
        let keep = match message {
            Message::Note(Note::Seat { session, .. }) => last.get(session) == Some(&at),
            _ => true,
        };
        at += 1;
        keep
    });
}

/// One note in the batch cannot be written: it is left out, and the others are not.
async fn write_singly(store: &Store, batch: &[Message]) {
    for message in batch {
        if let Err(error) = write_batch(store, std::slice::from_ref(message)).await {
            tracing::error!(%error, ?message, "a note cannot be written");
        }
    }
}

async fn write_batch(store: &Store, batch: &[Message]) -> Result<(), Error> {
    let mut tx = store.pool.begin_with("BEGIN IMMEDIATE").await?;
    for message in batch {
        let Message::Note(note) = message else { continue };
        let query = match note {
            Note::Created { meeting, internal_id, create_time, is_own } => {
                sqlx::query("UPDATE meetings SET internal_id = $2, create_time = $3 WHERE id = $1")
                    .bind(meeting)
                    .bind(&**internal_id)
                    .bind(create_time)
                    .execute(&mut *tx)
                    .await?;
                sqlx::query(
                    "INSERT INTO recordings (record_id, tenant, ext_id, server)
                     SELECT $2, tenant, ext_id, server FROM meetings WHERE id = $1 AND records AND ended_at IS NULL AND $3
                     ON CONFLICT DO NOTHING",
                )
                .bind(meeting)
                .bind(&**internal_id)
                .bind(is_own)
            }
            Note::Bound { session, token } => {
                sqlx::query("UPDATE sessions SET token = $2 WHERE id = $1").bind(session).bind(&token[..])
            }
            Note::Seat { session, until } => {
                sqlx::query("UPDATE sessions SET seat_until = $2 WHERE id = $1").bind(session).bind(until)
            }
            Note::Dropped { session } => sqlx::query("DELETE FROM sessions WHERE id = $1").bind(session),
        };
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
