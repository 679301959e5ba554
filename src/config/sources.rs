//! Values that stand elsewhere: secrets, and files of this configuration.

use std::path::{Path, PathBuf};

use super::{convert::Convert, keypath::KeyPath, secrets};
use crate::{domain::secret::Secret, private};

/// A secret.
pub(super) fn secret(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Secret> {
    let secret = hidden(path, text, cx)?;
    if let Some(doubt) = secrets::doubt(text, cx.dir, &secret) {
        cx.warn(path, doubt);
    }
    Some(secret)
}

/// A text that is read like a secret, but may be short.
pub(super) fn hidden(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Secret> {
    let secret = secrets::read(text, cx.dir, cx.reading);
    match secrets::file_of(text) {
        Some(name) => warn_if_exposed(path, name, cx),
        None => cx.has_secret |= !text.starts_with("env:"),
    }
    cx.keep(path, secret)
}

/// Warns of a file of this configuration that others than its owner may read.
pub(super) fn warn_if_exposed(path: &KeyPath, name: &str, cx: &mut Convert<'_>) {
    if let Some(mode) = private::exposed(&cx.dir.join(name)) {
        cx.warn(path, format!("its file {}", private::advice(Path::new(name), mode)));
    }
}

/// A file of this configuration that must be there, and its content.
pub(super) fn file(path: &KeyPath, name: &str, cx: &mut Convert<'_>) -> Option<(PathBuf, Vec<u8>)> {
    let file = cx.dir.join(name);
    let bytes = cx.reading.bytes(&file).map_err(|why| format!("the file {name:?} {why}"));
    cx.keep(path, bytes).map(|bytes| (file, bytes))
}

/// The content of a file of this configuration that must be there, up to a size.
pub(super) fn file_up_to(path: &KeyPath, name: &str, most: u64, cx: &mut Convert<'_>) -> Option<Vec<u8>> {
    let bytes = cx.reading.bytes_up_to(&cx.dir.join(name), most);
    cx.keep(path, bytes.map_err(|why| format!("the file {name:?} {why}")))
}
