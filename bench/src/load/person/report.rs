//! What people cost as a table for a terminal, as JSON lines, and as a page.

use serde_json::json;

use super::{Cell, Found, Scope};
use crate::load::{
    html::{Page, table},
    report::Context,
    script::Sizes,
};

const HEADINGS: [&str; 11] = [
    "shape",
    "program",
    "people",
    "handshakes",
    "resumed",
    "ms to open",
    "KB after quiet",
    "us/s quiet",
    "us/message",
    "messages",
    "failed",
];

/// What was found, under which circumstances.
pub struct Report<'a> {
    found: &'a Found,
    scope: &'a Scope,
    context: Context,
}

impl<'a> Report<'a> {
    /// A report of what was found a moment ago on this machine.
    #[must_use]
    pub fn new(found: &'a Found, scope: &'a Scope) -> Self {
        Self { found, scope, context: Context::of_system("persons".into(), Sizes::default()) }
    }

    fn circumstances(&self) -> String {
        let Context { commit, cpu, cpus, kernel, .. } = &self.context;
        let Scope { people, quiet, messages, .. } = self.scope;
        let commit = if commit.is_empty() { "unknown" } else { commit };
        format!(
            "Working directory at commit {commit}; {cpus} x {cpu}, Linux {kernel}; {people} people, {} s of quiet, \
             {messages} messages of each. All figures are for one person, and of the program's own process.",
            quiet.as_secs_f64()
        )
    }

    /// A table for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.circumstances() + "\n";
        self.found.carriers.iter().for_each(|(by, version)| text.push_str(&format!("{by}: {version}\n")));
        let rows = std::iter::once(HEADINGS.map(str::to_owned).to_vec()).chain(self.rows());
        for row in rows {
            text.push('\n');
            for (at, cell) in row.iter().enumerate() {
                text.push_str(&if at < 2 { format!("{cell:<10}") } else { format!("{cell:>15}") });
            }
        }
        text.push('\n');
        for Cell { shape, by, cost } in &self.found.cells {
            match cost {
                None => text.push_str(&format!("{by} has no WebSockets over HTTP/2: {shape} is empty there\n")),
                Some(cost) => {
                    let why = cost.why.iter();
                    why.for_each(|why| text.push_str(&format!("{shape}, {by}: the first failure: {why}\n")));
                }
            }
        }
        text
    }

    /// One JSON object a line: the circumstances, then each shape and program.
    ///
    /// # Panics
    /// Never: all keys are texts.
    #[must_use]
    pub fn json_lines(&self) -> String {
        let context = json!({ "kind": "context", "context": self.context, "carriers": self.found.carriers });
        let cells = self.found.cells.iter().map(|cell| serde_json::to_string(cell).expect("all keys are texts"));
        std::iter::once(context.to_string()).chain(cells).map(|line| line + "\n").collect()
    }

    /// A page for a browser.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = Page::new("What a person costs", &self.circumstances());
        page.section(
            "Figures",
            "rfc8441 has all on one connection, h2 has a connection for each socket beside it, h1 has six for files and three for \
             sockets. Processor time to open counts from the click on the link to three open sockets with their first frames. An \
             empty row: the program has no WebSockets over HTTP/2.",
            &[table(&HEADINGS, &self.rows().collect::<Vec<_>>())],
        );
        let versions = self.found.carriers.iter().map(|(by, version)| vec![by.to_string(), version.clone()]);
        page.section(
            "Who took part",
            "Versions as the programs tell them. Their configurations are in bench/peers.",
            &[table(&["program", "version"], &versions.collect::<Vec<_>>())],
        );
        page.finish()
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.found.cells.iter().map(|Cell { shape, by, cost }| {
            let mut row = vec![shape.to_string(), by.to_string()];
            match cost {
                None => row.resize(HEADINGS.len(), "-".into()),
                Some(cost) => row.extend([
                    cost.people.to_string(),
                    format!("{:.1}", cost.handshakes),
                    format!("{:.1}", cost.resumed),
                    format!("{:.2}", cost.open_ms),
                    format!("{:.1}", cost.kb),
                    format!("{:.1}", cost.quiet_us),
                    cost.message_us.map_or("-".into(), |us| format!("{us:.1}")),
                    cost.messages.to_string(),
                    cost.failed.to_string(),
                ]),
            }
            row
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Cost, Shape},
        *,
    };
    use crate::load::{stage::peers::Carrier, stop::Stop};

    #[test]
    fn what_is_not_offered_is_empty_and_said() {
        let cost = Cost {
            people: 3,
            failed: 0,
            why: None,
            handshakes: 1.0,
            resumed: 0.0,
            open_ms: 2.5,
            kb: 40.0,
            quiet_us: 1.0,
            messages: 6,
            message_us: Some(12.0),
        };
        let shape = Shape::Rfc8441;
        let cells = vec![
            Cell { shape, by: Carrier::Anteroom, cost: Some(cost) },
            Cell { shape, by: Carrier::Nginx, cost: None },
        ];
        let found = Found { carriers: vec![(Carrier::Nginx, "1.22".into())], cells };
        let (shapes, carriers) = (vec![shape], Vec::new());
        let quiet = Duration::from_secs(1);
        let scope = Scope { shapes, carriers, people: 3, quiet, messages: 2, stop: Stop::never() };
        let report = Report::new(&found, &scope);
        let text = report.text();
        assert!(text.contains("nginx has no WebSockets over HTTP/2"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("rfc8441   anteroom") && line.contains("2.50")), "{text}");
        assert_eq!(report.json_lines().lines().count(), 3);
        assert!(report.html().contains("40.0"));
    }
}
