//! The GraphQL socket of a guest who waits to be let in.
//!
//! Such a guest has no seat. BBB counts nobody as present before their client has asked for it by the GraphQL mutation
//! `userJoinMeeting`, which it does when the server has told it that a moderator has let the guest in. So what the browser sends
//! is read up to that mutation, and a seat is taken before the server hears it: the limit is exact, whatever servers say and
//! however many are let in at once. Only guests are read, and only while they wait.
//!
//! Whole messages go on, so that nobody hides the mutation in fragments; one that is larger than [`MESSAGE_BYTES_MAX`] ends the
//! socket. What the server sends goes on as it comes.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::find;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    text_frames::TextFrames,
    tunnel::{Carried, Side},
};

/// A client that waits sends a few queries, of which BBB takes none longer than 10,000 characters
/// (docs/reference/bbb-protocol.md, "GraphQL sockets").
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// An end that takes nothing for so long has vanished.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The mutation by which somebody comes in. A name of GraphQL has one form.
const COMES_IN: &[u8] = b"userJoinMeeting";

/// What has ended the waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The client comes in; what it has sent for that, and behind it, has not gone on.
    ComesIn(Bytes),
    /// This end has closed, or was lost.
    Closed(Side),
    /// A message is larger than one may be.
    TooLarge,
    /// What the browser sends are no frames of a client.
    Malformed,
}

