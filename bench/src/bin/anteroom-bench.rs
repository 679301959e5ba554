//! Puts load on a gateway and tells what it cost.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anteroom_bench::load::{
    compare::{self, Scope},
    growth, hosts, person,
    process::raise_open_files,
    quick, scenario_file, scenario_report,
    script::{Scenario, Sizes},
    siege,
    stage::{Cores, Setup, Store, beside, can_pin, peers::Carrier, pin_self},
    stop::Stop,
    tally::Watched,
    target::{Target, Targets, roots_of, system_roots},
};
use clap::{Args, Parser, Subcommand};
use http::Uri;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

/// As a shell tells of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Puts load on a gateway and tells what it cost
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a gateway and simulated servers on loopback, and compare calls through it with calls to the server
    Quick(Quick),
    /// Measure a gateway or BBB server that runs already
    Run(Run),
    /// The same plain work through a gateway, nginx, HAProxy and Caddy, and what it costs each
    Compare(Compare),
    /// How cost grows with callers, open sockets and tenants
    Growth(Grow),
    /// Start, memory, reload, handshakes and renewals with many hosts, each with a certificate of its own
    Hosts(Hosts),
    /// What one person costs a gateway, nginx and HAProxy, from the click to messages
    Person(Person),
    /// All floods at once from one address, while people are in meetings and integrations call
    Siege(Siege),
}

#[derive(Args)]
struct Quick {
    /// The gateway's program [default: `anteroom` beside this one]
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
    /// The simulator's program [default: `bbb-sim` beside this one]
    #[arg(long, value_name = "PATH")]
    simulator: Option<PathBuf>,
    /// Simulated servers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    servers: u8,
    /// Processors of the gateway, as `taskset -c` takes them
    #[arg(long, default_value = "0")]
    gateway_cores: String,
    /// Processors of the generator and the simulated servers
    #[arg(long, default_value = "1")]
    other_cores: String,
    /// Leave it to the system who runs where
    #[arg(long)]
    no_pin: bool,
    /// WebSockets to hold open; 0 for none
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// People in each meeting when getMeetings is called
    #[arg(long, default_value_t = 20)]
    attendees: u32,
    /// Tenants whose host names `domains` calls in turn
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    domains: u16,
    /// Gateways of `replicas`, on one PostgreSQL
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    #[command(flatten)]
    load: Load,
}

#[derive(Args)]
struct Compare {
    /// What to carry; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    load: Vec<compare::Load>,
    /// Who carries; may be repeated [default: all that are on this machine]
    #[arg(long, value_name = "NAME")]
    by: Vec<Carrier>,
    /// How often the whole is done; medians are told
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Seconds for each load, carrier and run
    #[arg(long, default_value_t = 3.0, value_parser = parse_seconds)]
    seconds: f64,
    /// WebSockets to hold open
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    sockets: u16,
    /// The gateway's program of another build, to compare with as `before`
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// A pingora-proxy of bench/pingora, to compare with as `pingora`
    #[arg(long, value_name = "PATH")]
    pingora: Option<PathBuf>,
    #[command(flatten)]
    of_all: OfAll,
}

/// What the comparisons with a stage of their own have in common.
#[derive(Args)]
struct OfAll {
    /// The gateway's program [default: `anteroom` beside this one]
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
    /// Also write the figures to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write a report with plots to this file, a page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args)]
struct Grow {
    /// What grows; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    of: Vec<growth::Of>,
    /// No point beyond so many
    #[arg(long, default_value_t = 10_000)]
    most: usize,
    /// Seconds for each point and call
    #[arg(long, default_value_t = 2.0, value_parser = parse_seconds)]
    seconds: f64,
    #[command(flatten)]
    of_all: OfAll,
}

#[derive(Args)]
struct Hosts {
    /// How many hosts
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How many of them are asked for
    #[arg(long, default_value_t = 10_000)]
    asked: u32,
    /// Seconds of handshakes, at one host and at those that are asked for in turn
    #[arg(long, default_value_t = 5.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Handshakes at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    at_once: u16,
    /// How many of them are to be renewed; 0 leaves renewals out
    #[arg(long, default_value_t = 5000)]
    due: u32,
    /// Seconds for which a gateway is watched whose renewals are held back
    #[arg(long, default_value_t = 660.0, value_parser = parse_seconds)]
    held_seconds: f64,
    /// Where the certificates are kept for the next run
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir().join("anteroom-hosts"))]
    dir: PathBuf,
    #[command(flatten)]
    of_all: OfAll,
}

