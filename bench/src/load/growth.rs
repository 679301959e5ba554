//! How cost grows: with callers at once, with open sockets, with tenants, with meetings. Each point has a stage of its own.

use std::{
    fmt, io,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    generate::{Load, Plan},
    html::{Page, lines, table},
    process,
    report::Context,
    script::{Scenario, Script, Sizes},
    sockets,
    stage::{Setup, Stage, peers::Carrier},
    stop::Stop,
    tally::Watched,
    target::{Target, Targets},
};

const WARM_UP: Duration = Duration::from_millis(300);
/// As many sockets take so long to open that it can be counted.
const COUNTED: usize = 100;
/// Callers where something else grows.
const CALLERS: usize = 32;
/// Of how many tenants the host names are called in turn: each is tried beforehand.
const HOSTS_MAX: usize = 1000;
/// Among how many servers meetings are spread, so that none has more than its list of meetings may be long.
const SERVERS: usize = 10;
/// Between two looks at whether a gateway is still busy with its start, and how many of them there are at most.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_TRIES: u32 = 30;
/// Whoever takes no more of a core than this is idle.
const IDLE_SHARE: f64 = 0.02;
/// The gateway asks its servers every five seconds what runs there: two rounds.
const ROUNDS: Duration = Duration::from_secs(10);

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Callers at once.
    Callers,
    /// Open WebSockets.
    Sockets,
    /// Tenants in the configuration.
    Tenants,
    /// Meetings that run.
    Meetings,
}

impl Of {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Callers, Self::Sockets, Self::Tenants, Self::Meetings];

    fn name(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Sockets => "sockets",
            Self::Tenants => "tenants",
            Self::Meetings => "meetings",
        }
    }

    /// Where it is looked at.
    #[must_use]
    pub fn points(self) -> &'static [usize] {
        match self {
            Self::Callers => &[1, 2, 4, 8, 16, 32, 64],
            Self::Sockets => &[10, 100, 1000, 3000, 9000],
            Self::Tenants => &[1, 10, 100, 1000, 10_000, 100_000],
            Self::Meetings => &[10, 100, 1000, 10_000, 100_000],
        }
    }
}

impl FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        super::by_name(&Self::ALL, Self::name, text, "thing that grows")
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One point of a curve.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// What grows.
    pub of: Of,
    /// How many there are.
    pub at: usize,
    /// What is told of it, with its unit.
    pub what: &'static str,
    /// How much that is.
    pub value: f64,
}

/// Looks at what grows, up to `most` of each, and until it is to `stop`.
///
/// # Errors
/// When something does not start, or does not answer as it should.
pub async fn grow(setup: &Setup, all: &[Of], most: usize, seconds: Duration, stop: &Stop) -> io::Result<Vec<Point>> {
    let mut points = Vec::new();
    let look = Look { seconds, stop: stop.clone() };
    for of in all {
        for at in of.points().iter().copied().filter(|at| *at <= most) {
            eprintln!("{at} {of}");
            let found = match of {
                Of::Callers => callers(setup, at, &look).await?,
                Of::Sockets => open_sockets(setup, at).await?,
                Of::Tenants => tenants(setup, at, &look).await?,
                Of::Meetings => meetings(setup, at, &look).await?,
            };
            if stop.is_told() {
                return Ok(points);
            }
            points.extend(found.into_iter().map(|(what, value)| Point { of: *of, at, what, value }));
        }
    }
    Ok(points)
}

