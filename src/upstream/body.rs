//! [`Body`]: a body that passes through, or one that is held in memory.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};

use super::{answer::Answer, carried::Carried, incoming::Incoming, watch::BodyError};

/// Of a held body, at a time: a file of 64 KiB leaves at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A body that passes through, or one that is held in memory.
#[derive(Debug)]
pub enum Body {
    /// Held in memory; taken as it is sent.
    Held(Bytes),
    /// Held in memory in several pieces, none of them empty; each is taken as it is sent.
    Pieces(VecDeque<Bytes>),
    /// Streamed from a caller, with its length where that was told.
    Streamed(Incoming),
    /// The same, once it has begun: on its way to a server.
    Carried(Box<Carried>),
    /// Streamed from a server.
    Answered(Answer),
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Held(Bytes::new())
    }
}

/// A whole body; `None` where it breaks off or is longer than `most` bytes.
pub async fn whole<B>(body: B, most: usize) -> Option<Bytes>
where
    B: HttpBody,
    B::Error: Into<BodyError>,
{
    Some(Limited::new(body, most).collect().await.ok()?.to_bytes())
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(held: T) -> Self {
        Self::Held(held.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Self::Carried(body) => Pin::new(&mut **body).poll_frame(cx).map_err(Into::into),
            Self::Held(bytes) if bytes.is_empty() => Poll::Ready(None),
            // A long one in pieces, so that it is seen whether its reader takes them.
            Self::Held(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes.split_to(bytes.len().min(PIECE_BYTES_MAX)))))),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Answered(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(bytes) => bytes.is_empty(),
            Self::Pieces(pieces) => pieces.is_empty(),
            Self::Streamed(body) => body.is_end_stream(),
            Self::Carried(body) => body.is_end_stream(),
            Self::Answered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Self::Streamed(body) => body.size_hint(),
            Self::Carried(body) => body.size_hint(),
            Self::Answered(body) => body.size_hint(),
        }
    }
}
