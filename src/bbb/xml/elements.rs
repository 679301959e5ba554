//! The elements of an XML answer, and texts that are spliced into it.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{borrow::Cow, fmt, ops::Range};

use quick_xml::{Reader, escape::unescape, events::Event};

/// An answer is no XML answer of BBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer of the server is not a BBB answer")
    }
}

impl std::error::Error for Garbage {}

/// Deeper than any answer of BBB nests (`response/meetings/meeting/attendees/attendee/customdata/*` is 7).
const DEPTH_MAX: usize = 16;

/// One closed element: where it stands and what surrounds it.
pub(in crate::bbb) struct Element<'p, 'x> {
    /// Names from the root to the element itself.
    pub(in crate::bbb) path: &'p [&'x str],
    /// From `<` of its start to `>` of its end.
    pub(in crate::bbb) outer: Range<usize>,
    /// What is between its tags.
    pub(in crate::bbb) inner: Range<usize>,
}

/// Calls `visit` for each element as it closes, children before parents.
pub(in crate::bbb) fn elements<'x>(xml: &'x str, mut visit: impl FnMut(Element<'_, 'x>)) -> Result<(), Garbage> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut path: Vec<&'x str> = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut rooted = false;
    loop {
        let before = position(&reader);
        let event = reader.read_event().map_err(|_| Garbage)?;
        let after = position(&reader);
        match event {
            Event::Start(_) | Event::Empty(_) => {
                let name = name_at(xml, before).ok_or(Garbage)?;
                if path.len() == DEPTH_MAX || (path.is_empty() && (rooted || name != "response")) {
                    return Err(Garbage);
                }
                rooted = true;
                path.push(name);
                if matches!(event, Event::Empty(_)) {
                    visit(Element { path: &path, outer: before..after, inner: after..after });
                    path.pop();
                } else {
                    open.push((before, after));
                }
            }
            Event::End(_) => {
                let (start, content) = open.pop().ok_or(Garbage)?;
                visit(Element { path: &path, outer: start..after, inner: content..before });
                path.pop();
            }
            Event::DocType(_) => return Err(Garbage),
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_) => {}
        }
    }
    if rooted && open.is_empty() { Ok(()) } else { Err(Garbage) }
}

pub(in crate::bbb) fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The name of the tag that starts at `at`.
fn name_at(xml: &str, at: usize) -> Option<&str> {
    let rest = xml.get(at..)?.strip_prefix('<')?;
    let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')?;
    Some(&rest[..end])
}

/// The text of an element without children.
pub(in crate::bbb) fn text(raw: &str) -> Cow<'_, str> {
    let raw = raw.trim();
    match raw.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>")) {
        Some(text) => text.into(),
        None => unescape(raw).unwrap_or(Cow::Borrowed(raw)),
    }
}

/// A copy of a text with some ranges replaced, given in order.
pub(in crate::bbb) struct Splice<'x> {
    from: &'x str,
    done: usize,
    out: String,
}

impl<'x> Splice<'x> {
    pub(in crate::bbb) fn new(from: &'x str) -> Self {
        Self { from, done: 0, out: String::with_capacity(from.len()) }
    }

    pub(in crate::bbb) fn replace(&mut self, range: Range<usize>, with: &str) {
        // What lies in something that is replaced is gone with it.
        if range.start < self.done {
            return;
        }
        self.out.push_str(&self.from[self.done..range.start]);
        self.out.push_str(with);
        self.done = range.end;
    }

    pub(in crate::bbb) fn finish(mut self) -> String {
        self.out.push_str(&self.from[self.done..]);
        self.out
    }
}
