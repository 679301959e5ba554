//! A receiver of callbacks: takes everything, and keeps it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State};
use http::{HeaderMap, Uri};
use tokio::{
    net::TcpListener,
    sync::{OwnedRwLockWriteGuard, RwLock},
    task::JoinHandle,
};

/// What has come, and what answers wait for.
#[derive(Clone, Default)]
struct Calls {
    seen: Arc<Mutex<Vec<Received>>>,
    gate: Arc<RwLock<()>>,
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A receiver that answers 200. It ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    calls: Calls,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Calls::default());
        let router = Router::new().fallback(note).with_state(calls.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, calls, task }
    }

    pub fn calls(&self) -> Vec<Received> {
        self.calls.seen.lock().unwrap().clone()
    }

    /// Has what comes from now on wait for its answer until this is dropped.
    pub async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.calls.gate).write_owned().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn note(State(calls): State<Calls>, target: Uri, headers: HeaderMap, body: Bytes) {
    calls.seen.lock().unwrap().push(Received { target: target.to_string(), headers, body });
    drop(calls.gate.read().await);
}
