//! The SQL, in two dialects: [`sqlite`] and [`postgres`] are what differs, and the statements are the same text, compiled
//! once below each of them.

pub(super) mod postgres;
pub(super) mod sqlite;
