//! Calls: at a fixed rate whatever the answers do (open loop), or each connection as fast as it gets answers (closed
//! loop).
//!
//! In the open loop a request has an intended start, and its latency counts from there: when the target stalls, the
//! requests that had to wait for it are slow too, which a closed loop would hide. All of it runs in a `LocalSet` on one
//! thread; only the pacer has a thread of its own, as the runtime's timers are no finer than a millisecond.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::timeout,
};

use super::{
    progress::{self, Progress},
    script::{Scenario, Script, Sizes},
    stop::Stop,
    tally::{Fault, Tally, Used, Watched},
    target::{Dialer, Target, Targets},
    wire::Wire,
};

/// How long after its end a load waits for what is still open.
const DRAIN: Duration = Duration::from_secs(5);
/// A connection that has rested for longer may have been closed as it is used: another one is opened, as clients do.
const KEPT: Duration = Duration::from_secs(15);
/// Before another try after a connection could not be opened, so that a target that is down is not hammered.
const REDIAL_PAUSE: Duration = Duration::from_millis(10);

/// One load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections at most.
    pub connections: usize,
    /// At the start, and not counted.
    pub warm_up: Duration,
    /// What is counted.
    pub duration: Duration,
    /// Processes whose use is counted.
    pub watched: Watched,
    /// Ends it early.
    pub stop: Stop,
}

/// Connections to targets that have their script.
pub struct Load {
    scenario: Scenario,
    lanes: Vec<Lane>,
    next: Rc<Cell<u64>>,
}

impl Load {
    /// Makes what a scenario needs at its targets, and opens so many connections to each.
    ///
    /// # Errors
    /// When one of them does not answer as it should.
    pub async fn prepare(scenario: Scenario, targets: &Targets, sizes: &Sizes, connections: usize) -> io::Result<Self> {
        let mut scripts = Vec::new();
        if scenario == Scenario::Domains {
            for target in &targets.domains {
                let script = Script::prepare(scenario, target, sizes).await;
                let named = |error| io::Error::other(format!("{}: {error}", target.host));
                scripts.push((Rc::new(script.map_err(named)?), target.clone()));
            }
        } else if let Some(first) = targets.replicas.first() {
            let script = Rc::new(Script::prepare(scenario, first, sizes).await?);
            scripts.extend(targets.replicas.iter().map(|target| (Rc::clone(&script), target.clone())));
        }
        Self::spread(&scripts, connections).await
    }

    /// Opens the connections to a target. Those that resume make the handshake that gives them their first ticket.
    ///
    /// # Errors
    /// When the target cannot be reached.
    pub async fn connect(script: Script, target: &Target, connections: usize) -> io::Result<Self> {
        Self::spread(&[(Rc::new(script), target.clone())], connections).await
    }

    /// Opens so many connections to each of several targets, which are called in turn.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be reached.
    async fn spread(targets: &[(Rc<Script>, Target)], connections: usize) -> io::Result<Self> {
        let scenario = targets.first().ok_or_else(|| io::Error::other("nothing is called"))?.0.scenario();
        let sites =
            || targets.iter().map(|(script, target)| Site::new(script, target)).collect::<io::Result<Rc<[_]>>>();
        let shared = sites()?;
        // The first number was used to try the script.
        let next = Rc::new(Cell::new(1));
        let mut lanes = Vec::new();
        for _ in 0..connections {
            // Whoever resumes has tickets of its own.
            let sites = if scenario.resumes() { sites()? } else { Rc::clone(&shared) };
            let mut lane = Lane { wires: sites.iter().map(|_| None).collect(), sites, request: Vec::new() };
            if scenario == Scenario::HandshakeResumed {
                // A full handshake, where a resumed one will be expected later.
                let _ = lane.call(0).await;
            } else if !scenario.is_handshake() {
                lane.dial().await?;
            }
            lanes.push(lane);
        }
        Ok(Self { scenario, lanes, next })
    }

    /// Calls at a fixed rate.
    ///
    /// # Errors
    /// When a watched process has gone.
    pub async fn open_loop(&mut self, rate: f64, plan: &Plan) -> io::Result<Tally> {
        let (ticks, due) = unbounded_channel();
        let start = Instant::now() + Duration::from_millis(20);
        let total = ((plan.warm_up + plan.duration).as_secs_f64() * rate).round() as u64;
        thread::Builder::new().name("pacer".into()).spawn(move || pace(start, rate, total, &ticks))?;
        let shared = Rc::new(RefCell::new(Shared {
            idle: std::mem::take(&mut self.lanes),
            waiting: VecDeque::new(),
            tally: Tally::default(),
            counted_from: start + plan.warm_up,
            open: 0,
        }));
        let before = self.dispatch(due, &shared, plan).await?;
        let used = plan.watched.used()?.since(before.unwrap_or_default());
        let mut shared = shared.borrow_mut();
        self.lanes = std::mem::take(&mut shared.idle);
        let mut tally = std::mem::take(&mut shared.tally);
        if 0 < shared.open {
            tally.faults.insert(Fault::Unanswered, shared.open);
        }
        let elapsed = shared.counted_from.elapsed();
        tally.elapsed = if plan.stop.is_told() { elapsed } else { elapsed.max(plan.duration) };
        tally.used = used;
        Ok(tally)
    }

