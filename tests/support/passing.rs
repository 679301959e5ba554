//! What holds for bytes that pass through: answers, frames, paths, forms, cookies. Shared by the random tests
//! (`tests/checks/arbitrary.rs`) and the fuzz targets (`fuzz/`), as `properties` is. Each takes any input and panics
//! where its property does not hold.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, dead_code, reason = "shared by test programs")]

use anteroom::{
    bbb::{addresses, query::PARAMS_MAX},
    net::proxy_protocol::{self, HEADER_BYTES_MAX, Header},
    proxy::{
        fuzzing as doors,
        route::{Kind, Route, route},
        session_token,
        text_frames::TextFrames,
    },
    upstream::fuzzing::{self, BodyReader},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// The lines of chunks' sizes, and those behind the last one.
const HELD_BYTES_MAX: usize = 16 * 1024;
/// More than any head of an answer has.
const FIELDS_MAX: usize = 100;

/// Input as it comes: in pieces that end where `cuts` say, each as a share of all in 65,536ths.
fn pieces<'a>(input: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| input.len() * usize::from(*cut) / 65_536).collect();
    at.push(input.len());
    at.sort_unstable();
    let mut from = 0;
    let mut piece = |to| &input[std::mem::replace(&mut from, to)..to];
    at.into_iter().map(&mut piece).collect()
}

/// Bytes in which those below 32 stand for words, so that random ones often make sense.
pub fn worded(bytes: &[u8], words: &[&str]) -> Vec<u8> {
    let word = |byte: &u8| match words.get(usize::from(*byte)) {
        Some(word) => word.as_bytes().to_vec(),
        None => vec![*byte],
    };
    bytes.iter().flat_map(word).collect()
}

