//! What was measured, as tables for people and as JSON lines for programs.

use std::{collections::BTreeMap, fmt::Write, process::Command};

use serde::Serialize;

use super::{
    html::{DotRow, Page, Values, dots, table},
    process,
    script::{Scenario, Sizes},
    sockets::Sockets,
    tally::{Fault, Percentiles, Tally},
};
use crate::clock;

/// A core is full from here on: the rest goes into switching and is nobody's.
const FULL_SHARE: f64 = 0.9;
/// Requests begun later than that are the generator's fault and show in the latencies.
const LATE_US: f64 = 1000.0;

/// Under which circumstances something was measured.
#[derive(Debug, Serialize)]
pub struct Context {
    /// The commit of the working directory, if that is one. A program that was built before may be of another.
    pub commit: String,
    /// Seconds since 1970.
    pub time: u64,
    /// The processor's model.
    pub cpu: String,
    /// How many of them this system has.
    pub cpus: usize,
    /// The kernel.
    pub kernel: String,
    /// What was measured: a program, or an address.
    pub subject: String,
    /// The processors of gateway and others, if they were kept apart.
    pub cores: Option<(String, String)>,
    /// Connections.
    pub connections: usize,
    /// Seconds counted per open loop.
    pub open_seconds: f64,
    /// Seconds counted per closed loop.
    pub closed_seconds: f64,
    /// Sizes of what is called.
    pub sizes: Sizes,
}

impl Context {
    /// Fills in what the system tells.
    #[must_use]
    pub fn of_system(subject: String, sizes: Sizes) -> Self {
        let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
        let commit = commit.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default();
        let time = clock::since_epoch().as_secs();
        Self {
            commit,
            time,
            cpu: process::cpu_model(),
            cpus: process::cpus(),
            kernel: process::kernel(),
            subject,
            cores: None,
            connections: 0,
            open_seconds: 0.0,
            closed_seconds: 0.0,
            sizes,
        }
    }
}

/// How a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The simulated server itself, without TLS.
    Direct,
    /// Through the gateway, in TLS.
    Through,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Through => "through",
        }
    }
}

/// One load, in figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Requests answered as expected.
    pub answered: u64,
    /// All others.
    pub failed: u64,
    /// Those by reason.
    pub faults: BTreeMap<Fault, u64>,
    /// How long was counted.
    pub elapsed_seconds: f64,
    /// Answers per second.
    pub per_second: f64,
    /// Latency; in an open loop from the intended start.
    pub latency_us: Percentiles,
    /// How late requests were begun.
    pub lateness_us: Percentiles,
    /// Processor time of the gateway for one request.
    pub gateway_cpu_us: Option<f64>,
    /// The same of the simulated servers.
    pub origins_cpu_us: Option<f64>,
    /// The share of one core that the gateway took.
    pub gateway_share: Option<f64>,
    /// The same of the simulated servers.
    pub origins_share: Option<f64>,
    /// The same of the generator.
    pub generator_share: f64,
    /// The gateway's resident memory at the end.
    pub gateway_resident_bytes: Option<u64>,
}

impl From<&Tally> for Figures {
    fn from(tally: &Tally) -> Self {
        Self {
            answered: tally.answered(),
            failed: tally.failed(),
            faults: tally.faults.clone(),
            elapsed_seconds: tally.elapsed.as_secs_f64(),
            per_second: tally.per_second(),
            latency_us: tally.latency.percentiles(),
            lateness_us: tally.lateness.percentiles(),
            gateway_cpu_us: tally.per_request_us(tally.used.gateway),
            origins_cpu_us: tally.per_request_us(tally.used.origins),
            gateway_share: tally.share(tally.used.gateway),
            origins_share: tally.share(tally.used.origins),
            generator_share: tally.share(Some(tally.used.generator)).unwrap_or_default(),
            gateway_resident_bytes: tally.used.gateway_resident,
        }
    }
}

impl Figures {
    /// The share of their common core that generator and servers took.
    fn others_share(&self) -> f64 {
        self.generator_share + self.origins_share.unwrap_or_default()
    }

