//! `anteroom domain`: what is known about the hosts of tenants.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    domain_check,
    domains::{self, DomainOperation},
    told,
};

/// What to do with domains.
#[derive(Debug, Subcommand)]
pub(super) enum DomainAction {
    /// Check where hosts point, CAA, certificates in certs/, and the records of mail; exit with 1 if something is to do.
    ///
    /// Reads the configuration and asks DNS (`upstream.resolver`, else the servers of the system); no gateway needs to
    /// run. Prints a line for each host, and below one sentence for each thing to do, which a tenant can be sent
    /// (docs/domains.md, "What the messages mean"). What is right is in `acme.addresses` and `acme.target`.
    Check(domain_check::Order),
    #[command(flatten)]
    Running(DomainOperation),
}

/// Runs the command.
pub(super) fn run(action: DomainAction) -> ExitCode {
    match action {
        DomainAction::Check(order) => domain_check::check(&order),
        DomainAction::Running(operation) => told(domains::domains(operation)),
    }
}
