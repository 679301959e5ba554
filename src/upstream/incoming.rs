//! [`Incoming`]: the body of a client's request. Its bytes are counted as they arrive, not as declared. When it is dropped, the
//! rest is discarded (`discard`), so that an answer before the end of the body reaches the client.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{sync::oneshot, time::timeout};

use super::discard::{Source, discard};
use crate::{domain::backend_error::BodyFault, metrics::TenantMetrics};

/// The body of a client: forwarded, read whole, or dropped.
#[derive(Debug)]
pub struct Incoming(State);

#[derive(Debug)]
enum State {
    /// There is none, or it is complete.
    Over,
    /// It has been read before.
    Held(Bytes),
    // Boxed: most requests have no body, and are not to have room for one.
    Coming(Box<Coming>),
    Failed(BodyFault),
}

/// A body of which more is to come.
#[derive(Debug)]
pub(super) struct Coming {
    body: hyper::body::Incoming,
    /// What has come already, before it is taken.
    first: Option<Bytes>,
    is_http2: bool,
    /// Dropped with it.
    over: Option<oneshot::Sender<Infallible>>,
    /// Whose bytes they are.
    counts: Option<Arc<TenantMetrics>>,
    pub(super) source: Source,
}

impl Incoming {
    /// The body of a request. `source` tells where it comes from; asked only where there is a body.
    #[must_use]
    pub fn new(body: hyper::body::Incoming, version: Version, source: impl FnOnce() -> Source) -> Self {
        // HTTP/2 may end an empty body in a frame of its own.
        if body.is_end_stream() || body.size_hint().exact() == Some(0) {
            return Self(State::Over);
        }
        let is_http2 = version == Version::HTTP_2;
        Self(State::Coming(Box::new(Coming {
            body,
            first: None,
            is_http2,
            over: None,
            counts: None,
            source: source(),
        })))
    }

    /// A body that has been read whole.
    #[must_use]
    pub fn held(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { State::Over } else { State::Held(bytes) })
    }

    /// Resolves when no more of it is read: it has ended or has been cut. `None` where nothing is to
    /// come, and in HTTP/1.1.
    pub fn over(&mut self) -> Option<oneshot::Receiver<Infallible>> {
        let State::Coming(coming) = &mut self.0 else { return None };
        coming.is_http2.then(|| {
            let (over, is_over) = oneshot::channel();
            coming.over = Some(over);
            is_over
        })
    }

    /// Whether there is anything in it. One whose length is not told is waited for, so long, until its first bytes are there.
    ///
    /// # Errors
    /// Where it is too slow, or breaks off.
    pub async fn has_any(&mut self, within: Duration) -> Result<bool, BodyFault> {
        if self.is_end_stream() || self.size_hint().exact().is_some() {
            return Ok(!self.is_end_stream());
        }
        // Boxed: bodies have a length, nearly all of them.
        Box::pin(self.first_bytes(within)).await
    }

    async fn first_bytes(&mut self, within: Duration) -> Result<bool, BodyFault> {
        while let Some(frame) = timeout(within, self.frame()).await.map_err(|_| BodyFault::Slow)? {
            let data = frame?.into_data().unwrap_or_default();
            if let State::Coming(coming) = &mut self.0
                && !data.is_empty()
            {
                coming.first = Some(data);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same, with its bytes counted for a tenant.
    #[must_use]
    pub fn counted(mut self, counts: &Arc<TenantMetrics>) -> Self {
        if let State::Coming(coming) = &mut self.0 {
            coming.counts = Some(Arc::clone(counts));
        }
        self
    }
}

impl Coming {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.source.begin();
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            // A stream that its client has reset "without an error" looks to hyper as if it had ended.
            None if !self.is_http2 || self.body.is_end_stream() => return Poll::Ready(None),
            None | Some(Err(_)) => {
                self.source.cut();
                return Poll::Ready(Some(Err(BodyFault::Broken)));
            }
        };
        if let (Some(data), Some(counts)) = (frame.data_ref(), &self.counts) {
            counts.count_body_up(data.len() as u64);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let frame = match &mut self.0 {
            State::Over => None,
            State::Failed(fault) => Some(Err(*fault)),
            State::Held(bytes) => {
                let frame = Some(Ok(Frame::data(std::mem::take(bytes))));
                self.0 = State::Over;
                frame
            }
            State::Coming(coming) => {
                let frame = ready!(coming.poll_frame(cx));
                match &frame {
                    Some(Ok(_)) => {}
                    Some(Err(fault)) => self.0 = State::Failed(*fault),
                    None => self.0 = State::Over,
                }
                frame
            }
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Over => true,
            State::Held(_) | State::Failed(_) => false,
            State::Coming(coming) => coming.first.is_none() && coming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Over => SizeHint::with_exact(0),
            State::Held(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // Only of a body without a length something has come before it is taken.
            State::Coming(coming) => coming.body.size_hint(),
            State::Failed(_) => SizeHint::default(),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let State::Coming(coming) = std::mem::replace(&mut self.0, State::Over)
            && !coming.body.is_end_stream()
        {
            discard(coming);
        }
    }
}
