//! Files and WebSockets over HTTP/2, as browsers have them: several requests at once on a connection, and the sockets of a
//! person beside them (RFC 8441).

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    ext::Protocol,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    process::{cpu_time, resident_bytes},
    script::{Joined, Scenario, Script, Sizes},
    sockets::{BEFORE, ECHO_BYTES, SETTLE, frame},
    target::Target,
};

/// Connections, and requests at the same time on each: as many in all as callers over HTTP/1.1.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 4;
/// Sockets of a person, all on the connection of the page.
const OF_PERSON: usize = 3;
/// As browsers have it: no answer waits for its reader here.
const WINDOW: u32 = 6 * 1024 * 1024;

pub(super) type Sender = SendRequest<Empty<Bytes>>;

/// What was done: pieces, those that failed, processor time of the carrier, and how long it took.
pub(super) struct Done {
    pub(super) pieces: u64,
    pub(super) failed: u64,
    pub(super) cpu: Duration,
    pub(super) took: Duration,
}

/// Asks for a file for so long.
///
/// # Errors
/// `Unsupported` where the carrier has no HTTP/2, and the connection's.
pub(super) async fn files(asset: &str, pid: u32, target: &Target, seconds: Duration) -> io::Result<Done> {
    let script = Script::prepare(Scenario::Version, target, &Sizes::default()).await?;
    let Joined { prefix, .. } = script.joined(&mut target.dialer(true)?.dial().await?).await?;
    let url = format!("https://{}{prefix}/{asset}", target.host);
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut sender = dial(target).await?;
        get(&mut sender, &url).await?;
        senders.push(sender);
    }
    let (pieces, failed) = (Cell::new(0_u64), Cell::new(0_u64));
    let (began, cpu) = (Instant::now(), cpu_time(pid)?);
    let worker = async |mut sender: Sender| {
        while began.elapsed() < seconds {
            let done = if get(&mut sender, &url).await? == 200 { &pieces } else { &failed };
            done.set(done.get() + 1);
        }
        io::Result::Ok(())
    };
    let workers = senders.iter().flat_map(|sender| std::iter::repeat_n(sender, STREAMS));
    futures_util::future::try_join_all(workers.map(|sender| worker(sender.clone()))).await?;
    let cpu = cpu_time(pid)? - cpu;
    Ok(Done { pieces: pieces.get(), failed: failed.get(), cpu, took: began.elapsed() })
}

/// Opens sockets, three on each connection, each of which echoes once. Returns how many, and the bytes that each has cost.
///
/// # Errors
/// `Unsupported` where the carrier offers no WebSockets over HTTP/2; when a socket does not open or does not echo.
pub(super) async fn sockets(pid: u32, target: &Target, sockets: usize) -> io::Result<(usize, f64)> {
    let script = Script::prepare(Scenario::Join, target, &Sizes::default()).await?;
    let people = sockets.div_ceil(OF_PERSON);
    let mut joined = Vec::new();
    let mut wire = target.dialer(true)?.dial().await?;
    for person in 0..(BEFORE + people) as u64 {
        joined.push(script.join(&mut wire, person).await?);
    }
    let (before, people) = joined.split_at(BEFORE);
    let mut open = Vec::new();
    for person in before {
        open.push(page(target, person).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let resident = resident_bytes(pid)?;
    for person in people {
        open.push(page(target, person).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let (grown, sockets) = (resident_bytes(pid)?.saturating_sub(resident), people.len() * OF_PERSON);
    drop(open);
    Ok((sockets, grown as f64 / sockets.max(1) as f64))
}

/// The connection of a person's page, with sockets.
async fn page(target: &Target, joined: &Joined) -> io::Result<(Sender, Vec<TokioIo<Upgraded>>)> {
    let mut sender = dial(target).await?;
    // With the answer to a first request it is known what is offered.
    get(&mut sender, &format!("https://{}/bigbluebutton/api", target.host)).await?;
    let mut sockets = Vec::with_capacity(OF_PERSON);
    for _ in 0..OF_PERSON {
        sockets.push(socket(&mut sender, target, joined).await?);
    }
    Ok((sender, sockets))
}

async fn socket(sender: &mut Sender, target: &Target, joined: &Joined) -> io::Result<TokioIo<Upgraded>> {
    let mut stream = upgrade(sender, target, joined, &format!("ws?sessionToken={}", joined.token), "sip").await?;
    let payload = [b'x'; ECHO_BYTES];
    let (echo, sent) = (frame(&payload, false), frame(&payload, true));
    stream.write_all(&sent).await?;
    let mut got = vec![0; echo.len()];
    stream.read_exact(&mut got).await?;
    if got == echo { Ok(stream) } else { Err(io::Error::other("a WebSocket did not echo")) }
}

/// Opens the WebSocket of a path below the meeting's, with a subprotocol.
///
/// # Errors
/// `Unsupported` where none is offered over HTTP/2, and for another status than 200.
pub(super) async fn upgrade(
    sender: &mut Sender,
    target: &Target,
    joined: &Joined,
    path: &str,
    protocol: &str,
) -> io::Result<TokioIo<Upgraded>> {
    let Joined { prefix, cookies, .. } = joined;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://{}{prefix}/{path}", target.host))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", protocol)
        .header("cookie", cookies)
        .extension(Protocol::from_static("websocket"));
    let response = sender.send_request(request.body(Empty::new()).map_err(io::Error::other)?).await;
    let response = response.map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
    let status = response.status();
    if status != 200 {
        let why = format!("a WebSocket was answered with status {status}");
        return Err(io::Error::new(refusal(status.as_u16()), why));
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(io::Error::other)?))
}

/// What a status other than 200 says of WebSockets: nginx answers 400 to every CONNECT, others that they do not know the method.
fn refusal(status: u16) -> io::ErrorKind {
    if matches!(status, 400 | 405 | 501) { io::ErrorKind::Unsupported } else { io::ErrorKind::Other }
}

/// Asks for a page or file, and reads all of it. Returns its status.
async fn get(sender: &mut Sender, url: &str) -> io::Result<u16> {
    let request = Request::get(url).body(Empty::new()).map_err(io::Error::other)?;
    sender.ready().await.map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(io::Error::other)?;
    }
    Ok(status)
}

/// Opens a connection.
///
/// # Errors
/// `Unsupported` where no HTTP/2 is offered, and the connection's.
pub(super) async fn dial(target: &Target) -> io::Result<Sender> {
    let unsupported = || io::Error::from(io::ErrorKind::Unsupported);
    let connector = target.connector(true, b"h2").ok_or_else(unsupported)?;
    let tcp = TcpStream::connect(target.address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
    let tls = connector.connect(name, tcp).await?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(unsupported());
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(tls)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_shared_sockets_is_no_failure() {
        for (status, kind) in [
            (400, io::ErrorKind::Unsupported),
            (405, io::ErrorKind::Unsupported),
            (501, io::ErrorKind::Unsupported),
            (403, io::ErrorKind::Other),
            (503, io::ErrorKind::Other),
        ] {
            assert_eq!(refusal(status), kind, "{status}");
        }
    }
}
