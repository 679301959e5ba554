//! Lines of the log as JSON objects.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
};

use super::request::about_request;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// `{"timestamp":…,"level":…,` the fields, those of the spans around and of the request, `,"target":…}`.
pub(super) struct Json;

/// What a thread keeps for the next time of a line that has grown.
const LINE_BYTES_MAX: usize = 4 * 1024;

thread_local! {
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Fields of a span, each as `,"name":value` and a line end, which no value has in it.
pub(super) struct JsonFields;

impl<'a> FormatFields<'a> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'a>, fields: R) -> fmt::Result {
        let mut text = String::new();
        let mut written = Fields { to: &mut text, end: "\n", written: Ok(()), target: None };
        fields.record(&mut written);
        written.written?;
        to.write_str(&text)
    }

    fn add_fields(&self, known: &'a mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(known.as_writer(), fields)
    }
}

impl Json {
    /// Writes the fields of the spans around an event, the innermost first, and each name once: a line may name a server that
    /// its span has, too.
    fn write_spans<S>(to: &mut String, context: &FmtContext<'_, S, JsonFields>, event: &Event<'_>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        for span in context.event_scope().into_iter().flatten() {
            let inner = || context.event_scope().into_iter().flatten().take_while(|inner| inner.id() != span.id());
            let is_written = |name: &str| {
                let has = |about: &Metadata<'_>| about.fields().field(name).is_some();
                has(event.metadata()) || inner().any(|inner| has(inner.metadata()))
            };
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            for member in fields.fields.lines() {
                if !member.split('"').nth(1).is_some_and(is_written) {
                    to.push_str(member);
                }
            }
        }
    }

    fn write_line<S>(to: &mut String, context: &FmtContext<'_, S, JsonFields>, event: &Event<'_>) -> fmt::Result
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let about = event.metadata();
        to.push_str("{\"timestamp\":\"");
        #[expect(clippy::disallowed_methods, reason = "a line of the log says when it was written")]
        let now = OffsetDateTime::now_utc();
        write_time(to, now)?;
        to.push_str("\",\"level\":\"");
        to.push_str(about.level().as_str());
        to.push('"');
        let mut fields = Fields { to, end: "", written: Ok(()), target: None };
        event.record(&mut fields);
        fields.written?;
        let target = fields.target;
        Self::write_spans(to, context, event);
        // Ids and names have no character that JSON would escape.
        about_request(context, event, |name, value| write!(to, ",\"{name}\":\"{value}\""))?;
        to.push_str(",\"target\":\"");
        escape(to, target.as_deref().unwrap_or(about.target()));
        to.push_str("\"}\n");
        Ok(())
    }
}

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // A line is made of some hundred pieces: they are put together before they go to a writer that is found at run time.
        // It is taken out of its place: a value that is written may log a line of its own.
        let mut line = LINE.take();
        line.clear();
        let written = Self::write_line(&mut line, context, event).and_then(|()| to.write_str(&line));
        line.shrink_to(LINE_BYTES_MAX);
        LINE.set(line);
        written
    }
}

/// RFC 3339 to the microsecond. All but the last part is the same for a whole second.
pub(super) fn write_time(to: &mut dyn fmt::Write, now: OffsetDateTime) -> fmt::Result {
    const SECOND: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, text)| {
        if *second != now.unix_timestamp() {
            *text = now.format(SECOND).map_err(|_| fmt::Error)?;
            *second = now.unix_timestamp();
        }
        to.write_str(text)
    })?;
    write!(to, ".{:06}Z", now.microsecond())
}

/// Writes each field as a member of an object that has been begun.
struct Fields<'a> {
    to: &'a mut String,
    /// Behind each member.
    end: &'static str,
    written: fmt::Result,
    /// The target of an event of the `log` crate: such events share one target and have the real one in a field.
    target: Option<String>,
}

impl Fields<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut String) -> fmt::Result) {
        // Fields of the `log` crate for the origin of an event; fields of this program have no dot.
        if field.name().starts_with("log.") || self.written.is_err() {
            return;
        }
        self.to.push_str(",\"");
        self.to.push_str(field.name());
        self.to.push_str("\":");
        self.written = write(self.to);
        self.to.push_str(self.end);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |to| {
            to.push('"');
            escape(to, value);
            to.push('"');
            Ok(())
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |to| write!(to, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |to| write!(to, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |to| to.write_str(if value { "true" } else { "false" }));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |to| if value.is_finite() { write!(to, "{value}") } else { to.write_str("null") });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |to| {
            to.push('"');
            write!(Escaped(to), "{value:?}")?;
            to.push('"');
            Ok(())
        });
    }
}

/// Text within a JSON string (RFC 8259, 7).
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Whether a byte stands in a JSON string as it is.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

fn escape(to: &mut String, mut text: &str) {
    // Nearly all texts are plain. Without an early end the compiler looks at many bytes at once.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        return to.push_str(text);
    }
    while let Some(at) = text.bytes().position(|byte| !is_plain(byte)) {
        to.push_str(&text[..at]);
        match text.as_bytes()[at] {
            b'"' => to.push_str("\\\""),
            b'\\' => to.push_str("\\\\"),
            b'\n' => to.push_str("\\n"),
            b'\t' => to.push_str("\\t"),
            byte => to.push_str(&format!("\\u{byte:04x}")),
        }
        text = &text[at + 1..];
    }
    to.push_str(text);
}
