//! The side by side: the same plain work through the gateway and through nginx, HAProxy, Caddy and pingora, in one run.
//!
//! What counts is the processor time of the carrier's processes for one piece of work, and the memory of one open WebSocket.
//! Each carrier has one core, generator and servers the other. All carriers of a load stand side by side in front of the same
//! servers and are loaded in turns; the whole is repeated, and medians are told.

pub mod report;

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use serde::Serialize;

use super::{
    carry::{Cargo, carry},
    generate::{Load as Lanes, Plan},
    h2,
    script::{Scenario, Script, Sizes},
    sockets,
    stage::{Setup, Stage, Store, peers::Carrier},
    stop::Stop,
    tally::Watched,
    target::Target,
};
use crate::postgres;

/// Callers of API calls and of files.
const CALLERS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(500);

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// A file of 1 KB from the server, on connections that are kept.
    #[serde(rename = "file-1k")]
    File1k,
    /// A file of 64 KB from the server.
    #[serde(rename = "file-64k")]
    File64k,
    /// A file of the client of 64 KB, which a gateway may hold in memory.
    #[serde(rename = "file-64k-memory")]
    File64kMemory,
    /// A new connection with a full handshake for each file of 1 KB, one after the other.
    HandshakeFull,
    /// The same, resumed.
    HandshakeResumed,
    /// WebSockets that have echoed once and are idle.
    Sockets,
    /// The same over HTTP/2, three on each connection.
    #[serde(rename = "sockets-h2")]
    SocketsH2,
    /// [`Load::File1k`] over HTTP/2.
    #[serde(rename = "file-1k-h2")]
    File1kH2,
    /// [`Load::File64k`] over HTTP/2.
    #[serde(rename = "file-64k-h2")]
    File64kH2,
    /// [`Load::File64kMemory`] over HTTP/2.
    #[serde(rename = "file-64k-memory-h2")]
    File64kMemoryH2,
    /// A document of 100 MB.
    Upload,
    /// GraphQL frames of 200 B.
    #[serde(rename = "frames-200")]
    Frames200,
    /// And of 20 KB.
    #[serde(rename = "frames-20k")]
    Frames20k,
    /// The call of that name.
    #[serde(rename = "getMeetingInfo")]
    GetMeetingInfo,
    /// The call of that name.
    #[serde(rename = "isMeetingRunning")]
    IsMeetingRunning,
    /// The call of that name, each of another meeting.
    Create,
    /// The call of that name, each of another person.
    Join,
    /// `create` where the gateway's store is PostgreSQL, whose time is not counted.
    #[serde(rename = "create-postgresql")]
    CreatePostgresql,
    /// `join`, likewise.
    #[serde(rename = "join-postgresql")]
    JoinPostgresql,
    /// The call of that name, with 200 meetings running.
    #[serde(rename = "getMeetings")]
    GetMeetings,
    /// Seven `getMeetingInfo`, and one each of `getMeetings`, `create` and `join`.
    Mix,
}

/// What the gateway aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So much of what nginx costs.
    OfNginx(f64),
    /// So much, in the load's unit.
    AtMost(f64),
}

/// How a load is measured.
enum Way {
    /// Calls on so many connections, each as fast as it gets answers; the file for those that ask for one.
    Calls(Scenario, usize, &'static str),
    Carried(Cargo),
    Sockets,
    SocketsH2,
    /// The file over HTTP/2.
    H2(&'static str),
}

impl Load {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 21] = [
        Self::File1k,
        Self::File64k,
        Self::File64kMemory,
        Self::HandshakeFull,
        Self::HandshakeResumed,
        Self::Sockets,
        Self::SocketsH2,
        Self::File1kH2,
        Self::File64kH2,
        Self::File64kMemoryH2,
        Self::Upload,
        Self::Frames200,
        Self::Frames20k,
        Self::GetMeetingInfo,
        Self::IsMeetingRunning,
        Self::Create,
        Self::Join,
        Self::CreatePostgresql,
        Self::JoinPostgresql,
        Self::GetMeetings,
        Self::Mix,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File1k => "file-1k",
            Self::File64k => "file-64k",
            Self::File64kMemory => "file-64k-memory",
            Self::HandshakeFull => "handshake-full",
            Self::HandshakeResumed => "handshake-resumed",
            Self::Sockets => "sockets",
            Self::SocketsH2 => "sockets-h2",
            Self::File1kH2 => "file-1k-h2",
            Self::File64kH2 => "file-64k-h2",
            Self::File64kMemoryH2 => "file-64k-memory-h2",
            Self::Upload => "upload",
            Self::Frames200 => "frames-200",
            Self::Frames20k => "frames-20k",
            Self::GetMeetingInfo => "getMeetingInfo",
            Self::IsMeetingRunning => "isMeetingRunning",
            Self::Create => "create",
            Self::Join => "join",
            Self::CreatePostgresql => "create-postgresql",
            Self::JoinPostgresql => "join-postgresql",
            Self::GetMeetings => "getMeetings",
            Self::Mix => "mix",
        }
    }

