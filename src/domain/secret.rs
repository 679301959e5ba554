//! [`Secret`]: a text that must not reach a log, an error, a metric or another tenant.

use std::{fmt, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;

/// A shared secret. `Debug` prints `[redacted]`, there is no `Display`, and equality takes constant time.
#[derive(Clone, Default)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a secret as it is.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for signing. Whoever calls this keeps it out of everything that is written down.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "[redacted]");
    }
}
