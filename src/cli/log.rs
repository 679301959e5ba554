//! The log: one line per event, as JSON or as text. Lines are buffered in memory and written by their own thread, so that no
//! request waits for a disk or a pipe. When that thread is too slow, lines are dropped and counted.
//!
//! Audit lines (target `audit`: changes by the operator) have their own buffer and are never dropped: when it is full, the
//! writer of the next one waits. Only an operator can fill it. Refused calls of the admin API (target `audit::refused`), which
//! anybody can cause who reaches the admin listener, take at most half of it, and are counted beyond that.

mod json;
mod request;
mod text;

use std::{
    io::{self, IsTerminal},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::supervise::run_thread;
use json::{Json, JsonFields};
use text::Text;

/// Maximum of buffered lines; lines beyond it are dropped.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Maximum of buffered audit lines: some thousands of changes while the log is not read.
const AUDIT_BYTES_MAX: usize = 1 << 20;
/// Pause before another try to write an audit line.
const AUDIT_AGAIN: Duration = Duration::from_secs(1);
/// Pause after each write, so that the next one writes many lines: short for a reader, long compared with a request.
const GATHER: Duration = Duration::from_millis(20);
/// Capacity that a buffer keeps after it has grown.
const KEPT_BYTES: usize = 256 << 10;

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// The running log. Dropping it writes the buffered lines and ends the thread.
#[must_use]
pub(super) struct Log {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

/// The variable of the environment that sets the filter.
const FILTER: &str = "ANTEROOM_LOG";

/// Starts the log on standard output. `ANTEROOM_LOG` sets the filter; the default is `info`.
///
/// # Errors
/// When the filter is not valid, or the thread cannot be started.
pub(super) fn start(form: LogForm) -> io::Result<Log> {
    let lines = Lines::default();
    let waiting = lines.clone();
    let write = move || run_thread("log", || waiting.write_all_to(&mut io::stdout()));
    let thread = thread::Builder::new().name("log".into()).spawn(write)?;
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| io::Error::other(format!("{FILTER}: {error}")))?,
        Err(_) => EnvFilter::new("info"),
    };
    // Audit lines are on with any filter.
    let filter = filter.add_directive("audit=info".parse().expect("a target and a level"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone());
    match form {
        LogForm::Json => log.fmt_fields(JsonFields).event_format(Json).init(),
        // Colours are for terminals only.
        LogForm::Text => log.with_ansi(io::stdout().is_terminal()).event_format(Text).init(),
    }
    Ok(Log { lines, thread: Some(thread) })
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.lock().ended = true;
        self.lines.0.come.notify_one();
        // A panic of the log thread cannot be logged.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The buffer between the callers and the thread that writes.
#[derive(Clone, Default)]
struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Signals that there is something to write, or that the log ends.
    come: Condvar,
    /// Signals that the buffer of audit lines has been emptied.
    gone: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    audit: Vec<u8>,
    /// Refusals that did not fit.
    uncounted: u64,
    ended: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.audit.is_empty()
    }
}

/// What happens to a line that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is dropped.
    Common,
    /// It waits.
    Audit,
    /// It is counted.
    Refused,
}

