//! The two text formats of Prometheus, by what a scraper accepts.

use http::{HeaderMap, header::ACCEPT};

/// Format of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own text format 0.0.4, which all scrapers read.
    Text,
}

impl Format {
    /// What the `Accept` of a request asks for; the text format where it names neither.
    pub(in crate::admin) fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_open = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"))
                && parts.all(|part| !matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        match accepts.flat_map(|value| value.split(',')).any(is_open) {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// Its `Content-Type`.
    pub(in crate::admin) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// An exposition in OpenMetrics, in this format.
    pub(super) fn write(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => as_text(&open_metrics),
        }
    }
}

/// OpenMetrics names a counter without `_total` where it describes it, and ends with `# EOF`; the older format does neither.
fn as_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                text.push_str(&format!("# HELP {name}{end} {words}\n"));
            }
            text.push_str(&format!("# TYPE {name}{end} {kind}\n"));
        } else if line != "# EOF" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Format {
        Format::accepted(&HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a header"))]))
    }

    #[test]
    fn the_format_is_what_the_scraper_accepts() {
        // Prometheus 2.42 sends this one.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(accepted(prometheus), Format::OpenMetrics);
        assert_eq!(accepted("text/plain, Application/OpenMetrics-Text; version=1.0.0"), Format::OpenMetrics);
        assert_eq!(accepted("application/openmetrics-text; q=0, text/plain"), Format::Text);
        for other in ["*/*", "text/plain;version=0.0.4", "text/html,application/xhtml+xml", "application/json", ""] {
            assert_eq!(accepted(other), Format::Text, "{other}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn the_older_format_names_counters_by_their_samples() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{tenant=\"x\"} 1\n\
                    # HELP a_open Open.\n# TYPE a_open gauge\na_open 2\n# EOF\n";
        let text = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{tenant=\"x\"} 1\n\
                    # HELP a_open Open.\n# TYPE a_open gauge\na_open 2\n";
        assert_eq!(Format::Text.write(open.to_owned()), text);
        assert_eq!(Format::OpenMetrics.write(open.to_owned()), open);
    }
}
