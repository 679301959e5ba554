//! [`Carried`]: a request body that is streamed to a server. The server is called when the first bytes have arrived, so that a
//! client that sends nothing costs it nothing. A body below the minimum rate is aborted. It holds its slots until it ends.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{incoming::Incoming, rate::LeastRate, watch::Watch};
use crate::domain::backend_error::BodyFault;

/// A streamed body with its first bytes.
pub struct Carried<B = Incoming> {
    /// First bytes, not sent yet.
    first: Option<Bytes>,
    body: B,
    rate: LeastRate,
    /// Since when the next piece is waited for.
    waiting: Option<Instant>,
    /// Wakes its task when the piece may be too late. It is set once for many pieces: one that goes off too early is set again.
    alarm: Option<Pin<Box<Sleep>>>,
    watch: Option<Watch>,
    /// What it holds for as long as it is sent.
    places: Option<Box<dyn Any + Send + Sync>>,
}

impl<B> Carried<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyFault>,
{
    /// Waits for the first bytes of a body.
    ///
    /// # Errors
    /// Where it is too slow or breaks off before there are any.
    pub async fn begin(mut body: B, mut rate: LeastRate) -> Result<Self, BodyFault> {
        let first = loop {
            let began = Instant::now();
            let frame = timeout(rate.credit(), body.frame()).await.map_err(|_| BodyFault::Slow)?;
            let Some(frame) = frame else { break None };
            let data = frame.map_err(Into::into)?.into_data().unwrap_or_default();
            rate.came(data.len(), began.elapsed());
            if !data.is_empty() {
                break Some(data);
            }
        };
        Ok(Self { first, body, rate, waiting: None, alarm: None, watch: None, places: None })
    }

    /// The same, looked at as it passes.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The same, with what it is to hold until it is over.
    #[must_use]
    pub fn holding(self, places: impl Any + Send + Sync) -> Self {
        Self { places: Some(Box::new(places)), ..self }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let waited = self.waiting.take().map(|since| since.elapsed()).unwrap_or_default();
                let frame = frame.map(|frame| frame.map_err(Into::into));
                let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
                self.rate.came(bytes, waited);
                Poll::Ready(frame)
            }
            Poll::Pending => {
                ready!(self.poll_too_late(cx));
                Poll::Ready(Some(Err(BodyFault::Slow)))
            }
        }
    }

    /// Ready when the piece that is waited for is too late.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = *self.waiting.get_or_insert_with(Instant::now) + self.rate.credit();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        // Time that a piece has used up is gone from the credit, so that no end is before the one that the alarm was set for.
        ready!(alarm.as_mut().poll(cx));
        if alarm.deadline() < end {
            alarm.as_mut().reset(end);
            return alarm.as_mut().poll(cx);
        }
        Poll::Ready(())
    }
}

impl<B> HttpBody for Carried<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyFault>,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let carried = self.get_mut();
        let mut frame = ready!(carried.poll_piece(cx));
        if let (Some(watch), Some(Ok(piece))) = (&mut carried.watch, &frame)
            && let Some(data) = piece.data_ref()
            && let Err(error) = watch.0(data)
        {
            tracing::debug!(%error, "request body refused while it was forwarded");
            frame = Some(Err(BodyFault::Refused));
        }
        if !matches!(frame, Some(Ok(_))) {
            carried.places = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.body.size_hint();
        let mut both = SizeHint::new();
        if let Some(upper) = rest.upper() {
            both.set_upper(upper.saturating_add(first));
        }
        both.set_lower(rest.lower().saturating_add(first));
        both
    }
}

impl<B> fmt::Debug for Carried<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use futures_util::{StreamExt, stream};
    use http_body_util::{Full, StreamBody};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body of these pieces, each a second after the one before, which then stops for good.
    fn pieces(all: &'static [&'static [u8]]) -> impl HttpBody<Data = Bytes, Error = Infallible> + Unpin {
        let came = stream::iter(all.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))));
        let came = came.then(|piece| async {
            sleep(SECOND).await;
            piece
        });
        StreamBody::new(Box::pin(came.chain(stream::pending())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_begins_with_its_first_bytes_or_not_at_all() {
        let rate = LeastRate::new(5 * SECOND, 1);
        let began = Instant::now();
        assert_eq!(Carried::begin(pieces(&[]), rate).await.err(), Some(BodyFault::Slow));
        assert_eq!(began.elapsed().as_secs(), 5);
        let body = Carried::begin(pieces(&[b"", b"ab", b"c"]), rate).await.expect("begun");
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().lower(), 2);
        let whole = Carried::begin(Full::new(Bytes::from_static(b"abc")), rate).await.expect("begun");
        assert_eq!(whole.size_hint().exact(), Some(3), "a server is told the length");
        assert_eq!(whole.collect().await.expect("whole").to_bytes(), "abc");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_longer_than_it_may_stop() {
        let slow = pieces(&[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j"]);
        let mut body = Carried::begin(slow, LeastRate::new(3 * SECOND, 1)).await.expect("begun");
        let began = Instant::now();
        for _ in 0..10 {
            assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        }
        assert_eq!(began.elapsed().as_secs(), 9);
        assert_eq!(body.frame().await.and_then(Result::err), Some(BodyFault::Slow));
        assert_eq!(began.elapsed().as_secs(), 12, "it may stop for three seconds after the last piece");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_broken_off_and_its_places_are_free() {
        let place = Arc::new(());
        let body = Carried::begin(pieces(&[b"abcdef", b"g"]), LeastRate::new(5 * SECOND, 1)).await.expect("begun");
        let mut body = body.holding(Arc::clone(&place));
        for _ in 0..2 {
            assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        }
        assert_eq!(Arc::strong_count(&place), 2);
        let began = Instant::now();
        assert_eq!(body.frame().await.and_then(Result::err), Some(BodyFault::Slow));
        assert_eq!((began.elapsed().as_secs(), Arc::strong_count(&place)), (5, 1));
    }
}
