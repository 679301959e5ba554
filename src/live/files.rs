//! Files of BBB's clients, which are the same for everybody: read from a server once, held in memory, and looked at again now
//! and then. A name with a digest in it is that of one content for ever.
//!
//! All memory of it has a bound: what is being read, in all its forms, and what is still being sent though it is held no more. Room
//! is taken before anything is read; a file for which there is none is carried.

mod file;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::{
    domain::{backend_error::BodyFault, ids::ServerId, time::Timestamp},
    shares::{Limits, Shares},
};
use file::charged;
pub use file::{File, Packed, Room, length_of};

/// A file that is larger is carried each time. The largest of BBB 3.0 has some 10 MB.
pub const FILE_BYTES_MAX: usize = 24 * 1024 * 1024;
const MB: usize = 1024 * 1024;
/// All that is held, in all its forms.
const HELD_MAX: usize = 112 * MB;
/// All that is in memory, and what of it may be one server's: more than is held, so that what it has held can always be replaced,
/// and so much less than all that the others have room to read theirs.
pub const MEMORY: Limits = Limits { total: 192 * MB, outer: 144 * MB, inner: usize::MAX, both: usize::MAX, waiting: 0 };
/// What is being read, and what of it from one server.
const READING: Limits = Limits { total: 64 * MB, outer: 32 * MB, inner: usize::MAX, both: usize::MAX, waiting: 0 };
/// Where a length is not told room is taken for so much first, and for as much again whenever that is full.
const UNTOLD_BYTES: usize = 64 * 1024;
/// What an entry is taken to need beside its content and its headers.
const ENTRY_BYTES: usize = 1024;
/// A file whose headers are longer is carried.
pub const HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Smaller forms that are made at a time, and files that may wait for theirs. Others stay as they are.
const PACKING_MAX: usize = 2;
const PACKING_WAITING_MAX: usize = 256;
/// Nobody has a meeting for that long.
const IDLE_MAX: Duration = Duration::from_secs(48 * 3600);

/// What is known of a path of a server.
#[derive(Debug, Clone)]
pub enum Held {
    /// It is a file that is held.
    File(Arc<File>),
    /// What is there is carried each time, as was found out at this moment.
    Carried(Timestamp),
}

type Key = (ServerId, Box<str>);

/// What the cache holds. It drops what it holds no more some time later, many at once: a file leaves its place at the moment at
/// which that is no longer held.
#[derive(Debug, Clone)]
enum Entry {
    File(Arc<Place>),
    Carried(Timestamp),
}

#[derive(Debug)]
struct Place {
    file: ArcSwapOption<File>,
    weight: usize,
}

impl Entry {
    fn new(held: Held) -> Self {
        match held {
            Held::File(file) => {
                // The smaller forms come later, and are half of it together.
                let weight = file.bytes.len() * 3 / 2 + file.headers_bytes();
                Self::File(Arc::new(Place { file: ArcSwapOption::new(Some(file)), weight }))
            }
            Held::Carried(since) => Self::Carried(since),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::File(place) => place.weight,
            Self::Carried(_) => 0,
        }
    }

    /// What it holds; `None` where that has gone at this moment.
    fn held(&self) -> Option<Held> {
        match self {
            Self::File(place) => place.file.load_full().map(Held::File),
            Self::Carried(since) => Some(Held::Carried(*since)),
        }
    }

    fn leave(&self) {
        if let Self::File(place) = self {
            place.file.store(None);
        }
    }
}

/// All files that are held.
#[derive(Debug)]
pub struct Files {
    held: Cache<Key, Entry>,
    /// Answers that needed no server.
    pub hits: AtomicU64,
    /// Files that were read from a server.
    pub reads: AtomicU64,
    /// Files that were not, since there was no room for them.
    pub without_room: AtomicU64,
    memory: Arc<Shares<ServerId, ()>>,
    reading: Arc<Shares<ServerId, ()>>,
    packing: Arc<Semaphore>,
    packing_waiting: Arc<Semaphore>,
}

