//! Fair turns of connections: a task gives way to the others after so many bytes, and not only after so many calls.
//!
//! tokio has a task give way after 128 operations, whatever they take. One write to a connection may be 72 KiB that had to be
//! encrypted first, so that 128 of them take some 5 ms, and hundreds of downloads that begin at once made everybody else wait
//! for the most of a second.

use std::task::{Context, Poll};

use tokio::task::coop::poll_proceed;

/// Bytes that weigh as much as one operation: a turn is 128 KiB.
const BYTES_OF_AN_OPERATION: usize = 1024;

/// Takes bytes that were read or written from the turn of the running task. When it has used up its turn, its next operation
/// waits for the next one.
pub fn spend(cx: &mut Context<'_>, bytes: usize) {
    for _ in 0..bytes / BYTES_OF_AN_OPERATION {
        match poll_proceed(cx) {
            Poll::Ready(taken) => taken.made_progress(),
            Poll::Pending => return,
        }
    }
}
