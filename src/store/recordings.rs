//! Whose recordings are whose. They are written as meetings are made and ended.

use super::{
    db::{Db, ask},
    error::Error,
    rows::RecordingRow,
};

/// The recordings of a store.
#[derive(Debug, Clone, Copy)]
pub struct RecordingStore<'a> {
    pub(super) db: &'a Db,
}

impl RecordingStore<'_> {
    /// All of them.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn all(self) -> Result<Vec<RecordingRow>, Error> {
        ask!(self.db, recordings::recordings())
    }

    /// Whether somebody has a recording of this id, or may come to have.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has(self, id: &str) -> Result<bool, Error> {
        ask!(self.db, recordings::has_recording(id))
    }
}
