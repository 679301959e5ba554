//! The short comparison: each scenario at a simulated server directly and through a gateway. Each has a stage of its
//! own, so that what one leaves behind does not weigh on the next.

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    generate::{Load, Plan},
    report::{Context, Figures, Report, Row, Way},
    script::{Scenario, Sizes},
    sockets::{self, Sockets},
    stage::{Setup, Stage, Store, peers::Carrier},
    stop::Stop,
    tally::Watched,
    target::Targets,
};
use crate::postgres;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What is called, in this order.
    pub scenarios: Vec<Scenario>,
    /// Rates other than those of the scenarios.
    pub rates: BTreeMap<Scenario, f64>,
    /// Connections at most.
    pub connections: usize,
    /// At the start of each load, and not counted.
    pub warm_up: Duration,
    /// What is counted at a fixed rate.
    pub open: Duration,
    /// What is counted as fast as answers come.
    pub closed: Duration,
    /// Sizes of what is called.
    pub sizes: Sizes,
    /// Sockets to open; 0 for none.
    pub sockets: usize,
    /// Tenants whose host names are called in turn.
    pub domains: usize,
    /// Gateways on one store.
    pub replicas: usize,
    /// Ends it early.
    pub stop: Stop,
}

impl Scope {
    fn plan(&self, duration: Duration, watched: Watched) -> Plan {
        let stop = self.stop.clone();
        Plan { connections: self.connections, warm_up: self.warm_up, duration, watched, stop }
    }

    fn context(&self, subject: String) -> Context {
        let mut context = Context::of_system(subject, self.sizes.clone());
        context.connections = self.connections;
        context.open_seconds = self.open.as_secs_f64();
        context.closed_seconds = self.closed.as_secs_f64();
        context
    }
}

/// Compares, or tells what has been measured until it was to stop.
///
/// # Errors
/// When something does not start, or a target does not answer as it should before any load.
pub async fn compare(setup: &Setup, scope: &Scope) -> io::Result<Report> {
    let mut rows = Vec::new();
    for scenario in &scope.scenarios {
        let setup = match scenario {
            Scenario::GetMeetings => Setup { attendees: scope.sizes.attendees, ..setup.clone() },
            Scenario::Domains => Setup { tenants: scope.domains, ..setup.clone() },
            Scenario::Replicas => Setup { gateways: scope.replicas, store: Store::Postgresql, ..setup.clone() },
            _ => setup.clone(),
        };
        // A handshake directly is none: the simulated server has no TLS. Nor has it replicas.
        if !scenario.is_handshake() && *scenario != Scenario::Replicas {
            let stage = Stage::direct(&setup)?;
            rows.extend(row(*scenario, Way::Direct, &stage.target().into(), stage.watched(), scope).await?);
        }
        if scope.stop.is_told() {
            break;
        }
        if setup.store == Store::Postgresql && !postgres::is_installed() {
            eprintln!("{scenario} not measured: PostgreSQL is not installed");
            continue;
        }
        let stage = Stage::through(&setup).await?;
        let targets = Targets { replicas: stage.replicas(), domains: stage.domains(scope.domains) };
        rows.extend(row(*scenario, Way::Through, &targets, stage.watched(), scope).await?);
    }
    let sockets =
        if scope.sockets == 0 || scope.stop.is_told() { None } else { Some(sockets_of(setup, scope.sockets).await?) };
    let mut context = scope.context(setup.gateway.display().to_string());
    context.cores = setup.cores.clone().map(|cores| (cores.gateway, cores.others));
    Ok(Report { context, rows, sockets })
}

/// Measures a target that runs already.
///
/// # Errors
/// When it does not answer as it should before any load.
pub async fn measure(targets: &Targets, watched: &Watched, scope: &Scope) -> io::Result<Report> {
    let mut rows = Vec::new();
    for scenario in &scope.scenarios {
        rows.extend(row(*scenario, Way::Through, targets, watched.clone(), scope).await?);
    }
    let context = scope.context(targets.to_string());
    Ok(Report { context, rows, sockets: None })
}

/// `None` where there was no time for both loads.
async fn row(
    scenario: Scenario,
    way: Way,
    targets: &Targets,
    watched: Watched,
    scope: &Scope,
) -> io::Result<Option<Row>> {
    if scope.stop.is_told() {
        return Ok(None);
    }
    eprintln!("{scenario} {way:?}");
    let rate = scope.rates.get(&scenario).copied().unwrap_or(scenario.rate());
    let mut load = Load::prepare(scenario, targets, &scope.sizes, scope.connections).await?;
    let open = load.open_loop(rate, &scope.plan(scope.open, watched.clone())).await?;
    let closed = load.closed_loop(&scope.plan(scope.closed, watched)).await?;
    let row = Row { scenario, way, rate, open: Figures::from(&open), closed: Figures::from(&closed) };
    Ok(Some(row).filter(|_| !scope.stop.is_told()))
}

async fn sockets_of(setup: &Setup, sockets: usize) -> io::Result<Result<Sockets, String>> {
    eprintln!("sockets");
    if let Err(why) = sockets::fit(sockets) {
        return Ok(Err(why));
    }
    let mut stage = Stage::through(setup).await?;
    let (pid, target) = stage.carrier(Carrier::Anteroom, setup).await?;
    sockets::measure(pid, &target, sockets).await.map(Ok)
}
