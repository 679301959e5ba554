//! The command line.

mod check;
mod failure;
mod log;
mod online;
mod operate;
mod reach;
mod serve;
mod table;
mod token;
mod usage;

use std::{future::Future, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use crate::config::schema;
use check::{check, dev_ca};
use failure::failed;
use log::LogForm;
use operate::{MeetingAction, ServerAction, TenantAction};
use serve::serve;

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
        /// Ask each BBB server too, with a meeting that is made and ended for that.
        #[arg(long)]
        online: bool,
    },
    /// Print the JSON schemas of the configuration files.
    Schema,
    /// Make a development CA in DIR/dev-ca, and certificates in DIR/certs for the hosts that have none.
    DevCa {
        /// The directory of the configuration.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Print a token for the admin API of a gateway.
    Token(token::Order),
    /// List the BBB servers of a running gateway, or say what is wanted of one.
    #[command(subcommand)]
    Server(ServerAction),
    /// List the meetings that run, or end one.
    #[command(subcommand)]
    Meeting(MeetingAction),
    /// List the tenants of a running gateway, or suspend one.
    #[command(subcommand)]
    Tenant(TenantAction),
    /// Print what tenants have used in a month: meetings, participant-minutes, the most people at once, bytes.
    Usage(usage::Order),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config, grace, log } => serve(&config, Duration::from_secs(grace), log),
        Command::Check { config, online } => check(&config, online),
        Command::Schema => {
            println!("{:#}", schema());
            ExitCode::SUCCESS
        }
        Command::DevCa { config } => dev_ca(&config),
        Command::Token(order) => told(token::print(&order)),
        Command::Server(action) => told(operate::server(action)),
        Command::Meeting(action) => told(operate::meeting(action)),
        Command::Tenant(action) => told(operate::tenant(action)),
        Command::Usage(order) => told(usage::print(order)),
    }
}

/// Does what talks to a store or to a gateway, and prints what comes of it.
fn told(work: impl Future<Output = Result<String, String>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(work) {
        Ok(text) => {
            // Who reads no further wants no more.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}
