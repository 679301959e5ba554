//! Seats on SQLite: those that are asked for at the same time are promised in one transaction, so that the file is written once
//! for all of them. Each is decided after the one before it, as if they had come apart.

use tokio::sync::{mpsc, oneshot};

use super::{
    dialects::sqlite,
    error::Error,
    rows::{NewSession, Seated},
};
use crate::{
    domain::{
        denial::Denial,
        ids::MeetingNumber,
        limits::Limit,
        session::{Held, UserKey},
        time::Timestamp,
    },
    supervise::caught,
};

/// Seats in one transaction: a storm is cut into pieces between which others get their turn.
const BATCH_MAX: usize = 32;

/// The way to whoever promises seats.
#[derive(Debug, Clone)]
pub(super) struct Joins(mpsc::UnboundedSender<Join>);

/// Somebody who waits for a seat.
#[derive(Debug)]
struct Join {
    meeting: MeetingNumber,
    user: Option<UserKey>,
    now: Timestamp,
    held: Held,
    seats: Limit<u32>,
    breakout: Option<Box<str>>,
    answer: oneshot::Sender<Result<Seated, Error>>,
}

impl Joins {
    /// Promises seats for as long as somebody may ask for one.
    pub(super) fn start(pool: sqlite::Pool) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(promise(pool, receiver));
        Self(sender)
    }

    pub(super) async fn seat(&self, new: &NewSession<'_>) -> Result<Seated, Error> {
        let NewSession { meeting, user, now, held, seats, breakout } = *new;
        let (answer, answered) = oneshot::channel();
        let join = Join { meeting, user: user.copied(), now, held, seats, breakout: breakout.map(Into::into), answer };
        // Whoever promises lives as long as this does, unless it has panicked.
        let _ = self.0.send(join);
        answered.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

impl Join {
    fn asked(&self) -> NewSession<'_> {
        let Self { meeting, ref user, now, held, seats, ref breakout, .. } = *self;
        NewSession { meeting, user: user.as_ref(), now, held, seats, breakout: breakout.as_deref() }
    }
}

async fn promise(pool: sqlite::Pool, mut waiting: mpsc::UnboundedReceiver<Join>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        // Those whose turn a panic has taken are refused, and nobody else is.
        caught("joins", promise_batch(&pool, &mut batch)).await;
        batch.clear();
    }
}

async fn promise_batch(pool: &sqlite::Pool, batch: &mut Vec<Join>) {
    // Who has gone away meanwhile wants no seat.
    batch.retain(|join| !join.answer.is_closed());
    let together = if batch.len() > 1 { together(pool, batch).await.ok() } else { None };
    let mut together = together.into_iter().flatten();
    for join in batch.drain(..) {
        let outcome = match together.next() {
            Some(outcome) => outcome.map_err(Error::from),
            // Alone, or not all could be written: each for itself then, as one of them may be at fault.
            None => sqlite::statements::seats::admit_session(pool, &join.asked()).await,
        };
        let _ = join.answer.send(outcome);
    }
}

/// Promises all of them or none.
async fn together(pool: &sqlite::Pool, batch: &[Join]) -> Result<Vec<Result<Seated, Denial>>, Error> {
    let mut tx = pool.begin_with(sqlite::BEGIN).await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for join in batch {
        outcomes.push(match sqlite::statements::seats::seat(&mut tx, &join.asked()).await {
            Ok(seated) => Ok(seated),
            Err(error) => Err(error.denied().ok_or(error)?),
        });
    }
    tx.commit().await?;
    Ok(outcomes)
}
