//! How a command fails.

use std::process::ExitCode;

/// Says on standard error what has gone wrong.
pub(super) fn failed(error: &str) -> ExitCode {
    eprintln!("anteroom: {error}");
    ExitCode::FAILURE
}
