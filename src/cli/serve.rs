//! `anteroom serve`: the gateway as a process, from its log to its end.

use std::{io::IsTerminal, path::Path, process::ExitCode, time::Duration};

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use super::failed;
use crate::app::App;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

pub(super) fn serve(config: &Path, grace: Duration, form: LogForm) -> ExitCode {
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
