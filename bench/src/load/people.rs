//! People who come to meetings and stay: each joins, loads the client's page and the files it names, opens the sockets of GraphQL, of
//! the SFU and of SIP, and says something now and then. Many within seconds are a join storm, many for long are a soak.
//!
//! They come at a fixed rate whatever becomes of those before them; what a step took counts from the moment at which somebody was to
//! come.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinSet, time::timeout};

use super::{
    carry::{greet, text_frame},
    progress::Progress,
    script::{Joined, Scenario, Script, Sizes},
    stop::Stop,
    tally::{Spread, Used, Watched},
    target::{Dialer, Target},
    wire::Wire,
};

/// Whoever is not in by then has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often what is there is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many come, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many.
    pub people: u32,
    /// Into how many meetings.
    pub meetings: u64,
    /// In which time.
    pub within: Duration,
    /// How long the last one stays; all leave at the same time.
    pub stay: Duration,
    /// How often each says something.
    pub beat: Duration,
    /// Processes whose use is counted.
    pub watched: Watched,
    /// Lets all leave early.
    pub stop: Stop,
}

/// What somebody does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Connected and answered to `join`.
    Joined,
    /// The client's page is there.
    Page,
    /// And all files that it names.
    Files,
    /// And the three sockets: in the meeting.
    Inside,
    /// Something was said, and answered; counts from then.
    Said,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Joined, Self::Page, Self::Files, Self::Inside, Self::Said];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Page => "page",
            Self::Files => "files",
            Self::Inside => "inside",
            Self::Said => "said",
        }
    }
}

/// What was there at some moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Look {
    /// Seconds since the first one was to come.
    pub at: f64,
    /// People who were in their meeting.
    pub inside: u32,
    /// What the gateway took of a core since the last look.
    pub gateway_share: Option<f64>,
    /// The gateway's resident memory.
    pub gateway_resident_bytes: Option<u64>,
}

/// What went on.
#[derive(Debug, Default)]
pub struct Course {
    /// How long each step took.
    pub took: BTreeMap<Step, Spread>,
    /// Who came no further than the step before, and why.
    pub failed: BTreeMap<Step, (u32, String)>,
    /// Who was inside and lost a socket.
    pub dropped: u32,
    /// How late people were begun with: the generator's own fault.
    pub lateness: Spread,
    /// Moments, one each second.
    pub looks: Vec<Look>,
    /// What all took from the first to the last moment.
    pub used: Used,
    /// How long that was.
    pub elapsed: Duration,
    inside: u32,
}

impl Course {
    /// How many could not get in.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed.values().map(|(failed, _)| failed).sum()
    }

    fn took(&mut self, step: Step, since: Instant) {
        self.took.entry(step).or_default().count(since.elapsed());
    }
}

