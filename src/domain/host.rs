//! [`Host`]: the name a request asks for, in the one form that routing, TLS and the store compare.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A DNS host name: lower case, 1 to 253 bytes, without port and without a trailing dot.
///
/// Labels are letters, digits, hyphens and underscores (internationalised names in their `xn--` form). `FromStr` is the
/// only way to make one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// Why a text is no [`Host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// Empty, or longer than 253 bytes.
    Length,
    /// A label that is empty, longer than 63 bytes or begins or ends with a hyphen.
    Label,
    /// A byte that is no letter, digit, hyphen, underscore or dot.
    Character,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a host name has 1 to 253 bytes",
            Self::Label => "each label of a host name has 1 to 63 bytes and no hyphen at its ends",
            Self::Character => "a host name has letters, digits, hyphens and dots only, without scheme, port or path",
        })
    }
}

impl std::error::Error for HostError {}

impl Host {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name lies below `parent` (`a.b.example` below `b.example`; a name does not lie below itself).
    #[must_use]
    pub fn is_below(&self, parent: &Host) -> bool {
        self.0.strip_suffix(&*parent.0).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > 253 {
            return Err(HostError::Length);
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
                return Err(HostError::Label);
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return Err(HostError::Character);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_lower_case_and_has_no_trailing_dot() {
        let host: Host = "Meet.Wagtail.Example.".parse().expect("legal");
        assert_eq!(host.as_str(), "meet.wagtail.example");
    }

    #[test]
    fn what_is_no_host_name_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", HostError::Length),
            (&"a.".repeat(128), HostError::Length),
            ("a..b", HostError::Label),
            ("-a.b", HostError::Label),
            (&"x".repeat(64), HostError::Label),
            ("a.b:443", HostError::Character),
            ("https://a.b", HostError::Character),
            ("a b", HostError::Character),
            ("bücher.example", HostError::Character),
        ] {
            assert_eq!(text.parse::<Host>(), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_sub_domain_lies_below_its_parent_only() {
        let host = |text: &str| text.parse::<Host>().expect("legal");
        let base = host("meet.example");
        for (name, below) in [
            ("wagtail.meet.example", true),
            ("a.b.meet.example", true),
            ("meet.example", false),
            ("notmeet.example", false),
            ("meet.example.org", false),
        ] {
            assert_eq!(host(name).is_below(&base), below, "{name}");
        }
    }
}
