//! The GraphQL socket of a guest who waits to be let in.
//!
//! Such a guest has no seat. BBB counts nobody as present before their client has asked for it by the GraphQL mutation
//! `userJoinMeeting`, which it does when the server has told it that a moderator has let the guest in. So what the browser sends
//! is read up to that mutation, and held there. The gateway asks the server whether the guest is let in. If so, a seat is taken
//! before the server hears the mutation: the limit is exact, however many are let in at once. If not, the mutation is refused
//! here, as BBB refuses it, and no seat is taken. Only guests are read, and only while they wait.
//!
//! Whole messages go on, so that nobody hides the mutation in fragments; one that is larger than [`MESSAGE_BYTES_MAX`] ends the
//! socket. What the server sends goes on as it comes, but for the answer to that question.

mod question;

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::find;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use self::question::ServerFrames;
use super::{
    frame,
    text_frames::TextFrames,
    tunnel::{Carried, Side},
};

/// A client that waits sends a few queries, of which BBB takes none longer than 10,000 characters
/// (docs/reference/bbb-protocol.md, "GraphQL sockets").
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// An end that takes nothing for so long has vanished.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to say whether a guest is let in. Its clients give up after 60 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest id that a client gives a message: BBB's has 36 characters.
const ID_BYTES_MAX: usize = 256;
/// The mutation by which somebody comes in. A name of GraphQL has one form.
const COMES_IN: &[u8] = b"userJoinMeeting";

