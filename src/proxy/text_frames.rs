//! The text frames of a WebSocket on their way to a browser: addresses that name the server are led to the tenant's host
//! (slides, breakout rooms, where people go who leave: docs/reference/bbb-protocol.md, "Addresses in answers").
//!
//! Frames are read as they come (RFC 6455, 5.2) and nothing waits for a message to be whole: a part of a message goes on as a
//! fragment of its own, but for its last bytes where those may be the beginning of an address. What is not to be changed, and
//! every frame that is no text, goes on byte for byte.

use std::{ops::Range, sync::Arc};

use crate::{bbb::addresses, domain::tenant::Server};

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
/// From here on opcodes are those of control frames, which may come in the middle of a message.
const CONTROL: u8 = 8;

/// Rewrites one socket's frames.
#[derive(Debug)]
pub struct TextFrames {
    server: Arc<Server>,
    /// Authority and prefix on the tenant's host.
    place: Box<str>,
    state: State,
    message: Message,
    /// The end of what has come of a text message, where it may be the beginning of an address.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the head of a frame.
    Head(Head),
    /// In a frame that goes on as it is, with so many bytes to come.
    Other(u64),
    /// In a frame of a text message, with so many bytes to come, and whether it is the message's last.
    Text(u64, bool),
    /// What came is no frame of a server: the browser is to find that out.
    Lost,
}

/// The message that is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Message {
    None,
    /// Of text, of which a fragment has gone on, or nothing yet.
    Text {
        begun: bool,
    },
    /// Of another kind.
    Other,
}

/// The bytes of a head: 2, and up to 8 for the length. A server's has no mask.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    bytes: [u8; 10],
    have: usize,
}

impl Head {
    /// How many bytes it has, as far as that can be told by now.
    fn len(&self) -> usize {
        match self.bytes[1] & 0x7f {
            _ if self.have < 2 => 2,
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    /// Takes bytes of the input until it is whole. Returns how many.
    fn take(&mut self, input: &[u8]) -> usize {
        let mut taken = 0_usize;
        while self.have < self.len() && taken < input.len() {
            self.bytes[self.have] = input[taken];
            (self.have, taken) = (self.have.saturating_add(1), taken.saturating_add(1));
        }
        taken
    }

    fn is_whole(&self) -> bool {
        self.have == self.len()
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.have]
    }

    fn is_last(&self) -> bool {
        self.bytes[0] & FIN != 0
    }

    /// How many bytes come behind it; `None` for a head that no server sends.
    fn payload_bytes(&self) -> Option<u64> {
        match *self.as_bytes() {
            [_, n] if n < 126 => Some(n.into()),
            [_, 126, a, b] => Some(u16::from_be_bytes([a, b]).into()),
            [_, 127, ref long @ ..] => Some(u64::from_be_bytes(long.try_into().ok()?)),
            _ => None,
        }
    }

    /// The head of a text frame.
    fn write(first: u8, payload_bytes: usize, out: &mut Vec<u8>) {
        out.push(first);
        match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
            (Ok(n), _) if n < 126 => out.push(n),
            (_, Ok(n)) => {
                out.push(126);
                out.extend(n.to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend((payload_bytes as u64).to_be_bytes());
            }
        }
    }
}

/// What goes on: the input up to a point and, once something is changed, behind that what has been made of the rest.
struct Output<'a> {
    input: &'a [u8],
    same: usize,
    changed: bool,
    out: &'a mut Vec<u8>,
}

impl Output<'_> {
    /// A piece of the input goes on as it is.
    fn keep(&mut self, piece: Range<usize>) {
        if self.changed {
            self.out.extend_from_slice(&self.input[piece]);
        } else {
            self.same = piece.end;
        }
    }

    /// Something else goes on than what has come.
    fn change(&mut self) -> &mut Vec<u8> {
        if !self.changed {
            self.changed = true;
            self.out.extend_from_slice(&self.input[..self.same]);
        }
        self.out
    }
}

impl TextFrames {
    /// Frames of a server. `authority` is the tenant's host as its browser wrote it, `prefix` where the server is found there.
    #[must_use]
    pub fn new(server: Arc<Server>, authority: &str, prefix: &str) -> Self {
        let place = format!("{authority}{prefix}").into();
        Self { server, place, state: State::Head(Head::default()), message: Message::None, held: Vec::new() }
    }