impl Kind {
    fn of(target: &str) -> Self {
        match target {
            "audit" => Self::Audit,
            "audit::refused" => Self::Refused,
            _ => Self::Common,
        }
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A line is added whole or not at all, so a poisoned buffer is consistent.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, kind: Kind, line: &[u8]) {
        let mut waiting = self.lock();
        let is_first = waiting.is_empty();
        match kind {
            Kind::Common if WAITING_BYTES_MAX < waiting.bytes.len().saturating_add(line.len()) => {
                waiting.dropped = waiting.dropped.saturating_add(1);
                return;
            }
            Kind::Common => waiting.bytes.extend_from_slice(line),
            Kind::Refused if AUDIT_BYTES_MAX / 2 < waiting.audit.len().saturating_add(line.len()) => {
                waiting.uncounted = waiting.uncounted.saturating_add(1);
                return;
            }
            Kind::Audit | Kind::Refused => {
                // A line longer than the buffer has it to itself.
                while !waiting.audit.is_empty() && AUDIT_BYTES_MAX < waiting.audit.len().saturating_add(line.len()) {
                    waiting = self.0.gone.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                waiting.audit.extend_from_slice(line);
            }
        }
        drop(waiting);
        if is_first {
            self.0.come.notify_one();
        }
    }

    /// Writes lines until the log has ended and the buffers are empty. Lines that cannot be written are lost, except audit
    /// lines.
    fn write_all_to(&self, out: &mut impl io::Write) {
        let (mut lines, mut audit) = (Vec::new(), Vec::new());
        loop {
            let mut waiting = self.lock();
            while waiting.is_empty() && !waiting.ended {
                waiting = self.0.come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.is_empty() {
                return;
            }
            mem::swap(&mut waiting.bytes, &mut lines);
            mem::swap(&mut waiting.audit, &mut audit);
            let (dropped, uncounted) = (mem::take(&mut waiting.dropped), mem::take(&mut waiting.uncounted));
            let ended = waiting.ended;
            drop(waiting);
            self.0.gone.notify_all();
            self.write_surely(&audit, out);
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            for buffer in [&mut lines, &mut audit] {
                buffer.clear();
                buffer.shrink_to(KEPT_BYTES);
            }
            if 0 < dropped {
                tracing::warn!(dropped, "log lines dropped: the reader of the log is too slow");
            }
            if 0 < uncounted {
                tracing::warn!(target: "audit::refused", refused = uncounted, "admin API calls refused");
            }
            if !ended {
                thread::sleep(GATHER);
            }
        }
    }

    /// Writes audit lines and retries failed writes until the log ends.
    fn write_surely(&self, lines: &[u8], out: &mut impl io::Write) {
        let mut left = lines;
        while !left.is_empty() {
            match out.write(left) {
                Ok(n) if 0 < n => left = left.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ if self.lock().ended => return,
                _ => thread::sleep(AUDIT_AGAIN),
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self, Kind::Common)
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        Line(self, Kind::of(about.target()))
    }
}

/// Writer of one line.
struct Line<'a>(&'a Lines, Kind);

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(self.1, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::{json::write_time, *};

    /// The lines of what is logged in `of`.
    fn logged(of: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let log =
            tracing_subscriber::fmt().with_writer(lines.clone()).fmt_fields(JsonFields).event_format(Json).finish();
        tracing::subscriber::with_default(log, of);
        lines.lock().ended = true;
        let mut out = Vec::new();
        lines.write_all_to(&mut out);
        let text = String::from_utf8(out).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_line_is_an_object_with_all_fields() {
        let lines = logged(|| {
            tracing::info!(target: "access", tenant = "wagtail", status = 200_u16, late = -1, ok = true, share = 0.5, "said");
            tracing::warn!(error = ?"a \"b\"\n", path = %"/x", nothing = f64::NAN);
            tracing::warn!(target: "log", { log.target = "rustls::x", log.file = "x.rs", log.line = 7 }, "alert");
        });
        let [first, second, third] = &lines[..] else { panic!("{lines:?}") };
        let time = first["timestamp"].as_str().expect("text");
        assert!(OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).is_ok(), "{time}");
        for (name, value) in [
            ("level", json!("INFO")),
            ("target", json!("access")),
            ("message", json!("said")),
            ("tenant", json!("wagtail")),
            ("status", json!(200)),
            ("late", json!(-1)),
            ("ok", json!(true)),
            ("share", json!(0.5)),
        ] {
            assert_eq!(first[name], value, "{name}");
        }
        assert_eq!(second["level"], "WARN");
        assert_eq!(second["error"], "\"a \\\"b\\\"\\n\"");
        assert_eq!(second["path"], "/x");
        assert_eq!(second["nothing"], Value::Null);
        assert_eq!((&third["target"], third.get("log.file")), (&json!("rustls::x"), None));
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans_once() {
        let lines = logged(|| {
            let server = tracing::field::Empty;
            let span = tracing::error_span!("call", tenant = "wag\ntail", request = "1f", server).entered();
            tracing::info!("before");
            span.record("server", "bbb-01");
            tracing::info!(server = "bbb-02", "other");
            let _inner = tracing::error_span!("request", request = "2e").entered();
            tracing::info!("inner");
        });
        let fields = |n: usize| ["tenant", "request", "server"].map(|name| lines[n][name].as_str().unwrap_or("-"));
        assert_eq!(fields(0), ["wag\ntail", "1f", "-"]);
        assert_eq!(fields(1), ["wag\ntail", "1f", "bbb-02"]);
        assert_eq!(fields(2), ["wag\ntail", "2e", "bbb-01"]);
    }

    #[test]
    fn times_are_whole() {
        let mut text = String::new();
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_795_657_180_000_042_999).expect("in range");
        write_time(&mut text, time).expect("text grows");
        assert_eq!(text, "2026-11-26T01:39:40.000042Z");
    }

    #[test]
    fn what_comes_too_fast_is_dropped_and_told() {
        let lines = logged(|| {
            let long = "x".repeat(WAITING_BYTES_MAX / 4);
            (0..6).for_each(|n| tracing::info!(n, long));
        });
        assert_eq!(lines.len(), 3);
    }

    /// A reader of the log who is stuck until told to go on.
    struct Stuck {
        go_on: std::sync::mpsc::Receiver<()>,
        read: Vec<u8>,
        fails: u32,
    }

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Whoever told has gone: it goes on for good.
            let _ = self.go_on.recv();
            if let Some(fails) = self.fails.checked_sub(1) {
                self.fails = fails;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.read.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Ends a log, also where a test fails.
    struct End<'a>(&'a Lines);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.lock().ended = true;
            self.0.0.come.notify_one();
        }
    }

