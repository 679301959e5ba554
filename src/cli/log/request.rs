//! What a line of the log says of the request that it was written for.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatFields},
    registry::LookupSpan,
};

use crate::net::request_context::RequestContext;

/// Writes the tenant and the id of the request that an event is of, except what the event or a span around it names itself.
pub(super) fn about_request<S, N>(
    context: &FmtContext<'_, S, N>,
    event: &Event<'_>,
    mut write: impl FnMut(&str, &dyn fmt::Display) -> fmt::Result,
) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let is_named = |name: &str| {
        let mut spans = context.event_scope().into_iter().flatten();
        event.metadata().fields().field(name).is_some()
            || spans.any(|span| span.metadata().fields().field(name).is_some())
    };
    let mut write_new = |name, value: &dyn fmt::Display| if is_named(name) { Ok(()) } else { write(name, value) };
    let written = RequestContext::read(|request| {
        write_new("tenant", &request.tenant)?;
        write_new("request", &request.request_id)
    });
    written.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing_subscriber::EnvFilter;

    use super::{
        super::{
            Lines,
            json::{Json, JsonFields},
            text::Text,
        },
        *,
    };
    use crate::net::request_id::RequestId;

    /// What a log writes while a request of wagtail, with the id that this returns, does something.
    async fn logged(form: &str, filter: &str, of: impl FnOnce()) -> (String, String) {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(lines.clone());
        let context =
            RequestContext { tenant: "wagtail".parse().expect("an identifier"), request_id: RequestId::make() };
        let id = context.request_id.to_string();
        context
            .scope(async {
                match form {
                    "json" => {
                        let log = log.fmt_fields(JsonFields).event_format(Json).finish();
                        tracing::subscriber::with_default(log, of);
                    }
                    _ => tracing::subscriber::with_default(log.with_ansi(false).event_format(Text).finish(), of),
                }
            })
            .await;
        lines.lock().ended = true;
        let mut out = Vec::new();
        lines.write_all_to(&mut out);
        (String::from_utf8(out).expect("text"), id)
    }

    fn three_lines() {
        tracing::warn!(server = "bbb-01", "own");
        tracing::warn!(tenant = "heron", "named by the event");
        tracing::error_span!("poll", request = "2e").in_scope(|| tracing::warn!("named by the span"));
    }

    #[tokio::test]
    async fn a_line_has_tenant_and_id_of_its_request_once() {
        let (text, id) = logged("json", "info", three_lines).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let found: Vec<_> = lines.iter().map(|line| (&line["tenant"], &line["request"])).collect();
        let (wagtail, heron, id, other) = (json!("wagtail"), json!("heron"), json!(id), json!("2e"));
        assert_eq!(found, [(&wagtail, &id), (&heron, &id), (&wagtail, &other)], "{text}");
        assert_eq!(text.matches("\"tenant\"").count(), 3, "{text}");
        assert_eq!(text.matches("\"request\"").count(), 3, "{text}");

        let (text, id) = logged("text", "info", three_lines).await;
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(&format!("own server=\"bbb-01\" tenant=wagtail request={id}")), "{text}");
        assert!(lines[1].ends_with(&format!("tenant=\"heron\" request={id}")), "{text}");
        assert!(lines[2].ends_with("tenant=wagtail") && lines[2].contains("request=\"2e\""), "{text}");
        assert_eq!(lines.len(), 3, "{text}");
    }

    #[tokio::test]
    async fn a_line_of_no_request_has_neither() {
        assert_eq!(RequestContext::read(|_| ()), None);
    }

    #[tokio::test]
    async fn a_filter_shows_the_calls_of_one_tenant() {
        let called = || {
            for tenant in ["wagtail", "heron"] {
                tracing::debug_span!("call", %tenant).in_scope(|| tracing::debug!(of = tenant, "detail"));
            }
        };
        let (text, _) = logged("json", "info,[call{tenant=wagtail}]=debug", called).await;
        assert!(text.contains("\"of\":\"wagtail\"") && !text.contains("heron"), "{text}");
        assert_eq!(logged("json", "info", called).await.0, "");
    }
}
