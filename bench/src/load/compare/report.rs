//! The side by side as a table for a terminal, as JSON lines, and as a page with plots.

use serde_json::json;

use super::{Found, Goal, Load, Scope};
use crate::load::{
    html::{DotRow, Page, Values, dots, table},
    report::Context,
    script::Sizes,
    stage::peers::Carrier,
};

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
        Self { found, scope, context: Context::of_system("side by side".into(), Sizes::default()) }
    }

    fn peers(&self) -> impl Iterator<Item = Carrier> {
        self.found.carriers.iter().map(|(carrier, ..)| *carrier).filter(|by| *by != Carrier::Anteroom)
    }

    /// What the gateway costs as a part of what another one does.
    fn ratio(&self, load: Load, by: Carrier) -> Option<f64> {
        Some(self.found.median(load, Carrier::Anteroom)? / self.found.median(load, by)?)
    }

    /// The aim in words, and whether it is met; `None` where there is none, or nobody to compare with.
    fn goal(&self, load: Load) -> Option<(String, bool)> {
        Some(match load.goal()? {
            Goal::OfNginx(most) => (format!("{most:.1} of nginx"), self.ratio(load, Carrier::Nginx)? <= most),
            Goal::AtMost(most) => (format!("{most:.0}"), self.found.median(load, Carrier::Anteroom)? <= most),
        })
    }

    fn circumstances(&self) -> String {
        let Context { commit, cpu, cpus, kernel, .. } = &self.context;
        let (runs, seconds) = (self.scope.runs, self.scope.seconds.as_secs_f64());
        let commit = if commit.is_empty() { "unknown" } else { commit };
        format!(
            "Working directory at commit {commit}; {cpus} x {cpu}, Linux {kernel}; medians of {runs} runs of {seconds} s for each."
        )
    }

    /// Medians as a table: what one piece costs each carrier, and the ratios of the gateway's cost to the others'.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = self.circumstances() + "\n";
        for (carrier, version, agreed) in &self.found.carriers {
            text.push_str(&format!("{carrier}: {version} ({agreed})\n"));
        }
        text.push_str(&format!("\n{:<19}{:<19}", "load", "unit"));
        self.found.carriers.iter().for_each(|(carrier, ..)| text.push_str(&format!("{carrier:>10}")));
        self.peers().for_each(|by| text.push_str(&format!("{:>11}", format!(": {by}"))));
        text.push_str(&format!("  {:<17}{:>6}\n", "goal", "failed"));
        for load in self.found.loads() {
            text.push_str(&format!("{load:<19}{:<19}", load.unit()));
            for (by, ..) in &self.found.carriers {
                text.push_str(&format!("{:>10}", number(self.found.median(load, *by), 1)));
            }
            self.peers().for_each(|by| text.push_str(&format!("{:>11}", number(self.ratio(load, by), 2))));
            let goal =
                self.goal(load).map_or("-".into(), |(goal, met)| format!("{goal} {}", if met { "met" } else { "-" }));
            text.push_str(&format!("  {goal:<17}{:>6}\n", self.failed(load)));
        }
        text
    }

    fn failed(&self, load: Load) -> u64 {
        self.found.cells.iter().filter(|cell| cell.load == load).map(|cell| cell.failed).sum()
    }

    /// One JSON object a line: the circumstances, then each load, carrier and run.
    ///
    /// # Panics
    /// Never: all keys are texts.
    #[must_use]
    pub fn json_lines(&self) -> String {
        let carriers: Vec<_> =
            self.found.carriers.iter().map(|(by, version, agreed)| json!([by, version, agreed])).collect();
        let context = json!({ "kind": "context", "context": self.context, "carriers": carriers });
        let cells = self.found.cells.iter().map(|cell| serde_json::to_string(cell).expect("all keys are texts"));
        std::iter::once(context.to_string()).chain(cells).map(|line| line + "\n").collect()
    }

    /// A page for a browser.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = Page::new(
            "What the same work costs: Anteroom beside nginx, HAProxy and Caddy",
            &format!("{} Each had one core for itself; client and server had another one.", self.circumstances()),
        );
        let series: Vec<String> = self.found.carriers.iter().map(|(carrier, ..)| carrier.to_string()).collect();
        let rows: Vec<DotRow> = self.found.loads().into_iter().map(|load| self.dot_row(load)).collect();
        page.section(
            "Cost beside nginx",
            "Each row is a kind of work. Its dots tell what one piece of it costs each program, as a part of what it costs nginx: \
             processor time, and for sockets memory. On the line at 1 it costs the same; left of it less. The dashed bar is what \
             Anteroom aims at. Anteroom does all that it always does (tenants, sessions, limits, rewriting); the others only carry.",
            &[dots(&series, &rows, "cost as a part of nginx's, on a logarithmic scale", Values::Ratios)],
        );
        page.section(
            "Figures",
            "The middle of all runs, and in brackets the least and the most. Pieces are requests, connections, frames, megabytes or \
             open sockets, as the unit says.",
            &[self.figures()],
        );
        page.section(
            "Was the load generator the slow part?",
            "Shares of one core. A carrier at its 90 % and more was asked for all it could do. Where it was below that, client and \
             server had no time left (their share is near 100 %), or, with handshakes, uploads and frames, one thing was done after \
             the other. The cost of a piece is counted in the carrier's own processor time and does not depend on that, but for some \
             per cent: who waits often has to be woken often.",
            &[self.shares()],
        );
        page.section(
            "Who took part",
            "Versions as the programs tell them, and what a handshake with each agreed on. Their configurations are in bench/peers.",
            &[table(
                &["program", "version", "handshake"],
                &self
                    .found
                    .carriers
                    .iter()
                    .map(|(by, version, agreed)| vec![by.to_string(), version.clone(), agreed.clone()])
                    .collect::<Vec<_>>(),
            )],
        );
        page.finish()
    }

    fn dot_row(&self, load: Load) -> DotRow {
        let nginx = self.found.median(load, Carrier::Nginx);
        let of_nginx = |value: f64| nginx.map(|nginx| value / nginx);
        let value = |by: Carrier| self.found.median(load, by).and_then(of_nginx);
        let goal = load.goal().and_then(|goal| match goal {
            Goal::OfNginx(most) => Some(most),
            Goal::AtMost(most) => of_nginx(most),
        });
        let values = self.found.carriers.iter().map(|(by, ..)| value(*by)).collect();
        DotRow { label: load.to_string(), values, goal }
    }

    fn figures(&self) -> String {
        let names: Vec<String> = self.found.carriers.iter().map(|(by, ..)| by.to_string()).collect();
        let mut headings = vec!["work", "unit"];
        headings.extend(names.iter().map(String::as_str));
        headings.extend(["goal", "met", "failed"]);
        let row = |load: Load| {
            let mut row = vec![load.to_string(), load.unit().to_owned()];
            row.extend(self.found.carriers.iter().map(|(by, ..)| self.spread(load, *by)));
            let (goal, met) =
                self.goal(load).map_or(("-".into(), "-"), |(goal, met)| (goal, if met { "yes" } else { "no" }));
            row.extend([goal, met.to_owned(), self.failed(load).to_string()]);
            row
        };
        table(&headings, &self.found.loads().into_iter().map(row).collect::<Vec<_>>())
    }

    fn spread(&self, load: Load, by: Carrier) -> String {
        let values =
            || self.found.cells.iter().filter(|cell| cell.load == load && cell.by == by).map(|cell| cell.value);
        let Some(median) = self.found.median(load, by) else { return "-".into() };
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        format!("{median:.1} ({least:.1} to {most:.1})")
    }

    fn shares(&self) -> String {
        let headings = ["work", "program", "pieces per second", "its core", "client and server"];
        let cells = self.found.cells.iter().filter(|cell| cell.run == 0 && cell.load != Load::Sockets);
        let percent = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.0} %", share * 100.0));
        let row = |cell: &super::Cell| {
            let rate = format!("{:.0}", cell.per_second);
            vec![
                cell.load.to_string(),
                cell.by.to_string(),
                rate,
                percent(cell.carrier_share),
                percent(cell.others_share),
            ]
        };
        table(&headings, &cells.map(row).collect::<Vec<_>>())
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Cell, *};
    use crate::load::stop::Stop;

    fn cell(load: Load, by: Carrier, value: f64) -> Cell {
        Cell {
            run: 0,
            load,
            by,
            value,
            pieces: 1,
            failed: 0,
            per_second: 1.0,
            carrier_share: Some(0.5),
            others_share: None,
        }
    }

    #[test]
    fn table_lines_and_page_tell_the_same() {
        let (own, nginx) = (Carrier::Anteroom, Carrier::Nginx);
        let cells = vec![
            cell(Load::File1k, own, 12.0),
            cell(Load::File1k, nginx, 30.0),
            cell(Load::Create, own, 250.0),
            cell(Load::Create, nginx, 25.0),
            cell(Load::Upload, own, 3.0),
        ];
        let carriers = vec![(own, String::new(), String::new()), (nginx, "1.22".into(), "TLSv1_3".into())];
        let found = Found { carriers, cells };
        let scope = Scope {
            loads: Load::ALL.to_vec(),
            carriers: vec![own, nginx],
            before: None,
            runs: 1,
            seconds: Duration::from_secs(1),
            sockets: 1,
            stop: Stop::never(),
        };
        let report = Report::new(&found, &scope);
        let table = report.table();
        let told = |name: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.starts_with(name)).expect("a line");
            line.split_whitespace().skip(4).map(str::to_owned).collect()
        };
        assert_eq!(told("file-1k"), ["12.0", "30.0", "0.40", "1.0", "of", "nginx", "met", "0"], "{table}");
        assert_eq!(told("create"), ["250.0", "25.0", "10.00", "200", "-", "0"], "{table}");
        assert_eq!(told("upload"), ["3.0", "-", "-", "-", "0"], "{table}");
        assert_eq!(report.json_lines().lines().count(), 6);
        let page = report.html();
        assert!(page.contains("12.0 (12.0 to 12.0)") && page.contains("250.0 (250.0 to 250.0)"), "{page}");
    }
}
