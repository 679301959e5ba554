//! Connections of the admin listener: few, with time limits, on reserved file handles.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::Service as _, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    metrics::Metrics,
    net::{
        complaints::Complaints,
        connections::{Connections, Limits, Served},
        tracked::Tracked,
    },
};

/// Maximum of connections. A further one replaces an idle one, or is refused.
const CONNECTIONS_MAX: u32 = 64;
/// For the next request, its head included, and for a reader to take what is left of an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// A head has a token and little else.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// For a first request; and a reader who takes nothing of an answer has five of it.
const STEP: Duration = Duration::from_secs(4);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until shutdown, and then answers open requests.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    metrics: &Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Connections::new(Limits { max: CONNECTIONS_MAX, per_address: CONNECTIONS_MAX });
    let (alive, mut finished) = mpsc::channel(1);
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => match connections.admit(peer.ip().into(), false, &alive) {
                Ok(served) => {
                    drop(tokio::spawn(serve(stream, served, router.clone(), Arc::clone(metrics), stop.clone())))
                }
                Err(full) => metrics.count_full(full),
            },
            Err(error) => {
                metrics.accept_errors.fetch_add(1, Relaxed);
                complaints.of(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(alive);
    let _: Option<Infallible> = finished.recv().await;
}

async fn serve(
    stream: TcpStream,
    served: Served,
    router: Router,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let activity = Arc::clone(&served.activity);
    let service = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let (mut open, answered) = (activity.begin(), service.call(request));
        async move {
            open.goes_on();
            answered.await.map(|response| response.map(|body| Tracked::new(body, open)))
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = &mut connection => return,
        end = activity.watch(STEP, false) => return metrics.count_end(end),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
