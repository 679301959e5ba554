//! Lines of the log as text for people.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Writer},
    },
    registry::LookupSpan,
};

use super::request::about_request;

/// The compact format of `tracing-subscriber`, and the fields of the request.
pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        let compact = Format::default().compact().with_ansi(to.has_ansi_escapes());
        compact.format_event(context, Writer::new(&mut line), event)?;
        to.write_str(line.trim_end_matches('\n'))?;
        about_request(context, event, |name, value| write!(to, " {name}={value}"))?;
        to.write_char('\n')
    }
}
