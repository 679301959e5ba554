//! [`Reading`]: the files behind one part of the configuration, so that a reload reads changed files only.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::{domain::time::Timestamp, private};

/// Maximum size of a configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that changed this little ago may change again without a new time stamp: clocks of file systems are coarse (2 s
/// on FAT, 10 ms at best on ext4). Such a file is read again by the next reload.
const SETTLING: Duration = Duration::from_secs(2);

/// Identifies the version of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    /// Nanoseconds since 1970, as the next one.
    modified: i64,
    changed: i64,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Good until 2262.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// A file as it was when it was read. There may be some hundred thousand of them.
#[derive(Debug)]
struct Seen {
    /// From the folder of its [`Reading`], if that has one.
    path: Box<Path>,
    /// The directory of the file that a symbolic link leads to, for it may change there.
    target: Option<Box<Path>>,
    /// `None` for a file that was not there, or could not be looked at.
    stamp: Option<Stamp>,
    settled: bool,
    /// Its mode, where others than its owner may read or write it.
    exposed: Option<u16>,
}

/// Where a configuration is read, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// Its directory.
    pub(super) dir: &'a Path,
    /// The current time.
    pub(super) now: Timestamp,
}

/// The files that were read for one part of the configuration.
#[derive(Debug)]
pub(super) struct Reading {
    /// The folder of all of them, where they have one of their own.
    folder: Option<Arc<Path>>,
    seen: Vec<Seen>,
    now: Timestamp,
}

impl Reading {
    /// Nothing has been read yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { folder: None, seen: Vec::new(), now }
    }

    /// The same for files in one folder. Others may share its path: it is long, and there are many.
    pub(super) fn in_folder(folder: Arc<Path>, now: Timestamp) -> Self {
        Self { folder: Some(folder), seen: Vec::new(), now }
    }

    /// Reads a file as bytes. The error is in words that follow the file's name.
    pub(super) fn bytes(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.bytes_up_to(path, FILE_BYTES_MAX)
    }

    /// The same with another bound.
    pub(super) fn bytes_up_to(&mut self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let (target, metadata) = look(path);
        self.seen.reserve_exact(1);
        self.seen.push(Seen {
            path: self.below_folder(path).into(),
            target,
            stamp: metadata.as_ref().ok().map(Stamp::new),
            settled: metadata.as_ref().is_ok_and(|metadata| is_settled(metadata, self.now)),
            exposed: metadata.as_ref().ok().and_then(private::exposed_by).and_then(|mode| u16::try_from(mode).ok()),
        });
        // A pipe or a device would block or never end.
        let metadata = metadata.map_err(in_words)?;
        if !metadata.is_file() {
            return Err("is not a regular file".into());
        }
        // With room for what it says it has, and a byte by which the end is found.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(most)).unwrap_or_default() + 1);
        File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(in_words)?;
        if bytes.len() as u64 > most {
            return Err(format!("is larger than {most} bytes"));
        }
        Ok(bytes)
    }

    fn below_folder<'p>(&self, path: &'p Path) -> &'p Path {
        self.folder.as_ref().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path)
    }

    /// The mode of a file that was read, where others than its owner may read or write it.
    pub(super) fn exposed(&self, path: &Path) -> Option<u32> {
        let path = self.below_folder(path);
        self.seen.iter().find(|seen| *seen.path == *path)?.exposed.map(u32::from)
    }

    /// Whether no file changed since.
    pub(super) fn is_current(&self) -> bool {
        self.seen.iter().all(|seen| {
            let metadata = match &self.folder {
                Some(folder) => fs::metadata(folder.join(&seen.path)),
                None => fs::metadata(&seen.path),
            };
            let stamp = metadata.ok().as_ref().map(Stamp::new);
            stamp == seen.stamp && (seen.settled || stamp.is_none())
        })
    }

    /// The directories of the files.
    pub(super) fn directories(&self) -> impl Iterator<Item = Arc<Path>> {
        let of_file = |seen: &Seen| match &self.folder {
            Some(folder) => Some(Arc::clone(folder)),
            None => seen.path.parent().map(Arc::from),
        };
        self.seen.iter().flat_map(move |seen| of_file(seen).into_iter().chain(seen.target.as_deref().map(Arc::from)))
    }
}

/// What a path leads to, and the directory of that where the path is a symbolic link.
fn look(path: &Path) -> (Option<Box<Path>>, io::Result<Metadata>) {
    match fs::symlink_metadata(path) {
        Ok(link) if link.is_symlink() => {
            let target = fs::canonicalize(path).ok();
            (target.as_deref().and_then(Path::parent).map(Into::into), fs::metadata(path))
        }
        metadata => (None, metadata),
    }
}

fn is_settled(metadata: &Metadata, now: Timestamp) -> bool {
    metadata.modified().is_ok_and(|modified| now.saturating_duration_since(modified.into()) > SETTLING)
}

/// What went wrong with a file, to follow its name.
pub(super) fn in_words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".into(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Clock;

    #[test]
    fn files_are_current_until_one_changes_with_a_folder_of_their_own_and_without() {
        let dir = tempfile::tempdir().expect("a directory");
        let later = Clock::system().now().saturating_add(SETTLING * 5);
        let files = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
        for mut reading in [Reading::in_folder(dir.path().into(), later), Reading::new(later)] {
            for file in &files {
                fs::write(file, "one").expect("written");
                assert_eq!(reading.bytes(file), Ok(b"one".to_vec()));
            }
            assert!(reading.is_current());
            assert!(reading.directories().all(|folder| *folder == *dir.path()));
            fs::write(&files[1], "another").expect("written");
            assert!(!reading.is_current());
        }
    }
}
