//! The ids of meetings and documents that a request names: in its path and in its query, wherever a server may read one.
//!
//! Ids of meetings and of documents have the same form (docs/reference/bbb-protocol.md, "Identifiers"). They are told
//! apart by their place: in the paths of slides the first ids are the meeting's and those behind them the document's,
//! everywhere else an id is a meeting's. A token of LiveKit names its room, which has the id of a meeting.

use std::sync::LazyLock;

use data_encoding::{BASE64URL_NOPAD, Encoding};
use percent_encoding::percent_decode_str;

/// The hex digits that an id begins with, and the digits that it ends in.
const HASH_BYTES: usize = 40;
const TIME_BYTES: usize = 13;
/// The shortest text with an id in it.
const ID_BYTES: usize = HASH_BYTES + 1 + TIME_BYTES;
/// Where slides are.
const SLIDES: &str = "/bigbluebutton/presentation/";
/// The parameters whose ids are those of documents, in lower case.
const OF_DOCUMENTS: [&str; 5] = ["presid", "presfilename", "presentationid", "temporarypresentationid", "filename"];
/// The parameter with the token of LiveKit, which is a JWT.
const ACCESS_TOKEN: &str = "access_token";
/// How often a reader may decode what has been decoded.
const DECODED_MAX: usize = 2;

/// What an id is the id of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A meeting: it must be the tenant's.
    Meeting,
    /// A document: nobody but its server knows it.
    Document,
    /// A room of LiveKit: a meeting, or a breakout room that its server has not told of yet.
    Room,
}

/// Whether a path is one of slides, or of documents.
#[must_use]
pub(super) fn is_slide(path: &str) -> bool {
    path.starts_with(SLIDES)
}

/// The ids in the path of a meeting's request, in order.
pub(super) fn in_path(path: &str) -> impl Iterator<Item = (Of, &str)> {
    let slides = path.strip_prefix(SLIDES);
    slides.unwrap_or(path).split('/').enumerate().flat_map(move |(at, segment)| {
        // `<meeting>/<meeting>/<document>/...`, or `download/<meeting>/<document>`.
        let of = if slides.is_some() && at >= 2 { Of::Document } else { Of::Meeting };
        ids_in(segment).map(move |id| (of, id))
    })
}

/// The ids in a raw query, in order, encoded or not.
#[must_use]
pub(super) fn in_query(query: &str) -> Vec<(Of, String)> {
    let mut found = Vec::new();
    if query.len() < ID_BYTES {
        return found;
    }
    for pair in query.split('&').filter(|pair| pair.len() >= ID_BYTES) {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let name = decoded(name).to_ascii_lowercase();
        let of = if OF_DOCUMENTS.contains(&&*name) { Of::Document } else { Of::Meeting };
        let value = decoded(value);
        found.extend(ids_in(&value).map(|id| (of, id.to_owned())));
        if name == ACCESS_TOKEN {
            found.extend(ids_in(&claims(&value)).map(|id| (Of::Room, id.to_owned())));
        }
    }
    found
}

/// The tokens of LiveKit in a raw query, encoded or not.
pub(super) fn access_tokens(query: &str) -> impl Iterator<Item = String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| decoded(name).eq_ignore_ascii_case(ACCESS_TOKEN)).map(|(_, value)| decoded(value))
}

/// What a JWT claims, whoever has signed it; nothing for what is none.
fn claims(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = BASE64URL_LENIENT.decode(claims.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&claims).into_owned()
}

/// Base64url as the most lenient reader of a JWT takes it.
static BASE64URL_LENIENT: LazyLock<Encoding> = LazyLock::new(|| {
    let mut form = BASE64URL_NOPAD.specification();
    form.check_trailing_bits = false;
    form.encoding().expect("the alphabet is unchanged")
});

/// A text decoded as often as a reader may do it.
fn decoded(text: &str) -> String {
    (0..DECODED_MAX).fold(text.to_owned(), |text, _| match text.contains('%') {
        true => percent_decode_str(&text).decode_utf8_lossy().into_owned(),
        false => text,
    })
}

/// What has the form of an id in a text: 40 hex digits, a hyphen, 13 digits.
pub(super) fn ids_in(text: &str) -> impl Iterator<Item = &str> {
    memchr::memchr_iter(b'-', text.as_bytes()).filter_map(|at| {
        let id = text.get(at.checked_sub(HASH_BYTES)?..)?.get(..ID_BYTES)?;
        let (hash, time) = id.split_at(HASH_BYTES);
        let is_hash = hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (is_hash && time[1..].bytes().all(|b| b.is_ascii_digit())).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        format!("{}-1700000000000", String::from(digit).repeat(40))
    }

    #[test]
    fn an_id_is_a_meetings_or_a_documents_by_its_place() {
        let (m, n, d) = (id('a'), id('b'), id('d'));
        let slides = |rest: &str| format!("{SLIDES}{rest}");
        for (path, meetings, documents) in [
            ("/html5client/bundle.js".to_owned(), vec![], vec![]),
            (slides(&format!("{m}/{n}/{d}/svg/1")), vec![&m, &n], vec![&d]),
            (slides(&format!("{m}/{m}/{d}/pdf/{n}/annotated_slides.pdf")), vec![&m, &m], vec![&d, &n]),
            (slides(&format!("download/{m}/{d}")), vec![&m], vec![&d]),
            (slides("token/upload"), vec![], vec![]),
            (format!("/learning-analytics-dashboard/{m}/x/learning_dashboard_data.json"), vec![&m], vec![]),
            (format!("/bigbluebutton/fileUpload/{m}/{n}.png"), vec![&m, &n], vec![]),
            (format!("/hocuspocus/{m}-notes"), vec![&m], vec![]),
            (format!("/pad/p/{}", &m[1..]), vec![], vec![]),
        ] {
            let of = |wanted| in_path(&path).filter(move |(of, _)| *of == wanted).map(|(_, id)| id.to_owned());
            assert!(of(Of::Meeting).eq(meetings.into_iter().cloned()), "{path}");
            assert!(of(Of::Document).eq(documents.into_iter().cloned()), "{path}");
        }
    }

    #[test]
    fn an_id_is_found_in_a_query_however_it_is_written() {
        let (m, d) = (id('a'), id('d'));
        let claims = BASE64URL_NOPAD.encode(format!("{{\"video\":{{\"room\":\"{m}\"}}}}").as_bytes());
        let encoded = m.replace('-', "%2D");
        for (query, of) in [
            (format!("meetingId={m}"), Some(Of::Meeting)),
            (format!("x=1&meetingID={encoded}&y"), Some(Of::Meeting)),
            (format!("anything={}", m.replace('-', "%252d")), Some(Of::Meeting)),
            (m.clone(), Some(Of::Meeting)),
            (format!("presFilename={d}.pdf&filename=a.pdf"), Some(Of::Document)),
            (format!("pres%46ilename={d}.pdf"), Some(Of::Document)),
            (format!("pageToken={}", "0".repeat(64)), None),
            (format!("auto_subscribe=1&access_token=eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"), Some(Of::Room)),
            (format!("access%5Ftoken=x.{claims}.x"), Some(Of::Room)),
            (format!("access_token=no.{m}.jwt"), Some(Of::Meeting)),
            (format!("token=x.{claims}.x"), None),
            (format!("access_token=x.!{claims}.x"), None),
            ("sessionToken=abc".to_owned(), None),
        ] {
            let found = in_query(&query);
            assert_eq!(found.first().map(|(of, _)| *of), of, "{query}");
            assert!(found.iter().all(|(_, id)| *id == m || *id == d), "{query}: {found:?}");
        }
    }
}