    /// What a value of it is.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Sockets | Self::SocketsH2 => "KB each",
            Self::Upload => "us per MB",
            Self::Frames200 | Self::Frames20k => "us per frame",
            Self::HandshakeFull | Self::HandshakeResumed => "us per connection",
            _ => "us per request",
        }
    }

    /// What the gateway is to cost at most; `None` where it has no aim.
    #[must_use]
    pub fn goal(self) -> Option<Goal> {
        Some(match self {
            Self::File1k | Self::File1kH2 | Self::File64kH2 => Goal::OfNginx(1.0),
            Self::File64k => Goal::OfNginx(0.8),
            Self::File64kMemory => Goal::OfNginx(0.4),
            Self::File64kMemoryH2 => Goal::OfNginx(0.5),
            Self::HandshakeFull => Goal::OfNginx(0.6),
            Self::HandshakeResumed => Goal::OfNginx(0.5),
            Self::Sockets => Goal::AtMost(10.0),
            Self::GetMeetingInfo => Goal::AtMost(30.0),
            Self::IsMeetingRunning => Goal::AtMost(20.0),
            Self::Create | Self::CreatePostgresql => Goal::AtMost(200.0),
            Self::Join | Self::JoinPostgresql | Self::GetMeetings => Goal::AtMost(150.0),
            Self::Mix => Goal::AtMost(90.0),
            Self::SocketsH2 | Self::Upload | Self::Frames200 | Self::Frames20k => return None,
        })
    }

    fn store(self) -> Store {
        match self {
            Self::CreatePostgresql | Self::JoinPostgresql => Store::Postgresql,
            _ => Store::Sqlite,
        }
    }

    fn way(self) -> Way {
        const DOT: &str = "images/dot.png";
        const PHOTO: &str = "images/photo.jpg";
        const PHOTO_OF_CLIENT: &str = "html5client/resources/images/photo.jpg";
        match self {
            Self::File1k => Way::Calls(Scenario::Static, CALLERS, DOT),
            Self::File64k => Way::Calls(Scenario::Static, CALLERS, PHOTO),
            Self::File64kMemory => Way::Calls(Scenario::Static, CALLERS, PHOTO_OF_CLIENT),
            Self::File1kH2 => Way::H2(DOT),
            Self::File64kH2 => Way::H2(PHOTO),
            Self::File64kMemoryH2 => Way::H2(PHOTO_OF_CLIENT),
            Self::SocketsH2 => Way::SocketsH2,
            Self::HandshakeFull => Way::Calls(Scenario::HandshakeFull, 1, DOT),
            Self::HandshakeResumed => Way::Calls(Scenario::HandshakeResumed, 1, DOT),
            Self::Sockets => Way::Sockets,
            Self::Upload => Way::Carried(Cargo::Upload),
            Self::Frames200 => Way::Carried(Cargo::Frames(200)),
            Self::Frames20k => Way::Carried(Cargo::Frames(20_000)),
            Self::GetMeetingInfo => Way::Calls(Scenario::GetMeetingInfo, CALLERS, ""),
            Self::IsMeetingRunning => Way::Calls(Scenario::IsMeetingRunning, CALLERS, ""),
            Self::Create | Self::CreatePostgresql => Way::Calls(Scenario::Create, CALLERS, ""),
            Self::Join | Self::JoinPostgresql => Way::Calls(Scenario::Join, CALLERS, ""),
            Self::GetMeetings => Way::Calls(Scenario::GetMeetings, CALLERS, ""),
            Self::Mix => Way::Calls(Scenario::Mix, CALLERS, ""),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        super::by_name(&Self::ALL, Self::name, text, "load")
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What is carried, in this order.
    pub loads: Vec<Load>,
    /// By whom, in this order. One that is not known of is passed over, such as [`Carrier::Before`] or
    /// [`Carrier::Pingora`] without a program.
    pub carriers: Vec<Carrier>,
    /// The program of [`Carrier::Before`].
    pub before: Option<PathBuf>,
    /// How often the whole is done.
    pub runs: u32,
    /// What is counted of each load.
    pub seconds: Duration,
    /// WebSockets that are opened.
    pub sockets: usize,
    /// Ends it early.
    pub stop: Stop,
}

/// What a load came to at a carrier, in one run.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Which run, from 0.
    pub run: u32,
    /// What was carried.
    pub load: Load,
    /// By whom.
    pub by: Carrier,
    /// What one piece has cost, in the load's unit.
    pub value: f64,
    /// Pieces of work that were done as expected.
    pub pieces: u64,
    /// All others.
    pub failed: u64,
    /// Pieces per second.
    pub per_second: f64,
    /// The carrier's share of its core; none for sockets, which are to be idle.
    pub carrier_share: Option<f64>,
    /// What generator and servers together took of theirs, where that was counted.
    pub others_share: Option<f64>,
}

