//! [`Fault`]: one thing that is wrong with the configuration.

use std::{fmt, path::PathBuf};

/// One thing that is wrong with one place of the configuration. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the configuration's directory.
    pub file: PathBuf,
    /// The line, from 1; `None` where the fault is one of the whole file, or of something that is not in it.
    pub line: Option<usize>,
    /// The key in dotted form (`limits.participants`, `hosts[1]`); empty for the whole file.
    pub key: String,
    /// What is wrong, in words that follow a colon.
    pub reason: String,
}

impl Fault {
    /// A fault of a whole file.
    pub(crate) fn of_file(file: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, key: String::new(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Fault {}
