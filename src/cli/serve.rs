//! `anteroom serve`: runs the gateway as a process: log, runtime, signals, exit code.

use std::{panic, path::Path, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    failure::failed,
    log::{self, LogForm},
};
use crate::{app::App, supervise::note_panic};

/// Grace period after the loss of a vital task: short, since only a restart of the process helps.
const LOST_GRACE: Duration = Duration::from_secs(1);

pub(super) fn serve(config: &Path, grace: Duration, form: LogForm) -> ExitCode {
    let _log = match log::start(form) {
        Ok(log) => log,
        Err(error) => return failed(&error.to_string()),
    };
    panic::set_hook(Box::new(note_panic));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    runtime.block_on(async {
        let app = match Box::pin(App::start(config)).await {
            Ok(app) => app,
            Err(error) => return failed(&error.to_string()),
        };
        tokio::select! {
            () = told_to_stop() => {}
            task = app.lost() => {
                tracing::error!(task, "task panicked and cannot be restarted: exiting");
                app.stop(LOST_GRACE).await;
                return ExitCode::FAILURE;
            }
        }
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
