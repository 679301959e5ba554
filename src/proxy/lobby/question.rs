//! Whether a guest is let in, asked of the server on the guest's own socket.
//!
//! What the server sends for the client's queries says nothing reliable: the client gives names to what it asks for, and has a
//! name itself. So the gateway asks a question of its own, under an id that the client does not know, and takes the answer out of
//! what goes to the browser. Frames are read as they come (RFC 6455, 5.2); only a short one is looked at while an answer is
//! awaited, and all others go on byte for byte.

use bytes::{Buf, BytesMut};
use data_encoding::HEXLOWER;
use memchr::memmem::find;
use serde::Deserialize;

use crate::proxy::frame;

/// The role of a guest who waits may read this field, of its own user only (bbb-graphql-server,
/// `public_v_user_current.yaml`); BBB's own client waits by it.
const QUERY: &str = "query getGuestStatus { user_current { guestStatus } }";
/// The answer has some 100 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;
/// The status of somebody who is let in; others wait, or were turned away.
const LET_IN: &str = "ALLOW";
/// A text frame with FIN and without extensions.
const WHOLE_TEXT: u8 = 0x81;
/// A frame with a mask, which no server sends.
const MASKED: u8 = 0x80;

/// A question that is on its way.
#[derive(Debug)]
struct Question {
    id: String,
    /// Whether the guest is let in, as far as the server has said it.
    let_in: bool,
    /// What the browser gets in place of the answer where the guest is not.
    refusal: Vec<u8>,
}

/// What a server sends to a guest who waits, frame by frame.
#[derive(Debug, Default)]
pub(super) struct ServerFrames {
    question: Option<Question>,
    /// So many bytes of the frame under way go on as they are.
    passing: u64,
}

impl ServerFrames {
    /// Asks; the frame for the server. `refusal` is the frame that the browser gets where the guest is not let in. `None` where
    /// the system has no random numbers.
    pub(super) fn ask(&mut self, refusal: Vec<u8>) -> Option<Vec<u8>> {
        let (mut id, mut mask) = ([0; 16], [0; 4]);
        aws_lc_rs::rand::fill(&mut id).ok()?;
        aws_lc_rs::rand::fill(&mut mask).ok()?;
        let id = HEXLOWER.encode(&id);
        let payload = serde_json::json!({ "operationName": "getGuestStatus", "query": QUERY, "variables": {} });
        let text = serde_json::json!({ "id": id, "type": "subscribe", "payload": payload }).to_string();
        let asked = frame::masked(text.as_bytes(), mask).ok()?;
        self.question = Some(Question { id, let_in: false, refusal });
        Some(asked)
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// Moves what has come to what goes on to the browser, but for answers; what may be the beginning of one stays, unless the
    /// guest is let in. Returns whether that is so, once the server has answered.
    pub(super) fn take(&mut self, came: &mut BytesMut, on: &mut Vec<u8>) -> Option<bool> {
        while !came.is_empty() {
            if self.passing > 0 {
                let piece = usize::try_from(self.passing).map_or(came.len(), |bytes| bytes.min(came.len()));
                on.extend_from_slice(&came[..piece]);
                came.advance(piece);
                self.passing = self.passing.saturating_sub(piece as u64);
                continue;
            }
            let (head_bytes, payload_bytes) = head(came)?;
            let whole = payload_bytes.saturating_add(head_bytes as u64);
            let Some(question) = self.question.as_mut().filter(|_| came[0] == WHOLE_TEXT) else {
                self.passing = whole;
                continue;
            };
            if payload_bytes > ANSWER_BYTES_MAX {
                self.passing = whole;
                continue;
            }
            let payload = usize::try_from(whole).ok().and_then(|whole| came.get(head_bytes..whole))?;
            let Some(said) = question.hears(payload) else {
                self.passing = whole;
                continue;
            };
            let answer_bytes = head_bytes.saturating_add(payload.len());
            came.advance(answer_bytes);
            if said == Said::Over {
                let question = self.question.take()?;
                if question.let_in {
                    // From here on nothing is read.
                    on.extend_from_slice(came);
                    came.clear();
                } else {
                    on.extend(question.refusal);
                }
                return Some(question.let_in);
            }
        }
        None
    }
}

/// What a server has said about a question.
#[derive(PartialEq)]
enum Said {
    Status,
    Over,
}

impl Question {
    /// Reads a message; `None` for one that is not about this question.
    fn hears(&mut self, text: &[u8]) -> Option<Said> {
        find(text, self.id.as_bytes())?;
        let message: Message = serde_json::from_slice(text).ok().filter(|message: &Message| message.id == self.id)?;
        if message.kind != "next" {
            return Some(Said::Over);
        }
        let status = message.payload.pointer("/data/user_current/0/guestStatus");
        self.let_in = status.and_then(serde_json::Value::as_str) == Some(LET_IN);
        Some(Said::Status)
    }
}

#[derive(Deserialize)]
struct Message {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: serde_json::Value,
}

/// The bytes of a server's frame: of its head, and behind it; `None` while the head is not whole.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let (head, payload) = match *bytes {
        [_, n, ..] if (n & !MASKED) < 126 => (2, u64::from(n & !MASKED)),
        [_, n, a, b, ..] if (n & !MASKED) == 126 => (4, u64::from(u16::from_be_bytes([a, b]))),
        [_, _, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => return None,
    };
    Some((if bytes[1] & MASKED == 0 { head } else { head.saturating_add(4) }, payload))
}
