//! A meeting's bytes: uploads and frames.
//!
//! One after the other on one connection, so that what is counted is the processor time of what carries, and the rate is
//! what it reaches with nothing beside it.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    process::cpu_time,
    script::{Joined, Scenario, Script, Sizes},
    target::Target,
    wire::Wire,
};

/// What is asked for with one subscription.
const FRAMES: usize = 100;
const UPLOAD_BYTES: usize = 100_000_000;

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cargo {
    /// A document of 100 MB.
    Upload,
    /// GraphQL frames of so many bytes.
    Frames(usize),
}

/// Carries for so long. Returns bytes, pieces, processor time of the carrier, and how long it took.
pub(super) async fn carry(
    cargo: Cargo,
    pid: u32,
    target: &Target,
    seconds: Duration,
) -> io::Result<(u64, u64, Duration, Duration)> {
    let script = Script::prepare(Scenario::Version, target, &Sizes::default()).await?;
    let dialer = target.dialer(true)?;
    let mut wire = dialer.dial().await?;
    let joined = script.joined_as(&mut wire, "MODERATOR").await?;
    let mut graphql = dialer.dial().await?;
    greet(&script, &mut graphql, &joined).await?;
    let mut step = Step { cargo, script, joined, wire, graphql };
    // What is done once is not charged to what is measured.
    step.take().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (begun, cpu) = (Instant::now(), cpu_time(pid)?);
    let (mut bytes, mut pieces) = (0, 0);
    while begun.elapsed() < seconds {
        let (more_bytes, more_pieces) = step.take().await?;
        (bytes, pieces) = (bytes + more_bytes, pieces + more_pieces);
    }
    Ok((bytes, pieces, cpu_time(pid)? - cpu, begun.elapsed()))
}

/// A load that goes on step by step.
struct Step {
    cargo: Cargo,
    script: Script,
    joined: Joined,
    wire: Wire,
    graphql: Wire,
}

impl Step {
    /// One step: bytes and pieces.
    async fn take(&mut self) -> io::Result<(u64, u64)> {
        let Self { cargo, script, joined, wire, graphql } = self;
        let prefix = &joined.prefix;
        match cargo {
            Cargo::Upload => {
                let token = upload_token(graphql).await?;
                let path = format!("{prefix}/bigbluebutton/presentation/{token}/upload");
                let fields = format!("cookie: {}\r\ncontent-length: {UPLOAD_BYTES}\r\n", joined.cookies);
                let mut request = script.get(&path, &fields);
                request.splice(..3, *b"POST");
                request.resize(request.len() + UPLOAD_BYTES, b'x');
                let reply = wire.exchange(&request).await?;
                match reply.status {
                    200 => Ok((UPLOAD_BYTES as u64, 1)),
                    status => Err(io::Error::other(format!("an upload was answered with status {status}"))),
                }
            }
            Cargo::Frames(bytes) => frames(graphql, *bytes).await,
        }
    }
}

pub(super) async fn greet(script: &Script, wire: &mut Wire, joined: &Joined) -> io::Result<()> {
    let Joined { prefix, token, cookies } = joined;
    let fields = format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\ncookie: {cookies}\r\n"
    );
    let status = wire.upgrade(&script.get(&format!("{prefix}/graphql"), &fields)).await?;
    if status != 101 {
        return Err(io::Error::other(format!("a GraphQL socket was answered with status {status}")));
    }
    introduce(wire, token).await
}

/// The first frames of an open GraphQL socket.
pub(super) async fn introduce(wire: &mut Wire, token: &str) -> io::Result<()> {
    let init = serde_json::json!({ "type": "connection_init", "payload": { "headers": { "X-Session-Token": token } } });
    wire.answered(&text_frame(&init.to_string()), b"connection_ack").await
}

fn subscribe(id: &str, query: &str) -> Vec<u8> {
    text_frame(&serde_json::json!({ "type": "subscribe", "id": id, "payload": { "query": query } }).to_string())
}

async fn frames(wire: &mut Wire, bytes: usize) -> io::Result<(u64, u64)> {
    let query = subscribe("load", &format!("subscription {{ sim_patches(bytes: {bytes}, count: {FRAMES}) }}"));
    let came = wire.messages(&query, FRAMES).await?.len();
    Ok((came as u64, FRAMES as u64))
}

async fn upload_token(wire: &mut Wire) -> io::Result<String> {
    let query = subscribe("ask", "mutation { presentationRequestUploadToken(podId: \"x\") }");
    wire.messages(&query, 2).await?;
    let said = wire.messages(&subscribe("token", "query { pres_presentation_uploadToken { uploadToken } }"), 2).await?;
    let said = String::from_utf8_lossy(said).into_owned();
    let token = said.split("\"uploadToken\":\"").nth(1).and_then(|rest| rest.split('"').next());
    token.map(str::to_owned).ok_or_else(|| io::Error::other(format!("there is no upload token in {said}")))
}

/// A text frame (RFC 6455, 5.2) of up to 64 KB. The mask of a client is zero, which changes nothing.
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("what is said here is short");
    let mut frame = vec![0x81];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
