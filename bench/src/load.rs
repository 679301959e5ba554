//! Load: callers that measure as a caller would.
//!
//! A [`stage`] starts what is measured, a [`script`] says what is called, [`generate`] calls at a fixed rate or as fast
//! as answers come, a [`tally`] counts, and [`report`] tells. Everything runs on one thread, so that the generator can be
//! kept on one core and its own share of that core can be told.

mod carry;
pub mod compare;
pub mod generate;
pub mod growth;
mod h2;
pub mod hosts;
pub mod html;
pub mod people;
pub mod person;
pub mod process;
mod progress;
pub mod quick;
pub mod report;
pub mod scenario_file;
pub mod scenario_report;
pub mod script;
pub mod siege;
pub mod sockets;
pub mod stage;
pub mod stop;
pub mod tally;
pub mod target;
pub mod wire;

/// What is meant by a name, whatever its case, of all that have one; else a sentence that lists them.
fn by_name<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str, what: &str) -> Result<T, String> {
    let names = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|one| name(**one).eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| format!("no such {what}; there are {}", names()))
}