/// All that was found.
#[derive(Debug)]
pub struct Found {
    /// What each carrier says of itself, and what its handshake agrees on.
    pub carriers: Vec<(Carrier, String, String)>,
    /// What was measured.
    pub cells: Vec<Cell>,
}

/// Compares, or tells what has been measured until it was to stop.
///
/// # Errors
/// When something does not start, or does not answer as it should.
pub async fn compare(setup: &Setup, scope: &Scope) -> io::Result<Found> {
    let mut cells = Vec::new();
    let mut carriers: Vec<(Carrier, String, String)> = Vec::new();
    for run in 0..scope.runs {
        for load in &scope.loads {
            if scope.stop.is_told() {
                break;
            }
            let setup = &Setup { store: load.store(), ..setup.clone() };
            if setup.store == Store::Postgresql && !postgres::is_installed() {
                eprintln!("{load} not measured: PostgreSQL is not installed");
                continue;
            }
            let before = scope.before.as_ref().map(|program| Setup { gateway: program.clone(), ..setup.clone() });
            let mut stage = Stage::through(setup).await?;
            let mut stage_before = None;
            let mut targets = Vec::new();
            for by in &scope.carriers {
                // The meetings of one gateway are none of the other's.
                let (stage, setup) = match (by, &before) {
                    (Carrier::Before, None) => continue,
                    (Carrier::Pingora, _) if setup.pingora.is_none() => continue,
                    (Carrier::Before, Some(setup)) => (stage_before.insert(Stage::through(setup).await?), setup),
                    _ => (&mut stage, setup),
                };
                targets.push((*by, setup, stage.carrier(*by, setup).await?, stage.watched().origins));
            }
            for (by, setup, (pid, target), origins) in targets {
                eprintln!("run {} of {}: {load}, {by}", run + 1, scope.runs);
                if carriers.iter().all(|(known, ..)| *known != by) {
                    let agreed = target.dialer(false)?.dial().await?.agreed().unwrap_or_default();
                    carriers.push((by, by.version(setup).unwrap_or_default(), agreed));
                }
                let watched = Watched { gateways: vec![pid], origins };
                let cell = match measure(*load, by, pid, &target, watched, scope).await {
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        eprintln!("{load} not measured: {by} does not do it");
                        continue;
                    }
                    measured => measured?,
                };
                if scope.stop.is_told() {
                    break;
                }
                cells.push(Cell { run, load: *load, by, ..cell });
            }
        }
    }
    Ok(Found { carriers, cells })
}

