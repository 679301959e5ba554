//! A line between two parties that can fail without telling either: a TCP proxy that stops passing things on.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A line to one address. It ends with the test.
pub struct Line {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Nothing passes, and nothing is closed.
    is_cut: bool,
    /// Connections that are older than this number are lost.
    oldest: u64,
    /// Connections that are older than this number are closed.
    oldest_open: u64,
    /// The number of the next connection.
    next: u64,
}

impl Line {
    pub async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(State::default()));
        let sender = Arc::downgrade(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(sender) = sender.upgrade() else { return };
                let number = sender.borrow().next;
                sender.send_modify(|state| state.next += 1);
                tokio::spawn(carry(stream, address, number, sender.subscribe()));
            }
        });
        Self { address: here, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes: what is sent vanishes as it seems, and no connection closes.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.is_cut = true);
    }

    /// All is as before, and what was sent meanwhile arrives.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.is_cut = false);
    }

    /// Nothing ever passes again on the connections there are, and none of them closes: as behind a firewall that has
    /// forgotten them. New ones are good.
    pub fn forget(&self) {
        self.state.send_modify(|state| (state.oldest, state.is_cut) = (state.next, false));
    }

    /// Closes the connections there are. New ones are good.
    pub fn close(&self) {
        self.state.send_modify(|state| state.oldest_open = state.next);
    }
}

async fn carry(near: TcpStream, to: SocketAddr, number: u64, mut state: watch::Receiver<State>) {
    // A connection that is opened while the line is cut is accepted, and that is all: the other side does not see it.
    passes(number, &mut state).await;
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let both = async {
        tokio::join!(pass(from_near, to_far, number, state.clone()), pass(from_far, to_near, number, state.clone()))
    };
    let mut closed = state.clone();
    tokio::select! {
        _ = both => {}
        _ = closed.wait_for(|state| number < state.oldest_open) => {}
    }
}

/// Passes one direction on, and its end.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        passes(number, &mut state).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Waits until things pass.
async fn passes(number: u64, state: &mut watch::Receiver<State>) {
    if state.wait_for(|state| !state.is_cut && number >= state.oldest).await.is_err() {
        // The line is gone, with the test.
        std::future::pending::<()>().await;
    }
}
