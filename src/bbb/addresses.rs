//! Rewrites addresses in BBB's answers: from the server to the tenant's host.

use std::{ops::Range, sync::LazyLock};

use http::uri::Authority;
use memchr::memmem::Finder;

/// What divides a scheme from a host, as it stands in plain text and as some write it in JSON.
const JOINTS: [&str; 2] = ["://", ":\\/\\/"];
/// Made once: to make them takes longer than to search a frame of usual length.
static FINDERS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| JOINTS.map(Finder::new));
/// A host has 253 characters at the most, a port 6.
const AUTHORITY_BYTES_MAX: usize = 260;
/// `https`.
const SCHEME_BYTES_MAX: usize = 5;

/// A text with all absolute addresses of a server (`https://bbb-01/pad`, `wss://bbb-01/ws`) on the tenant's host, below
/// `prefix`; `None` where there is no address in it. Plain schemes become secure ones.
///
/// `names` are the server's, `authority` is the tenant's host as the caller wrote it.
#[must_use]
pub fn rewritten(text: &str, names: &[Authority], authority: &str, prefix: &str) -> Option<String> {
    let mut out = Vec::new();
    // Addresses begin and end between characters.
    rewrite(text.as_bytes(), names, &format!("{authority}{prefix}"), &mut out).then(|| String::from_utf8(out).ok())?
}

/// The same for bytes, where `place` is authority and prefix: appends the new text to `out`, unless nothing is to be changed.
/// Returns whether it did.
pub fn rewrite(text: &[u8], names: &[Authority], place: &str, out: &mut Vec<u8>) -> bool {
    let mut done = 0;
    for address in Addresses::of(text, names) {
        address.replace(text, &mut done, place, out);
    }
    if done > 0 {
        out.extend_from_slice(&text[done..]);
    }
    done > 0
}

/// The same for a text that goes on, but for the bytes at its end that may be the beginning of an address: some 270 at the most.
/// Returns whether something was changed, and how many bytes those are. What is before them is rewritten as it would be in the
/// whole text, and what is no address there does not become one because it is cut.
pub fn rewrite_open(text: &[u8], names: &[Authority], place: &str, out: &mut Vec<u8>) -> (bool, usize) {
    let mut addresses = Addresses::of(text, names);
    let mut done = 0;
    while let Some(address) = addresses.next_closed() {
        address.replace(text, &mut done, place, out);
    }
    let end = addresses.open_from();
    if done > 0 {
        out.extend_from_slice(&text[done..end]);
    }
    (done > 0, text.len() - end)
}

/// How many bytes at the end of a text may be the beginning of an address that goes on behind it: see [`rewrite_open`].
#[must_use]
pub fn open_end(text: &[u8], names: &[Authority]) -> usize {
    let mut addresses = Addresses::of(text, names);
    while addresses.next_closed().is_some() {}
    text.len() - addresses.open_from()
}

/// An address of the server.
struct Address {
    /// From its scheme to the end of its authority.
    range: Range<usize>,
    /// Its scheme on the tenant's host.
    scheme: &'static str,
}

impl Address {
    /// Appends a text from `done` to here, and the address on the tenant's host.
    fn replace(self, text: &[u8], done: &mut usize, place: &str, out: &mut Vec<u8>) {
        for part in [&text[*done..self.range.start], self.scheme.as_bytes(), b"://", place.as_bytes()] {
            out.extend_from_slice(part);
        }
        *done = self.range.end;
    }
}

/// The addresses of a server in a text, from left to right: the end of one, before an empty port, is not the scheme of the next.
struct Addresses<'a> {
    text: &'a [u8],
    names: &'a [Authority],
    /// Where the next joint of each kind is.
    joints: [Option<usize>; 2],
    /// The end of the last one.
    done: usize,
    /// Where the first begins that may be one, or another, by what comes behind the text.
    open: Option<usize>,
}

impl<'a> Addresses<'a> {
    fn of(text: &'a [u8], names: &'a [Authority]) -> Self {
        let joints = [0, 1].map(|kind| joint_from(text, kind, 0));
        Self { text, names, joints, done: 0, open: None }
    }

    /// The next address, unless something before its end is open.
    fn next_closed(&mut self) -> Option<Address> {
        self.next().filter(|_| self.open.is_none())
    }

    /// Where what may be the beginning of an address begins, once all before it has been looked at.
    fn open_from(&self) -> usize {
        self.open.unwrap_or_else(|| open_scheme(self.text, self.done))
    }

