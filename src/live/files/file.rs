//! [`File`]: a file in memory, in its own form and in smaller ones, and the room that they take.

use std::{io::Write, sync::OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use crate::{
    domain::{
        ids::ServerId,
        time::{AtomicTimestamp, Timestamp},
    },
    shares::Taken,
};

/// Below this a smaller form saves no packet.
const PACKED_BYTES_MIN: usize = 1024;
const BROTLI_QUALITY: i32 = 6;
const BROTLI_WINDOW: i32 = 22;

/// A file as it is held.
#[derive(Debug)]
pub struct File {
    /// Its content.
    pub bytes: Bytes,
    /// What the server says of it beside that: its type, when it was changed.
    pub headers: HeaderMap,
    /// The first part of its entity tags.
    pub tag: Box<str>,
    /// Whether its name is that of this content for ever.
    pub is_lasting: bool,
    /// What the server asks to be asked with whether it has changed.
    pub validators: HeaderMap,
    /// Smaller forms, once they have been made.
    pub packed: OnceLock<Packed>,
    /// When the server has last said that this is its content.
    pub checked: AtomicTimestamp,
    /// Held by who asks whether it still is.
    pub checking: Mutex<()>,
    /// Room for what it needs beside its content; smaller forms take theirs beside it.
    pub(super) room: Option<Room>,
}

/// The smaller forms of a file.
#[derive(Debug, Default)]
pub struct Packed {
    /// For `Content-Encoding: br`.
    pub brotli: Option<Bytes>,
    /// For `Content-Encoding: gzip`.
    pub gzip: Option<Bytes>,
}

/// Room in memory, on the account of a server.
pub type Room = Taken<ServerId, ()>;

impl File {
    /// A file with the content that a server has `now` under a name.
    #[must_use]
    pub fn new(name: &str, bytes: Bytes, headers: HeaderMap, validators: HeaderMap, now: Timestamp) -> Self {
        let tag = HEXLOWER.encode(&digest(&SHA256, &bytes).as_ref()[..12]).into();
        Self {
            bytes,
            headers: of_its_own(&headers),
            tag,
            is_lasting: has_digest(name),
            validators: of_its_own(&validators),
            packed: OnceLock::new(),
            checked: AtomicTimestamp::new(now),
            checking: Mutex::new(()),
            room: None,
        }
    }

    pub(super) fn headers_bytes(&self) -> usize {
        length_of(&self.headers) + length_of(&self.validators)
    }

    /// Whether smaller forms are worth making: of texts, that is.
    #[must_use]
    pub fn is_packable(&self) -> bool {
        let kind = self.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        self.bytes.len() >= PACKED_BYTES_MIN
            && (kind.starts_with("text/")
                || ["javascript", "json", "xml", "wasm", "font/ttf"].iter().any(|text| kind.ends_with(text)))
    }

    /// Makes the smaller forms. Takes a while: not for a thread that serves.
    pub fn pack(&self) {
        self.packed.get_or_init(|| Packed { brotli: self.packed_by(brotli), gzip: self.packed_by(gzip) });
    }

    /// A smaller form, if it is one and there is room for it.
    fn packed_by(&self, pack: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Bytes> {
        let room = match &self.room {
            Some(room) => Some(room.beside(self.bytes.len())?),
            None => None,
        };
        let packed = pack(&self.bytes).filter(|packed| packed.len() < self.bytes.len())?;
        Some(charged(packed, room))
    }

    /// An entity tag, as it stands in a header.
    ///
    /// # Panics
    /// Never: hexadecimal digits are legal there.
    #[must_use]
    pub fn etag(&self, form: &str) -> HeaderValue {
        HeaderValue::try_from(format!("\"{}{form}\"", self.tag)).expect("digits and letters")
    }
}

/// How long headers are.
#[must_use]
pub fn length_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The same headers in memory of their own: those of an answer keep all of its head.
fn of_its_own(headers: &HeaderMap) -> HeaderMap {
    let copied = headers.iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((name.clone(), value))
    });
    let mut own = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in copied {
        own.append(name, value);
    }
    own
}

/// Bytes with the room that they take.
struct Charged {
    bytes: Vec<u8>,
    _room: Option<Room>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that give their room back when the last one who has them drops them.
pub(super) fn charged(mut bytes: Vec<u8>, mut room: Option<Room>) -> Bytes {
    bytes.shrink_to_fit();
    if let Some(room) = &mut room {
        room.shrink(bytes.len());
    }
    Bytes::from_owner(Charged { bytes, _room: room })
}

fn brotli(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: bytes.len(),
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &*bytes, &mut out, &params).ok()?;
    Some(out)
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Whether a file's name has a digest of its content in it, as bundlers write them: `bundle.<20 hex digits>.js`.
fn has_digest(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let parts: Vec<&str> = name.split(['.', '-', '_']).collect();
    let is_digest = |part: &&str| {
        part.len() >= 8
            && part.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    // The last part is the ending, and what stands alone is a name.
    parts.len() > 1 && parts[..parts.len() - 1].iter().any(is_digest)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(kind: &'static str, bytes: Vec<u8>) -> File {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        File::new("x.js", bytes.into(), headers, HeaderMap::new(), Timestamp::EPOCH)
    }

    #[test]
    fn a_digest_in_a_name_is_seen() {
        for (name, is) in [
            ("bundle.71b76e7f0d0b6ed88dd9.js", true),
            ("/html5client/chunk-0a1b2c3d.css", true),
            ("index.html", false),
            ("deadbeef.js", false),
            ("fonts.v2.woff2", false),
            ("styles.css", false),
            ("71b76e7f0d0b6ed88dd9", false),
            ("20240101.json", false),
            ("", false),
        ] {
            assert_eq!(has_digest(name), is, "{name}");
        }
    }

    #[test]
    fn smaller_forms_have_the_same_content() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| format!("line {n} of a script\n").into_bytes()).collect();
        let file = file("text/javascript;charset=utf-8", text.clone());
        assert!(file.is_packable());
        file.pack();
        let packed = file.packed.get().expect("packed");
        let (brotli, gzip) = (packed.brotli.as_ref().expect("smaller"), packed.gzip.as_ref().expect("smaller"));
        let (mut from_brotli, mut from_gzip) = (Vec::new(), Vec::new());
        brotli::Decompressor::new(&brotli[..], 4096).read_to_end(&mut from_brotli).expect("whole");
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut from_gzip).expect("whole");
        assert!(from_brotli == text && from_gzip == text);
        assert!(brotli.len() < text.len() / 4 && gzip.len() < text.len() / 4);
    }

    #[test]
    fn what_gets_no_smaller_is_left_as_it_is() {
        for (kind, bytes) in [("image/png", vec![0; 5000]), ("text/css", vec![0; 100]), ("audio/mp3", vec![1; 5000])] {
            assert!(!file(kind, bytes).is_packable(), "{kind}");
        }
        for kind in ["text/html", "application/json", "image/svg+xml", "application/wasm"] {
            assert!(file(kind, vec![0; 5000]).is_packable(), "{kind}");
        }
    }
}
