//! The body of a caller's request. Its bytes are counted as they come: what a caller claims to send is no usage.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::metrics::TenantMetrics;

/// A body that a caller sends, whoever takes it: forwarded, read whole, or taken only to be thrown away.
#[derive(Debug)]
pub struct Incoming {
    body: hyper::body::Incoming,
    /// Whose bytes they are.
    counts: Arc<TenantMetrics>,
}

impl Incoming {
    /// Counts what comes of a body for a tenant.
    #[must_use]
    pub fn new(body: hyper::body::Incoming, counts: Arc<TenantMetrics>) -> Self {
        Self { body, counts }
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.counts.count_body_up(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