    /// Where the next joint is, and how long.
    fn joint(&mut self) -> Option<(usize, usize)> {
        let is_escaped = match self.joints {
            [Some(plain), Some(escaped)] => escaped < plain,
            [plain, _] => plain.is_none(),
        };
        let kind = usize::from(is_escaped);
        let (at, len) = (self.joints[kind]?, JOINTS[kind].len());
        self.joints[kind] = joint_from(self.text, kind, at + len);
        Some((at, len))
    }
}

/// Where the first joint of a kind is at or behind `from`.
fn joint_from(text: &[u8], kind: usize, from: usize) -> Option<usize> {
    FINDERS[kind].find(&text[from..]).map(|at| from + at)
}

impl Iterator for Addresses<'_> {
    type Item = Address;

    fn next(&mut self) -> Option<Address> {
        loop {
            let (at, joint) = self.joint()?;
            if at < self.done {
                continue;
            }
            let Some((start, scheme)) = scheme_before(self.text, self.done, at) else { continue };
            let authority = &self.text[at + joint..];
            let len = authority_len(authority);
            let is_open = len == authority.len() && len <= AUTHORITY_BYTES_MAX;
            if is_open && self.open.is_none() {
                self.open = Some(start);
            }
            let end = at + joint + len;
            let is_servers = std::str::from_utf8(&authority[..len]).is_ok_and(|name| is_one_of(name, self.names));
            if is_servers {
                self.done = end;
                return Some(Address { range: start..end, scheme });
            }
        }
    }
}

/// The scheme of an address before its joint: where it begins, not before `from`, and what becomes of it on the tenant's host.
fn scheme_before(text: &[u8], from: usize, joint: usize) -> Option<(usize, &'static str)> {
    let start = letters_before(text, from, joint);
    match &text[start..joint] {
        b"ws" | b"wss" => Some((start, "wss")),
        b"http" | b"https" => Some((start, "https")),
        _ => None,
    }
}

/// Where the letters before `at` begin, not before `from`; one more than a scheme has tells that it is none.
fn letters_before(text: &[u8], from: usize, at: usize) -> usize {
    let letters = text[from..at].iter().rev().take(SCHEME_BYTES_MAX + 1).take_while(|b| b.is_ascii_alphabetic());
    at - letters.count()
}

/// Where an address may begin at the end of a text, none of whose joint, or not all, has come yet.
fn open_scheme(text: &[u8], from: usize) -> usize {
    let parts = JOINTS.iter().flat_map(|joint| (1..joint.len()).map(|n| &joint[..n]));
    let part = parts.filter(|part| text[from..].ends_with(part.as_bytes())).map(str::len).max();
    match part {
        Some(part) => scheme_before(text, from, text.len() - part).map_or(text.len(), |(start, _)| start),
        None => letters_before(text, from, text.len()),
    }
}

/// How long a text stays one host and port, as far as one can be that long.
fn authority_len(text: &[u8]) -> usize {
    let text = &text[..text.len().min(AUTHORITY_BYTES_MAX + 1)];
    // An address of the newer kind stands in brackets, and is open until they are closed.
    let from = match text.first() {
        Some(b'[') => text.iter().position(|b| *b == b']').map_or(text.len(), |at| at + 1),
        _ => 0,
    };
    text[from..].iter().position(|b| b"/?#\"'<>()[]{},;|\\ \t\r\n".contains(b)).map_or(text.len(), |at| from + at)
}

