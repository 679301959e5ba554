//! What a siege came to: as text, as JSON lines and as a page with plots.

use serde::Serialize;
use serde_json::json;

use super::{Found, Phase, Scope, flood::Flood};
use crate::load::{
    html::{DotRow, Page, Values, dots, lines, table},
    people::{Look, Step},
    report::Context,
    script::Sizes,
    tally::{Percentiles, Spread},
};

/// How many times as long as in quiet the slowest of a hundred may take.
const RATIO_MAX: f64 = 2.0;
/// A share that the gateway would have to be slow for in any case: what is faster than this is never too slow.
const FAST_US: f64 = 1000.0;

/// What was found, ready to be told.
pub struct Report<'a> {
    found: &'a Found,
    scope: &'a Scope,
    context: Context,
    rows: Vec<Row>,
}

/// How long something took.
#[derive(Debug, Clone, Serialize)]
struct Row {
    what: String,
    quiet: Took,
    siege: Took,
    /// Of the two p99.
    ratio: Option<f64>,
    failed_quiet: u64,
    failed_siege: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Took {
    count: u64,
    us: Percentiles,
}

impl From<Option<&Spread>> for Took {
    fn from(spread: Option<&Spread>) -> Self {
        spread.map_or_else(Self::default, |spread| Self { count: spread.len(), us: spread.percentiles() })
    }
}

impl Row {
    fn new(what: String, [quiet, siege]: [Option<&Spread>; 2], [failed_quiet, failed_siege]: [u64; 2]) -> Self {
        let (quiet, siege) = (Took::from(quiet), Took::from(siege));
        let ratio = (0 < quiet.count && 0 < siege.count).then(|| siege.us.p99 / quiet.us.p99);
        Self { what, quiet, siege, ratio, failed_quiet, failed_siege }
    }

    fn is_slow(&self) -> bool {
        self.ratio.is_none_or(|ratio| RATIO_MAX < ratio) && FAST_US < self.siege.us.p99
    }
}

/// What is aimed at.
#[derive(Debug, Clone, Serialize)]
pub struct Goal {
    /// In words, with what was found.
    pub what: String,
    /// Whether it was reached.
    pub is_met: bool,
}

impl<'a> Report<'a> {
    /// Prepares a report.
    #[must_use]
    pub fn new(found: &'a Found, scope: &'a Scope, subject: String) -> Self {
        let Found { quiet, siege, .. } = found;
        let calls = quiet.calls.iter().zip(&siege.calls).map(|((scenario, rate, before), (_, _, under))| {
            let what = format!("{scenario}, {rate}/s");
            Row::new(what, [Some(&before.latency), Some(&under.latency)], [before.failed(), under.failed()])
        });
        let steps = Step::ALL.iter().map(|step| {
            let took = [quiet, siege].map(|phase| phase.course.took.get(step));
            let failed = |phase: &Phase| phase.course.failed.get(step).map_or(0, |(failed, _)| u64::from(*failed));
            Row::new(format!("people: {}", step.name()), took, [failed(quiet), failed(siege)])
        });
        let rows = calls.chain(steps).collect();
        Self { found, scope, context: Context::of_system(subject, Sizes::default()), rows }
    }