    /// Takes what has come next. Returns whether that goes on as it is; else what goes on instead is in `out`, which may be
    /// nothing.
    pub fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let mut output = Output { input, same: 0, changed: false, out };
        let mut at = 0_usize;
        while at < input.len() {
            let come = input.len().saturating_sub(at);
            let taken = match self.state {
                State::Head(head) => self.head(head, at, &mut output),
                State::Other(left) => {
                    let n = at_most(left, come);
                    output.keep(at..at.saturating_add(n));
                    self.state = State::after(left, n, State::Other);
                    n
                }
                State::Text(left, last) => {
                    let n = at_most(left, come);
                    self.text(&input[at..at.saturating_add(n)], last && n as u64 == left, &mut output);
                    self.state = State::after(left, n, |left| State::Text(left, last));
                    n
                }
                State::Lost => {
                    output.keep(at..input.len());
                    come
                }
            };
            at = at.saturating_add(taken);
        }
        !output.changed
    }

    /// Reads a head, and its whole frame where that has come. Returns how many bytes that were.
    fn head(&mut self, mut head: Head, at: usize, output: &mut Output<'_>) -> usize {
        let input = output.input;
        let (is_cut, taken) = (head.have > 0, head.take(&input[at..]));
        if !head.is_whole() {
            // It goes on, or another one does, once it is whole.
            output.change();
            self.state = State::Head(head);
            return taken;
        }
        let (begins, last) = (at.saturating_add(taken), head.is_last());
        let frame = head.payload_bytes().and_then(|left| Some((left, self.enter(&head)?)));
        let Some((left, true)) = frame else {
            if is_cut {
                output.change().extend_from_slice(head.as_bytes());
            } else {
                output.keep(at..begins);
            }
            self.state = frame.map_or(State::Lost, |(left, _)| State::after(left, 0, State::Other));
            return taken;
        };
        let whole = usize::try_from(left).ok().and_then(|left| input[begins..].get(..left));
        let whole = whole
            .filter(|payload| self.held.is_empty() && (last || addresses::open_end(payload, &self.server.names) == 0));
        if let Some(payload) = whole.filter(|_| !is_cut && self.may_stay(&head)) {
            let mut new = Vec::new();
            if addresses::rewrite(payload, &self.server.names, &self.place, &mut new) {
                self.send(&new, last, output);
            } else {
                output.keep(at..begins.saturating_add(payload.len()));
                self.sent(last);
            }
            self.state = State::Head(Head::default());
            return taken.saturating_add(payload.len());
        }
        output.change();
        if left == 0 {
            self.text(&[], last, output);
        }
        self.state = State::after(left, 0, |left| State::Text(left, last));
        taken
    }

    /// Goes into a frame. Returns whether it is one of a text message; `None` for one that may not come now.
    fn enter(&mut self, head: &Head) -> Option<bool> {
        let is_plain = head.bytes[0] & RESERVED == 0;
        match (head.bytes[0] & OPCODE, self.message) {
            (CONTROL.., _) => Some(false),
            (CONTINUATION, Message::None) => None,
            (CONTINUATION, Message::Text { .. }) => is_plain.then_some(true),
            (TEXT, Message::None) if is_plain => {
                self.message = Message::Text { begun: false };
                Some(true)
            }
            (CONTINUATION, Message::Other) | (_, Message::None) => {
                self.message = if head.is_last() { Message::None } else { Message::Other };
                Some(false)
            }
            _ => None,
        }
    }

    /// Whether a frame of a text message may keep its opcode: not where it goes on with what has not begun for the browser,
    /// because nothing of the fragments before it was worth a frame.
    fn may_stay(&self, head: &Head) -> bool {
        let begun = self.message == Message::Text { begun: true };
        begun == (head.bytes[0] & OPCODE == CONTINUATION)
    }

    /// A part of a text message, the last one where `last`.
    fn text(&mut self, part: &[u8], last: bool, output: &mut Output<'_>) {
        let mut held = std::mem::take(&mut self.held);
        let text = if held.is_empty() {
            part
        } else {
            held.extend_from_slice(part);
            &held
        };
        let (names, place, mut new) = (&self.server.names, &self.place, Vec::new());
        let (changed, open) = if last {
            (addresses::rewrite(text, names, place, &mut new), 0)
        } else {
            addresses::rewrite_open(text, names, place, &mut new)
        };
        let (text, open) = text.split_at(text.len().saturating_sub(open));
        self.held = open.to_vec();
        self.send(if changed { &new } else { text }, last, output);
    }

    /// Sends a fragment of a text message.
    fn send(&mut self, text: &[u8], last: bool, output: &mut Output<'_>) {
        let out = output.change();
        if text.is_empty() && !last {
            return;
        }
        let begun = matches!(self.message, Message::Text { begun: true });
        let opcode = if begun { CONTINUATION } else { TEXT };
        Head::write(if last { FIN | opcode } else { opcode }, text.len(), out);
        out.extend_from_slice(text);
        self.sent(last);
    }

    fn sent(&mut self, last: bool) {
        self.message = if last { Message::None } else { Message::Text { begun: true } };
    }
}

