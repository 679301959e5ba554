//! Scenario files: what is done at a target, one step after the other, in TOML.

use std::{fs, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    generate::{Load, Plan},
    people::{self, Course},
    report::Figures,
    script::{Scenario, Sizes},
    stop::Stop,
    tally::Watched,
    target::Targets,
};

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it is called in the report.
    pub name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Calls { call: Scenario, rate: f64, seconds: Duration, connections: usize, meetings: u64, asset: String },
    People { people: u32, meetings: u64, within: Duration, stay: Duration, beat: Duration },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    step: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    call: Option<String>,
    rate: Option<f64>,
    seconds: Option<f64>,
    connections: Option<u16>,
    asset: Option<String>,
    meetings: Option<u32>,
    people: Option<u32>,
    within: Option<f64>,
    stay: Option<f64>,
    beat: Option<f64>,
}

/// What a step came to.
pub enum Outcome {
    /// Of calls: what was asked for, requests per second, and figures.
    Calls(Scenario, f64, Box<Figures>),
    /// Of people: how many were to come, and what went on.
    People(u32, Box<Course>),
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read(path: &Path) -> io::Result<Vec<Step>> {
    let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| named(&error))?;
    parse(&text).map_err(|error| named(&error))
}

fn parse(text: &str) -> Result<Vec<Step>, String> {
    let File { step } = toml::from_str(text).map_err(|error| error.to_string())?;
    if step.is_empty() {
        return Err("there is no [[step]]".into());
    }
    step.into_iter().enumerate().map(|(n, raw)| of(raw).map_err(|why| format!("step {}: {why}", n + 1))).collect()
}

fn of(raw: Raw) -> Result<Step, String> {
    match (&raw.call, raw.people) {
        (Some(call), None) => {
            if raw.within.or(raw.stay).or(raw.beat).is_some() {
                return Err("`within`, `stay` and `beat` are for people".into());
            }
            let call: Scenario = call.parse()?;
            let Sizes { meetings, asset, .. } = Sizes::default();
            let kind = Kind::Calls {
                call,
                rate: within("rate", raw.rate, call.rate(), 0.1..=1e6)?,
                seconds: seconds("seconds", raw.seconds, 10.0)?,
                connections: usize::from(raw.connections.unwrap_or(32).clamp(1, 4096)),
                meetings: raw.meetings.map_or(meetings, u64::from),
                asset: raw.asset.unwrap_or(asset),
            };
            Ok(Step { name: raw.name.unwrap_or_else(|| call.to_string()), kind })
        }
        (None, Some(people)) => {
            if raw.rate.or(raw.seconds).is_some() || raw.connections.is_some() || raw.asset.is_some() {
                return Err("`rate`, `seconds`, `connections` and `asset` are for calls".into());
            }
            if people == 0 {
                return Err("somebody has to come".into());
            }
            let kind = Kind::People {
                people,
                meetings: raw.meetings.unwrap_or(1).max(1).into(),
                within: seconds("within", raw.within, 10.0)?,
                stay: seconds("stay", raw.stay, 10.0)?,
                beat: seconds("beat", raw.beat, 5.0)?,
            };
            Ok(Step { name: raw.name.unwrap_or_else(|| format!("{people} people")), kind })
        }
        _ => Err("`call` or `people` is wanted, and not both".into()),
    }
}

fn within(name: &str, value: Option<f64>, default: f64, legal: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let value = value.unwrap_or(default);
    let (least, most) = (legal.start(), legal.end());
    if legal.contains(&value) { Ok(value) } else { Err(format!("`{name}` is a number from {least} to {most}")) }
}

fn seconds(name: &str, value: Option<f64>, default: f64) -> Result<Duration, String> {
    within(name, value, default, 0.1..=86_400.0).map(Duration::from_secs_f64)
}

