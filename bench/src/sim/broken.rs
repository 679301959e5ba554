//! Answers that go wrong on their way. The call itself has been done by then.

use std::io;
use std::time::Duration;

use axum::body::{self, Body};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

/// Bytes that a short body has less than was announced.
const MISSING_BYTES: usize = 64;

/// The pause before each byte of a slow answer, and before a cut.
const PAUSE: Duration = Duration::from_millis(20);

/// How the answer of a call breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// The connection is closed instead of an answer.
    NoAnswer,
    /// The connection is cut after half of a chunked body.
    CutBody,
    /// The connection is closed after the whole body, which is shorter than its `Content-Length`.
    ShortBody,
    /// The body comes a byte at a time, and then goes on with spaces for ever.
    Drip,
}

/// Marks a response that is not to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Unsent;

/// The answer, broken.
pub(crate) async fn broken(breakage: Breakage, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // Our own answers are short and complete.
    let body = body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove(CONTENT_LENGTH);
    let body = match breakage {
        Breakage::NoAnswer => {
            parts.extensions.insert(Unsent);
            Body::empty()
        }
        Breakage::CutBody => cut_after(body.slice(..body.len() / 2)),
        Breakage::ShortBody => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len() + MISSING_BYTES));
            cut_after(body)
        }
        Breakage::Drip => drip(body),
    };
    Response::from_parts(parts, body)
}

/// These bytes, and then the end of the connection. What has been written is to leave before that.
fn cut_after(bytes: Bytes) -> Body {
    let cut = stream::once(async {
        tokio::time::sleep(PAUSE).await;
        Err(io::Error::other("cut"))
    });
    Body::from_stream(stream::iter([Ok(bytes)]).chain(cut))
}

fn drip(body: Bytes) -> Body {
    Body::from_stream(stream::unfold((body, 0), async |(body, index)| {
        tokio::time::sleep(PAUSE).await;
        let byte = body.get(index).copied().unwrap_or(b' ');
        Some((Ok::<_, io::Error>(Bytes::copy_from_slice(&[byte])), (body, index + 1)))
    }))
}
