//! A gateway for unit tests: its clock is set, and it takes receivers on loopback for public ones.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::FutureExt;
use rustls::RootCertStore;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{RwLock, mpsc::unbounded_channel},
};

use super::{Meetings, callbacks::Callbacks, refill::refill, webhooks::Webhooks};
use crate::{
    domain::{
        calendar::Calendar,
        directory::Directory,
        fixtures,
        time::{Clock, Timestamp},
    },
    store::{Store, writer::Notes},
    upstream::{Connector, Lookup, Pool, Receivers},
};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
pub(crate) const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// A receiver with an answer that can be changed; each request as it came.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// What it answers next, and the answer to all further requests.
    answers: Arc<Mutex<(VecDeque<&'static str>, &'static str)>>,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// It answers while this may be read.
    pub(crate) gate: Arc<RwLock<()>>,
}

impl Receiver {
    pub(crate) async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let answers = Arc::new(Mutex::new((VecDeque::new(), answer)));
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (next, noted) = (Arc::clone(&answers), Arc::clone(&seen));
        let gate = Arc::<RwLock<()>>::default();
        let opens = Arc::clone(&gate);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                let mut request = vec![0; 8192];
                let n = stream.read(&mut request).await.unwrap_or(0);
                noted.lock().expect("whole").push(String::from_utf8_lossy(&request[..n]).into_owned());
                let _open = opens.read().await;
                let answer = {
                    let (first, further) = &mut *next.lock().expect("whole");
                    first.pop_front().unwrap_or(*further)
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, answers, seen, gate }
    }

    pub(crate) fn answers(&self, answer: &'static str) {
        self.answers_first(&[], answer);
    }

    /// Answers the next requests each in its own way, and all further ones with `then`.
    pub(crate) fn answers_first(&self, first: &[&'static str], then: &'static str) {
        *self.answers.lock().expect("whole") = (first.iter().copied().collect(), then);
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().expect("whole").len()
    }
}

/// The first look-up of a name, and all further ones.
pub(crate) type Names = (&'static [[u8; 4]], &'static [[u8; 4]]);

pub(crate) const LOOPBACK: Names = (&[[127, 0, 0, 1]], &[[127, 0, 0, 1]]);

/// A gateway with a store of its own and a clock that is set. The store is there as long as its directory.
pub(crate) async fn opened(names: Names) -> (Meetings, Clock, Store, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&format!("sqlite:{}", dir.path().join("store.db").display())).await.expect("a store");
    let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let meetings = gateway(store.clone(), clock.clone(), names).await;
    (meetings, clock, store, dir)
}

pub(crate) async fn gateway(store: Store, clock: Clock, names: Names) -> Meetings {
    let asked = AtomicUsize::new(0);
    let lookup: Lookup = Box::new(move |_| {
        let found = if asked.fetch_add(1, Relaxed) == 0 { names.0 } else { names.1 };
        std::future::ready(found.iter().map(|address| IpAddr::from(*address)).collect()).boxed()
    });
    let connector = Connector::new(RootCertStore::empty());
    let receivers = Receivers::with_lookup(connector.clone(), lookup, |address| address.is_loopback());
    let tenants = ["wagtail", "heron"].map(|id| Arc::new(Calendar::new(Arc::new(fixtures::tenant(id)), Vec::new())));
    let directory = Directory::new(tenants.into(), vec![Arc::new(fixtures::server("bbb-01", "members"))]);
    let (live, _) = refill(&store, clock.clone()).await.expect("refilled");
    let (notes, _) = Notes::start(store.clone(), clock.clone(), unbounded_channel().0);
    let callbacks = Callbacks::new([7; 32], receivers);
    Meetings::new(
        clock,
        Arc::new(directory),
        live,
        (store, notes),
        Pool::new(connector),
        (callbacks, Webhooks::new([7; 32])),
    )
}
