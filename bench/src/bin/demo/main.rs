//! The demo: simulated BBB servers, the gateway in front of them, a meeting per tenant, and links to click.
//!
//! Works on a fresh copy of a configuration: servers, tenants and addresses are read from its files, so that they stand
//! in one place. The gateway is a child process with its log in a file. SIGINT, SIGTERM and SIGHUP stop everything.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{interval, sleep},
};

mod caller;
mod gateway;
mod guide;
mod stage;
mod trouble;

use caller::Caller;
use gateway::{Gateway, make_certificates};
use guide::Guide;
use stage::{RunningSim, Set, Tenant, copy_afresh, set_up};
use trouble::Trouble;

/// The id of each tenant's meeting.
const MEETING: &str = "demo";
/// How often it is seen whether all meetings are still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// After a meeting could not be created again.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// The demo of Anteroom
#[derive(Parser)]
#[command(name = "anteroom-demo", version)]
struct Options {
    /// The configuration to show
    #[arg(long, value_name = "DIR", default_value = "config/demo")]
    config: PathBuf,
    /// Where its working copy goes
    #[arg(long, value_name = "DIR", default_value = "var/demo")]
    dir: PathBuf,
    /// The gateway; by default the program `anteroom` beside this one
    #[arg(long, value_name = "FILE")]
    anteroom: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("anteroom-demo: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Trouble> {
    let stopped = stop_signal().map_err(|error| Trouble::Failed("signals", error.to_string()))?;
    tokio::pin!(stopped);
    let anteroom = gateway_program(options)?;
    copy_afresh(&options.config, &options.dir)?;
    let Set { ports, sims, tenants } = set_up(&options.dir).await?;
    make_certificates(&anteroom, &options.dir).await?;
    let caller = Caller::new(&options.dir, ports.https.port())?;
    let mut gateway = Gateway::start(&anteroom, &options.dir)?;
    let done = tokio::select! {
        () = &mut stopped => Ok(()),
        trouble = gateway.stops() => Err(trouble),
        done = async {
            caller.until_ready(ports.admin).await?;
            for tenant in &tenants {
                caller.create(tenant).await?;
            }
            print!("{}", Guide { ports: &ports, sims: &sims, tenants: &tenants, dir: &options.dir });
            keep_meetings(&caller, &sims, &tenants).await
        } => done,
    };
    eprintln!("\nstopping");
    gateway.stop().await;
    for RunningSim { sim, .. } in sims {
        sim.stop().await;
    }
    done
}

/// Resolves when the demo is told to stop.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn gateway_program(options: &Options) -> Result<PathBuf, Trouble> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("anteroom"));
    let program = options.anteroom.clone().or_else(beside).unwrap_or_default();
    if program.is_file() {
        Ok(program)
    } else {
        Err(Trouble::Failed("the gateway is not built", program.display().to_string()))
    }
}

/// Creates again what has ended, so that all links work for as long as the demo runs.
async fn keep_meetings(caller: &Caller, sims: &[RunningSim], tenants: &[Tenant]) -> Result<(), Trouble> {
    let mut looks = interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        for tenant in tenants.iter().filter(|tenant| server_of(sims, tenant).is_none()) {
            // Somebody may be trying the tenant's files out.
            if let Err(trouble) = caller.create(tenant).await {
                eprintln!("{trouble}");
                sleep(FAILED_PAUSE).await;
            }
        }
    }
}

/// The server on which a tenant's meeting is now.
fn server_of<'a>(sims: &'a [RunningSim], tenant: &Tenant) -> Option<&'a str> {
    let id = format!("t.{}.{MEETING}", tenant.id);
    sims.iter().find(|running| running.sim.meeting(&id).is_some()).map(|running| &*running.id)
}