    /// What a reader has read who was stuck while this was logged, and had no room for the first `fails` writes.
    fn read_after(fails: u32, logged: impl FnOnce(&Lines)) -> String {
        let (lines, (going, go_on)) = (Lines::default(), std::sync::mpsc::channel());
        let mut stuck = Stuck { go_on, read: Vec::new(), fails };
        thread::scope(|scope| {
            let read = scope.spawn(|| {
                lines.write_all_to(&mut stuck);
                String::from_utf8(std::mem::take(&mut stuck.read)).expect("text")
            });
            let end = End(&lines);
            let log =
                tracing_subscriber::fmt().with_writer(lines.clone()).fmt_fields(JsonFields).event_format(Json).finish();
            tracing::subscriber::with_default(log, || logged(&lines));
            drop(going);
            while !lines.lock().is_empty() {
                thread::sleep(Duration::from_millis(5));
            }
            drop(end);
            read.join().expect("read")
        })
    }

    fn flood() {
        let long = "x".repeat(WAITING_BYTES_MAX / 64);
        (0..130).for_each(|n| tracing::info!(target: "access", n, long));
        // And what room is left.
        (0..2_000).for_each(|n| tracing::info!(target: "access", n, "short"));
    }

    #[test]
    fn audit_lines_are_kept_while_a_flood_of_others_is_dropped() {
        let read = read_after(0, |lines| {
            flood();
            (0..50).for_each(|n| tracing::info!(target: "audit", n, "changed"));
            flood();
            assert!(lines.lock().dropped > 0, "the flood is one");
        });
        assert_eq!(read.matches("\"target\":\"audit\"").count(), 50);
        assert!(read.matches("\"long\"").count() < 200);
    }

    #[test]
    fn an_audit_line_waits_where_there_is_no_room_and_refusals_are_counted() {
        const EACH: usize = AUDIT_BYTES_MAX / 16;
        let read = read_after(2, |lines| {
            // What the stuck writer has taken already.
            tracing::info!(target: "audit", "first");
            while !lines.lock().audit.is_empty() {
                thread::yield_now();
            }
            let long = "x".repeat(EACH);
            (0..20).for_each(|n| tracing::warn!(target: "audit::refused", n, long));
            assert!(lines.lock().uncounted > 10, "they take half of the room");
            let of_others = lines.clone();
            thread::spawn(move || (0..20).for_each(|_| of_others.add(Kind::Audit, &[b'y'; EACH])));
            while lines.lock().audit.len() + EACH <= AUDIT_BYTES_MAX {
                thread::yield_now();
            }
        });
        let all = read.matches(&"y".repeat(EACH)).count();
        assert_eq!(all, 20, "none of the operator's is lost, though the disk was full");
        assert!(read.matches("first").count() == 1 && read.matches("\"target\":\"audit::refused\"").count() < 10);
    }

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_went_in(text in "\\PC*|[\\x00-\\x7f]*") {
            let lines = logged(|| tracing::info!(text));
            prop_assert_eq!(&lines[0]["text"], &Value::String(text));
        }
    }
}