#[derive(Args)]
struct Person {
    /// As what kind of browser people come; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    shape: Vec<person::Shape>,
    /// Through what; may be repeated [default: the gateway, nginx and HAProxy, those that are on this machine]
    #[arg(long, value_name = "NAME")]
    by: Vec<Carrier>,
    /// How many come
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1000))]
    people: u32,
    /// Seconds for which nobody says anything
    #[arg(long, default_value_t = 60.0, value_parser = parse_seconds)]
    quiet_seconds: f64,
    /// How much each says after that
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    messages: u32,
    #[command(flatten)]
    of_all: OfAll,
}

#[derive(Args)]
struct Siege {
    /// Seconds under siege
    #[arg(long, default_value_t = 600.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Seconds in quiet before it, to compare with
    #[arg(long, default_value_t = 120.0, value_parser = parse_seconds)]
    quiet_seconds: f64,
    /// People in meetings
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    people: u32,
    /// How many attackers, as a multiple of what each flood has
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = parse_strength)]
    strength: f64,
    /// What the gateway's memory must stay below, in MB
    #[arg(long, default_value_t = siege::MEMORY_MB_MAX, value_name = "MB")]
    memory: u64,
    #[command(flatten)]
    of_all: OfAll,
}

#[derive(Args)]
struct Run {
    /// Scheme, host and port, such as https://meet.example
    #[arg(long, value_name = "URL")]
    target: Uri,
    /// The address to connect to; may be repeated for several gateways, which are called in turn [default: what the host
    /// resolves to]
    #[arg(long, value_name = "ADDR:PORT")]
    connect: Vec<SocketAddr>,
    /// A file with a host name and its secret in each line, for the scenario `domains` [default: the target's own]
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,
    /// The shared secret of the API
    #[arg(long, env = "BENCH_SECRET", hide_env_values = true)]
    secret: String,
    /// A PEM file with the trust roots [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The gateway's process on this machine, to count its processor time
    #[arg(long)]
    pid: Option<u32>,
    /// A scenario file: its steps one after the other, in place of calls (bench/scenarios)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "rate"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
}

#[derive(Args)]
struct Load {
    /// What to call; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// Requests per second of a scenario, such as create=100; may be repeated
    #[arg(long, value_name = "NAME=RATE", value_parser = parse_rate)]
    rate: Vec<(Scenario, f64)>,
    /// Connections at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Seconds counted at a fixed rate, per scenario and way
    #[arg(long, default_value_t = 5.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Seconds counted as fast as answers come
    #[arg(long, default_value_t = 3.0, value_parser = parse_seconds)]
    closed_seconds: f64,
    /// Seconds at the start of each load that are not counted
    #[arg(long, default_value_t = 0.5, value_parser = parse_seconds)]
    warm_up: f64,
    /// Meetings that run when getMeetings is called
    #[arg(long, default_value_t = 200)]
    meetings: u64,
    /// The file that static and the handshakes ask for, below the meeting's address
    #[arg(long, default_value = "html5client/styles.css")]
    asset: String,
    /// Also write the figures to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write a report with plots to this file, a page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// More than an hour is no quick look, and less than a tenth of a second no load.
fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "a number from 0.1 to 3600 is wanted".into())
}

/// More attackers than that would be what is measured.
fn parse_strength(text: &str) -> Result<f64, String> {
    let strength = text.parse().ok().filter(|strength| (0.01..=10.0).contains(strength));
    strength.ok_or_else(|| "a number from 0.01 to 10 is wanted".into())
}

fn parse_rate(text: &str) -> Result<(Scenario, f64), String> {
    let (name, rate) = text.split_once('=').ok_or("NAME=RATE is wanted")?;
    let rate = rate.parse().ok().filter(|rate| (0.1..=1e6).contains(rate));
    Ok((name.parse()?, rate.ok_or("a rate from 0.1 to 1000000 is wanted")?))
}

impl Load {
    fn scope(&self, attendees: u32, stop: Stop) -> quick::Scope {
        let scenarios = if self.scenario.is_empty() { Scenario::ALL.to_vec() } else { self.scenario.clone() };
        quick::Scope {
            scenarios,
            rates: self.rate.iter().copied().collect::<BTreeMap<_, _>>(),
            connections: usize::from(self.connections),
            warm_up: Duration::from_secs_f64(self.warm_up),
            open: Duration::from_secs_f64(self.seconds),
            closed: Duration::from_secs_f64(self.closed_seconds),
            sizes: Sizes { meetings: self.meetings, attendees, asset: self.asset.clone(), ..Sizes::default() },
            sockets: 0,
            domains: 1,
            replicas: 1,
            stop,
        }
    }
}

