//! Why the demo ends, other than by being told to.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// Lines of the gateway's log that are shown when it stops by itself.
const LOG_LINES_MAX: usize = 12;

/// Why the demo ends, other than by being told to.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A file or directory.
    File(PathBuf, Box<dyn Error + Send + Sync>),
    /// The gateway ended by itself.
    Stopped(ExitStatus, PathBuf),
    /// A step came to nothing.
    Failed(&'static str, String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Stopped(status, log) => {
                let text = fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                for line in &lines[lines.len().saturating_sub(LOG_LINES_MAX)..] {
                    writeln!(f, "{line}")?;
                }
                write!(f, "the gateway has stopped ({status}); its log is {}", log.display())
            }
            Self::Failed(step, why) => write!(f, "{step}: {why}"),
        }
    }
}

impl Error for Trouble {}

impl Trouble {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |error| Self::File(path.to_owned(), error.into())
    }
}