    /// Hands each request to an idle connection as it is due, or lets it wait for one. Returns what had been used when
    /// the warm-up was over.
    async fn dispatch(
        &self,
        mut due: UnboundedReceiver<Instant>,
        shared: &Rc<RefCell<Shared>>,
        plan: &Plan,
    ) -> io::Result<Option<Used>> {
        let mut before = None;
        let mut running = JoinSet::new();
        let shown = show(plan, Rc::clone(shared), |shared| &shared.tally);
        let mut next = async || {
            tokio::select! {
                due = due.recv() => due,
                () = plan.stop.told() => None,
            }
        };
        while let Some(due) = next().await {
            let mut now = shared.borrow_mut();
            if now.counted_from <= due {
                if before.is_none() {
                    before = Some(plan.watched.used()?);
                }
                now.tally.lateness.count(due.elapsed());
                now.open += 1;
            }
            let job = Job { due, number: take(&self.next) };
            match now.idle.pop() {
                None => now.waiting.push_back(job),
                Some(lane) => {
                    running.spawn_local(work(lane, job, Rc::clone(shared)));
                }
            }
            drop(now);
            while running.try_join_next().is_some() {}
        }
        let drained = async { while running.join_next().await.is_some() {} };
        // What has not come by then is counted as unanswered.
        let _ = timeout(DRAIN, drained).await;
        drop(shown);
        Ok(before)
    }

    /// So many pieces, as fast as answers come, and nothing counted.
    ///
    /// # Errors
    /// When one is not answered as expected.
    pub async fn pieces(&mut self, pieces: usize, stop: &Stop) -> io::Result<()> {
        let end = self.next.get() + pieces as u64;
        let next = &self.next;
        let calls = self.lanes.iter_mut().map(async |lane| {
            while next.get() < end && !stop.is_told() {
                lane.call(take(next)).await.map_err(|fault| io::Error::other(format!("{fault:?}")))?;
            }
            Ok(())
        });
        futures_util::future::try_join_all(calls).await.map(drop)
    }

    /// Calls on all connections at once, each as soon as its last answer is there.
    ///
    /// # Errors
    /// When a watched process has gone.
    pub async fn closed_loop(&mut self, plan: &Plan) -> io::Result<Tally> {
        let requests_max = self.scenario.requests_max();
        let tally = Rc::new(RefCell::new(Tally::default()));
        let counts = Rc::new(Cell::new(false));
        let end = Instant::now() + plan.warm_up + plan.duration;
        // Bounded in number from the end of the warm-up on; until then in time alone, or there might be nothing left.
        let last = Rc::new(Cell::new(u64::MAX));
        let mut running = JoinSet::new();
        let lanes = std::mem::take(&mut self.lanes);
        let mut missing = lanes.len();
        for mut lane in lanes {
            let (tally, counts) = (Rc::clone(&tally), Rc::clone(&counts));
            let (next, last) = (Rc::clone(&self.next), Rc::clone(&last));
            let stop = plan.stop.clone();
            running.spawn_local(async move {
                while Instant::now() < end && next.get() < last.get() && !stop.is_told() {
                    let started = Instant::now();
                    let outcome = lane.call(take(&next)).await;
                    if counts.get() {
                        tally.borrow_mut().count(outcome, started.elapsed());
                    }
                }
                lane
            });
        }
        let shown = show(plan, Rc::clone(&tally), |tally| tally);
        tokio::time::sleep(plan.warm_up).await;
        let (before, started) = (plan.watched.used()?, Instant::now());
        counts.set(true);
        last.set(self.next.get() + requests_max);
        let finished = async {
            while let Some(lane) = running.join_next().await {
                missing -= 1;
                self.lanes.extend(lane.ok());
            }
        };
        let _ = timeout(plan.duration + DRAIN, finished).await;
        let elapsed = started.elapsed();
        let used = plan.watched.used()?.since(before);
        drop((running, shown));
        let mut tally = tally.take();
        if 0 < missing {
            tally.faults.insert(Fault::Unanswered, missing as u64);
        }
        Ok(Tally { elapsed, used, ..tally })
    }
}