impl Default for Files {
    fn default() -> Self {
        let held = Cache::builder()
            .max_capacity(HELD_MAX as u64)
            .weigher(|(_, path): &Key, entry: &Entry| {
                u32::try_from(path.len() + ENTRY_BYTES + entry.weight()).unwrap_or(u32::MAX)
            })
            .eviction_listener(|_, entry: Entry, _| entry.leave())
            .time_to_idle(IDLE_MAX)
            .build();
        Self {
            held,
            hits: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            without_room: AtomicU64::new(0),
            memory: Shares::new(MEMORY),
            reading: Shares::new(READING),
            packing: Arc::new(Semaphore::new(PACKING_MAX)),
            packing_waiting: Arc::new(Semaphore::new(PACKING_WAITING_MAX)),
        }
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
        if let Some(held) = self.held.get(&key).await.and_then(|entry| entry.held()) {
            self.hits.fetch_add(1, Relaxed);
            return Some(held);
        }
        // Boxed: whoever finds a file is not to have room for the reading of one.
        Box::pin(async {
            let mut found = None;
            let read = async {
                self.reads.fetch_add(1, Relaxed);
                let held = read().await.ok_or(())?;
                // It may be held no more by the time at which whoever has read it is told so.
                found = Some(held.clone());
                Ok::<_, ()>(Entry::new(held))
            };
            let entry = self.held.try_get_with(key, read).await.ok();
            found.or_else(|| entry?.held())
        })
        .await
    }

    /// Forgets what is known of a path: whoever asks next finds out anew.
    pub async fn forget(&self, server: &ServerId, path: &str) {
        self.held.invalidate(&(server.clone(), path.into())).await;
    }

    /// Holds something else from now on.
    pub async fn replace(&self, server: &ServerId, path: &str, held: Held) {
        self.held.insert((server.clone(), path.into()), Entry::new(held)).await;
    }

    /// Bytes that are in memory, at most [`MEMORY`]'s.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.taken()
    }

    /// Room for so much of a server's.
    pub async fn room(&self, server: &ServerId, bytes: usize) -> Option<Room> {
        if let Some(room) = self.memory.try_take(server, &(), bytes) {
            return Some(room);
        }
        // What is to make room for others may not have gone yet.
        self.held.run_pending_tasks().await;
        self.memory.try_take(server, &(), bytes)
    }

    /// Reads the content of a file, for which room is taken before it comes.
    ///
    /// # Errors
    /// [`BodyFault::Broken`], [`BodyFault::TooLarge`] beyond [`FILE_BYTES_MAX`], or [`BodyFault::NoRoom`].
    pub async fn read<B>(&self, server: &ServerId, mut body: B) -> Result<Bytes, BodyFault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let told = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let first = told.unwrap_or(UNTOLD_BYTES);
        if FILE_BYTES_MAX < first {
            return Err(BodyFault::TooLarge);
        }
        let mut reading = self.reading.try_take(server, &(), first).ok_or(BodyFault::NoRoom)?;
        let mut room = self.room(server, first).await.ok_or(BodyFault::NoRoom)?;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() else { continue };
            let needed = bytes.len() + data.len();
            if FILE_BYTES_MAX < needed {
                return Err(BodyFault::TooLarge);
            }
            if room.amount() < needed {
                let more = room.amount().max(data.len());
                if !reading.try_grow(more) || !room.try_grow(more) {
                    return Err(BodyFault::NoRoom);
                }
            }
            bytes.reserve_exact(room.amount() - bytes.len());
            bytes.extend_from_slice(&data);
        }
        Ok(charged(bytes, Some(room)))
    }

    /// Has the smaller forms of a file made, aside.
    pub fn pack(&self, file: &Arc<File>) {
        let Ok(waiting) = Arc::clone(&self.packing_waiting).try_acquire_owned() else { return };
        let (file, packing) = (Arc::clone(file), Arc::clone(&self.packing));
        tokio::spawn(async move {
            let (_waiting, Ok(_turn)) = (waiting, packing.acquire_owned().await) else { return };
            let _ = tokio::task::spawn_blocking(move || file.pack()).await;
        });
    }
}

