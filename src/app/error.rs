//! [`StartError`]: why the gateway does not start.

use std::{fmt, io};

use crate::{config::Fault, store};

/// Why the gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// All faults of the configuration.
    Config(Vec<Fault>),
    /// An I/O error, such as an address in use or an unreadable file.
    System(io::Error),
    /// The store cannot be opened.
    Store(store::Error),
    /// The life cycle of certificates cannot begin: the reason in words.
    Certificates(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(faults) => {
                for fault in faults {
                    writeln!(f, "{fault}")?;
                }
                write!(f, "{} in the configuration", counted(faults.len(), "fault"))
            }
            Self::System(error) => error.fmt(f),
            Self::Certificates(why) => f.write_str(why),
            Self::Store(error) => {
                write!(f, "{error}")?;
                std::error::Error::source(error).map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<store::Error> for StartError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// A number of things: `1 fault`, `2 faults`.
#[must_use]
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