/// Carries both ways until the client comes in. `read` is what has been read already, of the browser and of the server;
/// `frames` rewrites what the server sends.
pub(super) async fn wait<B, S>(
    browser: &mut B,
    server: &mut S,
    read: (Bytes, Bytes),
    frames: &mut Option<Box<TextFrames>>,
) -> (Left, Carried)
where
    B: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (BytesMut::from(read.0), BytesMut::from(read.1));
    let (mut carried, mut changed) = (Carried::default(), Vec::new());
    loop {
        // First, so that nothing of it is left when the client comes in.
        if !down.is_empty() {
            let same = frames.as_mut().is_none_or(|frames| frames.take(&down, &mut changed));
            if write(browser, if same { &down } else { &changed }).await.is_err() {
                return (Left::Closed(Side::Browser), carried);
            }
            carried.down = carried.down.saturating_add(down.len() as u64);
            down.clear();
        }
        match message(&up) {
            Ok(Some(Message { comes_in: true, .. })) => return (Left::ComesIn(up.freeze()), carried),
            Ok(Some(Message { bytes, .. })) => {
                if write(server, &up[..bytes]).await.is_err() {
                    return (Left::Closed(Side::Server), carried);
                }
                carried.up = carried.up.saturating_add(bytes as u64);
                up.advance(bytes);
                continue;
            }
            Ok(None) => {}
            Err(left) => return (left, carried),
        }
        let (side, came) = tokio::select! {
            came = browser.read_buf(&mut up) => (Side::Browser, came),
            came = server.read_buf(&mut down) => (Side::Server, came),
        };
        if !came.is_ok_and(|bytes| bytes > 0) {
            return (Left::Closed(side), carried);
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    timeout(WRITE_TIMEOUT, written).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// A message of a client: so many bytes, with its fragments and what came between them.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    bytes: usize,
    comes_in: bool,
}

/// The first message of a client, or a control frame that stands alone (RFC 6455, 5.2 and 5.4); `None` while it is not whole.
fn message(input: &[u8]) -> Result<Option<Message>, Left> {
    let (mut at, mut parts) = (0_usize, Vec::new());
    loop {
        let Some(frame) = frame(input.get(at..).unwrap_or_default())? else {
            return if input.len() > MESSAGE_BYTES_MAX { Err(Left::TooLarge) } else { Ok(None) };
        };
        let whole = at.saturating_add(frame.end);
        if whole > MESSAGE_BYTES_MAX {
            return Err(Left::TooLarge);
        }
        if whole > input.len() {
            return Ok(None);
        }
        let is_control = input[at] & 0x08 != 0;
        if is_control && parts.is_empty() {
            return Ok(Some(Message { bytes: whole, comes_in: false }));
        }
        if !is_control {
            parts.push((at.saturating_add(frame.mask), whole));
            if input[at] & 0x80 != 0 {
                return Ok(Some(Message { bytes: whole, comes_in: comes_in(&unmasked(input, &parts)) }));
            }
        }
        at = whole;
    }
}

/// Where a frame's mask begins, and where it ends.
struct Frame {
    mask: usize,
    end: usize,
}

/// The first frame's extent; `None` while its head is not whole. A client's has a mask and, as no extension was agreed on, no
/// reserved bit.
fn frame(input: &[u8]) -> Result<Option<Frame>, Left> {
    let [head, length, ..] = *input else { return Ok(None) };
    if head & 0x70 != 0 || length & 0x80 == 0 {
        return Err(Left::Malformed);
    }
    let (bytes, mask) = match (length & 0x7f, input) {
        (126, [_, _, a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (126, _) => return Ok(None),
        // More than 65,535 bytes.
        (127, _) => return Err(Left::TooLarge),
        (short, _) => (usize::from(short), 2),
    };
    Ok(Some(Frame { mask, end: bytes.saturating_add(mask).saturating_add(4) }))
}

/// The payloads of frames, each given by where its mask begins and where it ends.
fn unmasked(input: &[u8], frames: &[(usize, usize)]) -> Vec<u8> {
    let mut text = Vec::with_capacity(input.len());
    for &(mask, end) in frames {
        let (mask, payload) = input[mask..end].split_at(4);
        text.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    text
}

/// Whether a JSON text may have the mutation in it, however its letters are written.
fn comes_in(text: &[u8]) -> bool {
    if find(text, COMES_IN).is_some() {
        return true;
    }
    find(text, br"\u00").is_some() && find(&unescaped(text), COMES_IN).is_some()
}

/// A JSON text with the letters of ASCII that are written as `\u00XX` in their plain form; all else as it is.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let code = rest.strip_prefix(br"\u00").and_then(|digits| digits.get(..2));
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = &rest[6..];
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn masked(head: u8, text: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![head];
        match u8::try_from(text.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(text.len()).expect("not too long").to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn whole(text: &str) -> Vec<u8> {
        masked(0x81, text.as_bytes())
    }

    const QUERY: &str =
        r#"{"type":"subscribe","id":"1","payload":{"query":"subscription U { user_current { name } }"}}"#;

    #[test]
    fn the_mutation_is_found_however_it_is_written() {
        let mutation = r#"{"type":"subscribe","payload":{"query":"mutation { userJoinMeeting(a: 1) }"}}"#;
        let spread: Vec<u8> =
            [masked(0x01, b"mutation { userJo"), masked(0x89, b"ping"), masked(0x80, b"inMeeting }")].concat();
        let empty = [masked(0x01, b""), masked(0x80, mutation.as_bytes())].concat();
        for (input, expected) in [
            (whole(mutation), true),
            (whole(&mutation.replace("Join", r"\u004aoin")), true),
            (whole(&mutation.replace("user", r"\u0075\u0073\u0065\u0072")), true),
            (whole(&mutation.replace("Join", r"\u004Aoin")), true),
            (masked(0x82, mutation.as_bytes()), true),
            (spread, true),
            (empty, true),
            (whole(QUERY), false),
            (whole(&format!("{}{}", "x".repeat(300), r"\u00e9 \u00 \u00zz")), false),
            (whole("mutation { userLeaveMeeting }"), false),
            (masked(0x89, COMES_IN), false),
        ] {
            for cut in 0..input.len() {
                assert_eq!(message(&input[..cut]), Ok(None), "{cut} of {input:?}");
            }
            let found = message(&[&input[..], b"\x81"].concat());
            assert_eq!(found, Ok(Some(Message { bytes: input.len(), comes_in: expected })), "{input:?}");
        }
    }

    #[test]
    fn what_no_client_sends_ends_the_waiting() {
        let endless = masked(0x01, &[b'x'; 60_000]);
        for (input, left) in [
            (vec![0x81, 0x05, b'h'], Left::Malformed),
            (vec![0xc1, 0x85], Left::Malformed),
            (vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], Left::TooLarge),
            ([endless.clone(), endless].concat(), Left::TooLarge),
        ] {
            assert_eq!(message(&input), Err(left), "{:?}", &input[..2]);
        }
    }

    #[tokio::test]
    async fn what_comes_before_the_mutation_goes_on_and_the_mutation_does_not() {
        let (mut browser, mut at_browser) = duplex(256);
        let (mut server, mut at_server) = duplex(256);
        let (query, mutation) = (whole(QUERY), whole("mutation { userJoinMeeting }"));
        let sent = [&query[..], &mutation, b"\x81"].concat();
        let ends = async {
            at_server.write_all(b"hello").await.expect("written");
            let (mut up, mut down) = (vec![0; query.len()], [0; 8]);
            at_browser.read_exact(&mut down).await.expect("read");
            at_browser.write_all(&sent[10..]).await.expect("written");
            at_server.read_exact(&mut up).await.expect("read");
            assert_eq!((up, &down), (query.clone(), b"ackhello"));
        };
        let read = (Bytes::copy_from_slice(&sent[..10]), Bytes::from("ack"));
        let mut frames = None;
        let both = async { tokio::join!(wait(&mut browser, &mut server, read, &mut frames), ends) };
        let ((left, carried), ()) = timeout(Duration::from_secs(20), both).await.expect("in time");
        let Left::ComesIn(first) = left else { panic!("{left:?}") };
        assert!(first.starts_with(&mutation), "with what has come behind it: {first:?}");
        assert_eq!(carried.up, query.len() as u64);
    }
}
