//! [`Watch`]: looks at a body as it passes.

use std::fmt;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Looks at each piece of a body; an error ends it there.
pub struct Watch(pub Box<Look>);

type Look = dyn FnMut(&[u8]) -> Result<(), BodyError> + Send + Sync;

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