/// A head ends in the same place however it is cut; what is read of it is read again as it was, and its body has one end.
pub fn answer_head(input: &[u8], is_head: bool, cuts: &[u16]) {
    let end = fuzzing::head_end(input, 0);
    let (mut have, mut searched, mut found) = (0, 0, None);
    for piece in pieces(input, cuts) {
        have += piece.len();
        found = found.or_else(|| fuzzing::head_end(&input[..have], searched));
        searched = have.saturating_sub(2);
    }
    assert_eq!(found, end, "cut otherwise, ended otherwise");
    let Some(Ok((head, is_kept, body))) = end.map(|end| fuzzing::head(&input[..end], is_head)) else { return };
    let (status, headers) = (head.status().as_u16(), head.headers());
    assert!((100..1000).contains(&status) && status != 101 && headers.len() <= FIELDS_MAX, "{head:?}");
    let is_chunked = headers.contains_key("transfer-encoding");
    let has_body = !is_head && !matches!(status, 100..200 | 204 | 304);
    if has_body {
        assert!(!(is_chunked && headers.contains_key("content-length")), "a body with two ends");
        let told = headers.get("content-length").map(|length| length.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(body.length(), told, "another length than is passed on");
        assert!(!is_kept || is_chunked || told.is_some(), "kept behind a body without end");
    } else {
        assert_eq!(body.length(), Some(0));
    }
    let mut again = format!("HTTP/1.1 {status} x\r\n").into_bytes();
    for (name, value) in headers {
        again.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    again.extend(b"\r\n");
    assert_eq!(fuzzing::head_end(&again, 0), Some(again.len()), "a field with an end of lines");
    let (same, _, same_body) = fuzzing::head(&again, is_head).expect("what was read is read again");
    assert_eq!((same.status(), same.headers(), same_body.length()), (head.status(), headers, body.length()));
}

/// A body comes out the same however it is cut, is no longer than what came, and little of it is held.
pub fn answer_body(input: &[u8], cuts: &[u16]) {
    let read = |cuts: &[u16]| {
        let (mut reader, mut body) = (BodyReader::chunked(), Vec::new());
        let is_sound = pieces(input, cuts).into_iter().try_for_each(|piece| {
            let taken = reader.take(piece, &mut body);
            assert!(reader.is_over() || taken.is_err() || reader.held() <= HELD_BYTES_MAX, "{} held", reader.held());
            taken
        });
        (body, is_sound.is_ok(), reader.is_over())
    };
    let whole = read(&[]);
    assert!(whole.0.len() <= input.len());
    assert_eq!(read(cuts), whole, "cut otherwise, read otherwise");
    // And what is sent in chunks is what was to be sent.
    let mut sent = Vec::new();
    for piece in pieces(input, cuts).into_iter().filter(|piece| !piece.is_empty()) {
        sent.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    sent.extend(b"0\r\n\r\n");
    let (mut reader, mut body) = (BodyReader::chunked(), Vec::new());
    reader.take(&sent, &mut body).unwrap();
    assert!(reader.is_over() && reader.held() == 0 && body == input, "sent and read otherwise");
}

const SERVER: &str = "a.internal.test";
const FRAME_WORDS: [&str; 12] = [
    "https://a.internal.test",
    "http",
    "s://",
    ":\\/\\/",
    "a.internal.test",
    "wss://",
    ":8443",
    "\"",
    "/",
    "A.Internal",
    ".test",
    "ws",
];

/// A frame of a server.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ ..126 => frame.push(u8::try_from(n).unwrap()),
        n => {
            frame.push(126);
            frame.extend(u16::try_from(n).unwrap().to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// Frames of a server that may mean something: their first bytes, and their payloads in [words](worded).
pub fn frames(frames: &[(u8, Vec<u8>)], cuts: &[u16]) {
    let input: Vec<u8> = frames
        .iter()
        .flat_map(|(first, payload)| {
            // Most are text or its continuation.
            let first = if *first < 0x70 { [0x81, 0x01, 0x00, 0x80][usize::from(*first % 4)] } else { *first };
            let payload = worded(payload, &FRAME_WORDS);
            frame(first, &payload[..payload.len().min(60_000)])
        })
        .collect();
    text_frames(&input, cuts);
}

/// Messages come out as they went in but for addresses of the server, in their order, however the bytes are cut; what is no
/// frame goes on as it is, and nothing is held beyond the beginning of an address.
pub fn text_frames(input: &[u8], cuts: &[u16]) {
    let server = doors::server(&SERVER.parse().unwrap());
    let mut frames = TextFrames::new(std::sync::Arc::clone(&server), "meet.w", "/s/x1");
    let (mut out, mut passed) = (Vec::new(), Vec::new());
    let mut come = 0;
    for piece in pieces(input, cuts) {
        let same = frames.take(piece, &mut out);
        assert!(!same || out.is_empty());
        passed.extend_from_slice(if same { piece } else { &out });
        come += piece.len();
        // An address becomes longer by the prefix at the most; a fragment has a head of its own.
        assert!(passed.len() <= 2 * come + 16 * (cuts.len() + 2), "{} of {come}", passed.len());
    }
    let (mut expected, tail) = messages(input);
    for (kind, payload) in &mut expected {
        let mut new = Vec::new();
        if *kind == 1 && addresses::rewrite(payload, &server.names, "meet.w/s/x1", &mut new) {
            *payload = new;
        }
    }
    match tail {
        // What comes behind is no message any more, and stays.
        Some(tail) => {
            assert!(passed.ends_with(&input[tail..]), "what is no frame was changed");
            let (found, _) = messages(&passed);
            assert!(found.starts_with(&expected), "{found:?} {expected:?}");
        }
        None => assert_eq!(messages(&passed).0, expected),
    }
}

/// The whole messages among a server's frames, each with its kind: the first byte without FIN, or for a control frame with it;
/// and where the first thing is that is no frame.
fn messages(bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, Option<usize>) {
    let (mut all, mut open, mut at) = (Vec::new(), None::<(u8, Vec<u8>)>, 0);
    while let [first, length, ref rest @ ..] = bytes[at..] {
        let (payload_bytes, head) = match (length, rest) {
            (..126, _) => (u64::from(length), 2),
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, long) if 8 <= long.len() => (u64::from_be_bytes(long[..8].try_into().unwrap()), 10),
            (126 | 127, _) => break,
            // A mask. Its head is read whole before that is noticed.
            (254, rest) if rest.len() < 2 => break,
            (255, rest) if rest.len() < 8 => break,
            _ => return (all, Some(at)),
        };
        let (is_last, opcode, is_plain) = (first & 0x80 != 0, first & 0x0f, first & 0x70 == 0);
        let legal = match (opcode, &open) {
            (8.., _) => true,
            (0, Some((1, _))) => is_plain,
            (0, Some(_)) => true,
            (0, None) => false,
            (_, open) => open.is_none(),
        };
        if !legal {
            return (all, Some(at));
        }
        let end = usize::try_from(payload_bytes).ok().and_then(|n| (at + head).checked_add(n));
        let Some(payload) = end.and_then(|end| bytes.get(at + head..end)) else { break };
        at += head + payload.len();
        if 8 <= opcode {
            all.push((first, payload.to_vec()));
            continue;
        }
        open.get_or_insert((first & 0x7f, Vec::new())).1.extend_from_slice(payload);
        if is_last {
            all.extend(open.take());
        }
    }
    (all, None)
}

const PATH_WORDS: [&str; 32] = [
    "/",
    "/s/x1",
    "bigbluebutton",
    "api",
    "create",
    "join",
    "html5client",
    "graphql",
    "presentation",
    "upload",
    "..",
    ".",
    ";",
    "%2f",
    "%2e",
    "%25",
    "%5c",
    "\\",
    "//",
    "rest",
    "clientSettings",
    "playback",
    "bbb-webrtc-sfu",
    "slides",
    "%",
    ".anteroom",
    "stuns",
    "183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000",
    "pad",
    "download",
    "?",
    "%00",
];

/// A path goes to one place: what is carried reads the same for everybody behind the gateway, and what goes to a frontend is
/// no path of BBB in any reading.
pub fn path(bytes: &[u8]) {
    let Ok(path) = String::from_utf8(worded(bytes, &PATH_WORDS)) else { return };
    match route(&path) {
        Route::Meeting { slug, session, path: inner, kind } => {
            match session {
                Some(_) => assert!(path.ends_with(inner) && inner.starts_with("/livekit"), "{path}"),
                None => assert_eq!(format!("/s/{slug}{inner}"), path),
            }
            assert!(!slug.is_empty() && !slug.contains('/'));
            assert_one_reading(inner);
            assert!(kind != Kind::GraphQl || inner == "/graphql", "{path}");
        }
        Route::RootMeeting { path: inner, .. } | Route::OfPage { path: inner } | Route::Recording { path: inner } => {
            assert_eq!(inner, path);
            assert_one_reading(inner);
        }
        Route::BreakoutJoin { slug } => {
            assert_eq!(format!("/s/{slug}/bigbluebutton/api/join"), path.trim_end_matches('/'));
        }
        Route::Client { slug } => assert_eq!(format!("/s/{slug}/html5client"), path),
        Route::Api(call) => {
            assert!(!call.contains('/') || call.starts_with("hooks/"), "{path}");
            assert_one_reading(&path);
        }
        Route::Other => {
            for plain in readings(&path) {
                assert!(!matches!(route(&plain), Route::Api(_) | Route::Meeting { .. }), "{path} is {plain}");
                assert!(!matches!(route(&plain), Route::RootMeeting { .. }), "{path} is {plain}");
            }
        }
        Route::Callback { kind, code } => assert_eq!(format!("/.anteroom/callback/{kind}/{code}"), path),
        Route::Webhook { slug, code } => assert_eq!(format!("/.anteroom/hooks/{slug}/{code}"), path),
        Route::Version { .. } | Route::Asset { .. } | Route::Refused => {}
    }
}

/// All readers find the same path: it has no dots, parameters or doubled slashes, and decoded it divides as it did.
fn assert_one_reading(path: &str) {
    for plain in readings(path) {
        assert_eq!(plain.matches('/').count(), path.matches('/').count(), "{path} is {plain}");
        assert_eq!(plain, percent_decoded(path), "{path}");
    }
}

/// A path as nginx reads it (decoded, then its slashes merged and its dots resolved), and as Tomcat does (parameters taken out,
/// then decoded, then dots).
fn readings(path: &str) -> [String; 2] {
    let bare: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap()).collect();
    [resolved(&percent_decoded(path)), resolved(&percent_decoded(&bare.join("/")).replace('\\', "/"))]
}

fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let ends = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let plain = format!("/{}", segments.join("/"));
    if ends && plain != "/" { plain + "/" } else { plain }
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

const FORM_WORDS: [&str; 14] = [
    "--x\r\n",
    "\r\n--x\r\n",
    "\r\n--x--\r\n",
    "Content-Disposition: form-data; name=\"meetingID\"\r\n\r\n",
    "Content-Disposition: form-data; name=\"",
    "\"; filename=\"",
    "\"\r\n\r\n",
    "\r\n\r\n",
    "Content-Type: text/plain; charset=utf-16\r\n",
    "--x",
    "checksum",
    "\r\n",
    "\u{7f}",
    " ",
];

/// A form in parts is read or refused; what is read has no control characters and is no more than came, and read again it is
/// what it was.
pub fn form(bytes: &[u8]) {
    let body = worded(bytes, &FORM_WORDS);
    let length = body.len();
    let Ok(params) = doors::multipart(Bytes::from(body), "x") else { return };
    let held: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(held <= length && params.iter().count() <= PARAMS_MAX, "{held} of {length}");
    let mut again = String::new();
    for (name, value) in params.iter() {
        assert!(!name.contains(char::is_control) && !value.contains(char::is_control), "{name}: {value}");
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return;
        }
        again.push_str(&format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    again.push_str("--x--\r\n");
    assert_eq!(doors::multipart(Bytes::from(again), "x").unwrap(), params);
}

/// A client's frame, masked.
fn client_frame(text: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = frame(0x81, text);
    frame[1] |= 0x80;
    let head = frame.len() - text.len();
    frame.truncate(head);
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

const INIT_WORDS: [&str; 26] = [
    "{\"type\":\"connection_init\",\"payload\":{\"headers\":{",
    "\"X-Session-Token\":\"abc\"",
    "}}}",
    "\"",
    ":",
    ",",
    "{",
    "}",
    "X-Session-Token",
    "x-session-token",
    "type",
    "connection_init",
    "payload",
    "headers",
    "X-ClientSessionUUID",
    "X-ClientType",
    "X-ClientIsMobile",
    "HTML5",
    "true",
    "null",
    "\\u0058",
    "[",
    "]",
    " ",
    "1e9",
    "\u{130}",
];

/// The first frame of a GraphQL socket, in [words](worded), cut after any byte.
pub fn init(text: &[u8], mask: [u8; 4], more: &[u8]) {
    let text = worded(text, &INIT_WORDS);
    first_frame(&[client_frame(&text[..text.len().min(60_000)], mask), more.to_vec()].concat());
}

/// A first frame names one session or is refused, and a part of it is no other frame. What goes on in its place names the same
/// session, to every reader of JSON, and is written anew as it was.
pub fn first_frame(bytes: &[u8]) {
    let whole = doors::first_frame(bytes);
    let read = |bytes| doors::first_frame(bytes).map(|found| found.map(|(token, _, length)| (token, length)));
    let told = whole.as_ref().map(|found| found.as_ref().map(|(token, _, length)| (token.clone(), *length)));
    for cut in [0, 1, 2, 4, 6, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        match (read(&bytes[..cut.min(bytes.len())]), &told) {
            (Ok(None), _) => {}
            (Ok(part), Ok(whole)) => assert_eq!(part, *whole, "cut otherwise, read otherwise"),
            (Ok(Some(_)), Err(_)) => panic!("refused once more has come"),
            (Err(_), whole) => assert!(whole.is_err(), "refused before all had come"),
        }
    }
    let Ok(Some((token, frame, length))) = whole else { return };
    assert!(length <= bytes.len() && session_token::is_token(&token), "{token}");
    let text = unmasked(&frame);
    let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON goes on");
    assert_eq!(json["payload"]["headers"]["X-Session-Token"], *token);
    assert_eq!(serde_json::to_string(&json).unwrap().len(), text.len(), "each name once, and nothing between them");
    let (same, again, all) = doors::first_frame(&frame).unwrap().expect("what goes on is read again");
    assert_eq!((&same, all, unmasked(&again)), (&token, frame.len(), text));
}

/// The payload of a client's frame of up to 64 KB.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    let head = if frame[1] & 0x7f == 126 { 4 } else { 2 };
    let (mask, payload) = frame[head..].split_at(4);
    payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect()
}

const QUERY_WORDS: [&str; 24] = [
    "sessionToken",
    "=",
    "&",
    "abc",
    "xyz",
    "%",
    "25",
    "26",
    "3D",
    "%26",
    "%3D",
    "session%54oken",
    "SessionToken",
    "+",
    ";",
    "?",
    "[",
    "]",
    "%5B",
    "x=1",
    "%00",
    "-",
    "%C5%BF",
    "sessionToken=abc",
];

/// A query names one session, to all who read it, or is refused: decoded once or twice, in any case, with `;` and `?` for
/// dividers. What goes on names it once and keeps all other bytes.
pub fn session(bytes: &[u8]) {
    let Ok(query) = String::from_utf8(worded(bytes, &QUERY_WORDS)) else { return };
    let Ok(named) = session_token::named(&query) else { return };
    let mut plain = named.query.into_owned();
    for _ in 0..3 {
        let found: Vec<(&str, &str)> = plain
            .split(['&', '?', ';'])
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| name.trim_matches(|c: char| c <= ' ').eq_ignore_ascii_case("sessionToken"))
            .collect();
        let expected: Vec<_> = named.token.iter().map(|token| ("sessionToken", *token)).collect();
        assert_eq!(found, expected, "{query}");
        plain = percent_decoded(&plain.replace('+', " "));
    }
    let others = |query: &str| {
        let pairs = query.split('&').filter(|pair| !pair.starts_with("sessionToken=")).map(str::to_owned);
        pairs.collect::<Vec<_>>()
    };
    let again = session_token::named(&query).unwrap().query.into_owned();
    assert_eq!(others(&again), others(&query), "other bytes were changed");
}

const COOKIE_WORDS: [&str; 24] = [
    "JSESSIONID",
    "=",
    ";",
    " ",
    "__Host-",
    ".x1",
    "abc",
    "; Path=/",
    "; Domain=",
    "w",
    "meet.w",
    ".meet.w",
    "; Secure",
    "; SameSite=None",
    "sessionID",
    ".",
    "\"",
    ",",
    "JSESSIONID.x1",
    "__Host-JSESSIONID.x1=",
    "a.b",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "; HttpOnly",
    "=1",
];

/// The names and values of a `Cookie`.
fn cookie_pairs(value: &HeaderValue) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = value.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii);
    pairs
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            (pair[..at].to_vec(), pair.get(at + 1..).unwrap_or_default().to_vec())
        })
        .collect()
}