    /// What a reader has to know about who was the slow part.
    fn remark(&self, way: Way) -> &'static str {
        let gateway_full = self.gateway_share.is_some_and(|share| FULL_SHARE <= share);
        if LATE_US < self.lateness_us.p99 {
            "begun late"
        } else if gateway_full {
            "gateway full"
        } else if FULL_SHARE <= self.others_share() && way == Way::Through {
            "others full"
        } else {
            ""
        }
    }
}

/// A scenario, one way.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was called.
    pub scenario: Scenario,
    /// How it was reached.
    pub way: Way,
    /// Requests per second that were asked for.
    pub rate: f64,
    /// At that rate.
    pub open: Figures,
    /// As fast as answers came.
    pub closed: Figures,
}

/// All that one run has found.
#[derive(Debug)]
pub struct Report {
    /// Under which circumstances.
    pub context: Context,
    /// The scenarios.
    pub rows: Vec<Row>,
    /// The sockets, or why they were not measured.
    pub sockets: Option<Result<Sockets, String>>,
}

impl Report {
    /// The tables.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.head(&mut text)
            .and_then(|()| self.open(&mut text))
            .and_then(|()| self.closed(&mut text))
            .expect("text grows");
        if let Some(found) = &self.sockets {
            text.push_str(&format!("\nSockets: {}\n", sockets_in_words(found)));
        }
        text
    }

    /// One JSON object a line: first the circumstances, then each scenario and way, then the sockets.
    ///
    /// # Panics
    /// Never: all keys are texts.
    #[must_use]
    pub fn json_lines(&self) -> String {
        let mut lines = tagged("context", &self.context);
        self.rows.iter().for_each(|row| lines.push_str(&tagged("load", row)));
        if let Some(Ok(sockets)) = &self.sockets {
            lines.push_str(&tagged("sockets", sockets));
        }
        lines
    }

    /// The same as a page for a browser.
    ///
    /// # Panics
    /// Never: text grows.
    #[must_use]
    pub fn html(&self) -> String {
        let mut intro = String::new();
        self.head(&mut intro).expect("text grows");
        let mut page = Page::new("What calls take and cost", &intro);
        let Context { open_seconds, closed_seconds, connections, .. } = self.context;
        let name = |row: &Row| format!("{} {}", row.scenario, row.way.name());
        let ms = |us: f64| format!("{:.2}", us / 1000.0);
        let headings =
            ["", "a second", "answered", "failed", "p50 ms", "p90", "p99", "p99.9", "longest", "late p99", ""];
        let told = |row: &Row| {
            let Percentiles { p50, p90, p99, p999, max } = row.open.latency_us;
            let counts = [format!("{:.0}", row.rate), row.open.answered.to_string(), row.open.failed.to_string()];
            let times = [p50, p90, p99, p999, max, row.open.lateness_us.p99].map(ms);
            let cells = std::iter::once(name(row)).chain(counts).chain(times);
            cells.chain([row.open.remark(row.way).to_owned()]).collect()
        };
        let spread = |row: &Row| {
            let Percentiles { p50, p99, p999, .. } = row.open.latency_us;
            let values = [p50, p99, p999].map(|us| (0.0 < us).then(|| us / 1000.0));
            DotRow { label: name(row), values: values.into(), goal: None }
        };
        let series = ["half are faster", "99 of 100 are", "999 of 1,000 are"].map(str::to_owned);
        page.section(
            "At a fixed rate",
            &format!(
                "Requests begin when the plan says so, for {open_seconds} s, and count from then, so that one that had to wait because \
                 the target was busy is slow, too. \"late\" is how much of that was the generator's own fault. \"through\" is the \
                 gateway in TLS, \"direct\" the server behind it without. The scale is logarithmic."
            ),
            &[
                dots(&series, &self.rows.iter().map(spread).collect::<Vec<_>>(), "milliseconds", Values::Amounts),
                table(&headings, &self.rows.iter().map(told).collect::<Vec<_>>()),
            ],
        );

        let headings = ["", "a second", "failed", "p50 ms", "p99 ms", "gateway us", "server us", "gateway MB", ""];
        let told = |row: &Row| {
            let Figures { per_second, failed, latency_us, gateway_cpu_us, origins_cpu_us, .. } = &row.closed;
            let resident = row.closed.gateway_resident_bytes;
            let resident = resident.map_or("-".into(), |bytes| format!("{:.1}", megabytes(bytes)));
            let counts = [name(row), format!("{per_second:.0}"), failed.to_string()];
            let times = [ms(latency_us.p50), ms(latency_us.p99), whole(*gateway_cpu_us), whole(*origins_cpu_us)];
            counts.into_iter().chain(times).chain([resident, row.closed.remark(row.way).to_owned()]).collect()
        };
        let costs = |row: &Row| DotRow {
            label: name(row),
            // Next to nothing is none.
            values: [row.closed.gateway_cpu_us, row.closed.origins_cpu_us].map(|us| us.filter(|us| 0.5 <= *us)).into(),
            goal: None,
        };
        let series = ["the gateway", "the server behind it"].map(str::to_owned);
        page.section(
            "As fast as answers come",
            &format!(
                "Each of {connections} connections asks again as soon as it is answered, for at most {closed_seconds} s. The plot shows \
                 the processor time of one request, on a logarithmic scale. How many a second there are is a maximum of the gateway \
                 only where the last column says \"gateway full\"."
            ),
            &[
                dots(&series, &self.rows.iter().map(costs).collect::<Vec<_>>(), "microseconds of processor time", Values::Amounts),
                table(&headings, &self.rows.iter().map(told).collect::<Vec<_>>()),
            ],
        );
        if let Some(found) = &self.sockets {
            page.section("Open WebSockets", &sockets_in_words(found), &[]);
        }
        page.finish()
    }

    fn head(&self, to: &mut String) -> std::fmt::Result {
        let Context { commit, cpu, cpus, kernel, subject, cores, connections, sizes, .. } = &self.context;
        writeln!(to, "{subject}")?;
        let commit = if commit.is_empty() { "unknown" } else { commit };
        writeln!(to, "working directory at commit {commit}; {cpus} x {cpu}, Linux {kernel}")?;
        match cores {
            Some((gateway, others)) => {
                write!(to, "gateway on core {gateway}, generator and servers on core {others}; ")?
            }
            None => write!(to, "no core of its own for anybody; ")?,
        }
        let people = if sizes.attendees == 0 { String::new() } else { format!(" of {} people", sizes.attendees) };
        writeln!(
            to,
            "{connections} connections; {} meetings{people} in getMeetings; static: {}",
            sizes.meetings, sizes.asset
        )
    }

    fn open(&self, to: &mut String) -> std::fmt::Result {
        let seconds = self.context.open_seconds;
        writeln!(to, "\nAt a fixed rate for {seconds} s; latency in ms from the intended start\n")?;
        writeln!(
            to,
            "{:<18}{:<9}{:>7}{:>9}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{:>9}{:>8}  remark",
            "scenario",
            "way",
            "rate/s",
            "answered",
            "failed",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "late p99",
            "gw us",
            "gw core",
            "others"
        )?;
        for Row { scenario, way, rate, open, .. } in &self.rows {
            write!(to, "{scenario:<18}{:<9}{rate:>7.0}{:>9}{:>7}", way.name(), open.answered, open.failed)?;
            let Percentiles { p50, p90, p99, p999, max } = open.latency_us;
            for us in [p50, p90, p99, p999, max] {
                write!(to, "{:>9.2}", us / 1000.0)?;
            }
            write!(to, "{:>10.2}", open.lateness_us.p99 / 1000.0)?;
            write!(to, "{:>8}{:>9}", whole(open.gateway_cpu_us), percent(open.gateway_share))?;
            writeln!(to, "{:>8}  {}", percent(Some(open.others_share())), open.remark(*way))?;
        }
        Ok(())
    }

    fn closed(&self, to: &mut String) -> std::fmt::Result {
        let (connections, seconds) = (self.context.connections, self.context.closed_seconds);
        writeln!(to, "\nAs fast as answers come on {connections} connections, for at most {seconds} s\n")?;
        writeln!(
            to,
            "{:<18}{:<9}{:>9}{:>7}{:>9}{:>9}{:>9}{:>8}{:>10}{:>9}{:>8}{:>9}  remark",
            "scenario",
            "way",
            "answers/s",
            "failed",
            "p50 ms",
            "p99 ms",
            "max ms",
            "gw us",
            "server us",
            "gw core",
            "others",
            "gw MB"
        )?;
        for Row { scenario, way, closed, .. } in &self.rows {
            write!(to, "{scenario:<18}{:<9}{:>9.0}{:>7}", way.name(), closed.per_second, closed.failed)?;
            let Percentiles { p50, p99, max, .. } = closed.latency_us;
            write!(to, "{:>9.2}{:>9.2}{:>9.2}", p50 / 1000.0, p99 / 1000.0, max / 1000.0)?;
            write!(to, "{:>8}{:>10}", whole(closed.gateway_cpu_us), whole(closed.origins_cpu_us))?;
            write!(to, "{:>9}{:>8}", percent(closed.gateway_share), percent(Some(closed.others_share())))?;
            let resident = closed.gateway_resident_bytes.map_or("-".into(), |bytes| format!("{:.1}", megabytes(bytes)));
            writeln!(to, "{resident:>9}  {}", closed.remark(*way))?;
        }
        Ok(())
    }
}

