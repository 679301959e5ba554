//! What a scenario file came to: as text for a terminal and as a page with plots.

use super::{
    html::{Page, lines, table},
    people::{Course, Step as Part},
    report::Figures,
    scenario_file::{Outcome, Step},
    tally::Percentiles,
};

/// The outcomes of all steps as text.
#[must_use]
pub fn text(outcomes: &[(Step, Outcome)]) -> String {
    let mut text = String::new();
    for (step, outcome) in outcomes {
        text.push_str(&format!("\n{}: {}\n", step.name, summary(outcome)));
        text.push_str(&format!(
            "{:<14}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
            "", "count", "p50 ms", "p90", "p99", "p99.9", "max"
        ));
        for (name, count, took) in rows(outcome) {
            text.push_str(&format!("{name:<14}{count:>9}"));
            all(&took).iter().for_each(|us| text.push_str(&format!("{:>10.2}", us / 1000.0)));
            text.push('\n');
        }
        faults(outcome).iter().for_each(|fault| text.push_str(&format!("  {fault}\n")));
    }
    text
}

/// The same as a page for a browser.
#[must_use]
pub fn html(target: &str, outcomes: &[(Step, Outcome)]) -> String {
    let mut page = Page::new(
        &format!("Load on {target}"),
        "One step after the other. Times count from the moment at which something was to begin, so that whoever had to wait because \
         the target was busy with others is slow, too.",
    );
    for (step, outcome) in outcomes {
        let headings = ["", "count", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "longest ms"];
        let rows: Vec<_> = rows(outcome);
        let cells = |(name, count, took): &(String, u64, Percentiles)| {
            let times = all(took).into_iter().map(|us| format!("{:.2}", us / 1000.0));
            [name.clone(), count.to_string()].into_iter().chain(times).collect()
        };
        let curves: Vec<_> = rows.iter().map(|(name, _, took)| (name.clone(), curve(took))).collect();
        let mut drawn = vec![
            table(&headings, &rows.iter().map(cells).collect::<Vec<_>>()),
            lines(&curves, "one in so many took longer", "milliseconds", true),
        ];
        if let Outcome::People(_, course) = outcome {
            drawn.extend(over_time(course));
        }
        let mut words = summary(outcome);
        words.push_str(
            " In the plot a line that rises late is of few who waited; the table tells how many took how long at most.",
        );
        faults(outcome).iter().for_each(|fault| words.push_str(&format!(" {fault}.")));
        page.section(&step.name, &words, &drawn);
    }
    page.finish()
}

fn over_time(course: &Course) -> Vec<String> {
    let of = |name: &str, value: &dyn Fn(&super::people::Look) -> Option<f64>| {
        let points: Vec<_> = course.looks.iter().filter_map(|look| Some((look.at.round(), value(look)?))).collect();
        (!points.is_empty()).then(|| (name.to_owned(), points))
    };
    let plots = [
        ("people inside", of("inside", &|look| Some(f64::from(look.inside)))),
        ("CPU of the gateway, % of a core", of("CPU", &|look| Some(look.gateway_share? * 100.0))),
        ("memory of the gateway, MB", of("memory", &|look| Some(look.gateway_resident_bytes? as f64 / 1e6))),
    ];
    plots.into_iter().filter_map(|(what, curve)| Some(lines(&[curve?], "seconds", what, false))).collect()
}

fn summary(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Calls(call, rate, figures) => {
            let Figures { answered, failed, elapsed_seconds, generator_share, gateway_cpu_us, .. } = &**figures;
            let cpu = gateway_cpu_us.map_or_else(String::new, |us| format!(", {us:.0} us of the gateway's CPU each"));
            format!(
                "{call} at {rate} a second for {elapsed_seconds:.0} s: {answered} answered, {failed} failed{cpu}. The generator took \
                 {:.0} % of a core and was late by {:.2} ms at p99.",
                generator_share * 100.0,
                figures.lateness_us.p99 / 1000.0
            )
        }
        Outcome::People(people, course) => {
            let inside = course.took.get(&Part::Inside).map_or(0, super::tally::Spread::len);
            let generator =
                course.used.generator.as_secs_f64() / course.elapsed.as_secs_f64().max(f64::EPSILON) * 100.0;
            format!(
                "{people} people: {inside} got in, {} failed, {} lost a socket. The generator took {generator:.0} % of a core and was \
                 late by {:.2} ms at p99.",
                course.failed(),
                course.dropped,
                course.lateness.percentiles().p99 / 1000.0
            )
        }
    }
}

fn rows(outcome: &Outcome) -> Vec<(String, u64, Percentiles)> {
    match outcome {
        Outcome::Calls(call, _, figures) => vec![(call.to_string(), figures.answered, figures.latency_us)],
        Outcome::People(_, course) => {
            let took = |part: &Part| Some((part.name().to_owned(), course.took.get(part)?));
            Part::ALL.iter().filter_map(took).map(|(name, took)| (name, took.len(), took.percentiles())).collect()
        }
    }
}

fn faults(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Calls(_, _, figures) => figures.faults.iter().map(|(fault, n)| format!("{fault:?}: {n}")).collect(),
        Outcome::People(_, course) => {
            let told = course.failed.iter();
            told.map(|(part, (n, why))| format!("{n} were not {}: the first because of: {why}", part.name())).collect()
        }
    }
}

fn all(took: &Percentiles) -> [f64; 5] {
    [took.p50, took.p90, took.p99, took.p999, took.max]
}

/// Milliseconds over how many are no slower for one that is.
fn curve(took: &Percentiles) -> Vec<(f64, f64)> {
    [2.0, 10.0, 100.0, 1000.0].into_iter().zip(all(took)).map(|(one_in, us)| (one_in, us / 1000.0)).collect()
}
