//! A siege: one address puts all floods on a gateway at once, while people are in meetings and integrations call from another
//! address.
//!
//! The same is done twice: first with nobody else there, then under siege. What people and integrations notice of the floods is
//! the difference.

mod attack;
mod attacker;
pub mod flood;
pub mod report;

use std::{
    io,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;

use super::{
    generate::{Load, Plan},
    people::{self, Course, Look},
    process,
    script::{Scenario, Script, Sizes},
    stage::{Setup, Stage},
    stop::Stop,
    tally::{Tally, Watched},
    target::{Target, Targets},
};
use attack::Attack;
use attacker::Attacker;
use flood::Achievements;

/// What integrations call, and how often in a second.
pub const CALLS: [(Scenario, f64); 4] = [
    (Scenario::GetMeetingInfo, 20.0),
    (Scenario::GetMeetings, 5.0),
    (Scenario::Join, 5.0),
    // Two calls each.
    (Scenario::End, 5.0),
];
/// Meetings that people are in.
const MEETINGS: u64 = 10;
/// Meetings that run beside them, and are told in lists.
const LISTED: u64 = 20;
/// Connections of an integration.
const CONNECTIONS: usize = 8;
/// In which time people come.
const COMING: Duration = Duration::from_secs(20);
/// How often each says something.
const BEAT: Duration = Duration::from_secs(5);
/// A file of the client that is big enough not to fit on the way.
const BIG: &str = "vendor.";

/// What a gateway's memory must stay below, in MB: see "Bounds" of `docs/hostile-hands.md`.
pub const MEMORY_MB_MAX: u64 = 512;

/// How long, and how much.
#[derive(Debug, Clone)]
pub struct Scope {
    /// People in meetings.
    pub people: u32,
    /// How long it is quiet first.
    pub quiet: Duration,
    /// How long the siege is.
    pub siege: Duration,
    /// How strong the floods are: 1 for as many attackers as each flood has.
    pub strength: f64,
    /// What the gateway's memory must stay below.
    pub memory_bytes_max: u64,
    /// Ends it early.
    pub stop: Stop,
}

/// What good people and integrations noticed.
#[derive(Debug)]
pub struct Phase {
    /// The people.
    pub course: Course,
    /// The calls, and how often each was made in a second.
    pub calls: Vec<(Scenario, f64, Tally)>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// With nobody else there.
    pub quiet: Phase,
    /// Under siege.
    pub siege: Phase,
    /// What the attackers achieved.
    pub floods: Achievements,
    /// The gateway's most resident memory before the siege, and at its end.
    pub peak_bytes: [u64; 2],
}

/// Starts a gateway and servers, and lays siege to it.
///
/// # Errors
/// When something does not start, or does not answer as it should before the floods.
pub async fn besiege(setup: &Setup, scope: &Scope) -> io::Result<Option<Found>> {
    let stage = Stage::through(setup).await?;
    lay(&stage.target(), &stage.watched(), scope).await
}

/// Lays siege to a gateway on this machine; `None` where it was stopped before the siege had begun.
///
/// # Errors
/// When it does not answer as it should before the floods.
pub async fn lay(target: &Target, watched: &Watched, scope: &Scope) -> io::Result<Option<Found>> {
    let gateway = *watched.gateways.first().ok_or_else(|| io::Error::other("there is no gateway"))?;
    let mut loads = Vec::new();
    for (scenario, _) in CALLS {
        let sizes = Sizes { meetings: LISTED, join_meetings: LISTED, attendees: 0, ..Sizes::default() };
        loads.push(Load::prepare(scenario, &Targets::from(target.clone()), &sizes, CONNECTIONS).await?);
    }
    let attacker = attacker(target).await?;
    eprintln!("quiet");
    let quiet = phase(target, watched, &mut loads, scope.quiet, scope).await?;
    if scope.stop.is_told() {
        return Ok(None);
    }
    let before = process::peak_bytes(gateway)?;
    eprintln!("siege");
    let attack = Attack::start(attacker, scope.strength, Instant::now() + scope.siege, scope.stop.clone())?;
    let siege = phase(target, watched, &mut loads, scope.siege, scope).await?;
    let floods = attack.ended().await?;
    Ok(Some(Found { quiet, siege, floods, peak_bytes: [before, process::peak_bytes(gateway)?] }))
}

/// What an attacker may know: a link into a meeting, and what it leads to.
async fn attacker(target: &Target) -> io::Result<Attacker> {
    let sizes = Sizes { join_meetings: 1, ..Sizes::default() };
    let script = Script::prepare(Scenario::Join, target, &sizes).await?;
    let mut wire = target.dialer(true)?.dial().await?;
    let joined = script.join(&mut wire, 0).await?;
    let page = format!("html5client/?sessionToken={}", joined.token);
    let page = people::get(&script, &mut wire, &joined, &page).await?;
    let file = people::files(&page).into_iter().find(|file| file.starts_with(BIG));
    let file = file.ok_or_else(|| io::Error::other("the client has no big file"))?;
    let big = format!("{}/html5client/{file}", joined.prefix);
    Attacker::new(target, script.link(0), joined, big)
}

/// People come and stay, and integrations call, for so long.
async fn phase(
    target: &Target,
    watched: &Watched,
    loads: &mut [Load],
    duration: Duration,
    scope: &Scope,
) -> io::Result<Phase> {
    let within = COMING.min(duration / 2);
    let plan = people::Plan {
        people: scope.people,
        meetings: MEETINGS,
        within,
        stay: duration - within,
        beat: BEAT.min(duration / 4),
        watched: watched.clone(),
        stop: scope.stop.clone(),
    };
    let calls = loads.iter_mut().zip(CALLS).map(async |(load, (scenario, rate))| {
        let plan = Plan {
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            duration,
            watched: Watched::default(),
            stop: scope.stop.clone(),
        };
        io::Result::Ok((scenario, rate, load.open_loop(rate, &plan).await?))
    });
    let (course, calls) = tokio::try_join!(people::come(std::slice::from_ref(target), &plan), try_join_all(calls))?;
    Ok(Phase { course, calls })
}

impl Phase {
    /// Good people's requests and steps that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let calls: u64 = self.calls.iter().map(|(_, _, tally)| tally.failed()).sum();
        calls + u64::from(self.course.failed())
    }

    fn looks(&self) -> &[Look] {
        &self.course.looks
    }
}