impl State {
    /// The state after `taken` of the `left` bytes of a frame.
    fn after(left: u64, taken: usize, more: impl FnOnce(u64) -> Self) -> Self {
        match left.saturating_sub(taken as u64) {
            0 => Self::Head(Head::default()),
            left => more(left),
        }
    }
}

fn at_most(left: u64, have: usize) -> usize {
    usize::try_from(left).map_or(have, |left| left.min(have))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::domain::fixtures::server;

    const PING: u8 = 0x89;
    const BINARY: u8 = 2;

    fn frames() -> TextFrames {
        TextFrames::new(Arc::new(server("a", "members")), "meet.w", "/s/x1") // its name is a.internal.test
    }

    fn frame(first: u8, payload: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        Head::write(first, payload.len(), &mut frame);
        frame.extend(payload.as_bytes());
        frame
    }

    /// What a browser gets, where the input comes in pieces that end at `cuts`.
    fn passed(input: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut frames, mut out, mut all, mut from) = (frames(), Vec::new(), Vec::new(), 0);
        for to in cuts.iter().copied().chain([input.len()]) {
            let piece = &input[from..to];
            let same = frames.take(piece, &mut out);
            all.extend_from_slice(if same { piece } else { &out });
            from = to;
        }
        assert!(frames.held.is_empty(), "nothing stays behind");
        all
    }

    /// Messages and control frames in the order in which they are whole: opcode and content.
    fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut all, mut open) = (Vec::new(), None::<(u8, Vec<u8>)>);
        while !bytes.is_empty() {
            let mut head = Head::default();
            bytes = &bytes[head.take(bytes)..];
            let (payload, rest) =
                bytes.split_at(usize::try_from(head.payload_bytes().expect("a head")).expect("short"));
            bytes = rest;
            let opcode = head.bytes[0] & OPCODE;
            if opcode >= CONTROL {
                all.push((opcode, payload.to_vec()));
                continue;
            }
            assert_eq!(opcode == CONTINUATION, open.is_some(), "a message begins with its kind and goes on without");
            let message = open.get_or_insert((opcode, Vec::new()));
            message.1.extend_from_slice(payload);
            if head.is_last() {
                all.extend(open.take());
            }
        }
        assert!(open.is_none(), "a message is not whole");
        all
    }

    fn rewritten(text: &str) -> String {
        text.replace("https://a.internal.test", "https://meet.w/s/x1")
            .replace("ws://A.internal.test:80", "wss://meet.w/s/x1")
    }

    #[test]
    fn what_is_not_changed_goes_on_byte_for_byte() {
        let large = "x".repeat(70_000);
        for input in [
            frame(FIN | TEXT, "{}"),
            frame(FIN | TEXT, ""),
            frame(FIN | TEXT, &large),
            frame(FIN | TEXT, "https://elsewhere.example/"),
            frame(FIN | BINARY, "https://a.internal.test/"),
            [frame(BINARY, "https://a.internal"), frame(FIN, ".test/")].concat(),
            [frame(TEXT, "one "), frame(PING, "https://a.internal.test/"), frame(FIN, "two")].concat(),
            frame(0x88, "\u{3}\u{e8}https://a.internal.test/"),
            // Compressed: none is agreed on, and what it is cannot be seen.
            frame(0xc1, "https://a.internal.test/"),
            // No frames of a server.
            frame(FIN, "https://a.internal.test/"),
            vec![FIN | TEXT, 0x83, 1, 2, 3, 4, 5, 6, 7],
            [frame(TEXT, "one "), frame(FIN | TEXT, "https://a.internal.test/")].concat(),
            b"HTTP/1.1 400 Bad Request\r\n\r\nhttps://a.internal.test/".to_vec(),
        ] {
            assert!(frames().take(&input, &mut Vec::new()), "{:?}", &input[..input.len().min(40)]);
        }
    }

    #[test]
    fn an_address_is_found_wherever_it_is_cut() {
        let text = r#"{"a":"https://a.internal.test/x","b":"ws://A.internal.test:80/y","c":"https://a.internal.test"}"#;
        let input = [frame(FIN | TEXT, text), frame(PING, "p"), frame(FIN | TEXT, "z")].concat();
        let expected = vec![(TEXT, rewritten(text).into_bytes()), (9, b"p".to_vec()), (TEXT, b"z".to_vec())];
        for cut in 0..=input.len() {
            for second in cut..=input.len() {
                assert_eq!(messages(&passed(&input, &[cut, second])), expected, "{cut} {second}");
            }
        }
        // Its first fragment is empty, and its head is cut.
        let input = [frame(TEXT, ""), frame(FIN, text)].concat();
        for cut in 0..=input.len() {
            assert_eq!(messages(&passed(&input, &[cut])), [(TEXT, rewritten(text).into_bytes())], "{cut}");
        }
        // The server cuts a message in two itself, with a ping between.
        for cut in 0..=text.len() {
            let input = [frame(TEXT, &text[..cut]), frame(PING, "p"), frame(FIN, &text[cut..])].concat();
            let expected = vec![(9, b"p".to_vec()), (TEXT, rewritten(text).into_bytes())];
            assert_eq!(messages(&passed(&input, &[])), expected, "{cut}");
        }
    }

    #[test]
    fn a_server_that_is_named_by_a_number_is_found_wherever_it_is_cut() {
        let named = Server { names: vec!["[::1]:8090".parse().expect("legal")], ..server("a", "members") };
        let named = Arc::new(named);
        let input = frame(FIN | TEXT, r#"{"a":"http://[::1]:8090/x"}"#);
        for cut in 0..=input.len() {
            let (mut frames, mut out) = (TextFrames::new(Arc::clone(&named), "meet.w", "/s/x1"), Vec::new());
            let mut all = Vec::new();
            for piece in [&input[..cut], &input[cut..]] {
                let same = frames.take(piece, &mut out);
                all.extend_from_slice(if same { piece } else { &out });
            }
            assert_eq!(messages(&all), [(TEXT, br#"{"a":"https://meet.w/s/x1/x"}"#.to_vec())], "{cut}");
        }
    }

    #[test]
    fn a_message_without_end_is_not_kept() {
        let mut frames = frames();
        let mut head = vec![FIN | TEXT, 127];
        head.extend((1_u64 << 40).to_be_bytes());
        let mut out = Vec::new();
        assert!(!frames.take(&head, &mut out) && out.is_empty());
        for _ in 0..100 {
            frames.take(&[b'h'; 16 * 1024], &mut out);
            assert!(out.len() > 15 * 1024 && frames.held.len() < 300, "{} {}", out.len(), frames.held.len());
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_but_for_addresses(
            parts in vec((any::<bool>(), any::<bool>(), "( https://a\\.internal\\.test/| ws://A\\.internal\\.test:80\"|https?:/|ht|a\\.internal|[ \"]){0,12}"), 1..8),
            cuts in vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let (mut input, mut expected, mut message, mut open) = (Vec::new(), Vec::new(), String::new(), false);
            for (n, (last, ping, text)) in parts.iter().enumerate() {
                if *ping {
                    input.extend(frame(PING, text));
                    expected.push((9, text.clone().into_bytes()));
                }
                let last = *last || n + 1 == parts.len();
                let opcode = if open { CONTINUATION } else { TEXT };
                input.extend(frame(if last { FIN | opcode } else { opcode }, text));
                message.push_str(text);
                open = !last;
                if last {
                    expected.push((TEXT, rewritten(&std::mem::take(&mut message)).into_bytes()));
                }
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).collect();
            cuts.sort_unstable();
            prop_assert_eq!(messages(&passed(&input, &cuts)), expected);
        }

        #[test]
        fn nothing_that_comes_panics(input in vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>()) {
            let mut frames = frames();
            let cut = if input.is_empty() { 0 } else { cut.index(input.len()) };
            let mut out = Vec::new();
            frames.take(&input[..cut], &mut out);
            frames.take(&input[cut..], &mut out);
        }
    }
}