/// Lets people come and stay, at one or more gateways in turn.
///
/// # Errors
/// When a meeting cannot be made, or a watched process has gone.
pub async fn come(targets: &[Target], plan: &Plan) -> io::Result<Course> {
    let first = targets.first().ok_or_else(|| io::Error::other("there is nowhere to go"))?;
    let sizes = Sizes { join_meetings: plan.meetings, ..Sizes::default() };
    let script = Rc::new(Script::prepare(Scenario::Join, first, &sizes).await?);
    let course = Rc::new(RefCell::new(Course::default()));
    let start = Instant::now() + Duration::from_millis(50);
    let end = start + plan.within + plan.stay;
    let mut running = JoinSet::new();
    for (n, target) in (0..plan.people).zip(targets.iter().cycle()) {
        let due = start + plan.within * n / plan.people.max(1);
        let (script, target, course) = (Rc::clone(&script), target.clone(), Rc::clone(&course));
        let (beat, stop) = (plan.beat, plan.stop.clone());
        running.spawn_local(async move {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = stop.told() => return,
            }
            course.borrow_mut().lateness.count(due.elapsed());
            let mut step = Step::Joined;
            let entered = timeout(PATIENCE, enter(&script, &target, n.into(), due, &course, &mut step)).await;
            match entered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(sockets) => tokio::select! {
                    () = stay(sockets, beat, end, &course) => {}
                    () = stop.told() => {}
                },
                Err(why) => {
                    let mut course = course.borrow_mut();
                    let failed = course.failed.entry(step).or_insert_with(|| (0, why.to_string()));
                    failed.0 += 1;
                }
            }
        });
    }
    let progress = Progress::start();
    let (first, begun) = (plan.watched.used()?, Instant::now());
    let mut last = (first, begun);
    while Instant::now() < end && !plan.stop.is_told() {
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(end.saturating_duration_since(Instant::now()))) => {}
            () = plan.stop.told() => {}
        }
        let now = (plan.watched.used()?, Instant::now());
        let since = now.0.since(last.0);
        let passed = now.1.duration_since(last.1).as_secs_f64().max(f64::EPSILON);
        let mut course = course.borrow_mut();
        let look = Look {
            at: start.elapsed().as_secs_f64(),
            inside: course.inside,
            gateway_share: since.gateway.map(|used| used.as_secs_f64() / passed),
            gateway_resident_bytes: now.0.gateway_resident,
        };
        let Course { inside, dropped, .. } = *course;
        let whole = plan.within + plan.stay;
        progress.tell(whole, &format!("{inside} inside, {} failed, {dropped} dropped", course.failed()));
        course.looks.push(look);
        last = now;
    }
    drop(progress);
    let used = plan.watched.used()?.since(first);
    let elapsed = begun.elapsed();
    let left = async { while running.join_next().await.is_some() {} };
    // Whoever is still on the way in has come too late for this.
    let _ = timeout(PATIENCE, left).await;
    drop(running);
    let course = Rc::into_inner(course).map(RefCell::into_inner).unwrap_or_default();
    Ok(Course { used, elapsed, ..course })
}

/// Goes in, from the call of `join` to the last socket. `step` is where somebody is.
async fn enter(
    script: &Script,
    target: &Target,
    n: u64,
    due: Instant,
    course: &RefCell<Course>,
    step: &mut Step,
) -> io::Result<[Wire; 3]> {
    let dialer = target.dialer(true)?;
    let mut wire = dialer.dial().await?;
    let joined = script.join(&mut wire, n).await?;
    course.borrow_mut().took(Step::Joined, due);
    *step = Step::Page;
    let page = get(script, &mut wire, &joined, &format!("html5client/?sessionToken={}", joined.token)).await?;
    course.borrow_mut().took(Step::Page, due);
    *step = Step::Files;
    for file in files(&page) {
        get(script, &mut wire, &joined, &format!("html5client/{file}")).await?;
    }
    course.borrow_mut().took(Step::Files, due);
    *step = Step::Inside;
    let mut graphql = dialer.dial().await?;
    greet(script, &mut graphql, &joined).await?;
    let sfu = socket(script, &dialer, &joined, "bbb-webrtc-sfu").await?;
    let sip = socket(script, &dialer, &joined, "ws").await?;
    course.borrow_mut().took(Step::Inside, due);
    Ok([graphql, sfu, sip])
}

pub(super) async fn get(script: &Script, wire: &mut Wire, joined: &Joined, path: &str) -> io::Result<String> {
    let fields = format!("cookie: {}\r\naccept-encoding: identity\r\n", joined.cookies);
    let reply = wire.exchange(&script.get(&format!("{}/{path}", joined.prefix), &fields)).await?;
    match reply.status {
        200 => Ok(String::from_utf8_lossy(reply.body).into_owned()),
        status => {
            let file = path.split('?').next().unwrap_or_default();
            Err(io::Error::other(format!("{file} was answered with status {status}")))
        }
    }
}

