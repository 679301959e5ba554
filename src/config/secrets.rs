//! Secrets: a literal, `file:PATH` or `env:NAME`.

use std::{env, path::Path};

use super::files::Reading;
use crate::domain::secret::Secret;

/// Reads a secret. The error never shows it: only where it should have come from.
pub(super) fn read(text: &str, dir: &Path, reading: &mut Reading) -> Result<Secret, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return from_file(path, dir, reading);
    }
    if let Some(name) = text.strip_prefix("env:") {
        return from_env(name);
    }
    if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(Secret::new(text)) }
}

/// The file that a secret is read from.
pub(super) fn file_of(text: &str) -> Option<&str> {
    text.strip_prefix("file:").filter(|path| !path.is_empty())
}

fn from_file(path: &str, dir: &Path, reading: &mut Reading) -> Result<Secret, String> {
    if path.is_empty() {
        return Err("needs a path after \"file:\"".into());
    }
    let bytes = reading.bytes(&dir.join(path)).map_err(|why| format!("its file {path:?} {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("its file {path:?} is not UTF-8 text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() { Err(format!("its file {path:?} is empty")) } else { Ok(Secret::new(text)) }
}

fn from_env(name: &str) -> Result<Secret, String> {
    // `env::var_os` panics on no name, but not every platform takes these two either.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("needs the name of a variable after \"env:\"".into());
    }
    match env::var(name) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text)),
        Ok(_) => Err(format!("the environment variable {name:?} is empty")),
        Err(env::VarError::NotPresent) => Err(format!("the environment has no variable {name:?}")),
        Err(env::VarError::NotUnicode(_)) => Err(format!("the environment variable {name:?} is not UTF-8 text")),
    }
}
