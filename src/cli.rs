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
    Check {
        /// Configuration directory.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
        /// Also check each BBB server; creates and ends a test meeting on it.
        #[arg(long)]
        online: bool,
    },
    /// Print the JSON schemas of the configuration files.
    Schema,
    /// Create a development CA in DIR/dev-ca, and missing certificates in DIR/certs.
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
    /// List callbacks to tenants, or try one again.
    #[command(subcommand)]
    Callback(CallbackAction),
    /// List webhooks of tenants, or try the events of one again.
    #[command(subcommand)]
    Webhook(WebhookAction),
    /// Print the usage of tenants in a month.
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
