//! Admin listener: health, metrics and the admin API, on its own thread, so that a scrape cannot slow a request. Health and
//! metrics need no authentication; the API needs a token.

mod accept;
mod api;
mod metrics;
mod state;
pub mod token;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};

use crate::supervise::{self, Round};
use metrics::{Format, Scrape};
pub use state::Admin;

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
        supervise::run_thread("admin", || {
            let served = listener.try_clone().map(|listener| runtime.block_on(serve(listener, admin.clone())));
            if let Err(error) = served.flatten() {
                tracing::error!(%error, "admin listener failed");
            }
        });
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

/// Ready: the servers have been polled once, the store answers, no loop hangs, and the gateway is not stopping.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let reason = if *admin.stop.borrow() {
        "stopping\n".into()
    } else if *admin.rounds.borrow() == 0 {
        "the servers have not been asked yet\n".into()
    } else if !store_answers(&admin).await {
        "the store does not answer\n".into()
    } else if let Some(late) = late(admin.meetings.loops()) {
        late
    } else {
        return (StatusCode::OK, "ready\n".to_owned());
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}

/// The loops that hang, with the time since their last progress; `None` if there is none.
fn late<'a>(loops: impl IntoIterator<Item = &'a Round>) -> Option<String> {
    let late = loops.into_iter().filter(|round| round.is_late()).map(|round| {
        let (name, age, limit) = (round.name, round.age().as_secs(), round.late_after.as_secs());
        format!("{name} has done nothing for {age} s (limit {limit} s)\n")
    });
    let late: String = late.collect();
    (!late.is_empty()).then_some(late)
}

async fn store_answers(admin: &Admin) -> bool {
    let meetings = Arc::clone(&admin.meetings);
    admin.in_gateway(async move { meetings.store.answers().await }).await.unwrap_or(false)
}

async fn scrape(
    State(admin): State<Admin>,
    headers: HeaderMap,
    scrape: Result<Query<Scrape>, QueryRejection>,
) -> impl IntoResponse {
    let format = Format::accepted(&headers);
    let plain = [("content-type", "text/plain; charset=utf-8")];
    match scrape {
        Err(error) => (StatusCode::BAD_REQUEST, plain, format!("{}\n", error.body_text())),
        Ok(Query(scrape)) => match metrics::text(admin, &scrape, format) {
            Ok(text) => (StatusCode::OK, [("content-type", format.content_type())], text),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, plain, String::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_loop_that_hangs_is_named() {
        let (good, hangs) = (Round::new("poll", Duration::from_secs(60)), Round::new("writer", Duration::ZERO));
        good.beat();
        assert_eq!(late([&good, &hangs]), None, "the second has nothing to do");
        hangs.beat();
        thread::sleep(Duration::from_millis(20));
        assert_eq!(late([&good, &hangs]).as_deref(), Some("writer has done nothing for 0 s (limit 0 s)\n"));
    }
}