/// Does a step, or what there is time for until it is to `stop`.
///
/// # Errors
/// When the target does not answer as it should before the load, or a watched process has gone.
pub async fn run(
    step: &Step,
    targets: &Targets,
    watched: &Watched,
    warm_up: Duration,
    stop: &Stop,
) -> io::Result<Outcome> {
    let (watched, stop) = (watched.clone(), stop.clone());
    match &step.kind {
        Kind::Calls { call, rate, seconds, connections, meetings, asset } => {
            let sizes = Sizes { meetings: *meetings, attendees: 0, asset: asset.clone(), ..Sizes::default() };
            let mut load = Load::prepare(*call, targets, &sizes, *connections).await?;
            let plan = Plan { connections: *connections, warm_up, duration: *seconds, watched, stop };
            let tally = load.open_loop(*rate, &plan).await?;
            Ok(Outcome::Calls(*call, *rate, Box::new(Figures::from(&tally))))
        }
        Kind::People { people, meetings, within, stay, beat } => {
            let plan = people::Plan {
                people: *people,
                meetings: *meetings,
                within: *within,
                stay: *stay,
                beat: *beat,
                watched,
                stop,
            };
            Ok(Outcome::People(*people, Box::new(people::come(&targets.replicas, &plan).await?)))
        }
    }
}

/// A step's outcome as a line of JSON.
#[must_use]
pub fn json(step: &Step, outcome: &Outcome) -> String {
    #[derive(Serialize)]
    struct OfPeople<'a> {
        people: u32,
        failed: u32,
        dropped: u32,
        took_us: Vec<(&'static str, u64, super::tally::Percentiles)>,
        looks: &'a [people::Look],
    }
    let value = match outcome {
        Outcome::Calls(_, rate, figures) => serde_json::json!({ "step": step.name, "rate": rate, "figures": figures }),
        Outcome::People(people, course) => {
            let took = course.took.iter().map(|(step, took)| (step.name(), took.len(), took.percentiles())).collect();
            let told = OfPeople {
                people: *people,
                failed: course.failed(),
                dropped: course.dropped,
                took_us: took,
                looks: &course.looks,
            };
            serde_json::json!({ "step": step.name, "people": told })
        }
    };
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_steps_of_two_kinds() {
        let steps = parse(
            "[[step]]\ncall = \"getMeetingInfo\"\nrate = 200\nseconds = 2.5\n\
             [[step]]\nname = \"monday\"\npeople = 300\nmeetings = 10\nwithin = 10\nstay = 30\n",
        )
        .expect("legal");
        assert_eq!(steps.iter().map(|step| &*step.name).collect::<Vec<_>>(), ["getMeetingInfo", "monday"]);
        let Kind::Calls { call: Scenario::GetMeetingInfo, rate: 200.0, seconds, .. } = &steps[0].kind else { panic!() };
        assert_eq!(*seconds, Duration::from_millis(2500));
        let Kind::People { people: 300, meetings: 10, beat, .. } = &steps[1].kind else { panic!() };
        assert_eq!(*beat, Duration::from_secs(5));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("", "missing field `step`"),
            ("step = []", "there is no [[step]]"),
            ("[[step]]\n", "step 1: `call` or `people`"),
            ("[[step]]\ncall = \"version\"\n[[step]]\ncall = \"join\"\npeople = 3\n", "step 2: `call` or `people`"),
            ("[[step]]\ncall = \"creat\"\n", "no such scenario"),
            ("[[step]]\ncall = \"create\"\nrate = 0\n", "`rate` is a number from 0.1"),
            ("[[step]]\ncall = \"create\"\nstay = 5\n", "are for people"),
            ("[[step]]\npeople = 5\nrate = 5\n", "are for calls"),
            ("[[step]]\npeople = 0\n", "somebody has to come"),
            ("[[step]]\npeople = 5\nwithin = -1\n", "`within` is a number"),
            ("[[step]]\npeopel = 5\n", "unknown field `peopel`"),
        ] {
            let found = parse(text).expect_err(text);
            assert!(found.contains(said), "{text}: {found}");
        }
    }
}
