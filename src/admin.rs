//! The operator's listener: health, metrics and the admin API, on a thread of its own, so that a scrape cannot slow a
//! request. Health and metrics are for whoever reaches it; the API needs a token.

mod accept;
mod api;
mod metrics;
pub mod token;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::{runtime::Handle, sync::watch};

use crate::{poll::Leads, proxy::Gateway, tls::Tls};
use token::Tokens;

/// What the operator's side looks at.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Its certificates.
    pub tls: Arc<Tls>,
    /// Who may operate it.
    pub tokens: Arc<Tokens>,
    /// Where the gateway does its work: connections to the store and to servers stay with it.
    pub runtime: Handle,
    /// Rounds of the poller.
    pub rounds: watch::Receiver<u32>,
    /// Whether this gateway is the one that polls.
    pub leads: watch::Receiver<Leads>,
    /// Turns true when the gateway stops.
    pub stop: watch::Receiver<bool>,
}

impl Admin {
    /// Has the gateway's own runtime do something, to its end. `None` when that has panicked, or the gateway has gone.
    async fn in_gateway<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }
}

/// Starts the listener.
///
/// # Errors
/// When the address cannot be bound or the thread cannot be started.
pub fn start(address: SocketAddr, admin: Admin) -> io::Result<(SocketAddr, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("listen.admin {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = thread::Builder::new().name("admin".into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(listener, admin)) {
            tracing::error!(%error, "the admin listener has failed");
        }
    })?;
    Ok((bound, handle))
}

async fn serve(listener: TcpListener, admin: Admin) -> io::Result<()> {
    let (stop, metrics) = (admin.stop.clone(), Arc::clone(&admin.gateway.metrics));
    let router = Router::new()
        .route("/health/live", get(async || "ok\n"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(scrape))
        .nest("/api", api::router(&admin))
        .with_state(admin);
    accept::run(tokio::net::TcpListener::from_std(listener)?, router, &metrics, stop).await;
    Ok(())
}

/// Ready: the servers have been asked once, the store answers, and the gateway does not stop.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let reason = if *admin.stop.borrow() {
        "stopping\n"
    } else if *admin.rounds.borrow() == 0 {
        "the servers have not been asked yet\n"
    } else if !store_answers(&admin).await {
        "the store does not answer\n"
    } else {
        return (StatusCode::OK, "ready\n");
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}

async fn store_answers(admin: &Admin) -> bool {
    let gateway = Arc::clone(&admin.gateway);
    admin.in_gateway(async move { gateway.store.ping().await }).await.is_some_and(|answer| answer.is_ok())
}

async fn scrape(State(admin): State<Admin>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(admin) {
        Ok(text) => (StatusCode::OK, [("content-type", content_type)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], String::new()),
    }
}
