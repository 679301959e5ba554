//! A server that answers as it is told to, byte by byte.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came: its head (with the empty line) and what else was read with it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    /// The target of the request line.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

/// A server in plain HTTP/1.1. It closes each connection after its answer.
pub struct EvilServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl EvilServer {
    /// Starts one that gives these bytes as the answer to each request.
    pub async fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, open) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicUsize>::default());
        let (noted, counted, answer) = (Arc::clone(&seen), Arc::clone(&open), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, counted, answer) = (Arc::clone(&noted), Arc::clone(&counted), Arc::clone(&answer));
                counted.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    serve(stream, &noted, &*answer).await;
                    counted.fetch_sub(1, Relaxed);
                });
            }
        });
        Self { address, seen, open, task }
    }

    /// Starts one that reads whatever comes and never answers.
    pub async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&open);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                counted.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    let mut rest = [0; 4096];
                    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                    counted.fetch_sub(1, Relaxed);
                });
            }
        });
        Self { address, seen: Arc::default(), open, task }
    }

    /// An answer with this status line's end (such as `200 OK`), these header lines and this body.
    pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections that are open to it.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

impl Drop for EvilServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &(dyn Fn(&Seen) -> Vec<u8> + Send + Sync)) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if !stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
            return;
        }
    };
    let body = bytes.split_off(end);
    let request = Seen { head: String::from_utf8_lossy(&bytes).into_owned(), body };
    let bytes = answer(&request);
    seen.lock().unwrap().push(request);
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    // What is still being sent is taken, or the answer may be lost with a reset.
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
}
