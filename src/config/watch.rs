//! [`Watcher`]: detects changes of configuration files.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use super::Loader;

/// An editor, a `git pull` or a renewal changes several files in one go: wait until it is through ...
const QUIET: Duration = Duration::from_millis(100);
/// ... but no longer than this.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often to look at directories that cannot be watched, because they are not there or the system has no more watches.
const POLL: Duration = Duration::from_secs(2);

/// Waits for changes in the directories of a configuration.
///
/// What it reports is a reason to reload, not proof of a change: the loader knows what has changed.
#[derive(Debug)]
pub struct Watcher {
    inner: RecommendedWatcher,
    signal: Arc<Notify>,
    /// The name of the store's file, which may lie among the configuration's.
    store: Arc<Mutex<Option<String>>>,
    dirs: BTreeMap<Arc<Path>, Option<Inode>>,
    /// A change that is not reported yet.
    dirty: bool,
}

/// Which directory a path leads to: another one may be put in its place.
type Inode = (u64, u64);

impl Watcher {
    /// Begins to watch the directories that a loader has read.
    ///
    /// The first wait ends at once: files may have changed between the loader's reading and now.
    ///
    /// # Errors
    /// When the system offers no way to watch files at all.
    pub fn new(loader: &Loader) -> notify::Result<Self> {
        let signal = Arc::new(Notify::new());
        let store = Arc::new(Mutex::new(None::<String>));
        let (to, name) = (Arc::clone(&signal), Arc::clone(&store));
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let store = name.lock().unwrap_or_else(PoisonError::into_inner);
            // An error is the system's way to say that events were lost.
            if event.map_or(true, |event| is_change(&event, store.as_deref())) {
                to.notify_one();
            }
        })?;
        let mut watcher = Self { inner, signal, store, dirs: BTreeMap::new(), dirty: false };
        watcher.follow(loader);
        Ok(watcher)
    }

    /// Watches what the loader has read the last time, and nothing else. To be called after each reload: another secret
    /// may lie in another directory.
    pub fn follow(&mut self, loader: &Loader) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = loader.store_name();
        let mut old = std::mem::take(&mut self.dirs);
        let watched = loader.watched().into_iter().map(|dir| {
            let inode = old.remove(&dir).flatten();
            (dir, inode)
        });
        self.dirs = watched.collect();
        for (dir, inode) in old {
            if inode.is_some() {
                // It fails when the directory is gone already, which is just as well.
                let _ = self.inner.unwatch(&dir);
            }
        }
        self.sync();
    }

    /// Waits until something has changed and then been quiet for a moment.
    ///
    /// May be dropped at any time: no change is lost.
    pub async fn changed(&mut self) {
        while !self.dirty {
            if self.dirs.values().all(Option::is_some) {
                self.signal.notified().await;
                self.dirty = true;
            } else if timeout(POLL, self.signal.notified()).await.is_ok() {
                self.dirty = true;
            } else {
                // What is watched tells by itself when it changes, and so does the directory that it is in.
                let Sight { new, blind } = self.look(|watched| watched.is_none());
                self.dirty = new || blind;
            }
        }
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest {
            let quiet = (Instant::now() + QUIET).min(latest);
            if timeout_at(quiet, self.signal.notified()).await.is_err() {
                break;
            }
        }
        self.sync();
        self.dirty = false;
    }

    /// Watches what is there and not yet watched, and what has been put in the place of something that was.
    fn sync(&mut self) {
        self.look(|_| true);
    }

    /// The same for those directories alone that a look is worth.
    fn look(&mut self, is_worth: impl Fn(&Option<Inode>) -> bool) -> Sight {
        let mut sight = Sight::default();
        for (dir, watched) in self.dirs.iter_mut().filter(|(_, watched)| is_worth(watched)) {
            let inode = fs::metadata(dir).ok().filter(fs::Metadata::is_dir).map(|m| (m.dev(), m.ino()));
            if inode == *watched {
                continue;
            }
            if watched.take().is_some() {
                let _ = self.inner.unwatch(dir);
                sight.new = true;
            }
            if inode.is_some() {
                match self.inner.watch(dir, RecursiveMode::NonRecursive) {
                    Ok(()) => (*watched, sight.new) = (inode, true),
                    Err(_) => sight.blind = true,
                }
            }
        }
        if sight.new {
            self.signal.notify_one();
        }
        sight
    }
}

/// Result of a check of the directories.
#[derive(Default)]
struct Sight {
    /// Some are others than before: changes in them may have gone unseen.
    new: bool,
    /// Some are there, but cannot be watched.
    blind: bool,
}

/// Whether an event is about a change of content. Reading is none, or every reload would bring about the next.
fn is_change(event: &Event, store: Option<&str>) -> bool {
    let reads = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    // `anteroom.db`, and the `-wal`, `-shm` and `-journal` beside it.
    let is_store = |name: &OsStr| store.is_some_and(|store| name.as_encoded_bytes().starts_with(store.as_bytes()));
    let store_only = !event.paths.is_empty() && event.paths.iter().all(|path| path.file_name().is_some_and(is_store));
    !reads && !store_only
}
