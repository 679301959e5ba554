//! What the simulator received, in order, so that a test can say what reached the server and what did not.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;

/// At most this much of a body is kept.
pub(crate) const BODY_KEPT_BYTES_MAX: usize = 64 * 1024;

/// One request as it arrived, an API call as well as the opening of a WebSocket.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The method, in capitals.
    pub method: String,
    /// The path, not decoded.
    pub path: String,
    /// The query as it was sent, without `?`; `None` when the target had no `?`.
    pub query: Option<String>,
    /// All header fields in order, names in lower case; what is not text in a value is replaced.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body.
    pub body: Vec<u8>,
    /// Length of the whole body that was read.
    pub body_bytes: u64,
    /// SHA-256 of an uploaded body in hex; `None` for other requests and for uploads that broke off.
    pub body_sha256: Option<String>,
    /// Whether this asked for a WebSocket.
    pub websocket: bool,
}

impl Received {
    /// The first header field of that name (any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The API call name, if the path is one of an API call.
    pub fn call(&self) -> Option<&str> {
        self.path.strip_prefix("/bigbluebutton/api/").filter(|call| !call.is_empty())
    }

    /// The first decoded query parameter of that name.
    pub fn param(&self, name: &str) -> Option<String> {
        super::params::Params::parse(self.query.as_deref().unwrap_or_default()).first(name).map(str::to_owned)
    }
}

/// A ring of the latest entries; each has a number that stays valid while it is in the ring.
pub(crate) struct Log {
    entries_max: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<Received>,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max, ring: Mutex::default() }
    }

    /// Adds a request whose body is still to come, and returns its number.
    pub(crate) fn add(&self, parts: &Parts) -> u64 {
        if self.entries_max == 0 {
            return u64::MAX;
        }
        let entry = Received {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            websocket: parts.headers.contains_key("sec-websocket-key"),
            ..Received::default()
        };
        let mut ring = self.lock();
        if self.entries_max <= ring.entries.len() {
            ring.entries.pop_front();
            ring.dropped += 1;
        }
        ring.entries.push_back(entry);
        ring.dropped + ring.entries.len() as u64 - 1
    }

    /// Adds what is known of a body to an entry that may have left the ring meanwhile.
    pub(crate) fn complete(&self, number: u64, fill: impl FnOnce(&mut Received)) {
        let mut ring = self.lock();
        let index = number.checked_sub(ring.dropped).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| ring.entries.get_mut(index)) {
            fill(entry);
        }
    }

    pub(crate) fn entries(&self) -> Vec<Received> {
        self.lock().entries.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut ring = self.lock();
        ring.dropped += ring.entries.len() as u64;
        ring.entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