/// Whether `host[:port]` is a server: its port does not matter, its case neither.
#[must_use]
pub fn is_one_of(authority: &str, names: &[Authority]) -> bool {
    authority.parse::<Authority>().is_ok_and(|at| names.iter().any(|name| name.host().eq_ignore_ascii_case(at.host())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_addresses_are_rewritten_and_no_others() {
        let names = ["bbb-01.internal.test".parse().expect("legal"), "[::1]:80".parse().expect("legal")];
        for (text, expected) in [
            ("https://bbb-01.internal.test/playback/x", Some("https://meet.w/p/playback/x")),
            ("http://BBB-01.internal.test:8080", Some("https://meet.w/p")),
            ("http://[::1]:8080/x", Some("https://meet.w/p/x")),
            ("ftp://bbb-01.internal.test/x", None),
            ("xhttps://bbb-01.internal.test/x", None),
            (
                "https://elsewhere.example/?u=https://bbb-01.internal.test",
                Some("https://elsewhere.example/?u=https://meet.w/p"),
            ),
            ("https://bbb-01.internal.test, and so on", Some("https://meet.w/p, and so on")),
            ("[https://bbb-01.internal.test:80]", Some("[https://meet.w/p]")),
            ("ü https:\\/\\/bbb-01.internal.test\\/x ü", Some("ü https://meet.w/p\\/x ü")),
            (
                "a:\\/\\/b http://bbb-01.internal.test wss:\\/\\/bbb-01.internal.test c://d",
                Some("a:\\/\\/b https://meet.w/p wss://meet.w/p c://d"),
            ),
            ("https://bbb-01.internal.test.evil.example/", None),
            ("https://bbb-01.internal.testü/", None),
            ("no address", None),
            ("://", None),
            ("", None),
        ] {
            assert_eq!(rewritten(text, &names, "meet.w", "/p").as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn one_address_does_not_begin_in_another() {
        // With an empty port the end of this name could be the scheme of the next address.
        let names = ["bbb.ws".parse().expect("legal")];
        for (text, expected) in [
            ("https://bbb.ws:\\/\\/bbb.ws", "https://meet.w/p\\/\\/bbb.ws"),
            ("https://bbb.ws://bbb.ws", "https://meet.w/p//bbb.ws"),
            ("https://elsewhere.ws://bbb.ws", "https://elsewhere.wss://meet.w/p"),
        ] {
            assert_eq!(rewritten(text, &names, "meet.w", "/p").as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_end_is_open_as_long_as_it_may_be_an_address() {
        let names = ["bbb-01".parse().expect("legal")];
        for (text, open) in [
            ("", 0),
            ("{\"a\": ", 0),
            ("{\"a\": \"h", 1),
            ("{\"a\": \"https", 5),
            ("\"https:", 6),
            ("\"https:/", 7),
            ("\"https://", 8),
            ("\"https:\\", 7),
            ("\"https:\\/", 8),
            ("\"https:\\/\\/bbb", 13),
            ("\"https://bbb-01.in", 17),
            ("\"https://bbb-01/", 0),
            ("\"https://bbb-01:", 15),
            ("\"https://bbb-01:\\", 0),
            ("\"https://bbb-01:\\/", 0),
            ("\"https://bbb-01:\\/\\/", 0),
            ("\"https://bbb-01:\\/\\/h", 1),
            ("\"https://elsewhere.ws:\\", 4),
            ("\"https://elsewhere.ws:\\/\\/h", 8),
            ("\"ftp://", 0),
            ("\"xhttps://", 0),
            ("\"https://[", 9),
            ("\"https://[::1", 12),
            ("\"https://[::1]:80", 16),
            ("\"https://[::1]/", 0),
            ("\"https://bbb-01/x y", 1),
            ("abcdefghij", 6),
        ] {
            assert_eq!(open_end(text.as_bytes(), &names), open, "{text}");
        }
        let long = format!("https://{}", "a".repeat(5000));
        assert!(open_end(long.as_bytes(), &names) <= 6, "no host is that long");
        let long = format!("https://[{}", "1:".repeat(5000));
        assert!(open_end(long.as_bytes(), &names) <= 6, "nor one in brackets");
    }

    #[test]
    fn a_text_that_is_cut_is_rewritten_as_the_whole_one() {
        let names = ["a.internal.test".parse().expect("legal"), "bbb.ws".parse().expect("legal")];
        // Many joints, each in what may be the authority of the one before.
        let chain = |name: &str| format!("https://{name}:\\/\\/\u{ff}{}", ":\\/\\/".repeat(80));
        for text in [
            chain("a.internal.test"),
            chain("elsewhere.test"),
            "https://bbb.ws:\\/\\/bbb.ws://bbb.ws https://[wss://bbb.ws http://[::1]http://bbb.ws".to_owned(),
            format!("https://{}ws://bbb.ws/https://bbb.ws", "a".repeat(AUTHORITY_BYTES_MAX)),
            "http://".repeat(60),
            "https://a.internal.test:https://a.internal.test~ https://a.internal.test:https://a.internal.test"
                .to_owned(),
        ] {
            let whole = rewritten(&text, &names, "meet.w", "/p").unwrap_or_else(|| text.clone());
            for step in 1..60 {
                let (mut held, mut passed) = (Vec::new(), Vec::new());
                for piece in text.as_bytes().chunks(step) {
                    held.extend_from_slice(piece);
                    let (changed, open) = rewrite_open(&held, &names, "meet.w/p", &mut passed);
                    assert!(open <= 275 && open == open_end(&held, &names), "{open}");
                    let rest = held.split_off(held.len() - open);
                    if !changed {
                        passed.append(&mut held);
                    }
                    held = rest;
                }
                if !rewrite(&held, &names, "meet.w/p", &mut passed) {
                    passed.append(&mut held);
                }
                assert_eq!(String::from_utf8_lossy(&passed), whole, "in pieces of {step}");
            }
        }
    }
}
