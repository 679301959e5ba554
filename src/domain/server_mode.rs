//! [`ServerMode`]: what the operator wants of a BBB server, apart from whether it answers.

use std::{fmt, str::FromStr};

/// What the operator wants of a server. A server that nobody has said anything about is enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerMode {
    /// It takes what comes.
    #[default]
    Enabled,
    /// It takes no new meetings; those that run go on.
    Cordoned,
    /// Likewise, and it is disabled when the last of them has ended.
    Draining,
    /// It takes neither meetings nor people, and is not polled. Sockets that are open go on.
    Disabled,
}

/// A text is no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeError;

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mode is one of enabled, cordoned, draining and disabled")
    }
}

impl std::error::Error for ModeError {}

impl ServerMode {
    /// All of them, for metrics and tests.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Cordoned, Self::Draining, Self::Disabled];

    /// Whether new meetings are placed on it.
    #[must_use]
    pub fn takes_meetings(self) -> bool {
        match self {
            Self::Enabled => true,
            Self::Cordoned | Self::Draining | Self::Disabled => false,
        }
    }

    /// Whether people may join the meetings on it.
    #[must_use]
    pub fn takes_people(self) -> bool {
        match self {
            Self::Enabled | Self::Cordoned | Self::Draining => true,
            Self::Disabled => false,
        }
    }

    /// Whether it is asked what runs on it.
    #[must_use]
    pub fn is_polled(self) -> bool {
        match self {
            Self::Enabled | Self::Cordoned | Self::Draining => true,
            Self::Disabled => false,
        }
    }

    /// The mode as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for ServerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServerMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(ModeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_admits_its_own() {
        for (mode, meetings, people, polled) in [
            (ServerMode::Enabled, true, true, true),
            (ServerMode::Cordoned, false, true, true),
            (ServerMode::Draining, false, true, true),
            (ServerMode::Disabled, false, false, false),
        ] {
            assert_eq!(
                (mode.takes_meetings(), mode.takes_people(), mode.is_polled()),
                (meetings, people, polled),
                "{mode}"
            );
        }
    }

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        for mode in ServerMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for text in ["", "Enabled", "drained", "enabled "] {
            assert_eq!(text.parse::<ServerMode>(), Err(ModeError), "{text:?}");
        }
    }
}
