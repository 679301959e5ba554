//! The command line.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::{
    app::{App, StartError, dev_ca_dir, faults_counted},
    config::{Loaded, Loader, SlugKey, schema},
    tls::dev_ca::DevCa,
};

/// A multi-tenant gateway in front of `BigBlueButton`.
#[derive(Debug, Parser)]
#[command(name = "anteroom", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// The directory of the configuration: anteroom.toml, tenants/, policies/, certs/.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
        /// How long open connections have, in seconds, when the gateway is told to stop.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        grace: u64,
        /// The form of the log, on standard output.
        #[arg(long, value_enum, default_value_t = LogForm::Json)]
        log: LogForm,
    },
    /// Report every fault of a configuration at once. Exits with 1 if there is one.
    Check {
        /// The directory of the configuration.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Print the JSON schemas of the configuration files.
    Schema,
    /// Make a development CA in DIR/dev-ca, and certificates in DIR/certs for the hosts that have none.
    DevCa {
        /// The directory of the configuration.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogForm {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config, grace, log } => serve(&config, Duration::from_secs(grace), log),
        Command::Check { config } => check(&config),
        Command::Schema => {
            println!("{:#}", schema());
            ExitCode::SUCCESS
        }
        Command::DevCa { config } => dev_ca(&config),
    }
}

fn serve(config: &Path, grace: Duration, form: LogForm) -> ExitCode {
    let _log = start_log(form);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    runtime.block_on(async {
        let app = match App::start(config).await {
            Ok(app) => app,
            Err(error) => return failed(&error.to_string()),
        };
        told_to_stop().await;
        app.stop(grace).await;
        ExitCode::SUCCESS
    })
}

/// SIGTERM from a service manager, SIGINT from a terminal.
async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The log is written by a thread of its own; when that falls behind, lines are dropped and requests go on.
fn start_log(form: LogForm) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stdout());
    let filter = EnvFilter::try_from_env("ANTEROOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for terminals only.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stdout().is_terminal());
    match form {
        LogForm::Json => log.json().flatten_event(true).init(),
        LogForm::Text => log.compact().init(),
    }
    guard
}

fn check(config: &Path) -> ExitCode {
    match Loader::new(config).load(&SlugKey([0; 32])) {
        Ok(Loaded { directory, warnings, .. }) => {
            for warning in &warnings {
                println!("warning: {warning}");
            }
            println!(
                "{}: {} tenants, {} servers, no fault",
                config.display(),
                directory.tenants().count(),
                directory.servers().count()
            );
            ExitCode::SUCCESS
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            println!("{}: {}", config.display(), faults_counted(faults.len()));
            ExitCode::FAILURE
        }
    }
}

fn dev_ca(config: &Path) -> ExitCode {
    let loaded = match Loader::new(config).load(&SlugKey([0; 32])) {
        Ok(loaded) => loaded,
        Err(faults) => return failed(&StartError::Config(faults).to_string()),
    };
    let made = || -> std::io::Result<usize> {
        let ca = DevCa::open(&dev_ca_dir(config))?;
        let hosts = loaded.directory.tenants().flat_map(|tenant| &tenant.hosts);
        let bare: Vec<_> = hosts.filter(|host| loaded.certs.find(host.as_str()).is_none()).collect();
        for host in &bare {
            ca.issue(&config.join("certs"), host)?;
        }
        println!("trust {}", ca.root().display());
        Ok(bare.len())
    };
    match made() {
        Ok(n) => {
            println!("{n} certificates made");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(error: &str) -> ExitCode {
    eprintln!("anteroom: {error}");
    ExitCode::FAILURE
}