/// Shows on a terminal how far a load is, for as long as what it returns lives.
fn show<T: 'static>(plan: &Plan, shared: Rc<RefCell<T>>, tally: fn(&T) -> &Tally) -> JoinSet<()> {
    let whole = plan.warm_up + plan.duration;
    let mut shown = JoinSet::new();
    shown.spawn_local(async move {
        let progress = Progress::start();
        loop {
            {
                let shared = shared.borrow();
                let tally = tally(&shared);
                let p99 = tally.latency.percentiles().p99 / 1000.0;
                progress
                    .tell(whole, &format!("{} answered, {} failed, p99 {p99:.2} ms", tally.answered(), tally.failed()));
            }
            tokio::time::sleep(progress::EVERY).await;
        }
    });
    shown
}

fn take(next: &Cell<u64>) -> u64 {
    next.replace(next.get() + 1)
}

/// Says when each request is due, at that time. Ends early when nobody listens any more.
fn pace(start: Instant, rate: f64, total: u64, ticks: &UnboundedSender<Instant>) {
    for n in 0..total {
        let due = start + Duration::from_secs_f64(n as f64 / rate);
        // Behind the plan there is nothing to wait for.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if ticks.send(due).is_err() {
            return;
        }
    }
}

struct Shared {
    idle: Vec<Lane>,
    waiting: VecDeque<Job>,
    tally: Tally,
    counted_from: Instant,
    /// Counted requests without an answer yet.
    open: u64,
}

struct Job {
    due: Instant,
    number: u64,
}

/// Makes a request, then those that have waited for a connection meanwhile.
async fn work(mut lane: Lane, mut job: Job, shared: Rc<RefCell<Shared>>) {
    loop {
        let outcome = lane.call(job.number).await;
        let mut now = shared.borrow_mut();
        if now.counted_from <= job.due {
            now.open -= 1;
            now.tally.count(outcome, job.due.elapsed());
        }
        match now.waiting.pop_front() {
            Some(next) => job = next,
            None => return now.idle.push(lane),
        }
    }
}

/// A target and what it is asked.
struct Site {
    script: Rc<Script>,
    dialer: Dialer,
}

impl Site {
    fn new(script: &Rc<Script>, target: &Target) -> io::Result<Self> {
        Ok(Self { script: Rc::clone(script), dialer: target.dialer(script.scenario().resumes())? })
    }
}

/// A place for one request at a time: a connection to each target that is kept, or one after the other.
struct Lane {
    sites: Rc<[Site]>,
    /// Each with the moment at which it was last used.
    wires: Vec<Option<(Wire, Instant)>>,
    request: Vec<u8>,
}

impl Lane {
    async fn dial(&mut self) -> io::Result<()> {
        for (site, wire) in self.sites.iter().zip(&mut self.wires) {
            *wire = Some((site.dialer.dial().await?, Instant::now()));
        }
        Ok(())
    }

    /// What has this number: one request, or those that follow each other, each at the target behind the last one's.
    async fn call(&mut self, number: u64) -> Result<(), Fault> {
        let requests = self.sites[0].script.scenario().requests();
        for nth in 0..requests {
            let at = (number + nth) % self.sites.len() as u64;
            self.request(usize::try_from(at).unwrap_or_default(), number * requests + nth).await?;
        }
        Ok(())
    }

