//! The short comparison: each scenario at a simulated server directly and through a gateway. Each has a stage of its
//! own, so that what one leaves behind does not weigh on the next.

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    generate::{Load, Plan},
    report::{Context, Figures, Report, Row, Way},
    script::{Scenario, Script, Sizes},
    sockets::{self, Sockets},
    stage::{Setup, Stage, peers::Carrier},
    tally::Watched,
    target::Target,
};

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
}

impl Scope {
    fn plan(&self, duration: Duration, watched: Watched) -> Plan {
        Plan { connections: self.connections, warm_up: self.warm_up, duration, watched }
    }

    fn context(&self, subject: String) -> Context {
        let mut context = Context::of_system(subject, self.sizes.clone());
        context.connections = self.connections;
        context.open_seconds = self.open.as_secs_f64();
        context.closed_seconds = self.closed.as_secs_f64();
        context
    }
}

/// Compares.
///
/// # Errors
/// When something does not start, or a target does not answer as it should before any load.
pub async fn compare(setup: &Setup, scope: &Scope) -> io::Result<Report> {
    let mut rows = Vec::new();
    for scenario in &scope.scenarios {
        let attendees = if *scenario == Scenario::GetMeetings { scope.sizes.attendees } else { 0 };
        let setup = &Setup { attendees, ..setup.clone() };
        // A handshake directly is none: the simulated server has no TLS.
        if !scenario.is_handshake() {
            let stage = Stage::direct(setup)?;
            rows.push(row(*scenario, Way::Direct, &stage.target(), stage.watched(), scope).await?);
        }
        let stage = Stage::through(setup).await?;
        rows.push(row(*scenario, Way::Through, &stage.target(), stage.watched(), scope).await?);
    }
    let sockets = if scope.sockets == 0 { None } else { Some(sockets_of(setup, scope.sockets).await?) };
    let mut context = scope.context(setup.gateway.display().to_string());
    context.cores = setup.cores.clone().map(|cores| (cores.gateway, cores.others));
    Ok(Report { context, rows, sockets })
}

/// Measures a target that runs already.
///
/// # Errors
/// When it does not answer as it should before any load.
pub async fn measure(target: &Target, watched: &Watched, scope: &Scope) -> io::Result<Report> {
    let mut rows = Vec::new();
    for scenario in &scope.scenarios {
        rows.push(row(*scenario, Way::Through, target, watched.clone(), scope).await?);
    }
    let context = scope.context(format!("{} at {}", target.host, target.address));
    Ok(Report { context, rows, sockets: None })
}

async fn row(scenario: Scenario, way: Way, target: &Target, watched: Watched, scope: &Scope) -> io::Result<Row> {
    eprintln!("{scenario} {way:?}");
    let rate = scope.rates.get(&scenario).copied().unwrap_or(scenario.rate());
    let script = Script::prepare(scenario, target, &scope.sizes).await?;
    let mut load = Load::connect(script, target, scope.connections).await?;
    let open = load.open_loop(rate, &scope.plan(scope.open, watched.clone())).await?;
    let closed = load.closed_loop(&scope.plan(scope.closed, watched)).await?;
    Ok(Row { scenario, way, rate, open: Figures::from(&open), closed: Figures::from(&closed) })
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