type Found = io::Result<Vec<(&'static str, f64)>>;

/// How a call is looked at.
struct Look {
    seconds: Duration,
    stop: Stop,
}

async fn callers(setup: &Setup, callers: usize, look: &Look) -> Found {
    let mut found = Vec::new();
    for (what, scenario) in [
        ("CPU for a file of 1 KB, us", Scenario::Static),
        ("CPU for getMeetingInfo, us", Scenario::GetMeetingInfo),
        ("CPU for join, us", Scenario::Join),
        ("CPU for create, us", Scenario::Create),
    ] {
        let mut stage = Stage::through(setup).await?;
        let (pid, target) = stage.carrier(Carrier::Anteroom, setup).await?;
        found.push((what, look.cost(scenario, pid, &target.into(), callers).await?));
    }
    Ok(found)
}

impl Look {
    /// Processor time of the gateway for one request, in microseconds.
    async fn cost(&self, scenario: Scenario, pid: u32, targets: &Targets, callers: usize) -> io::Result<f64> {
        let sizes = Sizes { attendees: 0, asset: "images/dot.png".into(), ..Sizes::default() };
        let mut load = Load::prepare(scenario, targets, &sizes, callers).await?;
        let watched = Watched { gateways: vec![pid], origins: Vec::new() };
        let stop = self.stop.clone();
        let plan = Plan { connections: callers, warm_up: WARM_UP, duration: self.seconds, watched, stop };
        let tally = load.closed_loop(&plan).await?;
        if 0 < tally.failed() {
            return Err(io::Error::other(format!("{scenario}: {:?}", tally.faults)));
        }
        Ok(tally.per_request_us(tally.used.gateway).unwrap_or_default())
    }
}

async fn open_sockets(setup: &Setup, sockets: usize) -> Found {
    let mut stage = Stage::through(setup).await?;
    let (pid, target) = stage.carrier(Carrier::Anteroom, setup).await?;
    let found = sockets::measure(pid, &target, sockets).await?;
    let mut told = vec![
        ("memory of one, KB", found.bytes_per_socket / 1024.0),
        ("CPU while all are idle, % of a core", found.idle_cpu_share * 100.0),
    ];
    // The kernel counts in steps of 10 ms, which few sockets do not take.
    if COUNTED <= sockets {
        told.push(("CPU to open one, us", found.open_cpu_us));
    }
    Ok(told)
}

async fn tenants(setup: &Setup, tenants: usize, look: &Look) -> Found {
    let setup = Setup { tenants, ..setup.clone() };
    let mut stage = Stage::through(&setup).await?;
    let (pid, target) = stage.carrier(Carrier::Anteroom, &setup).await?;
    let started = process::cpu_time(pid)?;
    settle(pid).await?;
    let resident = process::resident_bytes(pid)?;
    let targets = Targets { replicas: vec![target], domains: stage.domains(HOSTS_MAX) };
    Ok(vec![
        ("CPU for a file of 1 KB, us", look.cost(Scenario::Static, pid, &targets, CALLERS).await?),
        ("CPU for getMeetingInfo, us", look.cost(Scenario::GetMeetingInfo, pid, &targets, CALLERS).await?),
        ("CPU for a connection and a call, hosts in turn, us", look.cost(Scenario::Domains, pid, &targets, 1).await?),
        ("memory after the start, MB", resident as f64 / 1e6),
        ("CPU to start, s", started.as_secs_f64()),
    ])
}

/// Waits until a gateway has done what it does once after its start, if it comes to that.
async fn settle(pid: u32) -> io::Result<()> {
    let mut last = process::cpu_time(pid)?;
    for _ in 0..SETTLE_TRIES {
        tokio::time::sleep(SETTLE).await;
        let now = process::cpu_time(pid)?;
        if now - last <= SETTLE.mul_f64(IDLE_SHARE) {
            break;
        }
        last = now;
    }
    Ok(())
}

async fn meetings(setup: &Setup, meetings: usize, look: &Look) -> Found {
    let setup = Setup { servers: SERVERS, ..setup.clone() };
    let mut stage = Stage::through(&setup).await?;
    let (pid, target) = stage.carrier(Carrier::Anteroom, &setup).await?;
    create(&target, meetings, look).await?;
    let (before, from) = (process::cpu_time(pid)?, Instant::now());
    tokio::select! {
        () = tokio::time::sleep(ROUNDS) => {}
        () = look.stop.told() => {}
    }
    let polls = (process::cpu_time(pid)? - before).as_secs_f64() / from.elapsed().as_secs_f64();
    let resident = process::resident_bytes(pid)?;
    let targets = Targets::from(target);
    Ok(vec![
        ("CPU for getMeetingInfo, us", look.cost(Scenario::GetMeetingInfo, pid, &targets, CALLERS).await?),
        ("CPU for join, us", look.cost(Scenario::Join, pid, &targets, CALLERS).await?),
        ("CPU for create, us", look.cost(Scenario::Create, pid, &targets, CALLERS).await?),
        ("CPU to ask the servers what runs, % of a core", polls * 100.0),
        ("memory, MB", resident as f64 / 1e6),
    ])
}

/// Makes so many meetings.
async fn create(target: &Target, meetings: usize, look: &Look) -> io::Result<()> {
    let script = Script::prepare(Scenario::Create, target, &Sizes::default()).await?;
    let mut load = Load::connect(script, target, CALLERS).await?;
    load.pieces(meetings, &look.stop).await
}

/// The curves as a table for a terminal.
#[must_use]
pub fn text(points: &[Point]) -> String {
    let mut text = String::new();
    for (of, whats) in curves(points) {
        text.push_str(&format!("{:<40}", of.name()));
        of.points().iter().for_each(|at| text.push_str(&format!("{at:>10}")));
        text.push('\n');
        for what in whats {
            text.push_str(&format!("{what:<40}"));
            for at in of.points() {
                let value = value(points, of, what, *at).map_or("-".into(), |value| format!("{value:.1}"));
                text.push_str(&format!("{value:>10}"));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// The curves as a page for a browser.
#[must_use]
pub fn html(points: &[Point]) -> String {
    let Context { commit, cpu, cpus, kernel, .. } = Context::of_system(String::new(), Sizes::default());
    let mut page = Page::new(
        "How cost grows",
        &format!(
            "What a gateway costs while there is more and more of something. Working directory at commit {commit}; {cpus} x {cpu}, \
             Linux {kernel}. The horizontal axes are logarithmic: each step is several times the last. Where a line is flat, \
             another one costs what the first one did."
        ),
    );
    for (of, whats) in curves(points) {
        let (heading, words) = match of {
            Of::Callers => (
                "Callers at once",
                "Each caller asks again as soon as it is answered. With few of them the gateway sleeps and is woken for each \
                 request, which costs; with many it goes from one to the next.",
            ),
            Of::Sockets => (
                "Open WebSockets",
                "Each has been opened, has echoed 2 KB once and is idle. Memory is what the gateway has grown by, divided by \
                 their number; the kernel's buffers are not in it.",
            ),
            Of::Tenants => (
                "Tenants",
                "Each has a file, a host, a secret and a certificate of its own. The load on kept connections is one tenant's; then \
                 there is a new connection with a full handshake for each call, the hosts of up to 1,000 tenants in turn. A request \
                 is to cost the same whoever else there is; memory and the time to start grow with the tenants.",
            ),
            Of::Meetings => (
                "Meetings that run",
                "Spread over ten servers. A call is to cost the same however many there are. Every five seconds the gateway asks the \
                 servers what runs there: that grows with the meetings, is told as a share of a core, and is part of what calls \
                 cost here.",
            ),
        };
        let name = |what: &str| what.to_owned();
        let curve = |what: &'static str| {
            let found = points.iter().filter(|point| point.of == of && point.what == what);
            (name(what), found.map(|point| (point.at as f64, point.value)).collect())
        };
        // What has the same unit shares a plot.
        let (per_call, others): (Vec<_>, Vec<_>) = whats.iter().copied().partition(|what| what.ends_with("us"));
        let mut drawn =
            vec![lines(&per_call.into_iter().map(curve).collect::<Vec<_>>(), heading, "microseconds", true)];
        drawn.extend(others.into_iter().map(|what| lines(&[curve(what)], heading, what, true)));
        let mut headings = vec![of.name()];
        headings.extend(whats.iter().copied());
        let rows = of.points().iter().filter(|at| whats.iter().any(|what| value(points, of, what, **at).is_some()));
        let rows = rows.map(|at| {
            let told =
                whats.iter().map(|what| value(points, of, what, *at).map_or("-".into(), |value| format!("{value:.1}")));
            std::iter::once(at.to_string()).chain(told).collect()
        });
        drawn.push(table(&headings, &rows.collect::<Vec<_>>()));
        page.section(heading, words, &drawn);
    }
    page.finish()
}

/// What was looked at, and what is told of each.
fn curves(points: &[Point]) -> Vec<(Of, Vec<&'static str>)> {
    let whats = |of: Of| {
        let mut whats: Vec<&'static str> = Vec::new();
        for point in points.iter().filter(|point| point.of == of) {
            if !whats.contains(&point.what) {
                whats.push(point.what);
            }
        }
        whats
    };
    Of::ALL.into_iter().map(|of| (of, whats(of))).filter(|(_, whats)| !whats.is_empty()).collect()
}

fn value(points: &[Point], of: Of, what: &str, at: usize) -> Option<f64> {
    points.iter().find(|point| point.of == of && point.what == what && point.at == at).map(|point| point.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_told_as_text_and_drawn() {
        let point = |at, what, value| Point { of: Of::Tenants, at, what, value };
        let points = [
            point(1, "CPU for getMeetingInfo, us", 12.0),
            point(10_000, "CPU for getMeetingInfo, us", 12.5),
            point(1, "memory after the start, MB", 20.0),
        ];
        let text = text(&points);
        let line = text.lines().find(|line| line.starts_with("CPU for getMeetingInfo")).expect("a line");
        assert_eq!(line.split_whitespace().skip(4).collect::<Vec<_>>(), ["12.0", "-", "-", "-", "12.5", "-"]);
        let page = html(&points);
        assert!(
            page.contains("12.5 at 10k") && page.contains("<h2>Tenants</h2>") && !page.contains("<h2>Callers"),
            "{page}"
        );
    }

    #[test]
    fn what_grows_is_found_by_its_name() {
        for of in Of::ALL {
            assert_eq!(of.name().parse(), Ok(of));
        }
        assert!("recordings".parse::<Of>().is_err());
    }
}