impl OfAll {
    /// The programs, each with its processor where there are two.
    fn setup(&self) -> io::Result<Setup> {
        let cores = can_keep_apart().then(|| Cores { gateway: "0".into(), others: "1".into() });
        let gateway = program(self.gateway.as_ref(), "anteroom")?;
        ready(Setup {
            gateway,
            pingora: None,
            simulator: beside("bbb-sim")?,
            servers: 1,
            attendees: 0,
            tenants: 1,
            gateways: 1,
            store: Store::Sqlite,
            cores,
        })
    }

    fn write(&self, json: impl FnOnce() -> String, html: impl FnOnce() -> String) -> io::Result<()> {
        write(self.json.as_ref(), json)?;
        write(self.html.as_ref(), html)
    }
}

fn program(named: Option<&PathBuf>, name: &str) -> io::Result<PathBuf> {
    named.cloned().map_or_else(|| beside(name), Ok)
}

fn can_keep_apart() -> bool {
    1 < std::thread::available_parallelism().map_or(1, usize::from) && can_pin()
}

/// Puts this process where a setup wants it.
fn ready(setup: Setup) -> io::Result<Setup> {
    if let Some(cores) = &setup.cores {
        pin_self(&cores.others)?;
    }
    raise_open_files();
    Ok(setup)
}

/// Runs a measurement to its end. Somebody who interrupts it ends it early, with what it has found; whoever does so again ends
/// it at once: what was started ends with the future that is dropped. Returns whether it came to its end, too.
fn run_to_end<T, F>(measure: impl FnOnce(Stop) -> F) -> io::Result<(T, bool)>
where
    F: Future<Output = io::Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (tell, stop) = Stop::channel();
        let mut measure = pin!(measure(stop));
        loop {
            tokio::select! {
                found = &mut measure => return Ok((found?, !*tell.borrow())),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if tell.send_replace(true) {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    "interrupted, all that was started has been stopped",
                ));
            }
            eprintln!("\nstopping; once more to stop at once");
        }
    }))
}

/// What a command comes to: whether it came to its end.
type Ended = io::Result<bool>;

fn write(file: Option<&PathBuf>, text: impl FnOnce() -> String) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    fs::write(file, text()).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Compares, and tells.
fn compare(args: &Compare) -> Ended {
    let setup = Setup { pingora: args.pingora.clone(), ..args.of_all.setup()? };
    let scope = |stop| Scope {
        loads: if args.load.is_empty() { compare::Load::ALL.to_vec() } else { args.load.clone() },
        carriers: match &*args.by {
            [] => Carrier::ALL.into_iter().filter(|carrier| carrier.is_here()).collect(),
            named => named.to_vec(),
        },
        before: args.before.clone(),
        runs: args.runs,
        seconds: Duration::from_secs_f64(args.seconds),
        sockets: args.sockets.into(),
        stop,
    };
    let (found, ended) = run_to_end(async |stop| compare::compare(&setup, &scope(stop)).await)?;
    let scope = scope(Stop::never());
    let report = compare::report::Report::new(&found, &scope);
    print!("{}", report.table());
    args.of_all.write(|| report.json_lines(), || report.html())?;
    Ok(ended)
}

/// Does what a scenario file says.
fn steps(run: &Run, file: &Path, watched: &Watched) -> Ended {
    let (steps, targets) = (scenario_file::read(file)?, run.targets()?);
    let warm_up = Duration::from_secs_f64(run.load.warm_up);
    let (outcomes, ended) = run_to_end(async |stop| {
        let mut outcomes = Vec::new();
        for (n, step) in steps.iter().enumerate().take_while(|_| !stop.is_told()) {
            eprintln!("step {} of {}: {}", n + 1, steps.len(), step.name);
            outcomes.push((step.clone(), scenario_file::run(step, &targets, watched, warm_up, &stop).await?));
        }
        Ok(outcomes)
    })?;
    print!("{}", scenario_report::text(&outcomes));
    let lines = || outcomes.iter().map(|(step, outcome)| scenario_file::json(step, outcome)).collect();
    write(run.load.json.as_ref(), lines)?;
    write(run.load.html.as_ref(), || scenario_report::html(&targets.to_string(), &outcomes))?;
    Ok(ended)
}

