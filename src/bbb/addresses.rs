//! Rewrites addresses in BBB's answers: from the server to the tenant's host.

use std::ops::Range;

use http::uri::Authority;
use memchr::memmem::find_iter;

/// What divides a scheme from a host, as it stands in plain text and as some write it in JSON.
const JOINTS: [&str; 2] = ["://", ":\\/\\/"];
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
    let [plain, escaped] = JOINTS.map(|joint| find_iter(text, joint).map(move |at| (at, joint.len())));
    let (mut plain, mut escaped) = (plain.peekable(), escaped.peekable());
    let mut done = 0;
    loop {
        let next = match (plain.peek(), escaped.peek()) {
            (Some(a), Some(b)) if b < a => escaped.next(),
            (None, _) => escaped.next(),
            (Some(_), _) => plain.next(),
        };
        let Some((at, joint)) = next else { break };
        let Some((range, scheme)) = address_at(text, at, joint, names) else { continue };
        for part in [&text[done..range.start], scheme.as_bytes(), b"://", place.as_bytes()] {
            out.extend_from_slice(part);
        }
        done = range.end;
    }
    if done > 0 {
        out.extend_from_slice(&text[done..]);
    }
    done > 0
}

/// From the scheme of an address of the server to the end of its authority, and its scheme on the tenant's host.
fn address_at(text: &[u8], at: usize, joint: usize, names: &[Authority]) -> Option<(Range<usize>, &'static str)> {
    let start = scheme_start(text, at);
    let secure = match &text[start..at] {
        b"ws" | b"wss" => "wss",
        b"http" | b"https" => "https",
        _ => return None,
    };
    let end = at + joint + authority_len(&text[at + joint..]);
    let authority = std::str::from_utf8(&text[at + joint..end]).ok()?;
    is_one_of(authority, names).then_some((start..end, secure))
}

/// Where the letters before `at` begin; one more than a scheme has tells that it is none.
fn scheme_start(text: &[u8], at: usize) -> usize {
    let letters = text[..at].iter().rev().take(SCHEME_BYTES_MAX + 1).take_while(|b| b.is_ascii_alphabetic());
    at - letters.count()
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

/// How many bytes at the end of a text may be the beginning of an address that goes on behind it: some 270 at the most.
#[must_use]
pub fn open_end(text: &[u8]) -> usize {
    let from = text.len().saturating_sub(SCHEME_BYTES_MAX + JOINTS[1].len() + AUTHORITY_BYTES_MAX);
    let tail = &text[from..];
    let joints =
        JOINTS.iter().filter_map(|joint| memchr::memmem::rfind(tail, joint.as_bytes()).map(|at| (at, joint.len())));
    let last = joints.max();
    let mut open = match last {
        Some((at, joint)) if authority_len(&tail[at + joint..]) == tail.len() - at - joint => scheme_start(tail, at),
        // Not even the joint is whole.
        _ => {
            let parts = JOINTS.iter().flat_map(|joint| (0..joint.len()).map(|n| &joint[..n]));
            let part = parts.filter(|part| tail.ends_with(part.as_bytes())).map(str::len).max();
            scheme_start(tail, tail.len() - part.unwrap_or(0))
        }
    };
    if last.is_some() {
        // The end of a host, before an empty port, looks like a scheme: an address is held whole, or not at all.
        let all = JOINTS.iter().flat_map(|joint| find_iter(tail, *joint).map(|at| (at, joint.len())));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        for (at, joint) in all.into_iter().rev() {
            if at < open && open < at + joint + authority_len(&tail[at + joint..]) {
                open = scheme_start(tail, at);
            }
        }
    }
    tail.len() - open
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
    fn an_end_is_open_as_long_as_it_may_be_an_address() {
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
            ("\"https://bbb-01:\\", 16),
            ("\"https://bbb-01:\\/", 17),
            ("\"https://bbb-01:\\/\\/", 19),
            ("\"https://bbb-01:\\/\\/h", 20),
            ("\"https://bbb-01:\\/x", 1),
            ("\"https://[", 9),
            ("\"https://[::1", 12),
            ("\"https://[::1]:80", 16),
            ("\"https://[::1]/", 0),
            ("\"https://bbb-01/x y", 1),
            ("abcdefghij", 6),
        ] {
            assert_eq!(open_end(text.as_bytes()), open, "{text}");
        }
        let long = format!("https://{}", "a".repeat(5000));
        assert!(open_end(long.as_bytes()) <= 6, "no host is that long");
        let long = format!("https://[{}", "1:".repeat(5000));
        assert!(open_end(long.as_bytes()) <= 6, "nor one in brackets");
    }
}
