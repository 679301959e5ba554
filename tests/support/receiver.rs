//! A receiver of callbacks: takes everything, and keeps it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State};
use http::{HeaderMap, Uri};
use tokio::{net::TcpListener, task::JoinHandle};

type Calls = Arc<Mutex<Vec<Received>>>;

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
        let router = Router::new().fallback(note).with_state(Arc::clone(&calls));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, calls, task }
    }

    pub fn calls(&self) -> Vec<Received> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn note(State(calls): State<Calls>, target: Uri, headers: HeaderMap, body: Bytes) {
    calls.lock().unwrap().push(Received { target: target.to_string(), headers, body });
}
