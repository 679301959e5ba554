//! The command line.

mod check;
mod domain;
mod domain_check;
mod domains;
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

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::schema;
use check::{check, dev_ca};
use domain::DomainAction;
use failure::failed;
use log::LogForm;
use operate::{CallbackAction, MeetingAction, ServerAction, TenantAction, WebhookAction};
use serve::serve;

/// A multi-tenant reverse proxy in front of `BigBlueButton` servers.
#[derive(Debug, Parser)]
#[command(name = "anteroom", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    ///
    /// On SIGTERM or SIGINT it accepts nothing new, answers open requests, gives open connections the grace period
    /// and exits with 0.
    Serve {
        /// Configuration directory, with anteroom.toml, tenants/, policies/ and certs/.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
        /// Grace period for open connections at shutdown, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        grace: u64,
        /// Format of the log on standard output.
        #[arg(long, value_enum, default_value_t = LogForm::Json)]
        log: LogForm,
    },
    /// Check a configuration and print all faults; exit with 1 if there is one.
    ///
    /// Prints each fault with file, line, key and reason, and warnings, such as of secrets, private keys and a store
    /// that others than their owner may read. A warning is no fault. Prints how many connections and people the file
    /// handles allow.
    Check {
        /// Configuration directory.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
        /// Also check each BBB server; creates and ends a test meeting on it.
        ///
        /// Checks that the server is reachable, has this secret and this version, and sends people to a client of its
        /// own (a load balancer does not); the test meeting is `anteroom-check-...`. Warns of a release below 3.0.37,
        /// of a server that does not state its release, and of parameters that a policy or tenant sets and that the
        /// release does not know.
        #[arg(long)]
        online: bool,
    },
    /// Print the JSON schemas of the configuration files, for editors.
    Schema,
    /// Create a development CA in DIR/dev-ca, and missing certificates in DIR/certs; for trials.
    DevCa {
        /// Configuration directory.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Print a token for the admin API.
    Token(token::Order),
    /// List the BBB servers, or enable, cordon, drain or disable one.
    #[command(subcommand)]
    Server(ServerAction),
    /// List running meetings, or end one.
    #[command(subcommand)]
    Meeting(MeetingAction),
    /// List tenants, or suspend or resume one.
    #[command(subcommand)]
    Tenant(TenantAction),
    /// Check what DNS says about hosts; list, retry, import or revoke certificates.
    #[command(subcommand)]
    Domain(DomainAction),
    /// List callbacks to tenants, or try one again.
    #[command(subcommand)]
    Callback(CallbackAction),
    /// List webhooks of tenants, try the events of one again, or remove one.
    #[command(subcommand)]
    Webhook(WebhookAction),
    /// Print the usage of tenants in a month.
    ///
    /// One row for each tenant and day (UTC): meetings, participant-minutes, most people at once, bytes both ways.
    /// With `--config` it reads the store, and no gateway needs to run.
    Usage(usage::Order),
}

/// The commands with their options and texts, for the documentation.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
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
        Command::Domain(action) => domain::run(action),
        Command::Callback(action) => told(operate::callback(action)),
        Command::Webhook(action) => told(operate::webhook(action)),
        Command::Usage(order) => told(usage::print(order)),
    }
}

/// Runs a command that uses a store or a gateway, and prints its result or its error.
fn told(work: impl Future<Output = Result<String, String>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(work) {
        Ok(text) => {
            // A reader that has closed the pipe needs no error.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}