fn sockets_in_words(found: &Result<Sockets, String>) -> String {
    match found {
        Err(why) => format!("not measured. {why}"),
        Ok(found) => format!(
            "{} open over TLS after one echo of 2 KB each, idle: {:.1} KB each (gateway {:.1} MB -> {:.1} MB), \
             {:.0} us CPU to open one",
            found.sockets,
            found.bytes_per_socket / 1024.0,
            megabytes(found.resident_before_bytes),
            megabytes(found.resident_after_bytes),
            found.open_cpu_us
        ),
    }
}

fn tagged(kind: &str, value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).expect("all keys are texts");
    value["kind"] = kind.into();
    format!("{value}\n")
}

fn whole(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.0}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.0}%", share * 100.0))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tally::Used, *};

    fn tally(gateway_ms: u64, generator_ms: u64, late: Duration) -> Tally {
        let mut tally = Tally { elapsed: Duration::from_secs(1), ..Tally::default() };
        for _ in 0..10 {
            tally.count(Ok(()), Duration::from_micros(1500));
            tally.lateness.count(late);
        }
        tally.used = Used {
            gateway: Some(Duration::from_millis(gateway_ms)),
            origins: Some(Duration::from_millis(100)),
            generator: Duration::from_millis(generator_ms),
            gateway_resident: Some(30 << 20),
        };
        tally
    }

    #[test]
    fn the_slow_part_is_named() {
        let soon = Duration::from_micros(50);
        for (name, tally, way, expected) in [
            ("nobody", tally(300, 300, soon), Way::Through, ""),
            ("gateway", tally(950, 300, soon), Way::Through, "gateway full"),
            ("generator and servers", tally(300, 850, soon), Way::Through, "others full"),
            ("just not", tally(300, 790, soon), Way::Through, ""),
            ("a late generator", tally(950, 300, Duration::from_millis(3)), Way::Through, "begun late"),
        ] {
            assert_eq!(Figures::from(&tally).remark(way), expected, "{name}");
        }
    }

    #[test]
    fn table_and_lines_hold_the_same_figures() {
        let tally = tally(10, 20, Duration::from_micros(50));
        let row = Row {
            scenario: Scenario::GetMeetingInfo,
            way: Way::Through,
            rate: 10.0,
            open: Figures::from(&tally),
            closed: Figures::from(&tally),
        };
        let context = Context::of_system("a gateway".into(), Sizes::default());
        let sockets = Some(Err("There is a reason.".into()));
        let report = Report { context, rows: vec![row], sockets };
        let table = report.table();
        // 10 ms for 10 requests, 1.5 ms each.
        let line = table.lines().find(|line| line.starts_with("getMeetingInfo")).expect("a line");
        assert!(line.contains(" 1.50 ") && line.contains(" 1000 "), "{line}");
        assert!(table.contains("There is a reason."));
        let lines: Vec<serde_json::Value> =
            report.json_lines().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["kind"], &lines[1]["kind"]), (&"context".into(), &"load".into()));
        assert_eq!(lines[1]["scenario"], "getMeetingInfo");
        assert_eq!(lines[1]["open"]["gateway_cpu_us"], 1000.0);
        assert_eq!(lines[1]["closed"]["answered"], 10);
        let page = report.html();
        assert!(page.contains("getMeetingInfo through") && page.contains("<td class=\"number\">1.50</td>"), "{page}");
        assert!(page.contains("the gateway: 1000.00") && page.contains("There is a reason."), "{page}");
    }
}