/// The files beside a page that it names.
pub(super) fn files(page: &str) -> Vec<String> {
    let named = ["src=\"", "href=\""].into_iter().flat_map(|attribute| page.split(attribute).skip(1));
    let mut files: Vec<String> = named
        .filter_map(|rest| rest.split('"').next())
        .map(|file| file.trim_start_matches("./").to_owned())
        .filter(|file| !file.is_empty() && !file.contains(':') && !file.starts_with(['/', '#', '?', '.']))
        .collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// Opens a socket that names its session in the query.
pub(super) async fn socket(script: &Script, dialer: &Dialer, joined: &Joined, path: &str) -> io::Result<Wire> {
    let Joined { prefix, token, cookies } = joined;
    let fields = format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\ncookie: {cookies}\r\n"
    );
    let mut wire = dialer.dial().await?;
    let status = wire.upgrade(&script.get(&format!("{prefix}/{path}?sessionToken={token}"), &fields)).await?;
    if status != 101 {
        return Err(io::Error::other(format!("the socket {path} was answered with status {status}")));
    }
    Ok(wire)
}

/// Stays to the end and says something now and then. Each socket that breaks is noticed with that.
async fn stay([mut graphql, mut sfu, mut sip]: [Wire; 3], beat: Duration, end: Instant, course: &RefCell<Course>) {
    course.borrow_mut().inside += 1;
    let (word, id) = (text_frame("{\"type\":\"ping\"}"), text_frame("{\"id\":\"ping\"}"));
    loop {
        let next = Instant::now() + beat;
        if end <= next {
            break;
        }
        tokio::time::sleep_until(next.into()).await;
        let answered = async {
            graphql.answered(&word, b"pong").await?;
            graphql.rest();
            course.borrow_mut().took(Step::Said, next);
            for wire in [&mut sfu, &mut sip] {
                wire.answered(&id, b"pong").await?;
                wire.rest();
            }
            io::Result::Ok(())
        };
        if !matches!(timeout(PATIENCE, answered).await, Ok(Ok(()))) {
            let mut course = course.borrow_mut();
            course.dropped += 1;
            course.inside -= 1;
            return;
        }
    }
    tokio::time::sleep_until(end.into()).await;
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::sim::{Config, Sim};

    async fn target() -> (Sim, Target) {
        let config = Config { secret: "s".into(), ..Config::default() };
        let sim = Sim::start(config).await.expect("started");
        let address = sim.addr();
        (sim, Target { host: "bbb.localhost".into(), address, roots: None, secret: "s".into() })
    }

    fn plan() -> Plan {
        let ms = Duration::from_millis;
        Plan {
            people: 6,
            meetings: 2,
            within: ms(300),
            stay: ms(1500),
            beat: ms(400),
            watched: Watched::default(),
            stop: Stop::never(),
        }
    }

    #[tokio::test]
    async fn all_get_in_say_something_and_stay() {
        let (_sim, target) = target().await;
        let course = LocalSet::new().run_until(come(std::slice::from_ref(&target), &plan())).await.expect("run");
        assert_eq!((course.failed(), course.dropped), (0, 0), "{:?}", course.failed);
        for step in [Step::Joined, Step::Page, Step::Files, Step::Inside] {
            assert_eq!(course.took[&step].len(), 6, "{step:?}");
        }
        assert!(6 <= course.took[&Step::Said].len(), "each says something");
        assert_eq!(course.looks.last().expect("looked").inside, 6);
    }

    #[tokio::test]
    async fn a_server_that_goes_away_drops_everybody() {
        let (sim, target) = target().await;
        let going = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            sim.faults().cut_sockets();
        };
        let plan = plan();
        let (course, ()) =
            LocalSet::new().run_until(async { tokio::join!(come(std::slice::from_ref(&target), &plan), going) }).await;
        assert_eq!(course.expect("run").dropped, 6);
    }

    #[test]
    fn a_page_names_the_files_beside_it() {
        let page = r##"<link href="styles.css"><script src="./bundle.js"></script><img src="/images/x.png"><a href="#top">
            <script src="bundle.js"></script><script src="https://elsewhere.example/x.js"></script><link href="">"##;
        assert_eq!(files(page), ["bundle.js", "styles.css"]);
    }
}
