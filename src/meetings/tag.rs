//! Tags by a key, which only a gateway of the installation can make: the codes in addresses that servers call have one.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

/// What is kept of a tag, in bytes.
pub(super) const TAG: usize = 16;

/// A key for tags.
pub(super) struct TagKey(hmac::Key);

impl TagKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The tag of a message.
    pub(super) fn tag(&self, message: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hmac::sign(&self.0, message).as_ref()[..TAG]);
        tag
    }

    /// Whether this is the tag of a message. Takes constant time.
    pub(super) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        verify_slices_are_equal(tag, &self.tag(message)).is_ok()
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