async fn measure(
    load: Load,
    by: Carrier,
    pid: u32,
    target: &Target,
    watched: Watched,
    scope: &Scope,
) -> io::Result<Cell> {
    let none = Cell {
        run: 0,
        load,
        by,
        value: 0.0,
        pieces: 0,
        failed: 0,
        per_second: 0.0,
        carrier_share: None,
        others_share: None,
    };
    Ok(match load.way() {
        Way::Calls(scenario, connections, asset) => {
            let sizes = Sizes { attendees: 0, asset: asset.to_owned(), ..Sizes::default() };
            let script = Script::prepare(scenario, target, &sizes).await?;
            let mut lanes = Lanes::connect(script, target, connections).await?;
            let stop = scope.stop.clone();
            let plan = Plan { connections, warm_up: WARM_UP, duration: scope.seconds, watched, stop };
            let tally = lanes.closed_loop(&plan).await?;
            let others = Some(tally.used.generator + tally.used.origins.unwrap_or_default());
            Cell {
                value: tally.per_request_us(tally.used.gateway).unwrap_or_default(),
                pieces: tally.answered(),
                failed: tally.failed(),
                per_second: tally.per_second(),
                carrier_share: tally.share(tally.used.gateway),
                others_share: tally.share(others),
                ..none
            }
        }
        Way::Carried(cargo) => {
            let (bytes, pieces, cpu, took) = carry(cargo, pid, target, scope.seconds).await?;
            let per = if load == Load::Upload { bytes as f64 / 1e6 } else { pieces as f64 };
            Cell {
                value: cpu.as_secs_f64() * 1e6 / per,
                pieces,
                per_second: pieces as f64 / took.as_secs_f64(),
                carrier_share: Some(cpu.as_secs_f64() / took.as_secs_f64()),
                ..none
            }
        }
        Way::H2(asset) => {
            let h2::Done { pieces, failed, cpu, took } = h2::files(asset, pid, target, scope.seconds).await?;
            Cell {
                value: cpu.as_secs_f64() * 1e6 / pieces.max(1) as f64,
                pieces,
                failed,
                per_second: pieces as f64 / took.as_secs_f64(),
                carrier_share: Some(cpu.as_secs_f64() / took.as_secs_f64()),
                ..none
            }
        }
        Way::SocketsH2 => {
            let (sockets, bytes) = h2::sockets(pid, target, scope.sockets).await?;
            Cell { value: bytes / 1024.0, pieces: sockets as u64, ..none }
        }
        Way::Sockets => {
            let found = sockets::measure(pid, target, scope.sockets).await?;
            Cell { value: found.bytes_per_socket / 1024.0, pieces: found.sockets as u64, ..none }
        }
    })
}

impl Found {
    /// What was measured, in the order in which it is told.
    #[must_use]
    pub fn loads(&self) -> Vec<Load> {
        let measured = |load: &Load| self.cells.iter().any(|cell| cell.load == *load);
        Load::ALL.into_iter().filter(measured).collect()
    }

    /// The middle of what the runs came to for a load and a carrier, if it was measured.
    #[must_use]
    pub fn median(&self, load: Load, by: Carrier) -> Option<f64> {
        let of_both = self.cells.iter().filter(|cell| cell.load == load && cell.by == by);
        let mut values: Vec<f64> = of_both.map(|cell| cell.value).collect();
        values.sort_by(f64::total_cmp);
        let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
        Some(f64::midpoint(*below, *above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(run: u32, by: Carrier, value: f64) -> Cell {
        let load = Load::File1k;
        Cell { run, load, by, value, pieces: 1, failed: 0, per_second: 1.0, carrier_share: None, others_share: None }
    }

    #[test]
    fn each_load_is_found_by_its_name() {
        for load in Load::ALL {
            assert_eq!(load.name().parse(), Ok(load));
            assert_eq!(serde_json::to_value(load).expect("a text"), load.name());
        }
    }

    #[test]
    fn the_middle_of_the_runs_is_told() {
        let (own, other) = (Carrier::Anteroom, Carrier::Nginx);
        let cells = vec![
            cell(0, own, 30.0),
            cell(1, own, 10.0),
            cell(2, own, 12.0),
            cell(0, other, 20.0),
            cell(1, other, 40.0),
        ];
        let found = Found { carriers: Vec::new(), cells };
        assert_eq!(found.median(Load::File1k, own), Some(12.0));
        assert_eq!(found.median(Load::File1k, other), Some(30.0));
        assert_eq!(found.median(Load::Mix, own), None);
        assert_eq!(found.loads(), [Load::File1k]);
    }
}