/// Draws curves.
fn grow(args: &Grow) -> Ended {
    let setup = args.of_all.setup()?;
    let all = if args.of.is_empty() { growth::Of::ALL.to_vec() } else { args.of.clone() };
    let seconds = Duration::from_secs_f64(args.seconds);
    let (points, ended) = run_to_end(async |stop| growth::grow(&setup, &all, args.most, seconds, &stop).await)?;
    print!("{}", growth::text(&points));
    let lines =
        || points.iter().filter_map(|point| serde_json::to_string(point).ok()).map(|line| line + "\n").collect();
    args.of_all.write(lines, || growth::html(&points))?;
    Ok(ended)
}

/// Measures many hosts.
fn many_hosts(args: &Hosts) -> Ended {
    let setup = args.of_all.setup()?;
    let scope = |stop| hosts::Scope {
        count: args.count as usize,
        asked: args.asked.max(1) as usize,
        seconds: Duration::from_secs_f64(args.seconds),
        at_once: usize::from(args.at_once),
        due: args.due as usize,
        held: Duration::from_secs_f64(args.held_seconds),
        dir: args.dir.clone(),
        stop,
    };
    let (found, ended) = run_to_end(async |stop| hosts::measure(&setup, &scope(stop)).await)?;
    print!("{}", hosts::text(&found, args.count as usize));
    write(args.of_all.json.as_ref(), || {
        let hosts = found.hosts.iter().map(serde_json::to_string);
        let renewals = found.renewals.iter().map(serde_json::to_string);
        hosts.chain(renewals).filter_map(Result::ok).map(|line| line + "\n").collect()
    })?;
    Ok(ended)
}

/// Lets people come through each program.
fn persons(args: &Person) -> Ended {
    let setup = args.of_all.setup()?;
    let scope = |stop| person::Scope {
        shapes: if args.shape.is_empty() { person::Shape::ALL.to_vec() } else { args.shape.clone() },
        carriers: match &*args.by {
            [] => {
                let all = [Carrier::Anteroom, Carrier::Nginx, Carrier::Haproxy];
                all.into_iter().filter(|carrier| carrier.is_here()).collect()
            }
            named => named.to_vec(),
        },
        people: args.people,
        quiet: Duration::from_secs_f64(args.quiet_seconds),
        messages: args.messages,
        stop,
    };
    let (found, ended) = run_to_end(async |stop| person::compare(&setup, &scope(stop)).await)?;
    let scope = scope(Stop::never());
    let report = person::report::Report::new(&found, &scope);
    print!("{}", report.text());
    args.of_all.write(|| report.json_lines(), || report.html())?;
    Ok(ended)
}

/// Lays siege to a gateway. Fails where a goal is missed.
fn besiege(args: &Siege) -> Ended {
    let setup = args.of_all.setup()?;
    let scope = |stop| siege::Scope {
        people: args.people,
        quiet: Duration::from_secs_f64(args.quiet_seconds),
        siege: Duration::from_secs_f64(args.seconds),
        strength: args.strength,
        memory_bytes_max: args.memory.saturating_mul(1_000_000),
        stop,
    };
    let (found, ended) = run_to_end(async |stop| siege::besiege(&setup, &scope(stop)).await)?;
    let Some(found) = found else { return Ok(ended) };
    let scope = scope(Stop::never());
    let report = siege::report::Report::new(&found, &scope, setup.gateway.display().to_string());
    print!("{}", report.text());
    args.of_all.write(|| report.json_lines(), || report.html())?;
    let missed = report.goals().iter().filter(|goal| !goal.is_met).count();
    if ended && 0 < missed { Err(io::Error::other(format!("{missed} goals missed"))) } else { Ok(ended) }
}

impl Quick {
    fn setup(&self) -> io::Result<Setup> {
        let pins = !self.no_pin && can_keep_apart();
        ready(Setup {
            gateway: program(self.gateway.as_ref(), "anteroom")?,
            pingora: None,
            simulator: program(self.simulator.as_ref(), "bbb-sim")?,
            servers: usize::from(self.servers),
            attendees: 0,
            tenants: 1,
            gateways: 1,
            store: Store::Sqlite,
            cores: pins.then(|| Cores { gateway: self.gateway_cores.clone(), others: self.other_cores.clone() }),
        })
    }
}