    /// What was aimed at, and whether it was reached.
    #[must_use]
    pub fn goals(&self) -> Vec<Goal> {
        let Found { siege, peak_bytes: [_, peak], .. } = self.found;
        let slow: Vec<String> = self.rows.iter().filter(|row| row.is_slow()).map(told_ratio).collect();
        let p99 = match &*slow {
            [] => format!("p99 at most {RATIO_MAX} times that of quiet, or below {} ms", FAST_US / 1000.0),
            slow => format!("p99 at most {RATIO_MAX} times that of quiet; more: {}", slow.join(", ")),
        };
        let failed = siege.failed();
        let inside = siege.course.took.get(&Step::Inside).map_or(0, Spread::len);
        let (people, dropped) = (self.scope.people, siege.course.dropped);
        let most = self.scope.memory_bytes_max;
        vec![
            Goal { what: p99, is_met: slow.is_empty() },
            Goal { what: format!("no good call and nobody refused: {failed}"), is_met: failed == 0 },
            Goal { what: format!("all of {people} people inside: {inside}"), is_met: inside == u64::from(people) },
            Goal { what: format!("no socket dropped: {dropped}"), is_met: dropped == 0 },
            Goal { what: format!("memory below {:.0} MB: {:.0} MB", mb(most), mb(*peak)), is_met: *peak < most },
        ]
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.head());
        text.push_str(&format!("{:<24}{:>30}{:>32}\n", "", "quiet", "under siege"));
        text.push_str(&format!("{:<24}", ""));
        ["count", "p50 ms", "p99", "max", "count", "p50 ms", "p99", "max", "ratio", "failed"]
            .iter()
            .for_each(|heading| text.push_str(&format!("{heading:>9}")));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&format!("{:<24}", row.what));
            row.cells().iter().for_each(|cell| text.push_str(&format!("{cell:>9}")));
            text.push('\n');
        }
        for (step, (failed, why)) in &self.found.siege.course.failed {
            text.push_str(&format!("  {failed} were not {}: the first because of: {why}\n", step.name()));
        }
        for (scenario, _, tally) in &self.found.siege.calls {
            tally.faults.iter().for_each(|(fault, n)| text.push_str(&format!("  {scenario}: {fault:?}: {n}\n")));
        }
        text.push_str(&format!(
            "\n{:<22}{:>8}{:>9}{:>9}{:>9}{:>8}{:>10}{:>9}  answers\n",
            "flood", "places", "opened", "refused", "closed", "held", "sent", "sent/s"
        ));
        for (flood, achieved) in &self.found.floods {
            let [places, opened, refused, closed, held, sent, rate] = self.of_flood(*flood);
            text.push_str(&format!(
                "{:<22}{places:>8}{opened:>9}{refused:>9}{closed:>9}{held:>8}{sent:>10}{rate:>9}  {}\n",
                flood.name(),
                achieved.answers_in_words()
            ));
        }
        text.push_str(&format!("\n{}\n\n", self.gateway_in_words()));
        for Goal { what, is_met } in self.goals() {
            text.push_str(&format!("{} {what}\n", if is_met { "met:   " } else { "MISSED:" }));
        }
        text
    }

    /// As JSON, one object a line.
    #[must_use]
    pub fn json_lines(&self) -> String {
        let Found { quiet, siege, floods, peak_bytes } = self.found;
        let mut values = vec![json!({ "context": self.context, "people": self.scope.people })];
        values.extend(self.rows.iter().map(|row| json!({ "row": row })));
        values.extend(floods.iter().map(|(flood, achieved)| json!({ "flood": flood, "achieved": achieved })));
        values.push(json!({ "dropped": siege.course.dropped, "failed": siege.failed() }));
        values.push(json!({ "peak_bytes": { "quiet": peak_bytes[0], "siege": peak_bytes[1] } }));
        values.push(json!({ "looks": { "quiet": quiet.looks(), "siege": siege.looks() } }));
        values.push(json!({ "goals": self.goals() }));
        values.into_iter().map(|value| format!("{value}\n")).collect()
    }

    /// As a page for a browser.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = Page::new("A siege", &self.head());
        let goals = self.goals();
        let told = goals.iter().map(|goal| vec![if goal.is_met { "met" } else { "missed" }.into(), goal.what.clone()]);
        page.section(
            "Goals",
            "What was aimed at, and what came of it.",
            &[table(&["", "goal"], &told.collect::<Vec<_>>())],
        );
        let headings = [
            "",
            "quiet: count",
            "p50 ms",
            "p99 ms",
            "longest ms",
            "siege: count",
            "p50 ms",
            "p99 ms",
            "longest ms",
            "ratio of p99",
            "failed",
        ];
        let rows = self.rows.iter().map(|row| std::iter::once(row.what.clone()).chain(row.cells()).collect());
        let drawn = self.rows.iter().map(|row| DotRow {
            label: row.what.clone(),
            values: [row.siege, row.quiet].map(|took| (0 < took.count).then_some(took.us.p99 / 1000.0)).into(),
            goal: (0 < row.quiet.count).then_some(row.quiet.us.p99 * RATIO_MAX / 1000.0),
        });
        let series = ["under siege".to_owned(), "quiet".to_owned()];
        page.section(
            "What people and integrations notice",
            "Times count from the moment at which something was to begin. People come at a fixed rate, and each step counts from \
             then; what is said is answered on an open socket. The plot shows p99, and a bar where it may be under siege.",
            &[
                table(&headings, &rows.collect::<Vec<_>>()),
                dots(&series, &drawn.collect::<Vec<_>>(), "milliseconds at p99", Values::Amounts),
            ],
        );
        let floods = self.found.floods.iter().map(|(flood, achieved)| {
            let cells = self.of_flood(*flood).into_iter().chain([achieved.answers_in_words()]);
            std::iter::once(flood.name().to_owned()).chain(cells).collect()
        });
        let headings =
            ["flood", "places", "opened", "refused", "closed", "held at most", "sent", "a second", "answers"];
        page.section(
            "What the floods achieved",
            "All come from one address. Each flood has so many places, and a place has one connection at a time; what is sent are \
             requests, streams, frames or bytes, as the flood has it.",
            &[table(&headings, &floods.collect::<Vec<_>>())],
        );
        page.section("The gateway", &self.gateway_in_words(), &self.over_time());
        page.finish()
    }

    fn head(&self) -> String {
        let Context { commit, cpu, cpus, kernel, subject, .. } = &self.context;
        let Scope { people, quiet, siege, .. } = self.scope;
        format!(
            "{subject}, working directory at commit {commit}; {cpus} x {cpu}, Linux {kernel}. {people} people and integrations' \
             calls, {} s in quiet and {} s under siege.",
            quiet.as_secs(),
            siege.as_secs()
        )
    }

    fn gateway_in_words(&self) -> String {
        let Found { quiet, siege, peak_bytes: [before, after], .. } = self.found;
        let core = |phase: &Phase| {
            let used = phase.course.used.gateway.unwrap_or_default().as_secs_f64();
            used / phase.course.elapsed.as_secs_f64().max(f64::EPSILON) * 100.0
        };
        let others = |phase: &Phase| {
            let used = phase.course.used.generator + phase.course.used.origins.unwrap_or_default();
            used.as_secs_f64() / phase.course.elapsed.as_secs_f64().max(f64::EPSILON) * 100.0
        };
        format!(
            "The gateway took {:.0} % of a core in quiet and {:.0} % under siege; people, attackers and servers together {:.0} % and \
             {:.0} %. Its memory was {:.0} MB at most before the siege, and {:.0} MB at its end.",
            core(quiet),
            core(siege),
            others(quiet),
            others(siege),
            mb(*before),
            mb(*after)
        )
    }

    fn of_flood(&self, flood: Flood) -> [String; 7] {
        let achieved = &self.found.floods[&flood];
        let rate = achieved.sent as f64 / self.found.siege.course.elapsed.as_secs_f64().max(f64::EPSILON);
        let counts = [achieved.opened, achieved.refused, achieved.closed, achieved.held_most, achieved.sent];
        let [opened, refused, closed, held, sent] = counts.map(|count| count.to_string());
        [flood.places_of(self.scope.strength).to_string(), opened, refused, closed, held, sent, format!("{rate:.1}")]
    }

    fn over_time(&self) -> Vec<String> {
        let of = |name: &str, looks: &[Look], value: fn(&Look) -> Option<f64>| {
            (name.to_owned(), looks.iter().filter_map(|look| Some((look.at, value(look)?))).collect::<Vec<_>>())
        };
        let both = |value| [of("quiet", self.found.quiet.looks(), value), of("siege", self.found.siege.looks(), value)];
        vec![
            lines(&both(|look| Some(look.gateway_resident_bytes? as f64 / 1e6)), "seconds", "memory, MB", false),
            lines(&both(|look| Some(look.gateway_share? * 100.0)), "seconds", "% of a core", false),
        ]
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let ms = |us: f64| format!("{:.2}", us / 1000.0);
        let took = |took: &Took| [took.count.to_string(), ms(took.us.p50), ms(took.us.p99), ms(took.us.max)];
        let ratio = self.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let failed = self.failed_siege.to_string();
        took(&self.quiet).into_iter().chain(took(&self.siege)).chain([ratio, failed]).collect()
    }
}

