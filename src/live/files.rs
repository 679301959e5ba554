//! Files of BBB's clients, which are the same for everybody: read from a server once, held in memory, and looked at again now
//! and then. A name with a digest in it is that of one content for ever.

use std::{
    io::Write,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue};
use moka::future::Cache;
use tokio::sync::Mutex;

use crate::domain::ids::ServerId;

/// A file that is larger is carried each time. The largest of BBB 3.0 has some 10 MB.
pub const FILE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// All files together, in all their forms.
const BYTES_MAX: u64 = 192 * 1024 * 1024;
/// What an entry is taken to need beside its content.
const ENTRY_BYTES: usize = 1024;
/// Nobody has a meeting for that long.
const IDLE_MAX: Duration = Duration::from_secs(48 * 3600);
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
    /// When the server has last said that this is its content, ms since the epoch.
    pub checked: AtomicI64,
    /// Held by who asks whether it still is.
    pub checking: Mutex<()>,
}

/// The smaller forms of a file.
#[derive(Debug, Default)]
pub struct Packed {
    /// For `Content-Encoding: br`.
    pub brotli: Option<Bytes>,
    /// For `Content-Encoding: gzip`.
    pub gzip: Option<Bytes>,
}

/// What is known of a path of a server.
#[derive(Debug, Clone)]
pub enum Held {
    /// It is a file that is held.
    File(Arc<File>),
    /// What is there is carried each time, as was found out at this moment, ms since the epoch.
    Carried(i64),
}

type Key = (ServerId, Box<str>);

/// All files that are held.
#[derive(Debug)]
pub struct Files {
    held: Cache<Key, Held>,
    /// Answers that needed no server.
    pub hits: AtomicU64,
    /// Files that were read from a server.
    pub reads: AtomicU64,
}

impl Default for Files {
    fn default() -> Self {
        let held = Cache::builder()
            .max_capacity(BYTES_MAX)
            .weigher(|(_, path): &Key, held: &Held| {
                let content = match held {
                    // The smaller forms come later, and are half of it together.
                    Held::File(file) => file.bytes.len() * 3 / 2,
                    Held::Carried(_) => 0,
                };
                u32::try_from(path.len() + ENTRY_BYTES + content).unwrap_or(u32::MAX)
            })
            .time_to_idle(IDLE_MAX)
            .build();
        Self { held, hits: AtomicU64::new(0), reads: AtomicU64::new(0) }
    }
}

impl Files {
    /// What is known of a path. Where nothing is, `read` finds out, once for all who ask at the same time; `None` where it
    /// could not.
    pub async fn get<F>(&self, server: &ServerId, path: &str, read: impl FnOnce() -> F) -> Option<Held>
    where
        F: Future<Output = Option<Held>>,
    {
        let key = (server.clone(), path.into());
        if let Some(held) = self.held.get(&key).await {
            self.hits.fetch_add(1, Relaxed);
            return Some(held);
        }
        // Boxed: whoever finds a file is not to have room for the reading of one.
        Box::pin(async {
            let read = async {
                self.reads.fetch_add(1, Relaxed);
                read().await.ok_or(())
            };
            self.held.try_get_with(key, read).await.ok()
        })
        .await
    }

    /// Forgets what is known of a path: whoever asks next finds out anew.
    pub async fn forget(&self, server: &ServerId, path: &str) {
        self.held.invalidate(&(server.clone(), path.into())).await;
    }

    /// Holds something else from now on.
    pub async fn replace(&self, server: &ServerId, path: &str, held: Held) {
        self.held.insert((server.clone(), path.into()), held).await;
    }

    /// Bytes that are held, as of a moment ago.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.weighted_size()
    }
}

impl File {
    /// A file with the content that a server has `now` under a name.
    #[must_use]
    pub fn new(name: &str, bytes: Bytes, headers: HeaderMap, validators: HeaderMap, now: i64) -> Self {
        let tag = HEXLOWER.encode(&digest(&SHA256, &bytes).as_ref()[..12]).into();
        Self {
            bytes,
            headers,
            tag,
            is_lasting: has_digest(name),
            validators,
            packed: OnceLock::new(),
            checked: AtomicI64::new(now),
            checking: Mutex::new(()),
        }
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
        self.packed.get_or_init(|| {
            let smaller =
                |packed: Option<Vec<u8>>| packed.filter(|packed| packed.len() < self.bytes.len()).map(Bytes::from);
            Packed { brotli: smaller(brotli(&self.bytes)), gzip: smaller(gzip(&self.bytes)) }
        });
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
        File::new("x.js", bytes.into(), headers, HeaderMap::new(), 0)
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

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let (files, server) = (Files::default(), "bbb-01".parse().expect("an id"));
        for n in 0..40 {
            let held = Held::File(Arc::new(file("image/png", vec![0; 8 * 1024 * 1024])));
            files.get(&server, &format!("/x/{n}"), async || Some(held)).await.expect("read");
            files.held.run_pending_tasks().await;
            assert!(files.bytes() <= BYTES_MAX, "{}", files.bytes());
        }
        assert!(files.bytes() > BYTES_MAX / 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let (files, server) = (Files::default(), "bbb-01".parse().expect("an id"));
        assert!(files.get(&server, "/x", async || None).await.is_none());
        assert!(matches!(files.get(&server, "/x", async || Some(Held::Carried(0))).await, Some(Held::Carried(0))));
        assert!(matches!(files.get(&server, "/x", async || None).await, Some(Held::Carried(0))));
        files.forget(&server, "/x").await;
        assert!(files.get(&server, "/x", async || None).await.is_none());
        assert_eq!((files.hits.load(Relaxed), files.reads.load(Relaxed)), (1, 3));
    }
}
