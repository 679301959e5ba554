//! [`Tracked`]: a response body that reports to its connection whether the client reads it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};

use super::activity::Open;

/// A body, and the request that it answers. hyper asks for a piece when the one before has room on the way to its reader.
#[derive(Debug)]
pub struct Tracked<B> {
    body: B,
    open: Open,
}

impl<B: Body> Tracked<B> {
    /// The answer to a request.
    pub fn new(body: B, mut open: Open) -> Self {
        if body.is_end_stream() {
            open.is_whole();
        } else {
            open.waits();
        }
        Self { body, open }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            this.open.goes_on();
        }
        let frame = ready!(polled);
        if frame.is_none() || this.body.is_end_stream() {
            this.open.is_whole();
        }
        this.open.waits();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