fn told_ratio(row: &Row) -> String {
    match row.ratio {
        Some(ratio) => format!("{} {ratio:.1}", row.what),
        None => format!("{} none", row.what),
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::{people::Course, script::Scenario, siege::flood::Achieved, stop::Stop, tally::Tally};

    fn phase(us: u64, failed: u64) -> Phase {
        let spread = || {
            let mut spread = Spread::default();
            (0..100).for_each(|_| spread.count(Duration::from_micros(us)));
            spread
        };
        let mut tally = Tally { latency: spread(), elapsed: Duration::from_secs(1), ..Tally::default() };
        (0..failed).for_each(|_| tally.count(Err(crate::load::tally::Fault::Status), Duration::ZERO));
        let mut course = Course::default();
        course.took = Step::ALL.iter().map(|step| (*step, spread())).collect();
        course.looks =
            vec![Look { at: 1.0, inside: 9, gateway_share: Some(0.5), gateway_resident_bytes: Some(5_000_000) }];
        course.elapsed = Duration::from_secs(10);
        Phase { course, calls: vec![(Scenario::GetMeetingInfo, 20.0, tally)] }
    }

    fn found(siege: Phase) -> Found {
        let floods = Flood::ALL.iter().map(|flood| (*flood, Achieved { sent: 20, ..Achieved::default() })).collect();
        Found { quiet: phase(2000, 0), siege, floods, peak_bytes: [40_000_000, 50_000_000] }
    }

    fn scope(memory_bytes_max: u64) -> Scope {
        let (quiet, siege) = (Duration::from_secs(5), Duration::from_secs(10));
        Scope { people: 100, quiet, siege, strength: 1.0, memory_bytes_max, stop: Stop::never() }
    }

    #[test]
    fn each_goal_is_missed_by_what_it_is_about() {
        let dropped = {
            let mut phase = phase(2000, 0);
            phase.course.dropped = 1;
            phase
        };
        let kept_out = {
            let mut phase = phase(2000, 0);
            phase.course.took.remove(&Step::Inside);
            phase
        };
        for (name, siege, memory, missed) in [
            ("as in quiet", phase(2000, 0), 60, &[][..]),
            ("somewhat slower", phase(3900, 0), 60, &[]),
            ("too slow", phase(4500, 0), 60, &[0]),
            ("refused", phase(2000, 1), 60, &[1]),
            ("nobody inside", kept_out, 60, &[2]),
            ("dropped", dropped, 60, &[3]),
            ("too much memory", phase(2000, 0), 50, &[4]),
        ] {
            let (found, scope) = (found(siege), scope(memory * 1_000_000));
            let goals = Report::new(&found, &scope, String::new()).goals();
            let found: Vec<usize> = (0..goals.len()).filter(|n| !goals[*n].is_met).collect();
            assert_eq!(found, missed, "{name}: {goals:?}");
        }
    }

    #[test]
    fn what_is_fast_in_any_case_is_not_slow() {
        let row = |quiet, siege| {
            let [quiet, siege] = [quiet, siege].map(|us| {
                let mut spread = Spread::default();
                spread.count(Duration::from_micros(us));
                spread
            });
            Row::new("x".into(), [Some(&quiet), Some(&siege)], [0, 0])
        };
        assert!(!row(100, 900).is_slow() && row(100, 1100).is_slow() && !row(900, 1100).is_slow());
    }

    #[test]
    fn it_is_told_as_text_json_and_page() {
        let (found, scope) = (found(phase(4500, 0)), scope(60_000_000));
        let report = Report::new(&found, &scope, "anteroom".into());
        let text = report.text();
        let line = text.lines().find(|line| line.starts_with("getMeetingInfo, 20/s")).expect("a row");
        assert!(line.contains("2.25"), "{line}");
        let line = text.lines().find(|line| line.starts_with("rapid resets")).expect("a flood");
        assert!(line.contains("2.0"), "20 in 10 s: {line}");
        assert!(text.contains("MISSED: p99") && text.contains("met:    memory below 60 MB: 50 MB"), "{text}");
        for line in report.json_lines().lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        }
        let page = report.html();
        assert!(page.contains("<h2>What the floods achieved</h2>") && !page.contains("NaN"), "{page}");
    }
}