/// A server gets back the cookies that it has set for this tenant, as it has set them, and no others of its own; a frontend
/// gets none of a server's, and sets none beyond its host.
pub fn cookies(set: &[u8], sent: &[u8]) {
    let (set, sent) = (worded(set, &COOKIE_WORDS), worded(sent, &COOKIE_WORDS));
    let (wagtail, heron) = ("wagtail".parse().unwrap(), "heron".parse().unwrap());
    let (x1, x2) = ("x1".parse().unwrap(), "x2".parse().unwrap());
    let bound = doors::Cookies::default();
    let of = |value: HeaderValue| HeaderMap::from_iter([(header::COOKIE, value)]);
    if let Ok(set) = HeaderValue::from_bytes(&set) {
        for is_embedded in [false, true] {
            let Some(renamed) = bound.to_browser(set.clone(), &wagtail, &x1, is_embedded) else { continue };
            let text = renamed.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap();
            assert!(pair.starts_with("__Host-") && attributes.starts_with(" Path=/; Secure"), "{text}");
            let mut names = attributes.split(';').map(|part| part.split('=').next().unwrap().trim());
            assert!(names.all(|name| !name.eq_ignore_ascii_case("domain")), "{text}");
            let (name, value) = pair.split_once('=').unwrap();
            let name = name.strip_prefix("__Host-").unwrap().strip_suffix(".x1").unwrap();
            let value = &value[..value.len() - 23];
            let sent = of(pair.parse().unwrap());
            let got = bound.to_server(&sent, &wagtail, &x1).expect("its own");
            assert_eq!(got.as_bytes(), format!("{name}={value}").as_bytes());
            assert_eq!(bound.to_server(&sent, &heron, &x1), None, "another tenant's");
            assert_eq!(bound.to_server(&sent, &wagtail, &x2), None, "another server's");
        }
        let mut headers = HeaderMap::from_iter([(header::SET_COOKIE, set)]);
        doors::from_frontend(&mut headers, "meet.w", "x1");
        for kept in headers.get_all(header::SET_COOKIE) {
            let low = kept.as_bytes().to_ascii_lowercase();
            let mut parts = low.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let first = parts.next().unwrap();
            assert!(!first.starts_with(b"__host-jsessionid") && !first.starts_with(b"jsessionid."), "{kept:?}");
            let attributes: Vec<&[u8]> = parts.collect();
            assert!(attributes.iter().any(|part| part.starts_with(b"secure")), "{kept:?}");
            let named = |part: &&[u8]| part.split(|b| *b == b'=').next().unwrap().trim_ascii() == b"domain";
            for part in attributes.iter().copied().filter(named) {
                let at = part.iter().position(|b| *b == b'=').map_or(part.len(), |at| at + 1);
                let domain = part[at..].trim_ascii();
                assert!(matches!(domain, b"meet.w" | b".meet.w"), "{kept:?}");
            }
        }
    }
    let Ok(sent) = HeaderValue::from_bytes(&sent) else { return };
    if let Some(got) = bound.to_server(&of(sent.clone()), &wagtail, &x1) {
        for (name, _) in cookie_pairs(&got) {
            // Nobody guesses a tag: what is left are those of the client's scripts.
            assert!([&b"sessionID"[..], b"prefsHttp", b"language"].contains(&&*name), "{got:?}");
        }
    }
    let mut headers = of(sent);
    doors::to_frontend(&mut headers, "x1");
    for (name, _) in headers.get_all(header::COOKIE).iter().flat_map(cookie_pairs) {
        assert!(!name.ends_with(b".x1"), "{headers:?}");
    }
}

