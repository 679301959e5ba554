//! How far a load is, as one line on a terminal.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// Often enough to be watched, and too seldom to be noticed by the load.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// The line. Where there is no terminal, nothing is written.
pub(super) struct Progress {
    shows: bool,
    started: Instant,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self { shows: io::stderr().is_terminal(), started: Instant::now() }
    }

    /// Writes it anew. `whole` is how long all is to take.
    pub(super) fn tell(&self, whole: Duration, counted: &str) {
        if self.shows {
            let (passed, whole) = (self.started.elapsed().as_secs_f64(), whole.as_secs_f64());
            eprint!("\r\x1b[K{:>6.0} s of {whole:.0}: {counted}", passed.min(whole));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shows {
            eprint!("\r\x1b[K");
        }
    }
}