    async fn request(&mut self, at: usize, number: u64) -> Result<(), Fault> {
        let Site { script, dialer } = &self.sites[at];
        script.write(number, &mut self.request);
        let mut wire = match self.wires[at].take() {
            Some((wire, used)) if used.elapsed() < KEPT => wire,
            _ => match dialer.dial().await {
                Ok(wire) => wire,
                Err(_) => {
                    tokio::time::sleep(REDIAL_PAUSE).await;
                    return Err(Fault::Connect);
                }
            },
        };
        let reply = wire.exchange(&self.request).await.map_err(|_| Fault::Broken)?;
        script.check(number, &reply)?;
        if !script.scenario().is_handshake() {
            self.wires[at] = Some((wire, Instant::now()));
            return Ok(());
        }
        let as_asked = wire.is_resumed().is_none_or(|resumed| resumed == script.scenario().resumes());
        wire.close().await;
        if as_asked { Ok(()) } else { Err(Fault::Handshake) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::LocalSet,
    };

    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nSUCCESS";

    /// A server that answers at once, but for one stretch of time in which it answers nobody.
    async fn target(stalls: Option<(Duration, Duration)>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let begun = Instant::now();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::task::spawn_local(async move {
                    let mut request = [0; 1024];
                    while matches!(stream.read(&mut request).await, Ok(1..)) {
                        if let Some((from, until)) = stalls
                            && from <= begun.elapsed()
                        {
                            tokio::time::sleep(until.saturating_sub(begun.elapsed())).await;
                        }
                        stream.write_all(ANSWER.as_bytes()).await.expect("written");
                    }
                });
            }
        });
        Target { host: "a.localhost".into(), address, roots: None, secret: "s".into() }
    }

    fn plan(duration_ms: u64) -> Plan {
        Plan {
            connections: 2,
            warm_up: Duration::from_millis(100),
            duration: Duration::from_millis(duration_ms),
            watched: Watched::default(),
            stop: Stop::never(),
        }
    }

    async fn load(target: &Target) -> Load {
        let script = Script::prepare(Scenario::Version, target, &Sizes::default()).await.expect("answered");
        Load::connect(script, target, 2).await.expect("connected")
    }

    #[tokio::test]
    async fn requests_that_had_to_wait_for_a_stall_are_slow_too() {
        let run = async {
            // From 300 to 700 ms nobody is answered: of 100 requests a second, 40 fall into that time.
            let target = target(Some((Duration::from_millis(300), Duration::from_millis(700)))).await;
            load(&target).await.open_loop(100.0, &plan(900)).await.expect("run")
        };
        let tally = LocalSet::new().run_until(run).await;
        assert_eq!((tally.answered(), tally.failed()), (90, 0));
        let p = tally.latency.percentiles();
        // A closed loop would have counted two slow requests, far beyond p90.
        assert!(200e3 < p.p90, "{p:?}");
        assert!(p.p50 < 200e3, "{p:?}");
        assert!(p.max < 600e3, "{p:?}");
    }

    #[tokio::test]
    async fn the_warm_up_is_not_counted_and_each_request_is_made_once() {
        let run = async {
            let target = target(None).await;
            let mut load = load(&target).await;
            let open = load.open_loop(200.0, &plan(500)).await.expect("run");
            let closed = load.closed_loop(&plan(200)).await.expect("run");
            (open, closed, load.lanes.len())
        };
        let (open, closed, lanes) = LocalSet::new().run_until(run).await;
        assert_eq!((open.answered(), open.failed(), open.lateness.len()), (100, 0, 100));
        assert!(10 < closed.answered() && closed.failed() == 0 && closed.lateness.is_empty());
        assert!(Duration::from_millis(190) < closed.elapsed, "{:?}", closed.elapsed);
        assert_eq!(lanes, 2);
    }

    #[tokio::test]
    async fn a_load_that_is_told_to_stop_tells_what_it_has() {
        let run = async {
            let target = target(None).await;
            let mut load = load(&target).await;
            let mut tallies = Vec::new();
            for open in [true, false] {
                let (tell, stop) = Stop::channel();
                let plan = Plan { stop, ..plan(60_000) };
                let telling = async {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    tell.send(true).expect("a load listens");
                };
                let running =
                    async { if open { load.open_loop(100.0, &plan).await } else { load.closed_loop(&plan).await } };
                tallies.push(tokio::join!(running, telling).0.expect("run"));
            }
            tallies
        };
        for tally in LocalSet::new().run_until(run).await {
            assert!(0 < tally.answered() && tally.failed() == 0, "{:?}", tally.faults);
            assert!(tally.elapsed < Duration::from_secs(60), "{:?}", tally.elapsed);
        }
    }

    #[tokio::test]
    async fn several_targets_are_called_in_turn() {
        let run = async {
            // One of them answers nobody from the beginning of the load on.
            let targets =
                [target(None).await, target(Some((Duration::from_millis(50), Duration::from_secs(3600)))).await];
            let script =
                Rc::new(Script::prepare(Scenario::Version, &targets[0], &Sizes::default()).await.expect("answered"));
            let sites = targets.map(|target| (Rc::clone(&script), target));
            Load::spread(&sites, 20).await.expect("connected").open_loop(20.0, &plan(500)).await.expect("run")
        };
        let tally = LocalSet::new().run_until(run).await;
        assert_eq!((tally.answered(), tally.failed()), (5, 5), "{:?}", tally.faults);
    }

    #[tokio::test]
    async fn what_is_never_answered_is_a_fault() {
        let run = async {
            let target = target(Some((Duration::from_millis(150), Duration::from_secs(3600)))).await;
            load(&target).await.open_loop(50.0, &plan(300)).await.expect("run")
        };
        let tally = LocalSet::new().run_until(run).await;
        assert_eq!(tally.answered() + tally.failed(), 15);
        assert!(5 <= tally.faults[&Fault::Unanswered], "{:?}", tally.faults);
    }
}