const PROXY_WORDS: [&str; 20] = [
    "PROXY ",
    "\r\n\r\n\0\r\nQUIT\n",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "\r\n",
    "192.0.2.7",
    "2001:db8::7",
    " ",
    "443",
    "65536",
    "\r",
    "\n",
    "!\x11\0\x0c",
    "!!\0$",
    " \0\0\0",
    "\0",
    "0",
    "::ffff:192.0.2.7",
    "+",
];

/// A connection begins with a PROXY header or with something else, however it is cut; what a header says is read again as it
/// was, and none is longer than it may be.
pub fn proxy_header(bytes: &[u8]) {
    let bytes = worded(bytes, &PROXY_WORDS);
    let whole = proxy_protocol::parse(&bytes);
    for cut in 0..bytes.len().min(600) {
        match (proxy_protocol::parse(&bytes[..cut]), &whole) {
            (Ok(None), _) => assert!(cut < HEADER_BYTES_MAX, "more is wanted than a header has"),
            (part, whole) => assert_eq!(part, *whole, "cut otherwise, read otherwise"),
        }
    }
    let Ok(Some((header, length))) = whole else { return };
    assert!(length <= bytes.len() && length <= HEADER_BYTES_MAX);
    let Header::From(address) = header else { return };
    let (kind, ip) = if address.is_ipv4() { ("TCP4", address.ip()) } else { ("TCP6", address.ip()) };
    let line = format!("PROXY {kind} {ip} {ip} {} 443\r\n", address.port());
    assert_eq!(proxy_protocol::parse(line.as_bytes()), Ok(Some((header, line.len()))));
}
