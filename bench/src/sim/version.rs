//! The versions of BigBlueButton that differ for a gateway, and in what.

/// Which BigBlueButton is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// A Meteor client on a sockjs socket, a lobby page for guests, `enter`; no GraphQL.
    V2_7,
    /// The first of 3.0, as far as they are known: the notes describe a beta of July 2024.
    V3_0_0,
    /// 3.0 as it is in 2026.
    #[default]
    V3_0_30,
}

impl Version {
    /// What `bbbVersion` says.
    pub fn number(self) -> &'static str {
        match self {
            Self::V2_7 => "2.7.20",
            Self::V3_0_0 => "3.0.0",
            Self::V3_0_30 => "3.0.30",
        }
    }

    /// Where `join` sends a browser, below the server's URL.
    pub(crate) fn client_path(self) -> &'static str {
        match self {
            Self::V2_7 | Self::V3_0_0 => "/html5client/join",
            Self::V3_0_30 => "/html5client/",
        }
    }

    pub(crate) fn is_meteor(self) -> bool {
        self == Self::V2_7
    }

    /// Whether there is such an API call, as far as versions differ.
    pub(crate) fn knows(self, call: &str) -> bool {
        match call {
            "enter" => self.is_meteor(),
            "getJoinUrl" | "sendChatMessage" | "feedback" => !self.is_meteor(),
            _ => true,
        }
    }
}
