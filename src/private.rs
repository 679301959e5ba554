//! Files and directories that only their owner reads, whatever the umask.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Makes a directory, with those above it; what is there stays as it is.
///
/// # Errors
/// The system's.
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

/// Opens a file to be written, and makes it where there is none; one that is there keeps its content and its mode.
///
/// # Errors
/// The system's.
pub fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)
}

/// Writes a file anew; one that was there becomes private first.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = open_file(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// The mode of a file that others than its owner may read or write; `None` for a private one, or none.
#[must_use]
pub fn exposed(path: &Path) -> Option<u32> {
    exposed_by(&fs::metadata(path).ok()?)
}

/// The same of a file that has been looked at.
#[must_use]
pub fn exposed_by(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.mode() & 0o7777;
    (mode & 0o066 != 0).then_some(mode)
}

/// What is said of an exposed file, to follow its name.
#[must_use]
pub fn advice(path: &Path, mode: u32) -> String {
    format!("may be read by others than its owner (mode {mode:04o}): chmod 600 {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_exposed_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let (deep, file) = (dir.path().join("a/b"), dir.path().join("a/b/key"));
        make_dir(&deep).expect("made");
        assert_eq!((mode(&dir.path().join("a")), mode(&deep)), (0o700, 0o700));
        drop(open_file(&file).expect("made"));
        assert_eq!((mode(&file), exposed(&file)), (0o600, None));
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("changed");
        assert_eq!(exposed(&file), Some(0o640), "its group reads it");
        drop(open_file(&file).expect("opened"));
        assert_eq!(mode(&file), 0o640, "what an operator has set stays");
        write(&file, "new").expect("written");
        assert_eq!((mode(&file), fs::read_to_string(&file).expect("read")), (0o600, "new".to_owned()));
        assert_eq!(exposed(&dir.path().join("nothing")), None);
    }
}
