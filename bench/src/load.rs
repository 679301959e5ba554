//! Load: callers that measure as a caller would.
//!
//! A [`stage`] starts what is measured, a [`script`] says what is called, [`generate`] calls at a fixed rate or as fast
//! as answers come, a [`tally`] counts, and [`report`] tells. Everything runs on one thread, so that the generator can be
//! kept on one core and its own share of that core can be told.

mod carry;
pub mod compare;
pub mod generate;
pub mod growth;
pub mod html;
pub mod people;
pub mod process;
pub mod quick;
pub mod report;
pub mod scenario_file;
pub mod scenario_report;
pub mod script;
pub mod sockets;
pub mod stage;
pub mod tally;
pub mod target;
pub mod wire;