impl File {
    /// The same with the room for what it needs beside its content; `None` where there is none.
    pub async fn in_room(mut self, name: &str, files: &Files, server: &ServerId) -> Option<Self> {
        let room = files.room(server, name.len() + ENTRY_BYTES + self.headers_bytes()).await?;
        self.room = Some(room);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::HeaderMap;

    use super::*;

    fn id(name: &str) -> ServerId {
        name.parse().expect("an id")
    }

    /// Reads a file of this length from a server, as whoever asks for it has it done.
    async fn ask(files: &Files, server: &ServerId, path: &str, length: usize) -> Option<Arc<File>> {
        let read = async || {
            let body = http_body_util::Full::new(Bytes::from(vec![0; length]));
            let bytes = files.read(server, body).await.ok()?;
            let file = File::new(path, bytes, HeaderMap::new(), HeaderMap::new(), Timestamp::EPOCH);
            Some(Held::File(Arc::new(file.in_room(path, files, server).await?)))
        };
        match files.get(server, path, read).await? {
            Held::File(file) => Some(file),
            Held::Carried(_) => None,
        }
    }

    #[tokio::test]
    async fn what_is_in_memory_is_bounded_and_makes_room_for_what_is_new() {
        let (files, server) = (Files::default(), id("bbb-01"));
        for n in 0..60 {
            let read = ask(&files, &server, &format!("/x/{n}"), 8 * MB).await;
            assert!(read.is_some(), "what is held makes room: {n}");
            assert!(files.bytes() <= MEMORY.outer, "{}", files.bytes());
        }
        files.held.run_pending_tasks().await;
        assert!(files.bytes() > HELD_MAX / 2);
    }

    #[tokio::test]
    async fn what_is_still_being_sent_counts_and_one_server_leaves_room_to_others() {
        let (files, evil, good) = (Files::default(), id("bbb-01"), id("bbb-02"));
        let mut being_sent = Vec::new();
        for n in 0..60 {
            being_sent.extend(ask(&files, &evil, &format!("/x/{n}"), 8 * MB).await.map(|file| file.bytes.clone()));
        }
        assert!(files.bytes() <= MEMORY.outer && being_sent.len() * 8 * MB <= MEMORY.outer, "{}", being_sent.len());
        assert!(ask(&files, &good, "/x", 20 * MB).await.is_some());
        drop(being_sent);
        assert!(ask(&files, &evil, "/y", 20 * MB).await.is_some(), "it is there again");
    }

    #[tokio::test]
    async fn what_is_being_read_has_room_before_it_has_come() {
        let (files, server) = (Arc::new(Files::default()), id("bbb-01"));
        let slow = |length: u64| {
            let never = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::convert::Infallible>>();
            Told(http_body_util::StreamBody::new(never), length)
        };
        let mut reads: Vec<_> = (0..2).map(|_| Box::pin(files.read(&server, slow(16 << 20)))).collect();
        for read in &mut reads {
            assert!(read.now_or_never().is_none());
        }
        assert_eq!(files.bytes(), 32 * MB);
        assert_eq!(files.read(&server, slow(1)).await, Err(BodyFault::NoRoom), "of one server");
        let other = id("bbb-02");
        assert!(Box::pin(files.read(&other, slow(24 << 20))).now_or_never().is_none());
        drop(reads);
        assert_eq!(files.bytes(), 0);
        assert_eq!(files.read(&server, slow((FILE_BYTES_MAX + 1) as u64)).await, Err(BodyFault::TooLarge));
    }

    /// A body with a length that it was told to have.
    struct Told<B>(B, u64);

    impl<B: Body + Unpin> Body for Told<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.1)
        }
    }

    #[tokio::test]
    async fn smaller_forms_are_made_only_where_there_is_room() {
        let (files, server) = (Files::default(), id("bbb-01"));
        let text = vec![b'x'; MB];
        let bytes = files.read(&server, http_body_util::Full::new(Bytes::from(text))).await.expect("room");
        let file = File::new("x.js", bytes, HeaderMap::new(), HeaderMap::new(), Timestamp::EPOCH);
        let file = file.in_room("x.js", &files, &server).await.expect("room");
        let most = MEMORY.outer - files.bytes();
        let others = files.room(&server, most).await.expect("room");
        file.pack();
        let packed = file.packed.get().expect("tried");
        assert!(packed.brotli.is_none() && packed.gzip.is_none());
        drop((others, file));
        assert_eq!(files.bytes(), 0);
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let (files, server) = (Files::default(), id("bbb-01"));
        assert!(files.get(&server, "/x", async || None).await.is_none());
        assert!(matches!(
            files.get(&server, "/x", async || Some(Held::Carried(Timestamp::EPOCH))).await,
            Some(Held::Carried(Timestamp::EPOCH))
        ));
        assert!(matches!(files.get(&server, "/x", async || None).await, Some(Held::Carried(Timestamp::EPOCH))));
        files.forget(&server, "/x").await;
        assert!(files.get(&server, "/x", async || None).await.is_none());
        assert_eq!((files.hits.load(Relaxed), files.reads.load(Relaxed)), (1, 3));
    }
}