/// What has ended the waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The client comes in, and the server lets it; what it has sent for that, and behind it, has not gone on.
    ComesIn(Bytes),
    /// The server has not said whether the guest is let in.
    Unanswered,
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
    let (mut carried, mut on, mut changed) = (Carried::default(), Vec::new(), Vec::new());
    let (mut from_server, mut held, mut asked_at) = (ServerFrames::default(), 0, Instant::now());
    loop {
        // First, so that nothing of it is left when the client comes in.
        let let_in = from_server.take(&mut down, &mut on);
        if !on.is_empty() {
            let same = frames.as_mut().is_none_or(|frames| frames.take(&on, &mut changed));
            if write(browser, if same { &on } else { &changed }).await.is_err() {
                return (Left::Closed(Side::Browser), carried);
            }
            carried.down = carried.down.saturating_add(on.len() as u64);
            on.clear();
        }
        match let_in {
            Some(true) => return (Left::ComesIn(up.freeze()), carried),
            // The browser has got the refusal in place of the answer. What is behind that comes first.
            Some(false) => {
                up.advance(held);
                continue;
            }
            None => {}
        }
        if !from_server.is_asking() {
            let (to_server, bytes) = match message(&up) {
                Ok(None) => (None, 0),
                Ok(Some(Message { bytes, comes_in: None })) => (Some(up.split_to(bytes).freeze()), bytes),
                Ok(Some(Message { bytes, comes_in: Some(text) })) => {
                    let Some(asked) = refusal_of(&text).and_then(|refusal| from_server.ask(refusal)) else {
                        return (Left::Malformed, carried);
                    };
                    (held, asked_at) = (bytes, Instant::now());
                    (Some(asked.into()), 0)
                }
                Err(left) => return (left, carried),
            };
            if let Some(to_server) = to_server {
                if write(server, &to_server).await.is_err() {
                    return (Left::Closed(Side::Server), carried);
                }
                carried.up = carried.up.saturating_add(bytes as u64);
                continue;
            }
        }
        let reading = async {
            tokio::select! {
                came = browser.read_buf(&mut up), if up.len() <= MESSAGE_BYTES_MAX => (Side::Browser, came),
                came = server.read_buf(&mut down) => (Side::Server, came),
            }
        };
        if from_server.is_asking() && ANSWER_TIMEOUT <= asked_at.elapsed() {
            return (Left::Unanswered, carried);
        }
        let read = if from_server.is_asking() {
            timeout(ANSWER_TIMEOUT.saturating_sub(asked_at.elapsed()), reading).await
        } else {
            Ok(reading.await)
        };
        match read {
            Ok((_, Ok(1..))) => {}
            Ok((side, _)) => return (Left::Closed(side), carried),
            Err(_) => return (Left::Unanswered, carried),
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
    /// Its text, where that may have the mutation in it.
    comes_in: Option<Vec<u8>>,
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
            return Ok(Some(Message { bytes: whole, comes_in: None }));
        }
        if !is_control {
            parts.push((at.saturating_add(frame.mask), whole));
            if input[at] & 0x80 != 0 {
                let text = unmasked(input, &parts);
                return Ok(Some(Message { bytes: whole, comes_in: comes_in(&text).then_some(text) }));
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

/// The frame by which a browser learns that its mutation is refused; `None` for a message that no client sends.
fn refusal_of(text: &[u8]) -> Option<Vec<u8>> {
    let Asked { id } = serde_json::from_slice(text).ok().filter(|asked: &Asked| asked.id.len() <= ID_BYTES_MAX)?;
    // In the words of BBB's own refusal (akka-bbb-apps, `UserJoinMeetingReqMsgHdlr`).
    let errors = serde_json::json!([{ "message": "User is not allowed to join" }]);
    frame::text(&serde_json::json!({ "id": id, "type": "error", "payload": errors }).to_string())
}

/// What is read of a mutation: the id under which it is answered.
#[derive(Deserialize)]
struct Asked {
    id: String,
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
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

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
            let found = message(&[&input[..], b"\x81"].concat()).expect("legal").expect("whole");
            assert_eq!((found.bytes, found.comes_in.is_some()), (input.len(), expected), "{input:?}");
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

    const MUTATION: &str = r#"{"id":"in","type":"subscribe","payload":{"query":"mutation { userJoinMeeting }"}}"#;

    /// The next text frame of the gateway to a server: its text.
    async fn heard(server: &mut DuplexStream) -> String {
        let mut frame = vec![0; 2];
        server.read_exact(&mut frame).await.expect("a head");
        let bytes = match frame[1] & 0x7f {
            126 => usize::from(server.read_u16().await.expect("a length")),
            short => usize::from(short),
        };
        let mut masked = vec![0; 4 + bytes];
        server.read_exact(&mut masked).await.expect("a frame");
        String::from_utf8(unmasked(&masked, &[(0, masked.len())])).expect("a text")
    }

    /// The id of the question that the gateway asks.
    async fn asked(server: &mut DuplexStream) -> String {
        let question: serde_json::Value = serde_json::from_str(&heard(server).await).expect("JSON");
        assert_eq!(question["payload"]["query"], "query getGuestStatus { user_current { guestStatus } }");
        question["id"].as_str().expect("an id").to_owned()
    }

    /// What a server says of a guest.
    fn answer(id: &str, status: &str) -> Vec<u8> {
        let data = format!(r#"{{"data":{{"user_current":[{{"guestStatus":"{status}"}}]}}}}"#);
        let next = format!(r#"{{"type":"next","id":"{id}","payload":{data}}}"#);
        [text(&next), text(&format!(r#"{{"type":"complete","id":"{id}"}}"#))].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        frame::text(text).expect("not too long")
    }

    /// The next bytes for the browser.
    async fn told(browser: &mut DuplexStream, expected: &[u8]) {
        let mut told = vec![0; expected.len()];
        browser.read_exact(&mut told).await.expect("read");
        assert_eq!(String::from_utf8_lossy(&told), String::from_utf8_lossy(expected));
    }

    /// Both ends of a guest's socket: as a browser and a server have them, and how the waiting ends.
    fn waits(read: (Bytes, Bytes)) -> (DuplexStream, DuplexStream, JoinHandle<(Left, Carried)>) {
        let (mut browser, at_browser) = duplex(64 * 1024);
        let (mut server, at_server) = duplex(64 * 1024);
        let waits = async move { wait(&mut browser, &mut server, read, &mut None).await };
        (at_browser, at_server, tokio::spawn(waits))
    }

    #[tokio::test]
    async fn what_comes_before_the_mutation_goes_on_and_the_mutation_does_not() {
        let (query, mutation) = (whole(QUERY), whole(MUTATION));
        let sent = [&query[..], &mutation, b"\x81"].concat();
        let read = (Bytes::copy_from_slice(&sent[..10]), Bytes::from(text("ack")));
        let (mut browser, mut server, left) = waits(read);
        server.write_all(&text("hello")).await.expect("written");
        told(&mut browser, &[text("ack"), text("hello")].concat()).await;
        browser.write_all(&sent[10..]).await.expect("written");
        assert_eq!(heard(&mut server).await, QUERY);
        let id = asked(&mut server).await;
        // Byte by byte, and with the beginning of something behind it.
        for byte in [&answer(&id, "ALLOW")[..], b"\x81"].concat() {
            server.write_all(&[byte]).await.expect("written");
        }
        let (left, carried) = left.await.expect("no panic");
        let Left::ComesIn(first) = left else { panic!("{left:?}") };
        assert!(first.starts_with(&mutation), "with what has come behind it: {first:?}");
        assert_eq!(carried.up, query.len() as u64);
        let mut rest = Vec::new();
        browser.read_to_end(&mut rest).await.expect("read");
        assert!(b"\x81".starts_with(&rest), "the browser gets nothing of the answer: {rest:?}");
    }

    #[tokio::test]
    async fn who_is_not_let_in_is_refused_and_waits_on() {
        let (mut browser, mut server, left) = waits((Bytes::new(), Bytes::new()));
        let refused = text(r#"{"id":"in","payload":[{"message":"User is not allowed to join"}],"type":"error"}"#);
        let forged = |id: &str| {
            let long = format!(r#"{{"id":"{id}","x":"{}"}}"#, "x".repeat(5000));
            let other = answer(&"0".repeat(32), "ALLOW");
            let fragments = [&[0x01, 1, b'a'][..], &[0x80, 1, b'b'], &[0x89, 0]].concat();
            [other, text(&format!(r#"{{"id":"1","type":"next","payload":"{id}"}}"#)), fragments, text(&long)].concat()
        };
        for status in ["WAIT", "DENY", ""] {
            // The second is read when the first has been answered.
            browser.write_all(&[whole(MUTATION), whole(MUTATION)].concat()).await.expect("written");
            for _ in 0..2 {
                let id = asked(&mut server).await;
                let forged = forged(&id);
                server.write_all(&[&forged[..], &answer(&id, status)].concat()).await.expect("written");
                told(&mut browser, &[&forged[..], &refused].concat()).await;
            }
        }
        browser.write_all(&whole(MUTATION)).await.expect("written");
        let id = asked(&mut server).await;
        let error = format!(r#"{{"type":"error","id":"{id}","payload":[{{"message":"too many"}}]}}"#);
        server.write_all(&text(&error)).await.expect("written");
        told(&mut browser, &refused).await;
        drop(browser);
        assert_eq!(left.await.expect("no panic").0, Left::Closed(Side::Browser));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_say_who_is_let_in_ends_the_waiting() {
        let (mut browser, mut server, left) = waits((Bytes::new(), Bytes::new()));
        browser.write_all(&whole(MUTATION)).await.expect("written");
        let id = asked(&mut server).await;
        let unfinished = answer(&id, "ALLOW");
        server.write_all(&unfinished[..unfinished.len() - 1]).await.expect("written");
        assert_eq!(left.await.expect("no panic").0, Left::Unanswered);
    }

    #[tokio::test]
    async fn a_mutation_that_cannot_be_answered_ends_the_waiting() {
        let long = MUTATION.replace("\"in\"", &format!("\"{}\"", "i".repeat(ID_BYTES_MAX + 1)));
        for mutation in ["mutation { userJoinMeeting }", r#"{"type":"ping","payload":"userJoinMeeting"}"#, &long] {
            let (mut browser, _server, left) = waits((Bytes::new(), Bytes::new()));
            browser.write_all(&whole(mutation)).await.expect("written");
            assert_eq!(left.await.expect("no panic").0, Left::Malformed, "{mutation}");
        }
    }
}
