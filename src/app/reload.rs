//! Reloads the configuration while the gateway runs.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    certificates::Certificates,
    config::{Loaded, Loader, SlugKey, Watcher},
    domain::time::{Clock, Timestamp},
    meetings::Meetings,
    proxy::Gateway,
    tls::Tls,
};

/// How often the clock is looked at on the way to a date.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Reloads the configuration when its files change, and when a certificate of the operator expires or becomes valid.
pub(super) async fn reload(
    mut loader: Loader,
    key: SlugKey,
    gateway: Arc<Gateway>,
    (tls, certificates): (Arc<Tls>, Arc<Certificates>),
    mut stop: watch::Receiver<bool>,
) {
    let mut watcher = match Watcher::new(&loader) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "failed to watch the configuration: changes need a restart");
            return;
        }
    };
    let mut known = Vec::new();
    loop {
        let (clock, date) = (&gateway.meetings.clock, loader.next_date());
        tokio::select! {
            () = watcher.changed() => {}
            () = tls.files_changed() => {}
            () = at(clock, date) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let shared_key = key.clone();
        let read = tokio::task::spawn_blocking(move || {
            let found = loader.reload(&shared_key);
            (loader, found)
        });
        let found = match read.await {
            Ok((back, found)) => {
                loader = back;
                found
            }
            // The next start of this reads everything again.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        for fault in found.faults.iter().filter(|fault| !known.contains(*fault)) {
            tracing::error!(%fault, "configuration fault: the last good version stays in service");
        }
        let faults = i64::try_from(found.faults.len()).unwrap_or(i64::MAX);
        gateway.metrics.config_faults.store(faults, Relaxed);
        known = found.faults;
        if let Some(Loaded { settings, directory, certs, .. }) = found.loaded {
            gateway.net.rates.set(settings.rates);
            // A host must have its certificate by the time that requests see it.
            tls.swap(certs);
            certificates.configure(&directory, &tls.certs());
            gateway.meetings.directory.store(Arc::new(directory));
            gateway.metrics.reloads.fetch_add(1, Relaxed);
            tracing::info!(target: "audit", "configuration reloaded");
            warn_of_missing_recordings(&gateway.meetings);
        } else if loader.next_date() != date {
            // What has expired may need one of an authority.
            certificates.configure(&gateway.meetings.directory.load(), &tls.certs());
        }
        watcher.follow(&loader);
    }
}

/// Waits until a time, by the clock that may be set meanwhile; without one for ever.
async fn at(clock: &Clock, time: Option<Timestamp>) {
    let Some(time) = time else { return pending().await };
    loop {
        let left = time.saturating_duration_since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

/// Warns of servers with recordings that are neither configured nor retired: a list without them would have integrations delete
/// them.
pub(super) fn warn_of_missing_recordings(meetings: &Meetings) {
    let directory = meetings.directory.load();
    for server in meetings.live.recordings.all_servers() {
        if directory.server(server.as_str()).is_none() && !directory.is_retired(&server) {
            tracing::warn!(%server, "server with recordings not in the configuration: getRecordings fails");
        }
    }
}