impl Run {
    fn targets(&self) -> io::Result<Targets> {
        let wrong = || io::Error::other("--target: https://HOST[:PORT] or http://HOST[:PORT] is wanted");
        let host = self.target.host().ok_or_else(wrong)?;
        let (tls, port) = match self.target.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(wrong()),
        };
        let resolve = || {
            let mut found = (host, self.target.port_u16().unwrap_or(port)).to_socket_addrs()?;
            found.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))
        };
        let roots = match &self.ca {
            _ if !tls => None,
            Some(file) => Some(roots_of(file)?),
            None => Some(system_roots()),
        };
        let addresses = if self.connect.is_empty() { vec![resolve()?] } else { self.connect.clone() };
        let at = |address| Target { host: host.to_owned(), address, roots: roots.clone(), secret: self.secret.clone() };
        let replicas: Vec<Target> = addresses.into_iter().map(at).collect();
        let domains = match &self.domains {
            None => replicas[..1].to_vec(),
            Some(file) => domains(file, &replicas)?,
        };
        Ok(Targets { replicas, domains })
    }
}

/// Hosts and their secrets, each at the next address.
fn domains(file: &Path, at: &[Target]) -> io::Result<Vec<Target>> {
    let wrong = |why: &dyn std::fmt::Display| io::Error::other(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut targets = Vec::new();
    for ((n, line), target) in lines.zip(at.iter().cycle()) {
        let [host, secret] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(wrong(&format!("line {}: a host and its secret are wanted", n + 1)));
        };
        targets.push(Target { host: host.to_owned(), secret: secret.to_owned(), ..target.clone() });
    }
    if targets.is_empty() { Err(wrong(&"names no host")) } else { Ok(targets) }
}

fn main() -> ExitCode {
    match start(&Options::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("anteroom-bench: {error}");
            if error.kind() == io::ErrorKind::Interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

fn start(command: &Command) -> Ended {
    let ((report, ended), load) = match command {
        Command::Compare(args) => return compare(args),
        Command::Growth(args) => return grow(args),
        Command::Hosts(args) => return many_hosts(args),
        Command::Person(args) => return persons(args),
        Command::Siege(args) => return besiege(args),
        Command::Quick(quick) => {
            let setup = quick.setup()?;
            let measured = run_to_end(async |stop| {
                let scope = quick::Scope {
                    sockets: quick.sockets,
                    domains: quick.domains.into(),
                    replicas: quick.replicas.into(),
                    ..quick.load.scope(quick.attendees, stop)
                };
                quick::compare(&setup, &scope).await
            });
            (measured?, &quick.load)
        }
        Command::Run(run) => {
            raise_open_files();
            let watched = Watched { gateways: run.pid.into_iter().collect(), origins: Vec::new() };
            if let Some(file) = &run.file {
                return steps(run, file, &watched);
            }
            let targets = run.targets()?;
            let measured = run_to_end(async |stop| quick::measure(&targets, &watched, &run.load.scope(0, stop)).await);
            (measured?, &run.load)
        }
    };
    println!("{}", report.table());
    write(load.json.as_ref(), || report.json_lines())?;
    write(load.html.as_ref(), || report.html())?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_known_name_and_a_number() {
        assert_eq!(parse_rate("create=100"), Ok((Scenario::Create, 100.0)));
        assert_eq!(parse_rate("getMeetingInfo=2.5"), Ok((Scenario::GetMeetingInfo, 2.5)));
        for wrong in ["create", "create=", "create=0", "create=-1", "create=inf", "create=NaN", "creat=1", "=1"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
        assert!(parse_seconds("0").is_err() && parse_seconds("NaN").is_err() && parse_seconds("3600").is_ok());
    }

    #[test]
    fn a_target_is_scheme_host_and_address() {
        let target = |url: &str| {
            let args = ["x", "run", "--target", url, "--connect", "127.0.0.1:1", "--secret", "s"];
            let Ok(Options { command: Command::Run(run) }) = Options::try_parse_from(args) else { return None };
            let targets = run.targets().ok()?;
            targets.replicas.into_iter().next().map(|target| (target.host, target.roots.is_some()))
        };
        assert_eq!(target("https://meet.example"), Some(("meet.example".into(), true)));
        assert_eq!(target("http://bbb.example:8090"), Some(("bbb.example".into(), false)));
        assert_eq!(target("ftp://meet.example"), None);
        assert_eq!(target("meet.example"), None);
    }
}
